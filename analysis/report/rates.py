"""The headline table: how often what happens, in every arm."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from analysis.dataset.run import Run
from analysis.estimators.rates import Sums, ends_of, rate, recovery_ratio, survival_ratio
from analysis.report.plain import Bullets, Cell, Content, Folded, Grid, Head, Paragraph, Section
from analysis.report.words import PER, WORDS, cell, mean_bytes, share
from fleet.stored.headline import INDEX, KILLS, RATES_SHOWN

ARMS_ACROSS: Final = 4
"""More arms stand below each other."""
RATIOS: Final = {"survival_ratio": survival_ratio, "recovery_ratio": recovery_ratio}
LOST: Final = ("memory_lost_byte_years", "pool_lost_byte_years")
FOLDED: Final = (*KILLS, "recovery_ratio", "pool_lost_byte_years")
"""Rows that are folded where arms stand below each other, so that the rest fits."""


def sums_of(run: Run, arm: str) -> Sums:
    """Add up an arm over all groups."""
    return Sums.of(run.tally, run.arms.index(arm), ends=ends_of(group.processes for group in run.groups))


def headline_section(run: Run, arms: tuple[str, ...]) -> Section:
    """Give every rate and ratio of every arm."""
    sums = {arm: sums_of(run, arm) for arm in arms}
    rows = _rows(sums)
    text = (
        f"Rates are {PER}: what a thousand servers have in a year of being up. Square brackets hold 95 % intervals; "
        "what one server has counts as one draw, because errors and their victims come in clusters."
    )
    if len(arms) <= ARMS_ACROSS:
        return Section("headline", "How often", (Paragraph(text), _grid(arms, rows)))
    shown = {key: cells for key, cells in rows.items() if key not in FOLDED}
    more = {key: cells for key, cells in rows.items() if key in FOLDED}
    blocks: tuple[Content, ...] = (
        Paragraph(text),
        _below_each_other(arms, shown),
        Folded("What the columns are", (_glosses(shown),)),
        Folded("Kills by cause, and other figures", (_below_each_other(arms, more), _glosses(more))),
    )
    return Section("headline", "How often", blocks)


def _rows(sums: dict[str, Sums]) -> dict[str, tuple[Cell, ...]]:
    rows = {key: tuple(cell(rate(one, key)) for one in sums.values()) for key in RATES_SHOWN}
    rows |= {key: tuple(share(ratio(one)) for one in sums.values()) for key, ratio in RATIOS.items()}
    for key in LOST:
        lost = [float(one.total[INDEX[key]] / one.total[INDEX["node_years"]]) for one in sums.values()]
        if key == LOST[0] or any(lost):
            rows[key] = tuple(Cell(mean_bytes(one)) for one in lost)
    return rows


def _grid(arms: tuple[str, ...], rows: dict[str, tuple[Cell, ...]]) -> Grid:
    heads = (Head(PER, holds="text"), *(Head(arm) for arm in arms))
    named = tuple((Cell(WORDS[key].name, WORDS[key].gloss), *cells) for key, cells in rows.items())
    return Grid("Rates and ratios of every policy", heads, named)


def _below_each_other(arms: tuple[str, ...], rows: dict[str, tuple[Cell, ...]]) -> Grid:
    """Give each arm a row; what the columns are is said apart."""
    grid = _grid(arms, rows).transposed()
    return replace(grid, heads=tuple(replace(head, small="") for head in grid.heads))


def _glosses(rows: Iterable[str]) -> Bullets:
    return Bullets(tuple(f"{WORDS[key].name}: {WORDS[key].gloss}." for key in rows))
