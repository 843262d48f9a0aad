"""A run as one page: all sections, in the order in which a reader asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from analysis.comparison.effects import Effect, compare_run
from analysis.comparison.policies import compare_policies
from analysis.comparison.recount import tally_against
from analysis.dataset.run import Run
from analysis.figures import Figure
from analysis.report.answer import answer_section
from analysis.report.assumptions import assumptions_section
from analysis.report.corrected import corrected_block
from analysis.report.effects import effects_section
from analysis.report.events import events_section
from analysis.report.evidence import adjusted_p
from analysis.report.gates import gates_section
from analysis.report.limits import limits_section
from analysis.report.losses import read_losses
from analysis.report.pictures import Draw, pictures_section
from analysis.report.plain import Provenance, ReportPage, Section
from analysis.report.rates import headline_section
from analysis.report.setup import setup_section
from analysis.report.sources import sources_section
from fleet.stored.headline import EFFECTS_SHOWN

TOP = 10
"""Servers to look at, if nobody says how many."""


class Wish(NamedTuple):
    """What a report is to be like.

    Attributes:
        baseline: Arm that all others are compared with; None is the first.
        top: Servers to look at.
        gates: Verdicts of gates, as plain data.
    """

    baseline: str | None = None
    top: int = TOP
    gates: Sequence[dict[str, Any]] = ()


def against(run: Run, baseline: str | None) -> Run:
    """Return a run as if another arm were its first, which all others are compared with.

    Raises:
        ConfigError: It has no such arm.
    """
    if baseline is None or run.check_arm(baseline) == 0:
        return run
    tally, arms = tally_against(run, baseline)
    return replace(run, plan={**run.plan, "arms": list(arms)}, tally=tally)


def page_of(run: Run, about: Provenance, asked: Wish, figures: Mapping[str, Figure], draw: Draw) -> ReportPage:
    """Turn a run into a page.

    Args:
        run: Run.
        about: What its scenario tells beside it.
        asked: What the report is to be like.
        figures: Figures to draw, in order.
        draw: Draws one.

    Raises:
        ConfigError: The run has no such baseline.
    """
    planned, run = run, against(run, asked.baseline)
    arms, baseline = run.arms, run.arms[0]
    effects: dict[str, dict[str, Effect]] = compare_run(run) if len(arms) > 1 else {}
    p = adjusted_p(effects, EFFECTS_SHOWN)
    gates = gates_section(asked.gates)
    effects_part = effects_section(effects, baseline, p)
    worth = corrected_block(compare_policies(run, baseline), baseline) if effects else ()
    sections = (
        answer_section(run, arms, effects, p),
        setup_section(planned, arms, about),
        headline_section(run, arms),
        Section(effects_part.key, effects_part.title, (*effects_part.blocks, *worth)),
        events_section(run, arms, read_losses(run), about, asked.top),
        pictures_section(run, figures, draw, f"hwpoison-fleet figures {about.folder} -o OUT --csv"),
        assumptions_section(run, about),
        sources_section(about),
        limits_section(run, arms),
        *((gates,) if gates else ()),
    )
    scenario = str(run.plan["scenario"].get("name", "unnamed"))
    servers = sum(group.nodes for group in run.groups)
    policies = f"{len(arms)} policies" if len(arms) > 1 else "one policy"
    subtitle = f"{servers:,} servers, {run.plan['years']:g} years, {policies}, seed {run.plan['seed']}"
    return ReportPage(f"Memory errors in the fleet {scenario}", subtitle.replace(" 1 years", " 1 year"), sections)
