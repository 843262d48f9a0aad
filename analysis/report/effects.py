"""What each arm has more or less than the first one, from the same faults, and whether the data tell them apart."""

from __future__ import annotations

from typing import Final

from analysis.comparison.effects import Effect
from analysis.report.evidence import SURE
from analysis.report.plain import Cell, Content, Folded, Grid, Head, Paragraph, Section, Titled
from analysis.report.words import PER, WORDS, cell, number
from fleet.stored.headline import EFFECTS_SHOWN

ARMS_IN_FULL: Final = 3
"""Of more arms, the full table of each is folded below a table of all."""
AdjustedP = dict[tuple[str, str], float]


def effects_section(effects: dict[str, dict[str, Effect]], baseline: str, p: AdjustedP) -> Section:
    """Give the paired differences of all arms to the baseline."""
    title = "What another policy changes"
    if not effects:
        return Section("effects", title, (Paragraph("The run has one policy only, so there is nothing to compare."),))
    text = (
        f"Differences to {baseline}, {PER}. All policies met exactly the same faults, so each server is compared with "
        "itself. p says how often chance alone would make so large a difference; it is the level at which the interval "
        f"would just touch 0, adjusted (Holm's method) for all {len(p):,} differences here in which some server "
        "differs: if no policy mattered, the chance of calling even one of them different would be at most 5 %."
    )
    full = [(arm, _full(arm, found, p, baseline)) for arm, found in effects.items()]
    if len(effects) <= ARMS_IN_FULL:
        return Section("effects", title, (Paragraph(text), *(Titled(arm, (grid,)) for arm, grid in full)))
    order = sorted(effects, key=lambda arm: (effects[arm]["losses"].difference.value or 0.0, arm))
    blocks: tuple[Content, ...] = (
        Paragraph(text),
        Paragraph(f"From the fewest processes lost to the most. ▼ fewer and ▲ more than {baseline}, at p below 0.05."),
        _matrix({arm: effects[arm] for arm in order}, p),
        Folded(f"Each of the {len(full)} policies in full", tuple(Titled(arm, (grid,)) for arm, grid in full)),
    )
    return Section("effects", title, blocks)


def verdict(found: Effect, p: float | None) -> str:
    """Say in words whether the data tell an arm from its baseline."""
    if found.difference.value is None:
        return "nothing to compare"
    if not found.differing:
        return "no server differs"
    if p is None:
        return "few servers have most of it, so no interval can be trusted"
    direction = "more" if found.difference.value > 0.0 else "fewer"
    if p < SURE:
        return direction
    wanted = found.wanted
    if wanted == 1.0:
        return f"perhaps {direction}: its own interval leaves out 0, but so may one of many by chance"
    if wanted is None:
        return "cannot be told apart; as much up as down"
    return f"cannot be told apart; about {number(float(f'{wanted:.2g}'))} × the node-years would"


def shown_p(p: float | None) -> str:
    """Write an adjusted p."""
    if p is None:
        return "–"
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}" if p < 0.995 else "1"


def _full(arm: str, found: dict[str, Effect], p: AdjustedP, baseline: str) -> Grid:
    heads = (
        Head(f"{arm} − {baseline}", PER, "text"),
        Head("difference"),
        Head("times as many"),
        Head("servers that differ"),
        Head("p", "adjusted"),
        Head("verdict", holds="prose"),
    )
    rows = tuple(
        (
            Cell(WORDS[key].name),
            cell(found[key].difference, signed=True),
            cell(found[key].ratio),
            Cell(f"{found[key].differing or 0:,}"),
            Cell(shown_p(p.get((arm, key)))),
            Cell(verdict(found[key], p.get((arm, key)))),
        )
        for key in EFFECTS_SHOWN
    )
    return Grid(f"Differences of {arm} to {baseline}", heads, rows)


def _matrix(effects: dict[str, dict[str, Effect]], p: AdjustedP) -> Grid:
    heads = (Head("difference", PER, "text"), *(Head(WORDS[key].name) for key in EFFECTS_SHOWN))
    rows = tuple(
        (Cell(arm), *(_marked(found[key], p.get((arm, key))) for key in EFFECTS_SHOWN))
        for arm, found in effects.items()
    )
    return Grid("Differences of all policies", heads, rows)


def _marked(found: Effect, p: float | None) -> Cell:
    plain = cell(found.difference, signed=True)
    if p is None or p >= SURE or not found.difference.value:
        return plain
    return Cell(f"{'▲' if found.difference.value > 0.0 else '▼'} {plain.text}", plain.small)
