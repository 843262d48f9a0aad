"""Faults that grow: how many, when, into what; what is wrong before stays wrong; nothing else depends on it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from node_sim.catalog.evolution import GROWS_TO
from node_sim.codes import Mode
from node_sim.dram.faults import FaultTable, simulate_faults
from node_sim.dram.geometry import AddressMap, Dimm
from node_sim.dram.growth import grow
from node_sim.draws import Seed
from node_sim.errors import ModelError
from node_sim.names import SECOND_DEVICE, WIDER, is_second_device, is_wider, parent_tag
from node_sim.server.hardware import Faults, Growth, Hardware, Server
from node_sim.units import NS_PER_HOUR, NS_PER_YEAR
from tests.handmade import faults_of

SEED = Seed.of(12)
ALPHA = 1e-6
HORIZON = 7 * NS_PER_YEAR


def hardware(**growth: float) -> Hardware:
    return Hardware(Server(), Faults(fit_factor=30.0, lane_fit=50.0, command_address_fit=50.0, growth=Growth(**growth)))


@pytest.fixture(scope="module", params=["partial", "whole"])
def grown(request) -> tuple[FaultTable, np.ndarray]:
    faults = Faults(fit_factor=60.0, extents=request.param, growth=Growth(factor=3.0, second_device=0.3))
    setup = Hardware(Server(), faults)
    born = simulate_faults(SEED, np.arange(3000), setup, HORIZON)
    return grow(SEED, born, setup, HORIZON)


def test_faults_stay_as_they_start_without_growth():
    setup = hardware(factor=0.0)
    born = simulate_faults(SEED, np.arange(300), setup, HORIZON)
    found, parent = grow(SEED, born, setup, HORIZON)
    assert found is born
    assert parent.tolist() == list(range(born.tag.size))


def test_what_started_is_the_same_with_growth(grown):
    found, parent = grown
    first = parent_tag(found.tag) == found.tag
    assert parent[first].tolist() == list(range(int(first.sum())))
    assert first[: int(first.sum())].all()


def test_what_grows_is_named_after_its_parent_and_comes_later(grown):
    found, parent = grown
    late = np.flatnonzero(parent_tag(found.tag) != found.tag)
    assert late.size > 1000
    assert (
        found.tag[late] == (found.tag[parent[late]] | np.where(is_wider(found.tag[late]), WIDER, SECOND_DEVICE))
    ).all()
    assert (found.node_id[late] == found.node_id[parent[late]]).all()
    assert found.hard[parent[late]].all()
    assert not np.isin(found.mode[parent[late]], (Mode.LANE, Mode.COMMAND_ADDRESS)).any()
    age = found.time_ns[late] - found.time_ns[parent[late]]
    assert age.min() >= 24 * NS_PER_HOUR - 1
    assert age.max() <= 6 * NS_PER_YEAR
    assert found.time_ns[late].max() < HORIZON
    assert np.unique(found.fault_id).size == found.tag.size


def test_a_wider_fault_takes_in_its_parent(grown):
    found, parent = grown
    late = np.flatnonzero(is_wider(found.tag))
    child, old = found.take(late), found.take(parent[late])
    for name in ("pins", "beats"):
        mine, before = getattr(child.cells, name), getattr(old.cells, name)
        assert (mine & before == before).all()
    assert ((child.cells.pins != old.cells.pins) | (old.cells.n_dq == 4)).all()
    assert (np.bitwise_count(child.cells.pins) == child.cells.n_dq).all()
    assert (np.bitwise_count(child.cells.beats) == child.cells.n_beats).all()
    assert (child.cells.device == old.cells.device).all()
    dimm = Dimm.of(Server())
    for start, size, end in (("row", "n_rows", dimm.rows), ("line", "n_lines", dimm.lines)):
        low, length = getattr(child.box, start), getattr(child.box, size)
        assert (low <= getattr(old.box, start)).all()
        assert (low + length >= getattr(old.box, start) + getattr(old.box, size)).all()
        assert low.min() >= 0
        assert (low + length).max() <= end
    for name in ("slot", "rank", "bank", "n_ranks", "n_banks"):
        assert (getattr(child.box, name) == getattr(old.box, name)).all()
    assert (child.n_pages == AddressMap(Server()).page_count(child.box)).all()


def test_a_second_device_goes_wrong_at_the_same_place(grown):
    found, parent = grown
    late = np.flatnonzero(is_second_device(found.tag))
    child, old = found.take(late), found.take(parent[late])
    assert (child.cells.device != old.cells.device).all()
    steps = (child.cells.device - old.cells.device) % 18
    assert stats.chisquare(np.bincount(steps, minlength=18)[1:]).pvalue > ALPHA
    for mine, before in zip(child.box, old.box, strict=True):
        assert (mine == before).all()
    assert (child.cells.pins == old.cells.pins).all()
    assert (child.cells.beats == old.cells.beats).all()


@pytest.mark.parametrize("mode", list(Mode), ids=str)
def test_modes_grow_to_others_in_the_assumed_shares(grown, mode):
    found, parent = grown
    late = np.flatnonzero(is_wider(found.tag) & (found.mode[parent] == mode))
    met = Counter(found.mode[late].tolist())
    shares = GROWS_TO.get(mode, {mode: 1.0})
    assert set(met) <= {int(other) for other in shares}
    if late.size and len(shares) > 1:
        counts = [met[int(other)] for other in shares]
        assert stats.chisquare(counts, [share * late.size for share in shares.values()]).pvalue > ALPHA


CLASSES = {
    (0b0001, 0b1): "share_1x1",
    (0b0001, 0b11): "share_1xm",
    (0b0011, 0b1): "share_2dq",
    (0b0111, 0b1): "share_3dq",
    (0b1111, 0xFF): "share_4dq",
}


@pytest.mark.parametrize("cells", CLASSES, ids=str)
def test_as_many_faults_of_a_class_grow_as_its_share_says_by_any_age(cells):
    pins, beats = cells
    n, share, horizon = 20_000, 0.3, NS_PER_YEAR
    setup = Hardware(faults=Faults(growth=Growth(**{CLASSES[cells]: share}, second_device=0.1)))
    made = faults_of(*({"node_id": node, "n_dq": pins.bit_count(), "beats": beats} for node in range(n)))
    found, _ = grow(SEED, made._replace(tag=np.zeros(n, np.int64)), setup, horizon)
    by_then = np.log(horizon / (24 * NS_PER_HOUR)) / np.log(6 * NS_PER_YEAR / (24 * NS_PER_HOUR))
    assert stats.binomtest(int(is_wider(found.tag).sum()), n, share * by_then).pvalue > ALPHA
    assert stats.binomtest(int(is_second_device(found.tag).sum()), n, 0.1 * by_then).pvalue > ALPHA
    age = found.time_ns[is_wider(found.tag)]
    place = np.log(age / (24 * NS_PER_HOUR)) / np.log(horizon / (24 * NS_PER_HOUR))
    assert stats.kstest(place, "uniform").pvalue > ALPHA


def test_soft_faults_and_wires_do_not_grow():
    setup = hardware(factor=3.0, share_1x1=1.0, share_1xm=1.0, share_2dq=1.0, share_3dq=1.0, share_4dq=1.0)
    rows = [{"node_id": n, "hard": 0} for n in range(200)]
    rows += [{"node_id": n, "mode": int(mode)} for n in range(200) for mode in (Mode.LANE, Mode.COMMAND_ADDRESS)]
    made = faults_of(*rows)
    found, _ = grow(SEED, made, setup, HORIZON)
    assert found.tag.size == len(rows)


def test_more_faults_than_names_is_an_error():
    made = faults_of({"node_id": 0})
    with pytest.raises(ModelError, match="16384 faults of one DIMM"):
        grow(SEED, made._replace(tag=np.asarray([SECOND_DEVICE])), hardware(), HORIZON)
