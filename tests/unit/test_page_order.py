"""The order in which the pages of a fault show errors: every page once, anywhere in the footprint."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from node_sim.dram.faults import simulate_faults
from node_sim.dram.geometry import AddressMap
from node_sim.dram.page_order import PageOrder, draw_page_order
from node_sim.draws import Seed
from node_sim.server.hardware import Faults, Hardware, Server
from node_sim.units import NS_PER_YEAR

ALPHA = 1e-6
SEED = Seed.of(3)


def repeated(order: PageOrder, n: int) -> PageOrder:
    return order.take(np.zeros(n, np.int64))


@pytest.mark.parametrize("n", [1, 2, 12, 97, 360, 2310])
@pytest.mark.parametrize("tag", range(5))
def test_a_walk_meets_every_page_once_in_equal_steps(n, tag):
    order = draw_page_order(SEED, np.asarray([7]), np.asarray([tag]), np.asarray([n]))
    number, size = np.arange(n), np.full(n, n)
    place = repeated(order, n).place(number, size)
    assert sorted(place.tolist()) == number.tolist()
    assert len(set((np.diff(place) % n).tolist())) <= 1
    assert np.array_equal(repeated(order, n).number(place, size), number)


@pytest.mark.parametrize("n", [97, 96])
def test_the_first_page_and_the_way_to_the_next_are_drawn(n):
    many = 50_000
    zero, size = np.zeros(many, np.int64), np.full(many, n)
    order = draw_page_order(SEED, np.arange(many), zero, size)
    first, second = order.place(zero, size), order.place(zero + 1, size)
    assert stats.chisquare(np.bincount(first, minlength=n)).pvalue > ALPHA
    # A drawn step 1 … n is taken to the next one without a factor in common with n.
    steps = np.zeros(n)
    for drawn in range(1, n + 1):
        steps[next(step for step in range(drawn, 2 * n) if math.gcd(step, n) == 1) % n] += 1
    found = np.bincount((second - first) % n, minlength=n)
    assert not found[steps == 0].any()
    assert stats.chisquare(found[steps > 0], many * steps[steps > 0] / n).pvalue > ALPHA
    assert abs(stats.spearmanr(first, (second - first) % n).statistic) < 5 / math.sqrt(many)


@pytest.mark.parametrize("channels", [2, 3])
def test_a_fault_knows_its_pages_by_their_numbers(channels):
    hardware = Hardware(Server(channels=channels), Faults(fit_factor=50.0, command_address_fit=500.0))
    faults, address_map = simulate_faults(SEED, np.arange(300), hardware, NS_PER_YEAR), AddressMap(hardware.server)
    fault = np.arange(faults.n_pages.size)
    assert np.array_equal(faults.pages(address_map, fault, np.zeros_like(fault)), faults.first_pfn)
    number = np.random.default_rng(1).integers(0, 1 << 60, fault.size) % faults.n_pages
    pfn = faults.pages(address_map, fault, number)
    which, found = faults.numbers(address_map, fault, pfn)
    assert np.array_equal(faults.pages(address_map, which, found), pfn[which])
    assert set(zip(fault.tolist(), number.tolist(), strict=True)) <= set(
        zip(which.tolist(), found.tolist(), strict=True)
    )


def test_the_first_pages_of_a_large_fault_lie_all_over_it():
    hardware = Hardware(Server(), Faults(fit_factor=50.0, lane_fit=0.0))
    faults, address_map = simulate_faults(SEED, np.arange(2000), hardware, NS_PER_YEAR), AddressMap(hardware.server)
    large = np.flatnonzero((faults.n_pages > 1000) & (faults.box.n_rows > 1000))[:200]
    assert large.size == 200
    which, number = np.divmod(np.arange(large.size * 32), 32)
    place = address_map.place(64 * faults.pages(address_map, large[which], number))
    rows = (place.row - faults.box.row[large[which]]) / faults.box.n_rows[large[which]]
    assert stats.chisquare(np.histogram(rows[number == 0], 4, (0.0, 1.0))[0]).pvalue > ALPHA
    spread = rows.reshape(-1, 32).max(axis=1) - rows.reshape(-1, 32).min(axis=1)
    assert np.median(spread) > 0.9
