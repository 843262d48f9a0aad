"""The table of keys in ``fleet/README.md``, made from the settings: ``python -m tests.keys_page`` writes it anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from fleet.scenario.fleet import FIXED_SECTIONS, Group, Scenario
from node_sim.catalog.values import Assumed, Published
from node_sim.server.settings import Setting

PAGE = Path(__file__).resolve().parents[1] / "fleet" / "README.md"
BEGIN, END = "<!-- keys -->\n", "<!-- end of keys -->"
HEAD = "| key | default | allowed | means |\n|---|---|---|---|\n"
CHOICES_SHOWN = 8


def leaves(kind: Any, path: str = "") -> Iterator[tuple[str, Any, Setting]]:
    """Yield key, default and setting of each leaf below a configuration, those of lists of tables once."""
    hints = get_type_hints(kind)
    for item in dataclasses.fields(kind):
        known, hint = item.metadata.get("setting"), hints[item.name]
        if known is not None:
            yield f"{path}{item.name}", item.default, known
        elif dataclasses.is_dataclass(hint):
            yield from leaves(hint, f"{path}{item.name}.")
        elif get_origin(hint) is tuple and dataclasses.is_dataclass(hint.__args__[0]):
            yield from leaves(hint.__args__[0], f"{path}{item.name}[].")


def allowed(default: Any, known: Setting) -> str:
    """Say what may stand there."""
    if known.choices:
        shown = ", ".join(str(one) for one in known.choices[:CHOICES_SHOWN])
        return shown + (", …" if len(known.choices) > CHOICES_SHOWN else "")
    if isinstance(default, bool):
        return "true, false"
    if known.low is not None:
        return known.expectation().removeprefix("a number ").removeprefix("from ")
    return ""


def shown(default: Any, known: Setting) -> str:
    """Write a default with its unit and where it comes from: ``p`` published, ``a`` assumed."""
    if default is dataclasses.MISSING:
        return ""
    unit = "" if known.unit in ("-", "1") else f" {known.unit}"
    origin = {Published: " ᵖ", Assumed: " ᵃ"}.get(type(known.number), "")
    text = {True: "true", False: "false"}.get(default, default) if isinstance(default, bool) else default
    return f"{text}{unit}{origin}"


def row(key: str, default: Any, known: Setting) -> str:
    """Write the row of a key."""
    cells = (f"`{key}`", shown(default, known), allowed(default, known), known.sentence.replace("``", "`"))
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |\n"


def table() -> str:
    """Return the tables: keys of a scenario, those of a group that all arms share, and those an arm may change."""
    of_group = list(leaves(Group))
    fixed = [leaf for leaf in of_group if leaf[0].split(".")[0] in FIXED_SECTIONS]
    parts = {
        "Of a scenario": list(leaves(Scenario)),
        "Of a group, the same in every arm": fixed,
        "Of a group, and of arms": [leaf for leaf in of_group if leaf not in fixed],
    }
    return "\n".join(f"**{title}**\n\n{HEAD}{''.join(row(*leaf) for leaf in found)}" for title, found in parts.items())


def page(text: str) -> str:
    """Return a page with its table made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
