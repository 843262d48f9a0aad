"""What a shell may complete: names that the catalogue, a scenario or a run has. It reads no more than it needs.

A completion that fails says nothing: the command will say what is wrong. Files stand before names, as click's script
for bash forgets the names that it had before.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import BashComplete, CompletionItem

from fleet.inputs import read_input
from node_sim.catalog.kernels import CHOICES, PROFILE_NAMES, SWITCHES
from node_sim.catalog.sites import SITES

Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
_SIZE_MAX: Final = 64 << 20
_PLAN: Final = "plan.json"
_SYSCTLS: Final = ("vm.memory_failure_early_kill", "vm.memory_failure_recovery", "vm.enable_soft_offline")


class SplitAtEquals(BashComplete):
    """Completion for bash, which takes KEY=VALUE for three words and puts what it is offered in place of the last."""

    _replaced = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one to complete, and that one, with KEY=VALUE together again."""
        args, incomplete = super().get_completion_args()
        if incomplete == "=" and args:
            incomplete = ""
            args.append("=")
        if len(args) > 1 and args[-1] == "=":
            self._replaced = f"{args[-2]}="
            return args[:-2], f"{self._replaced}{incomplete}"
        return args, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Offer what stands behind the sign, if bash has split the word there."""
        return f"{item.type},{str(item.value).removeprefix(self._replaced)}"


def starting(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Return the names that begin with what is typed."""
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _shipped(folder: str, ending: str) -> list[str]:
    """Return names of data files that come with the program."""
    entries = (resources.files("fleet") / folder).iterdir()
    return sorted(entry.name.removesuffix(ending) for entry in entries if entry.name.endswith(ending))


def scenarios(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a scenario: a shipped one, or a file."""
    return [CompletionItem(incomplete, type="file"), *starting(_shipped("scenarios", ".toml"), incomplete)]


def recordings(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a recording: one that comes with the program, or a file."""
    names = (f"builtin:{name}" for name in _shipped("recordings", ".csv"))
    return [CompletionItem(incomplete, type="file"), *starting(names, incomplete)]


def schemas(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a kind of JSON document."""
    return starting(_shipped("schemas", ".json"), incomplete)


def kernels(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a kernel profile."""
    return starting(PROFILE_NAMES, incomplete)


def pages(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a page state."""
    from node_sim.hwpoison.page_states import PAGES

    return starting(PAGES, incomplete)


def events(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete an event."""
    from node_sim.one_page.events import EVENTS

    return starting(EVENTS, incomplete)


def accesses(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the last of a list of accesses."""
    from node_sim.one_page.afterwards import ACCESSES

    before, comma, _ = incomplete.rpartition(",")
    return starting((f"{before}{comma}{name}" for name in ACCESSES), incomplete)


def _switch_texts(name: str) -> list[str]:
    values = dict.fromkeys((*SWITCHES[name], *CHOICES.get(name, ())))
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in values]


def switches(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a switch of the kernel, then its value."""
    name, sign, _ = incomplete.partition("=")
    if sign and name in SWITCHES:
        return starting((f"{name}={text}" for text in _switch_texts(name)), incomplete)
    return starting((f"{one}=" for one in SWITCHES), incomplete)


def settings(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a setting that takes a name of the catalogue: a site, a kernel, a switch; and the sysctls."""
    values: dict[str, Iterable[str]] = {
        "faults.site": SITES,
        "kernel.profile": PROFILE_NAMES,
        **dict.fromkeys(_SYSCTLS, "01"),
        **{f"kernel.switches.{name}": _switch_texts(name) for name in SWITCHES},
    }
    key, sign, _ = incomplete.partition("=")
    if sign:
        return starting((f"{key}={text}" for text in values.get(key, ())), incomplete)
    return starting((f"{one}=" for one in values), incomplete)


def _document(scenario: str) -> dict[str, Any]:
    """Return a scenario as TOML has it; nothing of one that cannot be read."""
    shipped = scenario in _shipped("scenarios", ".toml")
    path = Path(str(resources.files("fleet") / "scenarios" / f"{scenario}.toml")) if shipped else Path(scenario)
    with suppress(OSError, ValueError, RecursionError):
        return tomllib.loads(read_input(path, _SIZE_MAX).decode("utf-8"))
    return {}


def _first_argument(ctx: click.Context) -> str:
    """Return the first argument of a command line that ends in an option without its value.

    Click does not get so far as to hand out the arguments of such a line; it leaves them where they were.
    """
    return ctx.args[0] if ctx.args else ""


def of_scenario(section: str) -> Completion:
    """Return what completes a name of a section of the scenario that the command line names."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        names = _document(_first_argument(ctx) or "baseline").get(section)
        return starting(names if isinstance(names, dict) else (), incomplete)

    return complete


def run_folders(incomplete: str) -> list[CompletionItem]:
    """Complete the folder of a run: those that are runs, also of ``runs/``, then any folder."""
    begun = Path(incomplete)
    above = begun if incomplete.endswith("/") else begun.parent
    found: list[str] = []
    for place in dict.fromkeys((above, *([Path("runs")] if "/" not in incomplete else []))):
        with suppress(OSError):
            found += sorted(str(path.parent) for path in place.glob(f"*/{_PLAN}"))
    return [CompletionItem(incomplete, type="dir"), *starting(found, incomplete)]


def arms_of_run(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete an arm of the run that the command line names."""
    arms: Any = ()
    with suppress(OSError, ValueError, AttributeError):
        arms = json.loads(read_input(Path(_first_argument(ctx)) / _PLAN, _SIZE_MAX)).get("arms")
    return starting(filter(lambda one: isinstance(one, str), arms if isinstance(arms, list) else ()), incomplete)
