"""How hard faults follow the age of their DIMM, against the integral of the hazard in closed form.

Counts are Poisson given the ages, because frailty is off where it is not asked about. False-alarm rate 1e-6 per check,
divided by the number of classes where there are several.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from node_sim.codes import Mode
from node_sim.dram.ageing import hazard, peak_hazard, start_age_ns, stays_with_age
from node_sim.dram.faults import FaultTable, simulate_faults, simulate_generation
from node_sim.dram.rates import fault_rates
from node_sim.draws import Seed
from node_sim.server.hardware import Faults, Hardware
from tests.oracle.catalog.tables import read_table

ALPHA = 1e-6
SEED = Seed.of(20260405)
YEAR_NS = 8766 * 3600 * 10**9
MONTH_NS = YEAR_NS // 12
DIMMS, DEVICES = 12, 36
YEARS = 3
SIZES = [3000, pytest.param(10_000, marks=pytest.mark.long)]
"""Nodes; an error has to be 1.8 times as large to be seen with 3,000 as with 10,000."""
WIRES = {"command_address": 3000.0, "lane": 3000.0}
"""FIT of hard faults per DIMM, many so that they can be told from the rest."""
PASSING_FIT = 1000.0
"""Of soft command/address faults, besides: a quarter of all."""
INFANT, INFANT_MONTHS, WEAROUT = 3.0, 5.0, 2.0
OLDEST_YEARS = 2.5
BOTH = {"infant_factor": INFANT, "infant_months": INFANT_MONTHS, "wearout_factor": WEAROUT}
AGEINGS = {
    "infants": {"infant_factor": INFANT, "infant_months": INFANT_MONTHS},
    "old ones": {"wearout_factor": WEAROUT},
    "both": BOTH,
}


def hardware(fit_factor: float = 6.0, **faults: object) -> Hardware:
    wires = {
        "command_address_fit": WIRES["command_address"] + PASSING_FIT,
        "command_address_transient_share": 0.25,
        "lane_fit": WIRES["lane"],
    }
    return Hardware(faults=Faults(**{"fit_factor": fit_factor, "frailty_variance": 0.0, **wires, **faults}))


def hazard_integral(months: np.ndarray, faults: Faults) -> np.ndarray:
    """Integral of the relative hazard from age 0 on [months].

    Of the infants' share exp(-x/t) it is t (1 - exp(-x/t)); wear-out climbs from 10 to 18 months in a straight line.
    """
    x, t = np.asarray(months, np.float64), faults.infant_months
    climbing = np.clip(x - 10.0, 0.0, 8.0) ** 2 / 16.0
    worn = np.maximum(x - 18.0, 0.0)
    return x + faults.infant_factor * t * -np.expm1(-x / t) + faults.wearout_factor * (climbing + worn)


def table_fit(column: str) -> float:
    """Sum of the published table over its modes [FIT/device]."""
    rows = [row for row in read_table("fit_modes") if row["dataset"] == "DDR4-avg" and row["mode"] != "TOTAL"]
    return sum(float(row[column]) for row in rows)


def hard_per_month(mine: str, fit_factor: float = 6.0) -> float:
    """Hard faults of a steady DIMM in a month: of a kind of wires, or of the devices."""
    fit = WIRES.get(mine, DEVICES * fit_factor * table_fit("fit_permanent"))
    return fit * 8766 / 12 / 1e9


def of_kind(table: FaultTable, mine: str) -> np.ndarray:
    """Which faults are hard ones of a kind."""
    wires = {name: table.mode == Mode[name.upper()] for name in WIRES}
    return table.hard & wires.get(mine, ~np.any(list(wires.values()), axis=0))


KINDS = ("devices", *WIRES)


def poisson_p(count: int, mean: float) -> float:
    """Two-sided exact p-value of a Poisson count."""
    law = stats.poisson(mean)
    return min(1.0, 2 * min(law.cdf(count), law.sf(count - 1)))


EDGES = np.asarray([0.0, 1.0, 2.0, 4.0, 6.0, 10.0, 12.0, 14.0, 16.0, 18.0, 24.0, 30.0, 36.0, 48.0, 66.0])
"""Ages [months]."""


def expected_by_age(first: np.ndarray, last: np.ndarray, faults: Faults, edges: np.ndarray = EDGES) -> np.ndarray:
    """Integral of the hazard in each interval of age, summed over DIMMs that age from first to last [months]."""
    at = hazard_integral(np.clip(edges[:, None], first, last), faults).sum(axis=1)
    return np.diff(at)


def check_ages(found: FaultTable, age_ns: np.ndarray, expected: np.ndarray) -> None:
    """Check the hard faults of every kind by age."""
    p = []
    for mine in KINDS:
        seen, _ = np.histogram(age_ns[of_kind(found, mine)] / MONTH_NS, EDGES)
        assert seen.sum() == of_kind(found, mine).sum()
        p += [poisson_p(int(n), hard_per_month(mine) * mean) for n, mean in zip(seen, expected, strict=True)]
    assert min(p) > ALPHA / len(p)


@pytest.mark.parametrize("nodes", SIZES)
@pytest.mark.parametrize("name", AGEINGS)
def test_hard_faults_of_new_dimms_follow_the_hazard_of_their_age(nodes, name):
    ageing = hardware(**AGEINGS[name])
    found = simulate_faults(SEED, np.arange(nodes), ageing, YEARS * YEAR_NS)
    expected = nodes * DIMMS * expected_by_age(np.zeros(1), np.full(1, 12.0 * YEARS), ageing.faults)
    check_ages(found, found.time_ns, expected)


@pytest.mark.parametrize("nodes", SIZES)
@pytest.mark.parametrize("name", AGEINGS)
def test_hard_faults_of_dimms_of_mixed_age_follow_the_hazard_of_their_age(nodes, name):
    ageing = hardware(**AGEINGS[name], oldest_years=OLDEST_YEARS)
    found = simulate_faults(SEED, np.arange(nodes), ageing, YEARS * YEAR_NS)
    start_ns = start_age_ns(SEED, np.arange(nodes), ageing.faults)
    start = start_ns / MONTH_NS
    expected = DIMMS * expected_by_age(start, start + 12.0 * YEARS, ageing.faults)
    check_ages(found, found.time_ns + start_ns[found.node_id], expected)


@pytest.mark.parametrize("nodes", SIZES)
def test_over_ages_uniform_to_the_oldest_hard_faults_in_a_time_follow_the_mean_hazard(nodes):
    # No age is looked at. Nodes differ in age, so counts are not Poisson: the variance of a count over nodes is that of
    # its mean given the age, besides. Ages are an even grid of 3,000, which errs by less than 1e-5 of the mean.
    ageing = hardware(**BOTH, oldest_years=OLDEST_YEARS)
    found = simulate_faults(SEED, np.arange(nodes), ageing, YEARS * YEAR_NS)
    edges, oldest = np.arange(0.0, 12 * YEARS + 1, 2.0), 12 * OLDEST_YEARS
    seen, _ = np.histogram(found.time_ns[of_kind(found, "devices")] / MONTH_NS, edges)
    rate = DIMMS * hard_per_month("devices")
    ages = (np.arange(3000) + 0.5) / 3000 * oldest
    given = np.diff(hazard_integral(edges[:, None] + ages, ageing.faults), axis=0) * rate
    mean, variance = given.mean(axis=1), given.mean(axis=1) + given.var(axis=1)
    p = 2 * stats.norm.sf(np.abs(seen - nodes * mean) / np.sqrt(nodes * variance))
    assert p.min() > ALPHA / p.size


def test_dimms_of_a_node_are_equally_old_and_nodes_are_not():
    # Old nodes have worn-out DIMMs in all slots, young ones in none.
    ageing = hardware(wearout_factor=20.0, oldest_years=5.0, fit_factor=3.0)
    n, horizon_months = 5000, 2.0
    start = start_age_ns(SEED, np.arange(n), ageing.faults) / MONTH_NS
    old = start > 18.0
    assert n / 2 < old.sum() < 9 * n / 10
    found = simulate_faults(SEED, np.arange(n), ageing, round(horizon_months * MONTH_NS))
    p = []
    for mine in (old, start < 8.0):
        factor = np.diff(
            hazard_integral(np.asarray([start[mine], start[mine] + horizon_months]), ageing.faults), axis=0
        )
        mean = factor.sum() * hard_per_month("devices", 3.0)
        seen = np.bincount(found.box.slot[of_kind(found, "devices") & mine[found.node_id]], minlength=DIMMS)
        p += [poisson_p(int(count), mean) for count in seen]
    assert min(p) > ALPHA / len(p)


def soft_mean() -> float:
    """Soft faults of a DIMM in a month, at New York City; the flux does not matter to wires."""
    flux = 0.1 + 0.9 * 0.9995
    return (DEVICES * 6.0 * table_fit("fit_transient") * flux + PASSING_FIT) * 8766 / 12 / 1e9


@pytest.mark.parametrize("nodes", SIZES)
@pytest.mark.parametrize("oldest_years", [0.0, OLDEST_YEARS])
def test_soft_faults_do_not_follow_the_age(nodes, oldest_years):
    found = simulate_faults(SEED, np.arange(nodes), hardware(**BOTH, oldest_years=oldest_years), YEARS * YEAR_NS)
    edges = np.arange(0.0, 12 * YEARS + 1, 3.0)
    seen, _ = np.histogram(found.time_ns[~found.hard] / MONTH_NS, edges)
    p = [poisson_p(int(count), 3.0 * nodes * DIMMS * soft_mean()) for count in seen]
    assert min(p) > ALPHA / len(p)


def test_ageing_does_not_change_the_rates_of_soft_faults():
    steady, ageing = fault_rates(hardware()), fault_rates(hardware(**BOTH))
    assert np.array_equal(ageing.per_year[~ageing.hard], steady.per_year[~steady.hard])


@pytest.mark.parametrize("nodes", SIZES)
def test_replacements_start_young(nodes):
    ageing = hardware(**BOTH, oldest_years=OLDEST_YEARS)
    node, slot = (part.ravel() for part in np.meshgrid(np.arange(nodes), np.arange(DIMMS), indexing="ij"))
    installed_ns = np.random.default_rng(4).integers(1, YEARS * YEAR_NS, node.size)
    found, owner = simulate_generation(SEED, node, slot, np.ones_like(node), installed_ns, ageing, YEARS * YEAR_NS)
    assert (found.time_ns >= installed_ns[owner]).all()
    last = 12.0 * YEARS - installed_ns / MONTH_NS
    check_ages(found, found.time_ns - installed_ns[owner], expected_by_age(np.zeros_like(last), last, ageing.faults))


@pytest.mark.parametrize("n", [30_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_soft_faults_of_replacements_come_at_the_usual_rate(n):
    node, one = np.arange(n), np.ones(n, np.int64)
    installed_ns = np.random.default_rng(5).integers(1, YEARS * YEAR_NS, node.size)
    found, _ = simulate_generation(SEED, node, one, one, installed_ns, hardware(**BOTH), YEARS * YEAR_NS)
    months = ((YEARS * YEAR_NS - installed_ns) / MONTH_NS).sum()
    assert poisson_p(int((~found.hard).sum()), months * soft_mean()) > ALPHA


@pytest.mark.parametrize("n", [6000, pytest.param(20_000, marks=pytest.mark.long)])
def test_frail_dimms_age_as_others_do(n):
    # Thinning keeps the law: negative binomial, its mean the integral of the hazard.
    variance, years = 3.0, 2
    frail = hardware(**BOTH, frailty_variance=variance)
    found = simulate_faults(SEED, np.arange(n), frail, years * YEAR_NS)
    seen = np.bincount(np.bincount((found.node_id * DIMMS + found.box.slot)[found.hard], minlength=n * DIMMS))
    rate = sum(hard_per_month(mine) for mine in KINDS)
    mean = rate * float(hazard_integral(np.asarray(12.0 * years), frail.faults))
    law = stats.nbinom(1.0 / variance, 1.0 / (1.0 + mean * variance))
    top = int(np.flatnonzero(n * DIMMS * law.sf(np.arange(200) - 1) >= 25).max())
    seen = np.append(seen[:top], seen[top:].sum())
    expected = n * DIMMS * np.append(law.pmf(np.arange(top)), law.sf(top - 1))
    # Neighbouring classes are put together until 25 are expected.
    first = [i for i in range(top) if i == 0 or expected[i] >= 25]
    assert stats.chisquare(np.add.reduceat(seen, first), np.add.reduceat(expected, first)).pvalue > ALPHA


def columns(table: tuple) -> list[np.ndarray]:
    """All arrays of a table and of the records in it."""
    return [array for part in table for array in (columns(part) if isinstance(part, tuple) else [part])]


def test_without_ageing_the_age_of_dimms_changes_nothing():
    new, old = (
        simulate_faults(SEED, np.arange(1000), hardware(20.0, oldest_years=years), YEAR_NS) for years in (0.0, 10.0)
    )
    assert new.time_ns.size > 1000
    assert all(np.array_equal(a, b) for a, b in zip(columns(new), columns(old), strict=True))


def test_without_ageing_all_faults_are_kept():
    hard = np.arange(1000) % 2 > 0
    number = np.arange(1000)
    kept = stays_with_age(SEED, number, number, hard, number * MONTH_NS, Faults(oldest_years=10.0))
    assert kept.all()


@pytest.mark.parametrize("age_months", [0.0, 3.0, 12.0, 14.0, 40.0])
def test_a_hard_fault_is_kept_with_the_hazard_of_its_age_over_the_highest(age_months):
    n = 200_000
    faults, number = Faults(**BOTH), np.arange(n)
    hard = number % 4 > 0
    age_ns = np.full(n, round(age_months * MONTH_NS))
    kept = stays_with_age(SEED, number, number % 7, hard, age_ns, faults)
    assert kept[~hard].all()
    relative = 1.0 + INFANT * np.exp(-age_months / INFANT_MONTHS) + WEAROUT * min(max((age_months - 10) / 8, 0.0), 1.0)
    p = relative / (1.0 + INFANT + WEAROUT)
    assert stats.binomtest(int(kept[hard].sum()), int(hard.sum()), p).pvalue > ALPHA


def test_a_fault_is_kept_whatever_others_are_asked_about_with_it():
    faults, rng = Faults(**BOTH), np.random.default_rng(6)
    node, tag, age_ns = np.arange(5000), rng.integers(0, 2**32, 5000), rng.integers(0, 5 * YEAR_NS, 5000)
    hard = rng.random(5000) < 0.7
    kept = stays_with_age(SEED, node, tag, hard, age_ns, faults)
    some = rng.permutation(5000)[:700]
    part = stays_with_age(SEED, node[some], tag[some], hard[some], age_ns[some], faults)
    assert np.array_equal(part, kept[some])
    assert not kept.all()


@pytest.mark.parametrize(
    ("age_months", "relative"),
    [(0.0, 4.0), (5.0, 1 + 3 / np.e), (10.0, 1 + 3 / np.e**2), (14.0, 2 + 3 * np.exp(-2.8)), (1e3, 3.0)],
)
def test_the_hazard_is_a_bathtub(age_months, relative):
    age_ns = np.asarray([round(age_months * MONTH_NS)])
    assert hazard(Faults(**BOTH), age_ns)[0] == pytest.approx(relative, rel=1e-9)


@pytest.mark.parametrize("name", AGEINGS)
def test_no_hazard_is_above_its_bound(name):
    faults = Faults(**AGEINGS[name])
    assert hazard(faults, np.arange(0, 120) * MONTH_NS // 2).max() <= peak_hazard(faults)


def test_without_ageing_the_hazard_is_1_at_all_ages():
    assert set(hazard(Faults(), np.arange(0, 400) * MONTH_NS).tolist()) == {1.0}
    assert peak_hazard(Faults()) == 1.0


@pytest.mark.parametrize("oldest_years", [0.5, 4.0, 30.0])
def test_start_ages_are_uniform_to_the_oldest_by_node(oldest_years):
    age_ns = start_age_ns(SEED, np.arange(200_000), Faults(oldest_years=oldest_years))
    assert stats.kstest(age_ns / (oldest_years * YEAR_NS), "uniform").pvalue > ALPHA
    assert stats.spearmanr(age_ns[1:], age_ns[:-1]).pvalue > ALPHA


def test_with_an_oldest_age_of_zero_all_dimms_are_new():
    assert not start_age_ns(SEED, np.arange(1000), Faults(oldest_years=0.0)).any()


def test_the_age_of_a_node_does_not_depend_on_the_others():
    faults = Faults(oldest_years=4.0)
    whole, some = start_age_ns(SEED, np.arange(3000), faults), np.random.default_rng(7).permutation(3000)[:200]
    assert np.array_equal(start_age_ns(SEED, some, faults), whole[some])


def test_the_age_of_a_node_says_nothing_about_its_faults():
    old = hardware(20.0, oldest_years=4.0)
    age_ns = start_age_ns(SEED, np.arange(20_000), old.faults)
    count = np.bincount(simulate_faults(SEED, np.arange(20_000), old, YEAR_NS).node_id, minlength=20_000)
    assert stats.spearmanr(age_ns, count).pvalue > ALPHA
