"""How a run shows itself: what it is, what is in it and how to cite it, in text and in notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

_ARMS, _TEXT_MAX = 6, 120
"""Arms that are named, and characters of a text."""
_VERSIONS: Final = ("hwpoison-fleet", "python", "numpy", "pyarrow")
Facts = list[tuple[str, str]]


def cut(text: str, most: int = _TEXT_MAX) -> str:
    """Return a text with its middle left out if it is long."""
    return text if len(text) <= most else f"{text[: most * 2 // 3 - 3]}...{text[-most // 3 :]}"


def named(names: Iterable[str], most: int = _ARMS) -> str:
    """Name the first of some things, and say how many more there are."""
    every = list(names)
    more = len(every) - most
    return ", ".join(cut(name, 40) for name in every[:most]) + (f" and {more:,} more" if more > 0 else "")


def run_facts(plan: Mapping[str, Any], manifest: Mapping[str, Any], path: object, rows: Mapping[str, int]) -> Facts:
    """Return what there is to say of a run.

    Args:
        plan: Its plan.
        manifest: Its manifest.
        path: Where it is.
        rows: Rows of each table in its first arm.
    """
    scenario, arms, versions = cut(str(plan["scenario"].get("name", "unnamed"))), plan["arms"], plan["versions"]
    cited = f"scenario {scenario} (sha256 {plan['scenario_sha256'][:16]}), seed {plan['seed']}"
    made_by = [*(f"{one} {versions[one]}" for one in _VERSIONS), f"engine {manifest['engine']['name']}"]
    return [
        ("scenario", scenario),
        ("seed", f"{plan['seed']}"),
        ("nodes", f"{plan['nodes']:,}, groups: {named(group['name'] for group in plan['groups'])}"),
        ("years", f"{plan['years']:g}"),
        ("arms", f"{len(arms)}: {named(arms)}"),
        ("rows", f"{', '.join(f'{table} {n:,}' for table, n in rows.items())} in arm {cut(arms[0], 40)}"),
        ("path", cut(str(path))),
        ("made by", ", ".join(made_by)),
        ("cite as", f"hwpoison-fleet {versions['hwpoison-fleet']}, {cited}"),
    ]


def as_text(title: str, facts: Facts) -> str:
    """Write facts as lines of text."""
    return "\n".join([title, *(f"  {name:<9} {value}" for name, value in facts)])


def as_html(title: str, facts: Facts) -> str:
    """Write facts as a table of HTML."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(value)}</td></tr>"
        for name, value in facts
    )
    return f"<table><caption>{escape(title)}</caption>{rows}</table>"
