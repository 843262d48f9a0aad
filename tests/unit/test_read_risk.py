"""The risk of a read: counted tables, shares of wrong pins, classes of patterns under the weakened SDDC."""

from __future__ import annotations

import functools
import itertools
import operator

import numpy as np
import pytest
from scipy import stats

from node_sim.catalog.pins_per_read import PINS_PER_READ, QUANTILES
from node_sim.catalog.sddc import UNIFORM_RISK
from node_sim.codes import Mode
from node_sim.draws import Seed
from node_sim.ecc.block_codes import hsiao_72_64
from node_sim.ecc.read_risk import read_risk, shares_of_pins, unnoticed_by_pins
from node_sim.names import WIDER
from node_sim.server.policy import Ecc
from node_sim.server.risk import Risk
from tests.handmade import faults_of
from tests.oracle.catalog.tables import read_table

SEED = Seed.of(13)
ALPHA = 1e-6
N = 20_000


def shown() -> dict[tuple[Mode, int], dict[str, str]]:
    rows = [row for row in read_table("pins_per_read") if row["platform"] == "purley"]
    return {(Mode.of(row["mode"]), int(row["widest_dq"])): row for row in rows}


def test_the_shares_are_those_counted():
    assert set(PINS_PER_READ.value) == set(shown())
    for (mode, n_dq), row in shown().items():
        mean, all_wrong = PINS_PER_READ.value[mode, n_dq]
        assert mean == tuple(float(row[f"mean_share_{n}dq"]) for n in range(1, n_dq + 1))
        quantiles = ["share_at_widest_p10", *(f"p{n}" for n in (25, 50, 75, 90))]
        assert all_wrong == (0.0, *(float(row[name]) for name in quantiles), 1.0)


@pytest.mark.parametrize("kind", PINS_PER_READ.value, ids=str)
def test_shares_of_a_fault_add_up_and_have_the_counted_mean(kind):
    # Straight lines between the quantiles know nothing of the mean: it follows within two hundredths.
    u = (np.arange(10_000) + 0.5) / 10_000
    shares = shares_of_pins(*kind, u)
    assert shares.sum(axis=0) == pytest.approx(1.0, abs=1e-12)
    assert (shares >= 0).all()
    assert np.quantile(shares[-1], QUANTILES[1:-1]) == pytest.approx(
        PINS_PER_READ.value[kind].all_wrong[1:-1], abs=2e-3
    )
    assert shares.mean(axis=1) == pytest.approx(PINS_PER_READ.value[kind].mean, abs=0.02)


def test_sets_of_wrong_bits_go_unnoticed_as_often_as_their_columns_cancel_or_add_up_to_another():
    columns = [int(column) for column in hsiao_72_64().syndromes[:, 1]]
    known = {0, *columns}
    for size in (3, 4):
        wrong = itertools.combinations(columns, size)
        unnoticed = [functools.reduce(operator.xor, some) in known for some in wrong]
        assert unnoticed_by_pins("hsiao_72_64")[size] == pytest.approx(np.mean(unnoticed), rel=1e-9)
    assert unnoticed_by_pins("hsiao_72_64")[:3].tolist() == [0.0, 0.0, 0.0]


def faults(pins: int, beats: int = 0xFF, **more: int):
    made = faults_of(*({"node_id": node, "n_dq": pins.bit_count(), "beats": beats, **more} for node in range(N)))
    return made._replace(tag=np.zeros(N, np.int64), cells=made.cells._replace(pins=np.full(N, pins)))


@pytest.mark.parametrize("pins", [0b0001, 0b0011, 0b1100])
def test_a_pattern_inside_one_half_is_corrected(pins):
    assert not read_risk(SEED, faults(pins), Ecc("sddc_table")).p.any()


@pytest.mark.parametrize(("pins", "share"), [(0b0110, 3 * 0.16), (0b0111, 0.06), (0b1111, 0.06)])
def test_the_share_that_repeats_a_bad_pattern_is_log_uniform(pins, share):
    p = read_risk(SEED, faults(pins), Ecc("sddc_table", risk=Risk(tail_2dq=0.0, tail_3dq=0.0, tail_4dq=0.0))).p
    some = p[p > 0]
    assert stats.binomtest(some.size, N, share).pvalue > ALPHA
    assert some.min() >= 1e-4
    assert some.max() <= 0.05
    place = np.log(some / 1e-4) / np.log(0.05 / 1e-4)
    assert stats.kstest(place, "uniform").pvalue > ALPHA


def test_the_others_are_lognormal_up_to_the_share_of_uniform_patterns():
    p = read_risk(SEED, faults(0b1111), Ecc("sddc_table", risk=Risk(share_4dq=0.0))).p
    assert p.max() == UNIFORM_RISK
    below = np.log(p[p < UNIFORM_RISK] / 5e-7) / 3.0
    top = np.log(UNIFORM_RISK / 5e-7) / 3.0
    assert stats.kstest(stats.norm.cdf(below) / stats.norm.cdf(top), "uniform").pvalue > ALPHA
    assert stats.binomtest(int((p == UNIFORM_RISK).sum()), N, stats.norm.sf(top)).pvalue > ALPHA
    narrow = read_risk(SEED, faults(0b1111, beats=0b11), Ecc("sddc_table", risk=Risk(share_4dq=0.0))).p
    assert narrow.max() > UNIFORM_RISK


def test_what_has_grown_fails_log_uniformly_if_it_crosses():
    made = faults(0b1111)
    grown = made._replace(tag=made.tag | WIDER)
    p = read_risk(SEED, grown, Ecc("sddc_table")).p
    assert stats.kstest(np.log(p / 1e-3) / np.log(1e3), "uniform").pvalue > ALPHA


@pytest.mark.parametrize(("code", "p"), [("chipkill", 0.0), ("none", 1.0)])
def test_other_codes_correct_all_or_nothing(code, p):
    risk = read_risk(SEED, faults(0b1111), Ecc(code))
    assert (risk.p == p).all()
    assert (risk.silent == p).all()


def test_wrong_commands_fail_unless_they_pass_and_are_repeated():
    for hard, retry, p in ((1, True, 1.0), (1, False, 1.0), (0, True, 0.0), (0, False, 1.0)):
        made = faults(0b1111, mode=int(Mode.COMMAND_ADDRESS), hard=hard)
        assert (read_risk(SEED, made, Ecc("chipkill", command_retry=retry)).p == p).all()
