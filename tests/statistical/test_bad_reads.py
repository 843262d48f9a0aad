"""Reads that fail: how many, which under another risk, what is left corrected; and how many faults grow by an age.

False-alarm rate 1e-6 per check.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from node_sim.catalog.designs import DESIGNS
from node_sim.codes import Mode
from node_sim.corrected import bad_reads
from node_sim.corrected.bad_reads import FAILURES_MAX, Failures, Streams, Stretches, find_failures
from node_sim.corrected.bursts import Active
from node_sim.corrected.windows import Reads
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import AddressMap
from node_sim.dram.growth import grow
from node_sim.draws import Seed
from node_sim.ecc.judgement import Judgement, judge_alone
from node_sim.ecc.read_risk import ReadRisk, read_risk
from node_sim.lives.uncorrected import judge_reads, lost_reads
from node_sim.names import is_second_device, is_wider
from node_sim.server.hardware import Faults, Growth, Hardware, Server
from node_sim.server.policy import Ecc
from node_sim.server.risk import Risk
from node_sim.units import HOURS_PER_YEAR, hours_to_ns
from tests.handmade import faults_of
from tests.oracle.fault_growth import Draws, faults_of_table
from tests.oracle.read_codes import risk_of

ALPHA = 1e-6
SEED = Seed.of(20261127)
N = 20_000
PINS = (0b0110, 0b0111, 0b1111)
"""Pins of faults on two to four that reach into both halves."""


def named(n: int, **cells: int) -> FaultTable:
    """Faults of n nodes, alike but for their names."""
    (one,) = (faults_of(cells),)
    many = one.take(np.zeros(n, np.int64))
    return many._replace(node_id=np.arange(n))


def on_pins(n: int, mode: Mode, pins: int, beats: int = 255) -> FaultTable:
    table = named(n, mode=int(mode), n_dq=pins.bit_count(), beats=beats)
    return table._replace(cells=table.cells._replace(pins=np.full(n, pins)))


def failures_of(p: float | np.ndarray, reads: int, n: int = N, name: int = 0) -> Failures:
    """Failures in a window of each of n faults, all of the same risk or each of its own."""
    every = np.arange(n)
    streams = Streams(every, np.full(n, name), np.broadcast_to(np.asarray(p, float), n), np.zeros(n))
    return find_failures(SEED, named(n), streams, Stretches(every, every, 0 * every, 0 * every + reads))


def counts_of(found: Failures, n: int = N) -> np.ndarray:
    return np.bincount(found.stream, minlength=n)


@pytest.mark.parametrize(
    ("p", "reads"),
    [
        *((p, 1) for p in (0.99, 0.9, 0.5, 0.1, 0.01, 0.001)),
        *((p, 100) for p in (0.03, 0.01, 0.003, 1e-4)),
        *((p, 10_000) for p in (3e-4, 1e-4, 1.6e-5, 1e-6)),
        (5e-8, 10_000_000),
    ],
)
def test_no_read_fails_with_the_probability_that_each_is_right(p, reads):
    right = int((counts_of(failures_of(p, reads)) == 0).sum())
    assert stats.binomtest(right, N, (1.0 - p) ** reads).pvalue > ALPHA


@pytest.mark.parametrize("p", [0.002, 0.05, 0.3, 0.7, 0.95])
def test_the_number_of_failures_is_binomial_and_they_come_anywhere(p):
    found = failures_of(p, FAILURES_MAX)
    law = stats.binom(FAILURES_MAX, p)
    likely = [k for k in range(FAILURES_MAX + 1) if N * law.pmf(k) >= 25]
    seen = np.bincount(counts_of(found), minlength=FAILURES_MAX + 1)[likely]
    rest = max(1.0 - law.pmf(likely).sum(), 0.0)
    shares = law.pmf(likely) / (1.0 - rest)
    assert stats.chisquare(seen, seen.sum() * shares).pvalue > ALPHA
    assert stats.binomtest(int(N - seen.sum()), N, rest).pvalue > ALPHA
    assert stats.chisquare(np.bincount(found.read, minlength=FAILURES_MAX + 1)[1:]).pvalue > ALPHA / 10


def test_certain_failures_spare_one_read_in_1024():
    missed = N - failures_of(1.0, 1).stream.size
    assert stats.binomtest(missed, N, 2.0**-10).pvalue > ALPHA


def test_failures_of_two_streams_of_a_fault_are_independent():
    p = 0.02
    one, other = (counts_of(failures_of(p, 50, name=name)) == 0 for name in (0, 7))
    assert stats.binomtest(int((one & other).sum()), N, (1.0 - p) ** 100).pvalue > ALPHA


@pytest.mark.parametrize("reads", [1, 30, 1000, 100_000])
def test_reads_that_fail_under_a_risk_fail_under_a_higher_one(reads):
    n, rng = 4000, np.random.default_rng(reads)
    low, high = np.sort(10.0 ** rng.uniform(-4.0, 0.0, (2, n)), axis=0)
    under_low, under_high = (failures_of(p, reads, n) for p in (low, high))
    last = np.full(n, reads)
    full = np.flatnonzero(counts_of(under_high, n) == FAILURES_MAX)
    last[full] = under_high.read[np.searchsorted(under_high.stream, full, side="right") - 1]
    asked = under_low.read <= last[under_low.stream]
    few, many = (
        set(zip(one.stream.tolist(), one.read.tolist(), strict=True))
        for one in (under_low.take(np.flatnonzero(asked)), under_high)
    )
    assert few <= many
    assert len(few) > 50
    assert len(many) > len(few)


def test_reads_of_several_windows_fail_as_those_of_one():
    every, cut = np.arange(500), np.asarray([0, 1, 8, 100])
    streams = Streams(every, 0 * every, np.full(500, 0.05), np.zeros(500))
    stream, part = np.repeat(every, 3), np.tile(np.arange(3), 500)
    stretches = Stretches(stream, 3 * stream + part, 0 * stream, np.diff(cut)[part])
    found = find_failures(SEED, named(500), streams, stretches)
    whole = failures_of(0.05, 100, 500)
    assert np.array_equal(cut[found.window - 3 * found.stream] + found.read, whole.read)
    assert np.array_equal(found.stream, whole.stream)


def test_failures_do_not_depend_on_how_many_points_are_drawn_together(monkeypatch):
    n, rng = 300, np.random.default_rng(7)
    risks = 10.0 ** rng.uniform(-3.0, 0.0, n)  # of all levels; the shares of some are so small that they draw for long
    together = failures_of(risks, 20_000, n)
    monkeypatch.setattr(bad_reads, "_DRAWS_AT_ONCE", 1)
    monkeypatch.setattr(bad_reads, "_TRIES", 1)
    one_by_one = failures_of(risks, 20_000, n)
    assert (counts_of(together, n) == FAILURES_MAX).sum() > n // 2
    for some, same in zip(together, one_by_one, strict=True):
        assert np.array_equal(some, same)


# ------------------------------------------------------------------------------------------ corrected or not


def share_that_fails(faults: FaultTable, ecc: Ecc) -> tuple[np.ndarray, np.ndarray]:
    """Read every fault as often as failures are looked for; return uncorrected and lost reads by fault."""
    n, zero = faults.tag.size, np.zeros(faults.tag.size, np.int64)
    active = Active(np.arange(n), zero, zero, zero + 10**12, zero + 10**12)
    reads = Reads(active, zero + float(FAILURES_MAX), np.full(n, 0.5), zero > 0)
    judged = judge_reads(SEED, faults, judge_alone(SEED, faults, ecc), reads, AddressMap(Server()))
    return counts_of(judged.failures, n), lost_reads([judged], reads, mirroring=False).n_lost


def verdicts(faults: FaultTable, ecc: Ecc) -> np.ndarray:
    draws = Draws(SEED)
    return np.asarray([risk_of(draws, fault, ecc).p for fault in faults_of_table(faults)])


def as_expected(count: int, p: np.ndarray, trials: int) -> bool:
    """Whether a sum of binomial numbers has its mean: by the normal law, or if they are few by that of Poisson."""
    mean, variance = trials * p.sum(), trials * (p * (1.0 - p)).sum()
    if variance < 400.0 and mean < 0.1 * trials * p.size:
        return min(stats.poisson.cdf(count, mean), stats.poisson.sf(count - 1, mean)) > ALPHA / 2
    return bool(abs(count - mean) <= stats.norm.isf(ALPHA / 2) * np.sqrt(variance) + 1.0)


@pytest.mark.parametrize("p", [0.05, 0.3, 0.9])
def test_after_the_failures_that_are_looked_for_the_same_share_is_lost(p):
    n = 20_000
    window, zero = np.arange(n), np.zeros(n, np.int64)
    reads = Reads(
        Active(zero, window, window, window + 1, zero + 1), zero + 1.0, np.random.default_rng(8).random(n), zero > 0
    )
    judged = judge_reads(SEED, named(1), with_risk(p), reads, AddressMap(Server()))
    last = int(judged.failures.window.max())
    assert judged.failures.window.size == FAILURES_MAX
    lost = lost_reads([judged], reads, mirroring=False).n_lost[last + 1 :]
    assert stats.binomtest(int(lost.sum()), lost.size, p).pvalue > ALPHA


def with_risk(p: float) -> Judgement:
    """Judge one fault by hand."""
    alone = judge_alone(SEED, named(1), Ecc("secded"))
    return alone._replace(risk=ReadRisk(np.asarray([p]), np.zeros(1)))


CAPPED = 1.0 - 2.0**-10


@pytest.mark.parametrize("pins", PINS)
@pytest.mark.parametrize("mode", [mode for mode in Mode if mode is not Mode.COMMAND_ADDRESS])
def test_as_many_reads_of_secded_fail_as_the_verdict_says(mode, pins):
    faults, ecc = on_pins(1500, mode, pins), Ecc("secded")
    p = np.minimum(verdicts(faults, ecc), CAPPED)
    failed, lost = share_that_fails(faults, ecc)
    assert as_expected(int(failed.sum()), p, FAILURES_MAX)
    assert np.array_equal(failed, lost)


@pytest.mark.parametrize("beats", [0b1, 0b11, 0b111, 0b11111111])
@pytest.mark.parametrize("pins", [*PINS, 0b0011, 0b1100])
def test_as_many_reads_of_the_table_fail_as_the_verdict_says(pins, beats):
    faults, ecc = on_pins(1500, Mode.BANK, pins, beats), Ecc("sddc_table", risk=Risk(low=0.01, high=0.9, tail_2dq=1e-3))
    p = verdicts(faults, ecc)
    failed, lost = share_that_fails(faults, ecc)
    assert as_expected(int(failed.sum()), p, FAILURES_MAX)
    assert np.array_equal(failed, lost)
    assert (p.sum() > 0) == (pins in PINS)


@pytest.mark.parametrize("pins", PINS)
def test_as_many_faults_repeat_a_bad_pattern_as_there_are_on_so_many_pins(pins):
    risk = Risk(
        low=1e-4, high=0.5, tail_2dq=0.0, tail_3dq=0.0, tail_4dq=0.0, share_2dq=0.2, share_3dq=0.4, share_4dq=0.7
    )
    p = read_risk(SEED, on_pins(N, Mode.ROW, pins), Ecc("sddc_table", risk=risk)).p
    neighbours = [((1 << pins.bit_count()) - 1) << first for first in range(5 - pins.bit_count())]
    across = sum(0 < one & 0b0011 < one for one in neighbours) / len(neighbours)
    share = {2: 0.2, 3: 0.4, 4: 0.7}[pins.bit_count()]
    assert stats.binomtest(int((p > 0).sum()), N, share / across).pvalue > ALPHA
    place = np.log(p[p > 0] / risk.low) / np.log(risk.high / risk.low)
    assert stats.kstest(place, "uniform").pvalue > ALPHA


@pytest.mark.parametrize("code", sorted(DESIGNS))
def test_reads_of_one_pin_fail_under_no_code_but_none(code):
    failed, _ = share_that_fails(on_pins(200, Mode.ROW, 0b0100), Ecc(code))
    assert (failed.sum() > 0) == (code == "none")


# ---------------------------------------------------------------------------------------------------- growth


@pytest.mark.parametrize("hours", [3.0, 10.0, 24.0, 100.0, 1000.0, 8766.0, 20_000.0])
@pytest.mark.parametrize(("n_dq", "beats", "share"), [(1, 1, 0.3), (1, 255, 0.5), (2, 255, 0.6), (4, 3, 0.2)])
def test_faults_grow_by_an_age_as_often_as_the_logarithm_says(hours, n_dq, beats, share):
    growth = Growth(2.0, 0.15, 0.25, 0.3, 0.0, 0.1, second_device=0.2, hours_low=5.0, years_high=1.0)
    hardware = Hardware(faults=Faults(growth=growth))
    born = named(N, mode=int(Mode.BIT), n_dq=n_dq, beats=beats)
    grown, origin = grow(SEED, born, hardware, hours_to_ns(hours))
    by_age = min(max(np.log(hours / 5.0) / np.log(HOURS_PER_YEAR / 5.0), 0.0), 1.0)
    wide, second = (np.bincount(origin[kind(grown.tag)], minlength=N) for kind in (is_wider, is_second_device))
    assert wide.max() <= 1
    assert stats.binomtest(int(wide.sum()), N, share * by_age).pvalue > ALPHA
    assert stats.binomtest(int(second.sum()), N, 0.4 * by_age).pvalue > ALPHA
    assert stats.binomtest(int((wide & second).sum()), N, share * 0.4 * by_age**2).pvalue > ALPHA
