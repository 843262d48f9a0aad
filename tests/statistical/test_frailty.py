"""Counts of DIMMs: Poisson soft faults, negative binomial hard ones, and how a total is split into them.

The laws are scipy's, not the simulator's. False-alarm rate 1e-6 per check, divided by the number of classes where there
are several; chi-square classes hold 25 DIMMs or more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from node_sim.codes import Mode
from node_sim.dram import screening
from node_sim.dram.faults import FaultTable, simulate_faults, simulate_generation
from node_sim.dram.rates import FaultRates, fault_rates
from node_sim.dram.screening import CountLaw, draw_counts, screen_nodes
from node_sim.draws import Seed
from node_sim.errors import ModelError
from node_sim.records import join
from node_sim.server.hardware import Faults, Hardware
from tests.oracle.catalog.tables import read_table

ALPHA = 1e-6
SIGMAS = 4.9
"""Two-sided normal quantile of 1e-6."""
SEED = Seed.of(20260404)
YEAR_NS = 8766 * 3600 * 10**9
SOFT, HARD = 0.4, 0.5
"""Faults expected per DIMM."""
NODES, SLOTS = 60_000, 6
"""Six slots: screened by two draws, the second of which decides about two of them only."""
DIMMS = NODES * SLOTS
VARIANCES = (0.0, 0.5, 3.0, 10.0)
SERVER_DIMMS = 12


def dimm_rates(variance: float, soft: float = SOFT, hard: float = HARD) -> FaultRates:
    """Rates of a DIMM that has one mode only."""
    mode = np.full(2, int(Mode.BIT))
    return FaultRates(mode, np.asarray([False, True]), np.asarray([soft, hard]), variance)


def hard_law(mean: float, variance: float) -> object:
    """Poisson law whose mean is multiplied by a gamma variable of mean 1 and this variance."""
    if not variance:
        return stats.poisson(mean)
    return stats.nbinom(1.0 / variance, 1.0 / (1.0 + mean * variance))


def total_law(mean: float, variance: float, dimms: int) -> object:
    """Law of the sum over DIMMs: shapes add up."""
    if not variance:
        return stats.poisson(dimms * mean)
    return stats.nbinom(dimms / variance, 1.0 / (1.0 + mean * variance))


def two_sided_p(law: object, count: int) -> float:
    """Two-sided exact p-value of a count."""
    return min(1.0, 2 * min(law.cdf(count), law.sf(count - 1)))


def chisquare_p(seen: np.ndarray, expected: np.ndarray) -> float:
    """p-value of counts against expected ones; classes of fewer than 25 are put into one."""
    seen, expected = seen.ravel(), expected.ravel()
    large = expected >= 25
    assert large.sum() > 1
    rest = expected[~large].sum()
    if rest < 25:  # to the smallest of the others
        large[np.flatnonzero(large)[expected[large].argmin()]] = False
    classes = [np.append(part[large], part[~large].sum()) for part in (seen, expected)]
    return stats.chisquare(classes[0], classes[1], sum_check=False).pvalue


def joint_counts(soft: np.ndarray, hard: np.ndarray, size: int) -> np.ndarray:
    """DIMMs by number of soft and of hard faults; the last row and column hold all larger counts."""
    table = np.zeros((size, size), np.int64)
    np.add.at(table, (np.minimum(soft, size - 1), np.minimum(hard, size - 1)), 1)
    return table


def chances(law: object, size: int) -> np.ndarray:
    """Chances of 0 … size-2 and of all larger counts."""
    return np.append(law.pmf(np.arange(size - 1)), law.sf(size - 2))


@pytest.fixture(scope="module", params=VARIANCES)
def variance(request) -> float:
    return request.param


@pytest.fixture(scope="module")
def counts(variance) -> tuple[np.ndarray, np.ndarray]:
    """Soft and hard faults of every DIMM, shape ``(nodes, slots)``."""
    hits = screen_nodes(SEED, np.arange(NODES), SLOTS, CountLaw.of(dimm_rates(variance), YEAR_NS))
    total, hard = np.zeros((NODES, SLOTS), np.int64), np.zeros((NODES, SLOTS), np.int64)
    total[hits.node, hits.slot], hard[hits.node, hits.slot] = hits.counts.total, hits.counts.hard
    return total - hard, hard


def test_hard_faults_of_a_dimm_are_negative_binomial_with_the_variance_of_the_frailty(counts, variance):
    expected = DIMMS * chances(hard_law(HARD, variance), 400)
    assert chisquare_p(np.bincount(counts[1].ravel(), minlength=400), expected) > ALPHA


def test_soft_faults_of_a_dimm_are_poisson_whatever_the_frailty(counts):
    expected = DIMMS * chances(stats.poisson(SOFT), 20)
    assert chisquare_p(np.bincount(counts[0].ravel(), minlength=20), expected) > ALPHA


def test_soft_and_hard_faults_of_a_dimm_are_independent(counts, variance):
    size = 40
    expected = DIMMS * np.outer(chances(stats.poisson(SOFT), size), chances(hard_law(HARD, variance), size))
    assert chisquare_p(joint_counts(counts[0].ravel(), counts[1].ravel(), size), expected) > ALPHA


def test_frailty_does_not_change_how_many_faults_there_are(counts, variance):
    soft, hard = (int(part.sum()) for part in counts)
    assert two_sided_p(stats.poisson(DIMMS * SOFT), soft) > ALPHA / 2
    assert two_sided_p(total_law(HARD, variance, DIMMS), hard) > ALPHA / 2


def test_pairs_of_hard_faults_are_more_frequent_by_the_variance(counts, variance):
    # Means of h (h - 1) / 2: half the squared mean, times 1 + variance.
    expected = HARD**2 / 2 * (1.0 + variance)
    count = np.arange(4000)
    chance, pairs = hard_law(HARD, variance).pmf(count), count * (count - 1) / 2
    assert chance @ pairs == pytest.approx(expected, rel=1e-9)
    error = np.sqrt((chance @ pairs**2 - expected**2) / DIMMS)
    seen = (counts[1] * (counts[1] - 1) / 2).mean()
    assert abs(seen - expected) < SIGMAS * error


def test_dimms_of_a_node_have_frailties_of_their_own(counts, variance):
    hit = (counts[1] > 0).sum(axis=1)
    law = stats.binom(SLOTS, hard_law(HARD, variance).sf(0))
    assert chisquare_p(np.bincount(hit, minlength=SLOTS + 1), NODES * law.pmf(np.arange(SLOTS + 1))) > ALPHA


def test_every_slot_has_as_many_faults_as_the_others(counts, variance):
    p = [two_sided_p(total_law(HARD, variance, NODES), int(slot.sum())) for slot in counts[1].T]
    p += [two_sided_p(stats.poisson(NODES * SOFT), int(slot.sum())) for slot in counts[0].T]
    assert min(p) > ALPHA / len(p)


LAWS = [
    (soft, hard, variance)
    for soft, hard in ((0.0, 0.02), (0.3, 0.0), (0.016, 0.017), (2.0, 1.5), (3.0, 7.0))
    for variance in (0.0, 1e-3, 0.5, 3.0, 10.0)
]


@dataclass(frozen=True)
class Listed:
    """A law of the simulator, and the closed form of its parts."""

    law: CountLaw
    soft: object
    hard: object
    means: tuple[float, float]


@pytest.fixture(scope="module", params=LAWS, ids=str)
def listed(request) -> Listed:
    soft, hard, variance = request.param
    law = CountLaw.of(dimm_rates(variance, soft, hard), YEAR_NS)
    return Listed(law, stats.poisson(soft), hard_law(hard, variance), (soft, hard))


def test_listed_chances_are_those_of_the_closed_form_laws(listed):
    law, count = listed.law, np.arange(listed.law.soft.size)
    assert np.abs(law.soft - listed.soft.pmf(count)).max() < 1e-11
    assert np.abs(law.hard - listed.hard.pmf(count)).max() < 1e-11


def test_listed_chances_leave_out_nothing_a_uniform_of_53_bits_could_meet(listed):
    size = listed.law.soft.size
    assert listed.law.hard.size == size
    assert listed.hard.sf(size - 1) + listed.soft.sf(size - 1) < 2.0**-52
    assert listed.law.cdf[-1] == pytest.approx(1.0, abs=1e-11)


def test_the_law_of_the_sum_is_the_convolution_of_both(listed):
    count = np.arange(listed.law.cdf.size)
    both = np.convolve(listed.soft.pmf(count), listed.hard.pmf(count))[: count.size]
    assert np.abs(listed.law.cdf - np.cumsum(both)).max() < 1e-11


def test_the_law_of_a_frail_dimm_is_folded_with_no_more_counts_than_its_soft_faults_have(monkeypatch):
    fold, sizes = screening._folded, []
    monkeypatch.setattr(screening, "_folded", lambda one, two: sizes.append((one.size, two.size)) or fold(one, two))
    CountLaw.of(dimm_rates(100.0, 0.1, 5.0), YEAR_NS)
    ((fewer, more),) = sizes
    assert fewer < 50
    assert more > 20_000


def test_listed_chances_have_the_mean_of_the_rates_whatever_the_frailty(listed):
    count = np.arange(listed.law.hard.size)
    assert (count @ listed.law.soft, count @ listed.law.hard) == pytest.approx(listed.means, rel=1e-9)


@pytest.mark.parametrize("variance", [1e-3, 1e-4, 1e-5])
def test_a_small_frailty_changes_the_chances_by_half_its_variance_times_their_second_difference(variance):
    # Expansion of the mixture: p + variance/2 mean**2 p'' where differences stand for derivatives; rest below
    # variance**2 times the mean to the fourth.
    mean = 1.5
    law, plain = (CountLaw.of(dimm_rates(part, 0.0, mean), YEAR_NS).hard for part in (variance, 0.0))
    p = np.concatenate([[0.0, 0.0], plain])
    second = p[2:] - 2 * p[1:-1] + p[:-2]
    size = min(law.size, plain.size)
    expected = plain + variance / 2 * mean**2 * second
    assert law[:size] == pytest.approx(expected[:size], abs=(variance * mean**2) ** 2 + 1e-9)


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("total", [1, 2, 3, 7, 20])
def test_a_total_is_split_with_the_chances_of_its_parts(total, variance):
    law = CountLaw.of(dimm_rates(variance), YEAR_NS)
    n = 100_000
    u = (np.arange(n) + 0.5) / n
    seen = np.bincount(law.hard_of(np.full(n, total), u), minlength=total + 1) / n
    hard = np.arange(total + 1)
    chance = stats.poisson(SOFT).pmf(total - hard) * hard_law(HARD, variance).pmf(hard)
    # An even grid of n points counts every interval of u to within one of them.
    assert seen == pytest.approx(chance / chance.sum(), abs=1.01 / n)


def test_without_frailty_a_total_is_split_by_coin_tosses():
    law = CountLaw.of(dimm_rates(0.0), YEAR_NS)
    n = 100_000
    seen = np.bincount(law.hard_of(np.full(n, 6), (np.arange(n) + 0.5) / n), minlength=7) / n
    assert seen == pytest.approx(stats.binom(6, HARD / (HARD + SOFT)).pmf(np.arange(7)), abs=1.01 / n)


def test_the_split_of_a_dimm_does_not_depend_on_the_others():
    law = CountLaw.of(dimm_rates(3.0), YEAR_NS)
    rng = np.random.default_rng(1)
    total, u = rng.integers(0, 9, 300), rng.random(300)
    alone = [int(law.hard_of(total[i : i + 1], u[i : i + 1])[0]) for i in range(300)]
    assert law.hard_of(total, u).tolist() == alone


def test_a_dimm_without_faults_has_no_hard_ones():
    law = CountLaw.of(dimm_rates(3.0), YEAR_NS)
    assert law.hard_of(np.zeros(3, np.int64), np.asarray([1e-9, 0.5, 1 - 1e-9])).tolist() == [0, 0, 0]


def test_dimms_asked_about_one_by_one_have_the_faults_found_by_screening():
    law = CountLaw.of(dimm_rates(3.0), YEAR_NS)
    hits = screen_nodes(SEED, np.arange(500), SLOTS, law)
    node, slot = (part.ravel() for part in np.meshgrid(np.arange(500), np.arange(SLOTS), indexing="ij"))
    one_by_one = draw_counts(SEED, node, slot, np.zeros_like(node), law)
    some = one_by_one.total > 0
    assert np.array_equal(hits.node, node[some])
    assert np.array_equal(hits.slot, slot[some])
    assert np.array_equal(hits.counts.total, one_by_one.total[some])
    assert np.array_equal(hits.counts.hard, one_by_one.hard[some])


def test_more_faults_than_names_are_refused():
    with pytest.raises(ModelError, match="lower fit_factor, years or frailty_variance"):
        CountLaw.of(dimm_rates(100.0, hard=100.0), YEAR_NS)


def test_a_replacement_has_a_frailty_of_its_own():
    n, law = 200_000, CountLaw.of(dimm_rates(3.0), YEAR_NS)
    node, zero = np.arange(n), np.zeros(n, np.int64)
    first, second = (draw_counts(SEED, node, zero + 5, zero + generation, law).hard for generation in (0, 1))
    size = 40
    alone = chances(hard_law(HARD, 3.0), size)
    assert chisquare_p(joint_counts(first, second, size), n * np.outer(alone, alone)) > ALPHA


# ------------------------------------------------------------------------- the faults themselves, by mode and DIMM

FIT_FACTOR, MANY_NODES = 20.0, 25_000
WIRES = {Mode.COMMAND_ADDRESS: 31.0, Mode.LANE: 5.0}
"""FIT of hard faults per DIMM; half of those of commands and addresses are soft."""
MANY = Hardware(faults=Faults(fit_factor=FIT_FACTOR, frailty_variance=3.0, command_address_fit=62.0))
TEXTS = {"bank_partial": "bank"}


def hard_means() -> dict[Mode, float]:
    """Hard faults of a DIMM of 36 devices in a year by mode, from the published table."""
    rows = [row for row in read_table("fit_modes") if row["dataset"] == "DDR4-avg" and row["mode"] != "TOTAL"]
    table = {Mode[TEXTS.get(row["mode"], row["mode"]).upper()]: float(row["fit_permanent"]) for row in rows}
    fit = {mode: 36 * FIT_FACTOR * rate for mode, rate in table.items()} | WIRES
    return {mode: rate * 8766 / 1e9 for mode, rate in fit.items()}


@pytest.fixture(scope="module")
def faults() -> FaultTable:
    return join([simulate_faults(SEED, np.arange(i, i + 5000), MANY, YEAR_NS) for i in range(0, MANY_NODES, 5000)])


def by_dimm(faults: FaultTable, mine: np.ndarray) -> np.ndarray:
    """How many of the chosen faults each DIMM has."""
    return np.bincount((faults.node_id * SERVER_DIMMS + faults.box.slot)[mine], minlength=MANY_NODES * SERVER_DIMMS)


def test_hard_faults_of_a_simulated_dimm_are_negative_binomial(faults):
    seen = np.bincount(by_dimm(faults, faults.hard), minlength=300)
    expected = MANY_NODES * SERVER_DIMMS * chances(hard_law(sum(hard_means().values()), 3.0), seen.size)
    assert chisquare_p(seen, expected) > ALPHA


@pytest.mark.parametrize("mode", [Mode.BIT, Mode.ROW, Mode.COLUMN, Mode.BANK])
def test_hard_faults_of_a_mode_share_the_frailty_of_their_dimm(faults, mode):
    """Of a negative binomial count each fault is of the mode by chance: that count is negative binomial as well."""
    seen = np.bincount(by_dimm(faults, faults.hard & (faults.mode == mode)), minlength=300)
    expected = MANY_NODES * SERVER_DIMMS * chances(hard_law(hard_means()[mode], 3.0), seen.size)
    assert chisquare_p(seen, expected) > ALPHA


def test_frailty_does_not_change_how_many_hard_faults_of_a_mode_there_are(faults):
    means, dimms = hard_means(), MANY_NODES * SERVER_DIMMS
    p = [
        two_sided_p(total_law(mean, 3.0, dimms), int((faults.hard & (faults.mode == mode)).sum()))
        for mode, mean in means.items()
    ]
    assert min(p) > ALPHA / len(p)


def test_hard_faults_of_a_frail_dimm_start_at_any_time(faults):
    assert stats.kstest(faults.time_ns[faults.hard] / YEAR_NS, "uniform").pvalue > ALPHA


@pytest.mark.parametrize("variance", [0.0, 3.0])
def test_at_published_rates_two_hard_faults_of_a_dimm_are_1_plus_variance_times_as_frequent_as_chance(variance):
    rates = fault_rates(Hardware(faults=Faults(frailty_variance=variance)))
    n, mean = 1_000_000, rates.hard_per_year
    hard = screen_nodes(SEED, np.arange(n), SERVER_DIMMS, CountLaw.of(rates, YEAR_NS)).counts.hard
    count = np.arange(200)
    chance, pairs = hard_law(mean, variance).pmf(count), count * (count - 1) / 2
    expected = mean**2 / 2 * (1.0 + variance)
    error = np.sqrt((chance @ pairs**2 - expected**2) * n * SERVER_DIMMS)
    assert abs((hard * (hard - 1) / 2).sum() - n * SERVER_DIMMS * expected) < SIGMAS * error


def test_later_generations_of_simulated_dimms_are_as_frail():
    n = 20_000
    node, zero = np.arange(n), np.zeros(n, np.int64)
    found, owner = simulate_generation(SEED, node, zero + 3, zero + 2, zero, MANY, YEAR_NS)
    seen = np.bincount(np.bincount(owner[found.hard], minlength=n), minlength=200)
    assert chisquare_p(seen, n * chances(hard_law(sum(hard_means().values()), 3.0), seen.size)) > ALPHA


@pytest.mark.parametrize("variance", [1e-15, 1e-12, 1e-9, 1e-6])
def test_a_tiny_frailty_is_nearly_none(variance):
    rates = FaultRates(np.zeros(2, np.int64), np.asarray([False, True]), np.asarray([0.4, 0.5]), variance)
    law = CountLaw.of(rates, YEAR_NS)
    plain = stats.poisson(0.5).pmf(np.arange(law.hard.size))
    assert np.abs(law.hard - plain).max() < variance + 1e-14
    assert law.cdf[-1] == pytest.approx(1.0, abs=1e-14)
