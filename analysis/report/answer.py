"""Question and answer: what the run was to find out, and what it found, in one paragraph with its interval."""

from __future__ import annotations

from typing import Final

from analysis.comparison.effects import Effect
from analysis.dataset.run import Run
from analysis.estimators.rates import rate
from analysis.report.effects import AdjustedP
from analysis.report.evidence import SURE
from analysis.report.plain import Paragraph, Section
from analysis.report.rates import sums_of
from analysis.report.words import PER, listed, number, spoken

ASKED: Final = (("losses", "processes lost"), ("ue", "uncorrected errors"))
"""What the answer is about: the harm first, then what policies on corrected errors are to avoid."""
NAMED: Final = 3
"""So many arms are named with their differences."""


def answer_section(run: Run, arms: tuple[str, ...], effects: dict[str, dict[str, Effect]], p: AdjustedP) -> Section:
    """Say in one paragraph what the run answers."""
    return Section(
        "answer",
        "Question and answer",
        (Paragraph(_question(run, arms)), Paragraph(_answer(run, arms, effects, p), lead=True)),
    )


def _question(run: Run, arms: tuple[str, ...]) -> str:
    years = run.plan["years"]
    fleet = f"{sum(group.nodes for group in run.groups):,} servers over {years:g} year{'' if years == 1 else 's'}"
    text = f"What do memory errors do to {fleet}"
    if len(arms) > 1:
        others = "another policy" if len(arms) == 2 else f"{len(arms) - 1} other policies"
        text += f", and what would {others} have done to the very same errors"
    said = str(run.plan["scenario"].get("description", "")).strip()
    return f"{text}? {said}".strip()


def _answer(run: Run, arms: tuple[str, ...], effects: dict[str, dict[str, Effect]], p: AdjustedP) -> str:
    base = sums_of(run, arms[0])
    kills, losses, panics, errors = (rate(base, key) for key in ("kills", "losses", "panics", "ue"))
    whose = f" with the policy {arms[0]}" if len(arms) > 1 else ""
    first = (
        f"A thousand such servers lose {spoken(losses)} processes a year to bad memory{whose}: {spoken(kills)} are "
        f"killed by a signal, and the others go down in {spoken(panics)} kernel panics. These come from "
        f"{spoken(errors)} uncorrected errors."
    )
    compared = [one for key, noun in ASKED for one in _compared(effects, arms[0], key, noun, p)]
    return " ".join([first, *compared, "Square brackets hold 95 % intervals."])


def _compared(effects: dict[str, dict[str, Effect]], baseline: str, key: str, noun: str, p: AdjustedP) -> list[str]:
    """Name the arms that are told from the baseline in one metric, and say what would tell the others."""
    if not effects:
        return []
    sure = [arm for arm in effects if p.get((arm, key), 1.0) < SURE]
    text = []
    for sign, word in ((-1.0, "Fewer"), (1.0, "More")):
        mine = [arm for arm in sure if sign * (effects[arm][key].difference.value or 0.0) > 0.0]
        mine.sort(key=lambda arm: -sign * (effects[arm][key].difference.value or 0.0))
        if mine:
            named = [f"{arm} ({_apart(effects[arm][key])})" for arm in mine]
            text.append(f"{word} {noun} than with {baseline}, {PER}: {listed(named, NAMED)}.")
    hints = [arm for arm in effects if arm not in sure and effects[arm][key].wanted == 1.0]
    if hints:
        named = [f"{arm} ({_apart(effects[arm][key])})" for arm in hints]
        text.append(
            f"A hint of a difference in {noun}, which may be chance as {len(p):,} differences were looked at: "
            f"{listed(named, NAMED)}."
        )
    others = [arm for arm in effects if arm not in (*sure, *hints)]
    if others and not (sure or hints):
        which = "the two policies apart" if len(effects) == 1 else f"any other policy apart from {baseline}"
        text.append(f"In {noun} this run cannot tell {which}{_would(effects, others, key)}.")
    elif others:
        verb = "differs" if len(others) == 1 else "differ"
        text.append(
            f"Whether {listed(others, NAMED)} {verb} in {noun} this run cannot tell{_would(effects, others, key)}."
        )
    return text


def _apart(found: Effect) -> str:
    one = found.difference
    if one.value is None:
        return "–"
    if one.low is None or one.high is None:
        return number(one.value, signed=True)
    return f"{number(one.value, signed=True)} [{number(one.low)} to {number(one.high)}]"


def _would(effects: dict[str, dict[str, Effect]], arms: list[str], key: str) -> str:
    """Say how many times the node-years would tell the first of some arms."""
    wanted = {arm: effects[arm][key].wanted for arm in arms}
    more = {arm: times for arm, times in wanted.items() if times is not None and times > 1.0}
    if not more:
        return ""
    first = min(more, key=lambda arm: more[arm])
    of = "" if len(arms) == 1 else f" for {first}"
    return f"; about {number(float(f'{more[first]:.2g}'))} × as many node-years would{of}"
