"""Lifetimes of a DIMM design against closed forms, an independent Monte Carlo and FaultSim's measured runs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from node_sim.catalog.designs import DESIGNS
from node_sim.codes import Mode
from node_sim.draws import Seed
from node_sim.errors import ConfigError, ModelError
from node_sim.one_dimm.counts import LifetimeCounts
from node_sim.one_dimm.lifetimes import draw_damage, draw_lifetimes
from node_sim.one_dimm.question import Question, ask
from node_sim.one_dimm.simulate import describe_lifetime, judge, simulate_lifetimes
from node_sim.units import NS_PER_HOUR

ALPHA = 1e-6
SEED = Seed.of(20)
HOURS = 61_320.0
FIT = {
    "bit": (14.2, 18.6),
    "word": (1.4, 0.3),
    "column": (1.4, 5.6),
    "row": (0.2, 8.2),
    "bank": (0.8, 10.0),
    "multi_bank": (0.3, 1.4),
    "multi_rank": (0.9, 2.8),
}
FIXED = {
    "bit": {"rank", "bank", "row", "column", "bits"},
    "word": {"rank", "bank", "row", "column"},
    "column": {"rank", "bank", "column"},
    "row": {"rank", "bank", "row"},
    "bank": {"rank", "bank"},
    "multi_bank": {"rank"},
    "multi_rank": set(),
}


def question(**options: object) -> Question:
    """Ask with the published reference configuration where nothing else is said."""
    default = {
        "ecc": "chipkill",
        "rules": "faultsim",
        "years": 7.0,
        "fit_table": "ddr2_jaguar",
        "fit_factor": 1.0,
        "chips": 18,
        "ranks": 1,
        "banks": 8,
        "rows": 16384,
        "columns": 2048,
        "width": "4",
        "frailty_variance": 0.0,
        "scrub_hours": None,
        "extents": None,
    }
    return ask(**(default | options))


def agree(count: int, lifetimes: int, p: float, p_error: float = 0.0) -> bool:
    """Whether a count fits a probability that is itself known within a standard error."""
    spread = math.sqrt(lifetimes * p * (1 - p) + (lifetimes * p_error) ** 2)
    return 2 * stats.norm.sf(abs(count - lifetimes * p) / spread) > ALPHA


def totals(counts: LifetimeCounts) -> list[int]:
    return counts.by_year.sum(axis=1).tolist()


def test_any_fault_and_secded_agree_with_the_closed_forms():
    n = 20_000_000
    any_fault, lost, silent = totals(simulate_lifetimes(SEED, question(ecc="secded"), n))
    assert agree(any_fault, n, 1 - math.exp(-18 * HOURS * 66.1e-9))
    assert agree(lost, n, 1 - math.exp(-18 * HOURS * 33.3e-9))
    assert silent == 0


@pytest.mark.parametrize("variance", [0.5, 3.0, 10.0])
def test_any_fault_of_frail_dimms_agrees_with_the_gamma_mixture(variance):
    n = 5_000_000
    soft, hard = (18 * HOURS * 1e-9 * sum(fit[kind] for fit in FIT.values()) for kind in (0, 1))
    any_fault, _, _ = totals(simulate_lifetimes(SEED, question(frailty_variance=variance), n))
    assert agree(any_fault, n, 1 - math.exp(-soft) * (1 + variance * hard) ** (-1 / variance))


@pytest.mark.parametrize("variance", [0.0, 1.0, 4.0])
def test_lifetimes_with_two_hard_faults_are_as_frequent_as_the_second_moment_says(variance):
    # P(two or more) = hard**2 / 2 * (1 + variance) for small rates; here the exact negative binomial law.
    nodes, factor = 250_000, 0.5
    found = draw_lifetimes(SEED, question(fit_factor=factor, frailty_variance=variance), np.arange(nodes))
    hard = 18 * HOURS * 1e-9 * factor * sum(permanent for _, permanent in FIT.values())
    law = stats.nbinom(1 / variance, 1 / (1 + variance * hard)) if variance else stats.poisson(hard)
    several = int((np.bincount(found.lifetime[found.hard], minlength=4 * nodes) >= 2).sum())
    assert agree(several, 4 * nodes, law.sf(1))
    assert law.sf(1) == pytest.approx(hard**2 / 2 * (1 + variance), rel=0.2)


def test_faults_by_mode_agree_with_rate_times_exposure():
    n = 5_000_000
    counts = simulate_lifetimes(SEED, question(ecc="none"), n)
    for mode, fit in FIT.items():
        mean = n * 18 * HOURS * sum(fit) * 1e-9
        assert abs(counts.faults[Mode[mode.upper()]] - mean) < 4.9 * math.sqrt(mean)
    any_fault, lost, silent = totals(counts)
    assert any_fault == lost == silent


@pytest.mark.parametrize(
    ("n", "scrub_hours", "two", "three"),
    [
        pytest.param(100_000_000, None, (4.742e-4, 0.013e-4), (1.193e-5, 0.021e-5), marks=pytest.mark.long),
        pytest.param(100_000_000, 3.0, (3.603e-4, 0.012e-4), (0.765e-5, 0.017e-5), marks=pytest.mark.long),
        (25_000_000, 3.0, (3.603e-4, 0.012e-4), (0.765e-5, 0.017e-5)),
    ],
)
def test_chipkill_agrees_with_the_reference_monte_carlo(n, scrub_hours, two, three):
    _, lost, silent = totals(simulate_lifetimes(SEED, question(scrub_hours=scrub_hours), n))
    assert agree(lost, n, two[0], two[1] / 1.96)
    assert agree(silent, n, three[0], three[1] / 1.96)


OTHER_DESIGNS = [
    ({"banks": 4, "rows": 16, "columns": 16}, {"bank": 4, "row": 16, "column": 8}),
    ({"banks": 1, "rows": 1, "columns": 8}, {"column": 4}),
    ({"banks": 2, "rows": 1, "columns": 32}, {"bank": 2, "column": 16}),
    (
        {"chips": 9, "ranks": 2, "banks": 16, "rows": 4, "columns": 16},
        {"rank": 2, "bank": 16, "row": 4, "column": 8},
    ),
    (
        {"chips": 36, "banks": 2, "rows": 8, "columns": 16, "width": "8", "fit_factor": 0.5},
        {"bank": 2, "row": 8, "column": 16},
    ),
    (
        {"years": 3.0, "fit_factor": 100.0, "chips": 4, "banks": 1, "rows": 4, "columns": 8, "width": "16"},
        {"row": 4, "column": 8, "bits": 2},
    ),
]
"""Options, and the sizes of the address fields under chipkill, whose symbols are eight neighbouring cells."""


@pytest.mark.parametrize(("options", "_sizes"), OTHER_DESIGNS)
def test_any_fault_and_secded_agree_with_the_closed_forms_of_other_designs(options, _sizes):
    n = 2_000_000
    asked = question(**{"ecc": "secded", "fit_factor": 2.0, **options, "rows": 16384})
    exposure = (
        asked.dimm.devices * asked.dimm.ranks * options.get("years", 7.0) * 8760e-9 * options.get("fit_factor", 2.0)
    )
    any_fault, lost, silent = totals(simulate_lifetimes(SEED, asked, n))
    assert agree(any_fault, n, 1 - math.exp(-exposure * 66.1))
    # Two bits in one group of four cells: next to nothing in so many rows, and counted by the pair formula.
    cells = asked.dimm.ranks * asked.dimm.banks * 16384 * asked.dimm.lines * asked.dimm.beats * asked.dimm.width // 4
    assert agree(lost, n, 1 - math.exp(-exposure * 33.3 - (exposure * 32.8) ** 2 / 2 / cells))
    assert silent == 0


@pytest.mark.parametrize(("options", "sizes"), OTHER_DESIGNS)
def test_lifetimes_with_exactly_two_faults_fail_at_the_closed_form_rate(options, sizes):
    asked, nodes = question(**{"fit_factor": 4.0, **options}), np.arange(300_000)
    faults = draw_lifetimes(SEED, asked, nodes)
    lifetime, count = np.unique(faults.lifetime, return_counts=True)
    two = lifetime[count == 2]
    kept = faults.take(np.flatnonzero(np.isin(faults.lifetime, two)))
    uncorrected, silent = judge(SEED, asked, kept)
    share = {mode: sum(fit) / 66.1 for mode, fit in FIT.items()}
    p = (1 - 1 / asked.dimm.devices) * sum(
        share[a] * share[b] / math.prod(sizes.get(name, 1) for name in FIXED[a] & FIXED[b])
        for a, b in itertools.product(share, repeat=2)
    )
    assert two.size > 3_000
    assert agree(uncorrected.lifetime.size, two.size, p)
    assert silent.lifetime.size == 0


def test_soft_faults_meet_only_within_a_scrub_interval():
    """With both removed by scrubbing the share is the interval over the lifetime; soft on hard half, hard on hard 1."""
    scrub = 6_132.0
    asked = question(fit_factor=40.0, banks=1, rows=1, columns=8, ecc="chipkill", scrub_hours=scrub, chips=2, years=7.0)
    kept = question(fit_factor=40.0, banks=1, rows=1, columns=8, ecc="chipkill", scrub_hours=0.0, chips=2, years=7.0)
    faults = draw_lifetimes(SEED, asked, np.arange(400_000))
    lifetime, count = np.unique(faults.lifetime, return_counts=True)
    two = faults.take(np.flatnonzero(np.isin(faults.lifetime, lifetime[count == 2])))
    hard = two.hard.reshape(-1, 2).sum(axis=1)
    always = np.isin(two.lifetime[::2], judge(SEED, kept, two)[0].lifetime)
    scrubbed = np.isin(two.lifetime[::2], judge(SEED, asked, two)[0].lifetime)
    assert not (scrubbed & ~always).any()
    for n_hard, p in ((2, 1.0), (1, 0.5 + scrub / HOURS / 2), (0, scrub / HOURS)):
        some = always & (hard == n_hard)
        assert some.sum() > 1000
        assert agree(int(scrubbed[some].sum()), int(some.sum()), min(p, 1 - 1e-12))


def test_codes_lose_18_to_23_fit_under_secded():
    n = 12_000_000
    _, lost, _ = totals(simulate_lifetimes(SEED, question(ecc="secded", rules="codes", chips=None), n))
    fit = -math.log1p(-lost / n) / (18 * HOURS) * 1e9
    assert 18 < fit < 23
    assert fit == pytest.approx(19.78, rel=0.01)


def test_real_codes_can_judge_faults_that_take_all_of_their_row_column_or_bank():
    asked = question(rules="codes", extents="whole", fit_factor=20.0)
    faults = draw_lifetimes(SEED, asked, np.arange(5000))
    box = draw_damage(SEED, asked, faults)[1]
    for mode, rows, lines in ((Mode.ROW, 1, 256), (Mode.COLUMN, 16384, 1), (Mode.BANK, 16384, 256)):
        some = faults.mode == mode
        assert some.sum() > 50
        assert set(zip(box.n_rows[some].tolist(), box.n_lines[some].tolist(), strict=True)) == {(rows, lines)}


def test_whole_faults_of_two_devices_meet_as_often_as_in_faultsim_but_for_words_they_do_not_share():
    # Both judge devices; real codes look at words of two beats, FaultSim merges eight cells, which are two beats of x4.
    n = 20_000_000
    whole = {"rules": "codes", "extents": "whole", "scrub_hours": 0.0}
    by_codes, by_rules = (totals(simulate_lifetimes(SEED, question(**options), n))[1] for options in (whole, {}))
    assert by_codes == pytest.approx(by_rules, rel=0.02)


@pytest.mark.parametrize(
    ("ecc", "rules"),
    [(ecc, "codes") for ecc in DESIGNS if ecc != "sddc_locator"]
    + [(ecc, "faultsim") for ecc in ("none", "secded", "chipkill")],
)
def test_the_result_does_not_depend_on_chunking(ecc, rules):
    asked = question(ecc=ecc, rules=rules, chips=None, fit_factor=20.0, scrub_hours=1000.0)
    whole = simulate_lifetimes(SEED, asked, 50_001)
    parts = simulate_lifetimes(SEED, asked, 50_001, chunk_nodes=777)
    for a, b in zip(whole, parts, strict=True):
        assert np.array_equal(a, b)


def test_the_first_lifetimes_are_the_same_however_many_follow():
    asked = question(fit_factor=20.0)
    some, more = (simulate_lifetimes(SEED, asked, n) for n in (4_000, 8_000))
    rest = draw_lifetimes(SEED, asked, np.arange(1000, 2000))
    assert (more.faults - some.faults).tolist() == np.bincount(rest.mode, minlength=len(Mode)).tolist()


@pytest.mark.parametrize("n", [80, pytest.param(500, marks=pytest.mark.long)])
def test_a_shown_lifetime_has_the_faults_and_the_verdict_it_had_in_the_simulation(n):
    asked, nodes = question(fit_factor=30.0), np.arange(n)
    faults = draw_lifetimes(SEED, asked, nodes)
    lost = set(judge(SEED, asked, faults)[0].lifetime.tolist())
    assert 4 * n > len(lost) > n // 20
    for lifetime in range(4 * n):
        mine = np.sort(faults.time_ns[faults.lifetime == lifetime])
        shown = describe_lifetime(SEED, asked, lifetime)
        assert [row["hours"] for row in shown] == [round(time / NS_PER_HOUR, 3) for time in mine.tolist()]
        assert any(row["first"] != "-" for row in shown) == (lifetime in lost)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ecc": "ddr5"}, "expected one of none, secded, chipkill under faultsim rules"),
        ({"rules": "codes", "chips": 9}, "expected 72 for chipkill"),
        ({"rules": "codes", "ecc": "sddc_locator"}, "depends on how often a fault is read"),
        ({"extents": "partial"}, "--extents partial: expected whole under faultsim rules"),
        ({"fit_factor": 1e4}, "faults expected per lifetime"),
    ],
)
def test_designs_the_rules_cannot_judge_are_refused(options, message):
    with pytest.raises(ModelError, match=message):
        question(**options)


def test_names_and_sizes_that_are_not_possible_are_told_together():
    with pytest.raises(ConfigError) as error:
        question(ecc="x", rules="y", fit_table="z", extents="w", columns=12)
    assert [line.split(":")[0] for line in str(error.value).splitlines()] == [
        "--ecc x",
        "--rules y",
        "--fit-table z",
        "--extents w",
        "--columns 12",
    ]
