"""What the answer does not cover: of this run, of its intervals, of the model."""

from __future__ import annotations

from typing import Final

from analysis.dataset.run import Run
from analysis.report.plain import Bullets, Content, Paragraph, Section, Titled
from analysis.report.rates import sums_of
from analysis.report.words import counted

FEW: Final = 10
"""Fewer nodes with something make wide intervals."""
MODEL: Final = (
    "Fault rates are those published for others' fleets; faults.fit_factor scales them for one of another age or make.",
    "Load, temperature and use do not change how often faults start or show.",
    "At most two faults meet in one code word.",
    "What pages are used for, and which processes share them, is assumed; no public breakdown exists.",
    "The kernel's handler is held against recordings of kernels 5.10 and 6.1; vendor patches are not in it.",
    "Applications die, carry on or forward the signal; retries, failover and lost work are not modelled.",
)
INTERVALS: Final = (
    "Intervals hold what chance does to this many servers, neither the assumptions above nor errors of the model.",
    "Figures of which a few servers have most (pages taken out of use, memory lost) have no interval.",
)


def limits_section(run: Run, arms: tuple[str, ...]) -> Section:
    """Say what the answer leaves open."""
    mine = _of_run(run, arms)
    notices = run.plan.get("notices", [])
    blocks: list[Content] = [Titled("Of this run", (Bullets(tuple(mine)),))] if mine else []
    if notices:
        blocks.append(Titled("Settings that change nothing, or not what they say", (Bullets(tuple(notices)),)))
    blocks += [Titled("Of the intervals", (Bullets(INTERVALS),)), Titled("Of the model", (Bullets(MODEL),))]
    intro = Paragraph("What to keep in mind before acting on this.")
    return Section("limits", "Limits", (intro, *blocks))


def _of_run(run: Run, arms: tuple[str, ...]) -> list[str]:
    base = sums_of(run, arms[0])
    text = []
    nodes = round(base.of_pair("nodes_with", "losses"))
    if nodes < FEW:
        text.append(
            f"Only {counted(nodes, 'server')} lost a process with {arms[0]}; rates of losses and kills are rough. More "
            "--nodes make the intervals narrower."
        )
    if run.plan["scenario"].get("field_study", "none") == "none":
        text.append("The scenario is not fitted to a field study.")
    else:
        text.append(
            f"The scenario is fitted to the field study {run.plan['scenario']['field_study']}; 'hwpoison-fleet "
            "scenario show' compares the two."
        )
    text.append("One seed was run. Another one gives other numbers, within the intervals 95 times of 100.")
    return text
