"""The house as its imports draw it: rooms, what each may import, floors.

``python -m tests.architecture.house`` prints it.

A room is a folder below ``node_sim``, ``fleet`` or ``analysis``, or a file beside such folders. A room stands above all
that it imports, so a floor is one more than the highest floor among those; an arrow that runs up is an import that the
plan does not have in that direction.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGES = ("node_sim", "fleet", "analysis")

_NUMBERS = ("elementary", "draws", "points")
WORDS = ("errors", "units", "codes", "columns", "records", "names", *_NUMBERS, "orders", "guesses")
VOCABULARY = tuple(f"node_sim.{name}" for name in WORDS)
_FAULTS = ("node_sim.catalog", "node_sim.server", "node_sim.dram")
_KERNEL = ("node_sim.catalog", "node_sim.hwpoison", "node_sim.machine_check")
_DRIVERS = ("fleet.stored", "fleet.scenario", "fleet.engines")
READ_BY_ANALYSIS = (*VOCABULARY, "node_sim.catalog", "node_sim.one_dimm.counts", "fleet.stored")
_READ_AND_ESTIMATED = (*READ_BY_ANALYSIS, "analysis.dataset", "analysis.estimators")

PLAN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(VOCABULARY, ()),
    "node_sim.columns": ("node_sim.codes",),
    "node_sim.names": ("node_sim.records",),
    "node_sim.draws": ("node_sim.records",),
    "node_sim.elementary": ("node_sim.records",),
    "node_sim.points": ("node_sim.draws", "node_sim.records", "node_sim.units"),
    "node_sim.catalog": VOCABULARY,
    "node_sim.server": (*VOCABULARY, "node_sim.catalog"),
    "node_sim.hwpoison": (*VOCABULARY, "node_sim.catalog"),
    "node_sim.machine_check": (*VOCABULARY, "node_sim.catalog", "node_sim.server", "node_sim.hwpoison"),
    "node_sim.dram": (*VOCABULARY, "node_sim.catalog", "node_sim.server"),
    "node_sim.memory": (*VOCABULARY, "node_sim.catalog", "node_sim.server"),
    "node_sim.ecc": (*VOCABULARY, *_FAULTS),
    "node_sim.corrected": (*VOCABULARY, *_FAULTS, "node_sim.memory"),
    "node_sim.one_page": (*VOCABULARY, *_KERNEL),
    "node_sim.one_dimm": (*VOCABULARY, *_FAULTS, "node_sim.ecc"),
    "node_sim.lives": (*VOCABULARY, *_FAULTS, *_KERNEL, "node_sim.memory", "node_sim.ecc", "node_sim.corrected"),
    "fleet.stored": VOCABULARY,
    "fleet.inputs": (),
    "fleet.printable": (),
    "fleet.interruption": (),
    "fleet.scenario": (*VOCABULARY, *_FAULTS, "node_sim.ecc", "fleet.inputs", "fleet.printable"),
    "fleet.shortage": ("node_sim.errors",),
    "fleet.progress": ("fleet.stored",),
    "fleet.engines": (
        *VOCABULARY,
        "fleet.interruption",
        "fleet.shortage",
        "fleet.progress",
        "fleet.stored",
        "fleet.scenario",
        "node_sim.lives",
    ),
    "fleet.metrics": (*VOCABULARY, "fleet.progress", "fleet.stored"),
    "fleet.failed": (*VOCABULARY, "fleet.engines", "fleet.stored"),
    "fleet.run": (*VOCABULARY, *_DRIVERS, "fleet.failed", "fleet.progress"),
    "fleet.sample": (*VOCABULARY, *_DRIVERS),
    "fleet.replay": (*VOCABULARY, *_DRIVERS),
    "fleet.recorded": (*VOCABULARY, *_KERNEL, "node_sim.one_page"),
    "fleet.conform": (*VOCABULARY, *_KERNEL, "node_sim.one_page", "fleet.inputs", "fleet.printable", "fleet.recorded"),
    "analysis.dataset": READ_BY_ANALYSIS,
    "analysis.estimators": READ_BY_ANALYSIS,
    "analysis.field": READ_BY_ANALYSIS,
    "analysis.own_policies": READ_BY_ANALYSIS,
    "analysis.hosts": (*READ_BY_ANALYSIS, "analysis.dataset"),
    "analysis.records": (
        *READ_BY_ANALYSIS,
        "analysis.dataset",
        "analysis.hosts",
        "node_sim.hwpoison",
        "node_sim.machine_check",
    ),
    "analysis.history": (*READ_BY_ANALYSIS, "analysis.dataset", "analysis.hosts"),
    "analysis.living": (*READ_BY_ANALYSIS, "analysis.dataset", "analysis.hosts", "analysis.records"),
    "analysis.comparison": _READ_AND_ESTIMATED,
    "analysis.theory": (*VOCABULARY, "node_sim.catalog"),
    "analysis.checks": (*_READ_AND_ESTIMATED, "analysis.theory"),
    "analysis.figures": (*_READ_AND_ESTIMATED, "analysis.comparison"),
    "analysis.text": (*_READ_AND_ESTIMATED, "analysis.comparison", "analysis.checks", "fleet.printable"),
    "analysis.report": (
        *_READ_AND_ESTIMATED,
        "fleet.printable",
        "analysis.comparison",
        "analysis.figures",
        "analysis.text",
    ),
    "analysis.alerts": (*_READ_AND_ESTIMATED, "analysis.hosts", "analysis.text"),
    "analysis": ("analysis.dataset",),
    "fleet.commands": (
        "node_sim",
        "fleet.inputs",
        "fleet.printable",
        "fleet.shortage",
        "fleet.progress",
        "fleet.scenario",
        "fleet.stored",
        "fleet.engines",
        "fleet.run",
        "fleet.sample",
        "fleet.replay",
        "fleet.recorded",
        "fleet.conform",
        "fleet.metrics",
        "analysis",
    ),
    "fleet.cli": ("node_sim.errors", "fleet.interruption", "fleet.shortage", "fleet.commands"),
}
"""Rooms from the ground up, and what each may import of the others; a name stands for all that is inside."""
LAZY_ONLY = ("fleet.commands", "analysis")
"""The one arrow that runs up: it is drawn inside functions only, so that help stays fast."""


BY_NAME = frozenset({"__import__", "exec", "eval", "compile"})
"""Ways to import what no import statement names."""


class Import(NamedTuple):
    """One import: the longest dotted module path, what is taken from it, whether at module level, by which form."""

    name: str
    taken: str
    module_level: bool
    form: str
    line: int


def module_of(package: str, name: str) -> str:
    """Dotted path of ``from package import name``: the name itself where it is a module of ours."""
    path = ROOT.joinpath(*package.split("."), name)
    return f"{package}.{name}" if path.is_dir() or path.with_suffix(".py").exists() else package


@cache
def imports_of(text: str, package: str = "") -> list[Import]:
    """All imports of a module, also those inside functions, and every use of a builtin that imports by name."""
    tree = ast.parse(text)
    inside = {
        id(child)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.walk(function)
    }
    guarded = {
        id(child)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for statement in branch.body
        for child in ast.walk(statement)
    }
    found = []
    for node in ast.walk(tree):
        level = id(node) not in inside | guarded
        if isinstance(node, ast.Import):
            found += [Import(alias.name, "", level, "import", node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: -(node.level - 1) or None], *base.split(".")]).strip(".")
            found += [
                Import(module_of(base, alias.name), alias.name, level, f"from {base} import", node.lineno)
                for alias in node.names
            ]
        elif isinstance(node, ast.Name) and node.id in BY_NAME:
            found.append(Import(node.id, "", level, "by name", node.lineno))
    return found


def within(name: str, *allowed: str) -> bool:
    """Whether a dotted name is one of some modules or inside one."""
    return any(name == one or name.startswith(f"{one}.") for one in allowed)


def modules() -> list[str]:
    """Paths of all source files, relative to the root."""
    return sorted(str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def dotted(module: str) -> str:
    """Turn the path of a module into its name."""
    return module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def room_of(name: str) -> str:
    """Return the room of a dotted module: the first two parts of its name."""
    return ".".join(name.split(".")[:2])


def ours(module: str, text: str | None = None) -> Iterator[Import]:
    """Yield the imports of a module that lead to modules of ours."""
    package = ".".join(module.split("/")[:-1])
    for one in imports_of((ROOT / module).read_text() if text is None else text, package):
        if within(one.name, *PACKAGES):
            yield one


def may_enter(module: str, one: Import) -> bool:
    """Whether the plan has an arrow from a module to what it imports."""
    me, target = room_of(dotted(module)), one.name
    if me in PACKAGES and module.endswith("__init__.py") and me not in PLAN:
        return False
    if room_of(target) == me:
        return True
    if within(me, LAZY_ONLY[0]) and within(target, LAZY_ONLY[1]) and one.module_level:
        return False
    return within(target, *PLAN.get(me, ()))


def module_arrows(lazy: bool = True) -> dict[str, set[str]]:
    """Arrows between modules of one room; packages stand for their ``__init__``."""
    known = {dotted(module) for module in modules()}
    found: dict[str, set[str]] = {}
    for module in modules():
        me = dotted(module)
        found[me] = {
            one.name
            for one in ours(module)
            if (lazy or one.module_level) and one.name in known and one.name != me and room_of(one.name) == room_of(me)
        }
    return found


def arrows(lazy: bool = True) -> dict[str, set[str]]:
    """Arrows between rooms, drawn by all imports or by those at module level only."""
    found: dict[str, set[str]] = {}
    for module in modules():
        me = room_of(dotted(module))
        found.setdefault(me, set())
        for one in ours(module):
            if (lazy or one.module_level) and room_of(one.name) != me:
                found[me].add(room_of(one.name))
    return found


def _below(drawn: dict[str, set[str]]) -> dict[str, set[str]]:
    """All rooms that can be reached from each."""
    reached = {room: set(others) for room, others in drawn.items()}
    for middle in drawn:
        for room in drawn:
            if middle in reached[room]:
                reached[room] |= reached[middle]
    return reached


def circles(drawn: dict[str, set[str]]) -> set[str]:
    """Rooms that import each other in a circle."""
    return {room for room, below in _below(drawn).items() if room in below}


def floors(drawn: dict[str, set[str]]) -> dict[str, int]:
    """Floor of each room; rooms of one circle share a floor."""
    below, found = _below(drawn), {}
    lowest_first = sorted(drawn, key=lambda room: (len(below[room]), room not in below[room]))
    for room in lowest_first:
        strictly = [other for other in below[room] if room not in below[other]]
        found[room] = 1 + max((found[other] for other in strictly), default=0)
    return found


def upward(drawn: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Arrows from a room to one that belongs to a package above its own."""
    rank = {package: position for position, package in enumerate(PACKAGES)}
    return sorted(
        (room, other)
        for room, others in drawn.items()
        for other in others
        if rank[other.partition(".")[0]] > rank[room.partition(".")[0]]
    )


def main() -> None:
    """Print floors and arrows."""
    drawn = arrows()
    for package in PACKAGES:
        mine = {room: {other for other in others if within(other, package)} for room, others in drawn.items()}
        of_package = floors({room: others for room, others in mine.items() if within(room, package)})
        print(f"{package}: {len(of_package)} rooms on {max(of_package.values())} floors")
        for floor in range(max(of_package.values()), 0, -1):
            names = sorted(room for room, level in of_package.items() if level == floor)
            print(f"  floor {floor}: {'  '.join(name.removeprefix(f'{package}.') for name in names)}")
    height, level = floors(drawn), floors(arrows(lazy=False))
    count = sum(len([other for other in others if other not in VOCABULARY]) for others in drawn.values())
    print(
        f"together: {len(drawn)} rooms on {max(height.values())} floors, {count} arrows beside those to the vocabulary"
    )
    print(f"at module level: {max(level.values())} floors")
    print(f"rooms in circles: {', '.join(sorted(circles(drawn))) or 'none'}")
    packages = sorted({(room, other.partition(".")[0]) for room, other in upward(drawn)})
    print(f"arrows that run up: {', '.join(f'{room} -> {other}' for room, other in packages) or 'none'}")
    long = sorted(((len((ROOT / module).read_text().splitlines()), module) for module in modules()), reverse=True)
    print(f"longest files: {', '.join(f'{module} {lines}' for lines, module in long[:3])}")


if __name__ == "__main__":
    main()
