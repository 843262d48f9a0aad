"""Which events made the difference: processes lost by cause, kind of process and page use, and the nodes to look at."""

from __future__ import annotations

import shlex
from typing import Final

from analysis.dataset.run import Run
from analysis.report.losses import CAUSES, CLASSES, KINDS, USES, Changed, LossRows, most_changed
from analysis.report.plain import Cell, Commands, Content, Grid, Head, Paragraph, Provenance, Section, Titled
from analysis.report.rates import ARMS_ACROSS
from analysis.report.words import counted, number
from node_sim.codes import PageUse

_LINES: Final = {
    "cause": "What ended them. Early, late, direct: a signal during handling, at the next access to the page, at the "
    "read that met the error.",
    "process class": "Whose processes they were.",
    "page use": "What the bad page was used for when the error came, where any policy looked it up.",
}


def events_section(
    run: Run, arms: tuple[str, ...], losses: dict[str, LossRows], about: Provenance, top: int
) -> Section:
    """Tell which losses arms have more or less than the first of them, and on which nodes."""
    if not any(losses[arm].processes.sum() for arm in arms):
        lost = "No process was lost in any policy, so there is nothing to tell apart here."
        return Section("events", "Which events made the difference", (Paragraph(lost),))
    grids = [_grid(losses, arms, kind) for kind in KINDS]
    return Section(
        "events",
        "Which events made the difference" if len(arms) > 1 else "Which events did the harm",
        (
            Paragraph(_intro(arms)),
            *(Titled(f"By {kind}", (Paragraph(_LINES[kind]), grid)) for kind, grid in zip(KINDS, grids, strict=True)),
            Titled("Servers to look at", tuple(_nodes(run, arms, losses, about, top))),
        ),
    )


def _intro(arms: tuple[str, ...]) -> str:
    text = "Processes lost in the whole run, as counted (not per 1,000 node-years)."
    if len(arms) == 1:
        return text
    return f"{text} Of {arms[0]} the number lost; of every other policy how many more or fewer than that."


def _grid(losses: dict[str, LossRows], arms: tuple[str, ...], kind: str) -> Grid:
    """Count losses by kind, the kinds that occur only."""
    counts = {arm: losses[arm].counted(kind) for arm in arms}
    base = counts[arms[0]]
    seen = [at for at in range(len(KINDS[kind])) if any(one[at] for one in counts.values())]
    order = sorted(seen, key=lambda at: -max(float(one[at]) for one in counts.values()))
    heads = (Head(kind, holds="text"), *(Head(arm, "" if arm == arms[0] else "difference") for arm in arms))
    rows = [
        (
            Cell(KINDS[kind][at]),
            *(
                Cell(number(base[at] if arm == arms[0] else counts[arm][at] - base[at], signed=arm != arms[0]))
                for arm in arms
            ),
        )
        for at in order
    ]
    total = (
        Cell("all"),
        *(
            Cell(number(base.sum() if arm == arms[0] else counts[arm].sum() - base.sum(), signed=arm != arms[0]))
            for arm in arms
        ),
    )
    grid = Grid(f"Processes lost by {kind}", heads, (*rows, total))
    return grid if len(arms) <= ARMS_ACROSS else grid.transposed()


def _nodes(run: Run, arms: tuple[str, ...], losses: dict[str, LossRows], about: Provenance, top: int) -> list[Content]:
    found = most_changed(losses, arms, top)
    if not found:
        return [Paragraph("No server lost more or fewer processes in one policy than in another.")]
    alone = len(arms) == 1
    heads = (
        Head("server", holds="text"),
        Head("policy", holds="text"),
        Head("lost"),
        Head("what happened", holds="prose"),
    )
    rows = [
        (
            Cell(f"{one.node:,}", _group(run, one.node)),
            Cell(one.arm),
            Cell(f"{one.was if alone else one.now:,}", "" if alone else f"{one.was:,} in {arms[0]}"),
            Cell(_told(losses, arms, one)),
        )
        for one in found
    ]
    text = "Servers that lost most." if alone else "Servers whose losses differ most, each in the policy where they do."
    commands = (f"hwpoison-fleet replay {about.folder} --node {one.node} --arm {typed_arm(one.arm)}" for one in found)
    return [
        Paragraph(text),
        Grid("Servers to look at", heads, tuple(rows)),
        Paragraph("Each of these simulates one of them again and tells every step, from the fault to the repair:"),
        Commands("\n".join(commands)),
    ]


def _group(run: Run, node: int) -> str:
    group = next(one for one in run.groups if one.first_node <= node < one.first_node + one.nodes)
    return f"group {group.name}"


def _told(losses: dict[str, LossRows], arms: tuple[str, ...], one: Changed) -> str:
    """Say what took the processes of a node, in the baseline and in the arm."""
    base = f"{arms[0]}: {_happened(losses[arms[0]].of_node(one.node))}"
    return base if one.arm == arms[0] else f"{base}; {one.arm}: {_happened(losses[one.arm].of_node(one.node))}"


def _happened(losses: LossRows) -> str:
    taken: dict[str, list[int]] = {}
    for processes, cause, kind, use in zip(*losses[1:], strict=True):
        panic = CLASSES[kind] == CLASSES[-1]
        who = CAUSES[cause] if panic else f"{CLASSES[kind]} {CAUSES[cause]}"
        where = "" if use >= len(PageUse) else f", page use: {USES[use]}"
        taken.setdefault(f"{who}{where}", []).append(int(processes))
    lines = [
        f"{f'{len(n)} × ' if len(n) > 1 else ''}{what} ({counted(sum(n), 'process', 'processes')})"
        for what, n in taken.items()
    ]
    return " + ".join(lines[:3]) + (f" + {len(lines) - 3} more kinds" if len(lines) > 3 else "") or "nothing lost"


def typed_arm(arm: str) -> str:
    """Return the name of an arm as it is typed in a shell."""
    return shlex.quote(arm)
