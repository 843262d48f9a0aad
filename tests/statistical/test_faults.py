"""Fault counts, times and footprints over a million node-years against the published rates and ranges.

False-alarm rate 1e-6 per check, divided by the number of classes where there are several.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from node_sim.codes import Mode
from node_sim.config import Faults, Hardware, Server
from node_sim.dram.faults import FaultTable, draw_faults, fault_rates, simulate_faults, simulate_generation
from node_sim.draws import Seed
from node_sim.errors import ConfigError
from node_sim.records import join
from tests.oracle.catalog.tables import read_table, rows_by

ALPHA = 1e-6
NODES = 1_000_000
CHUNK = 125_000
YEAR_NS = 8766 * 3600 * 10**9
SEED = Seed.of(20260401)
HARDWARE = Hardware()
DIMMS, RANKS, DEVICES, BANKS, ROWS, LINES = 12, 2, 18, 16, 262144, 128
"""Default server: 2 sockets, 6 channels, one two-rank DIMM of 16 Gbit x4 devices each."""
COMMAND_ADDRESS_FIT = 34.0
ALPHA_SHARE = 0.1
LARGE = ("bank", "multi_bank", "multi_rank", "command_address")
TEXTS = {"bank_partial": "bank"}


@dataclass(frozen=True)
class Expected:
    """Faults expected in the whole sample."""

    mode: Mode
    hard: bool
    mean: float


def expected_classes() -> list[Expected]:
    """Expected faults by mode and persistence, from the published table."""
    flux = float(rows_by("cosmic_sites", "site")["New York City"]["flux_rel_mean"])
    scale = {False: ALPHA_SHARE + (1 - ALPHA_SHARE) * flux, True: 1.0}
    exposure = NODES * DIMMS * 8766 / 1e9
    found = [Expected(Mode.COMMAND_ADDRESS, True, COMMAND_ADDRESS_FIT * exposure)]
    for row in read_table("fit_modes"):
        if row["dataset"] == "DDR4-avg" and row["mode"] != "TOTAL":
            mode = Mode[TEXTS.get(row["mode"], row["mode"]).upper()]
            for hard, column in ((False, "fit_transient"), (True, "fit_permanent")):
                fit = float(row[column]) * RANKS * DEVICES * scale[hard]
                found.append(Expected(mode, hard, fit * exposure))
    return found


def poisson_p(count: int, mean: float) -> float:
    """Two-sided exact p-value of a Poisson count."""
    law = stats.poisson(mean)
    return min(1.0, 2 * min(law.cdf(count), law.sf(count - 1)))


def uniform_p(values: np.ndarray, size: int) -> float:
    """p-value of the hypothesis that integers are uniform on 0 … size-1."""
    return stats.chisquare(np.bincount(values, minlength=size)).pvalue


@pytest.fixture(scope="module")
def faults() -> FaultTable:
    nodes = np.arange(NODES)
    parts = [simulate_faults(SEED, nodes[i : i + CHUNK], HARDWARE, YEAR_NS) for i in range(0, NODES, CHUNK)]
    return join(parts)


def of_mode(faults: FaultTable, *names: str) -> FaultTable:
    return faults.take(np.isin(faults.mode, [Mode[name.upper()] for name in names]))


def test_counts_by_mode_and_persistence_are_rate_times_exposure(faults):
    classes = expected_classes()
    p = [poisson_p(int(((faults.mode == one.mode) & (faults.hard == one.hard)).sum()), one.mean) for one in classes]
    assert min(p) > ALPHA / len(classes)


def test_there_are_no_faults_of_other_classes(faults):
    classes = {(int(one.mode), one.hard) for one in expected_classes()}
    assert set(zip(faults.mode.tolist(), faults.hard.tolist(), strict=True)) == classes


def test_counts_of_a_node_are_poisson(faults):
    mean = sum(one.mean for one in expected_classes()) / NODES
    count = np.bincount(np.bincount(faults.node_id, minlength=NODES), minlength=6)
    law = stats.poisson(mean)
    seen = np.append(count[:5], count[5:].sum())
    assert stats.chisquare(seen, NODES * np.append(law.pmf(range(5)), law.sf(4)), ddof=0).pvalue > ALPHA


def test_start_times_are_uniform_over_the_horizon(faults):
    assert stats.kstest(faults.time_ns / YEAR_NS, "uniform").pvalue > ALPHA


def test_faults_are_spread_evenly_over_the_dimms(faults):
    assert uniform_p(faults.box.slot, DIMMS) > ALPHA


def test_faults_are_spread_evenly_over_the_ranks(faults):
    assert uniform_p(faults.box.rank, RANKS) > ALPHA


def test_faults_are_spread_evenly_over_the_devices_of_a_rank(faults):
    assert uniform_p(faults.cells.device[faults.mode != Mode.COMMAND_ADDRESS], DEVICES) > ALPHA


def test_faults_are_spread_evenly_over_the_banks(faults):
    assert uniform_p(faults.box.bank, BANKS) > ALPHA


def test_bits_are_spread_evenly_over_the_rows_and_lines_of_a_bank(faults):
    bits = of_mode(faults, "bit").box
    assert stats.kstest((bits.row + 0.5) / ROWS, "uniform").pvalue > ALPHA
    assert uniform_p(bits.line, LINES) > ALPHA


def test_nodes_fail_independently_of_their_number(faults):
    assert stats.chisquare(np.bincount(faults.node_id // (NODES // 50), minlength=50)).pvalue > ALPHA


def test_every_footprint_lies_inside_its_dimm(faults):
    box = faults.box
    assert min(int(part.min()) for part in (box.slot, box.rank, box.bank, box.row, box.line)) >= 0
    assert int((box.row + box.n_rows).max()) <= ROWS
    assert int((box.line + box.n_lines).max()) <= LINES
    assert int(box.n_banks.max()) <= BANKS
    assert int(box.n_ranks.max()) <= RANKS


ROW_SHARES = {"column": (0.005, 0.06), **dict.fromkeys(LARGE, (0.01, 0.10))}
LINE_SHARES = {"row": (0.01, 0.30), **dict.fromkeys(LARGE, (0.01, 0.40))}
MODES = sorted(mode.text for mode in {one.mode for one in expected_classes()})


@pytest.mark.parametrize("mode", MODES)
def test_rows_of_a_footprint_lie_in_the_published_range(faults, mode):
    n_rows = of_mode(faults, mode).box.n_rows
    low, high = ROW_SHARES.get(mode, (0.0, 0.0))
    assert max(1, np.ceil(low * ROWS)) <= n_rows.min()
    assert n_rows.max() <= max(1, np.ceil(high * ROWS))


@pytest.mark.parametrize("mode", MODES)
def test_lines_of_a_footprint_lie_in_the_published_range(faults, mode):
    n_lines = of_mode(faults, mode).box.n_lines
    low, high = LINE_SHARES.get(mode, (0.0, 0.0))
    assert max(1, np.ceil(low * LINES)) <= n_lines.min()
    assert n_lines.max() <= max(1, np.ceil(high * LINES))


@pytest.mark.parametrize("mode", ROW_SHARES)
def test_rows_of_a_large_footprint_are_uniform_over_the_published_range(faults, mode):
    low, high = ROW_SHARES[mode]
    n_rows = of_mode(faults, mode).box.n_rows
    # Half a row for the rounding up; one row is 1e-4 of the range at most.
    assert stats.kstest(((n_rows - 0.5) / ROWS - low) / (high - low), "uniform").pvalue > ALPHA


@pytest.mark.parametrize("mode", LARGE)
def test_lines_of_a_large_footprint_are_uniform_over_the_published_range(faults, mode):
    low, high = (share * LINES for share in LINE_SHARES[mode])
    n_lines = of_mode(faults, mode).box.n_lines
    # ceil(x) with x uniform on (low, high): the first and last cells are narrower.
    edges = np.clip(np.arange(np.ceil(low) - 1, np.ceil(high) + 1), low, high)
    seen = np.bincount(n_lines - int(np.ceil(low)), minlength=edges.size - 1)
    assert stats.chisquare(seen, np.diff(edges) / (high - low) * n_lines.size).pvalue > ALPHA


def test_a_tenth_of_the_row_faults_is_wide(faults):
    n_lines = of_mode(faults, "row").box.n_lines
    wide = n_lines > np.ceil(0.10 * LINES)
    assert n_lines[wide].min() >= np.ceil(0.25 * LINES)
    assert stats.binomtest(int(wide.sum()), n_lines.size, 0.1).pvalue > ALPHA


def test_a_multi_bank_fault_takes_in_2_banks_in_46_and_8_in_37_percent_of_cases(faults):
    n_banks = of_mode(faults, "multi_bank", "multi_rank").box.n_banks
    expected = np.asarray([0.46, *[0.17 / 5] * 5, 0.37]) * n_banks.size
    assert stats.chisquare(np.bincount(n_banks - 2, minlength=7), expected).pvalue > ALPHA


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in ("multi_bank", "multi_rank")])
def test_other_faults_take_in_one_bank(faults, mode):
    assert set(of_mode(faults, mode).box.n_banks.tolist()) == {1}


@pytest.mark.parametrize("mode", MODES)
def test_only_multi_rank_faults_take_in_two_ranks(faults, mode):
    assert set(of_mode(faults, mode).box.n_ranks.tolist()) == {2 if mode == "multi_rank" else 1}


@pytest.mark.parametrize("mode", [row["mode"] for row in read_table("dq_pins_per_fault") if row["mode"] != "word"])
def test_pins_of_a_fault_have_the_published_shares_renormalised(faults, mode):
    row = rows_by("dq_pins_per_fault", "mode")[mode]
    shares = np.asarray([float(row[f"dq{n}"]) for n in (1, 2, 3, 4)])
    n_dq = of_mode(faults, mode).cells.n_dq
    expected = shares / shares.sum() * n_dq.size
    assert stats.chisquare(np.bincount(n_dq - 1, minlength=4), expected).pvalue > ALPHA


def test_a_bit_has_one_pin_and_a_command_address_fault_all(faults):
    assert set(of_mode(faults, "bit").cells.n_dq.tolist()) == {1}
    assert set(of_mode(faults, "command_address").cells.n_dq.tolist()) == {4}


def test_levels_are_standard_normal(faults):
    assert stats.kstest(faults.cells.level, "norm").pvalue > ALPHA


def test_first_bursts_are_exponential(faults):
    assert stats.kstest(faults.cells.first_burst, "expon").pvalue > ALPHA


def test_names_of_faults_are_unique(faults):
    assert np.unique(faults.fault_id).size == faults.fault_id.size


def test_faults_are_ordered_by_node_and_time(faults):
    order = np.lexsort((faults.tag, faults.time_ns, faults.node_id))
    assert np.array_equal(order, np.arange(order.size))


def hardware(**faults: object) -> Hardware:
    return Hardware(faults=Faults(**faults))


def test_with_all_rates_zero_the_total_rate_is_zero():
    assert fault_rates(hardware(fit_factor=0.0, command_address_fit=0.0)).total_per_year == 0.0


def test_with_all_rates_zero_there_are_no_faults():
    found = simulate_faults(SEED, np.arange(20_000), hardware(fit_factor=0.0, command_address_fit=0.0), YEAR_NS)
    assert found.node_id.size == 0


def test_with_the_table_scaled_to_zero_only_command_address_faults_remain():
    found = simulate_faults(SEED, np.arange(20_000), hardware(fit_factor=0.0, command_address_fit=1e5), YEAR_NS)
    assert set(found.mode.tolist()) == {int(Mode.COMMAND_ADDRESS)}


def test_with_no_command_address_rate_there_are_no_such_faults():
    found = simulate_faults(SEED, np.arange(100_000), hardware(command_address_fit=0.0), YEAR_NS)
    assert found.mode.size > 0
    assert Mode.COMMAND_ADDRESS not in found.mode


def test_with_an_alpha_share_of_zero_and_no_flux_factor_soft_faults_scale_with_the_site():
    n = 20_000
    high = simulate_faults(SEED, np.arange(n), hardware(site="leadville", alpha_share=0.0, fit_factor=10.0), YEAR_NS)
    row = rows_by("cosmic_sites", "site")["Leadville"]
    soft = 36 * 44.94 * float(row["flux_rel_mean"]) * 10 * n * DIMMS * 8766 / 1e9
    # The flux of the table is rounded by 5e-6 of itself, the total rate by 1e-4: far below the Poisson spread 1e-2.
    assert poisson_p(int((~high.hard).sum()), soft) > ALPHA


def same(a: FaultTable, b: FaultTable) -> bool:
    """Whether two tables hold the same faults, in any order."""
    a, b = a.take(np.argsort(a.fault_id)), b.take(np.argsort(b.fault_id))
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if not isinstance(x, tuple)] + list(
        zip(a.box, b.box, strict=True)
    )
    return all(np.array_equal(x, y) for x, y in pairs)


MANY = hardware(fit_factor=30.0)


def test_a_subset_of_nodes_has_the_same_faults():
    whole = simulate_faults(SEED, np.arange(3000), MANY, YEAR_NS)
    some = np.sort(np.random.default_rng(1).choice(3000, 700, replace=False))
    assert same(simulate_faults(SEED, some, MANY, YEAR_NS), whole.take(np.isin(whole.node_id, some)))


def test_nodes_in_another_order_have_the_same_faults():
    nodes = np.arange(3000)
    assert same(simulate_faults(SEED, nodes[::-1].copy(), MANY, YEAR_NS), simulate_faults(SEED, nodes, MANY, YEAR_NS))


def test_earlier_calls_change_nothing():
    first = simulate_faults(SEED, np.arange(500), MANY, YEAR_NS)
    simulate_faults(SEED, np.arange(500, 900), MANY, YEAR_NS)
    assert same(first, simulate_faults(SEED, np.arange(500), MANY, YEAR_NS))


def test_another_seed_gives_other_faults():
    nodes = np.arange(3000)
    other = simulate_faults(Seed.of(1), nodes, MANY, YEAR_NS)
    assert not np.array_equal(other.time_ns, simulate_faults(SEED, nodes, MANY, YEAR_NS).time_ns)


def test_generation_zero_drawn_one_dimm_at_a_time_is_that_of_the_screened_nodes():
    node, slot = (part.ravel() for part in np.meshgrid(np.arange(500), np.arange(DIMMS), indexing="ij"))
    alone, owner = simulate_generation(SEED, node, slot, np.zeros_like(node), MANY, YEAR_NS)
    assert same(alone, simulate_faults(SEED, np.arange(500), MANY, YEAR_NS))
    assert np.array_equal(alone.node_id, node[owner])
    assert np.array_equal(alone.box.slot, slot[owner])


def test_the_next_generation_of_a_dimm_has_other_faults_at_the_same_rate():
    node, slot = (part.ravel() for part in np.meshgrid(np.arange(2000), np.arange(DIMMS), indexing="ij"))
    first, _ = simulate_generation(SEED, node, slot, np.zeros_like(node), MANY, YEAR_NS)
    second, _ = simulate_generation(SEED, node, slot, np.ones_like(node), MANY, YEAR_NS)
    mean = fault_rates(MANY).total_per_year * node.size
    assert poisson_p(second.time_ns.size, mean) > ALPHA
    assert not np.intersect1d(first.time_ns, second.time_ns).size
    assert set(second.generation.tolist()) == {1}


def test_a_fault_does_not_depend_on_those_drawn_with_it():
    whole = simulate_faults(SEED, np.arange(200), MANY, YEAR_NS)
    one = whole.take(np.asarray([17]))
    ordinal = one.tag & 0xFFFF
    alone = draw_faults(SEED, one.node_id, one.box.slot, one.generation, ordinal, MANY, YEAR_NS)
    assert same(alone, one)


def test_a_one_rank_dimm_has_no_two_rank_footprints():
    small = Hardware(server=Server(ranks=1), faults=Faults(fit_factor=100.0))
    found = simulate_faults(SEED, np.arange(3000), small, YEAR_NS)
    assert Mode.MULTI_RANK in found.mode
    assert set(found.box.n_ranks.tolist()) == {1}


def test_a_server_with_more_slots_than_a_name_can_hold_is_refused():
    with pytest.raises(ConfigError, match="expected at most 256"):
        Server(sockets=8, channels=16, dimms_per_channel=3)


def test_names_of_faults_are_unique_on_the_largest_server():
    largest = Hardware(server=Server(sockets=8, channels=16, dimms_per_channel=2), faults=Faults(fit_factor=100.0))
    found = simulate_faults(SEED, np.arange(50), largest, YEAR_NS)
    assert np.unique(found.fault_id).size == found.fault_id.size


def test_pins_of_a_fault_are_neighbours_anywhere_on_the_device(faults):
    cells = faults.cells
    lowest = cells.pins & -cells.pins
    assert np.array_equal(cells.pins // lowest, (1 << cells.n_dq) - 1)
    one = cells.pins[cells.n_dq == 1]
    assert stats.chisquare(np.bincount(np.log2(one).astype(int), minlength=4)).pvalue > ALPHA


def test_bits_words_and_columns_stay_in_one_beat_and_larger_faults_touch_all(faults):
    # The rate table has no words.
    one = np.isin(faults.mode, (Mode.BIT, Mode.COLUMN))
    assert set(faults.cells.beat[~one].tolist()) == {-1}
    assert stats.chisquare(np.bincount(faults.cells.beat[one], minlength=8)).pvalue > ALPHA


@pytest.mark.parametrize(
    ("mode", "extents"),
    [
        ("bit", (1, 1, 1, 1)),
        ("column", (1, 1, ROWS, 1)),
        ("row", (1, 1, 1, LINES)),
        ("bank", (1, 1, ROWS, LINES)),
        ("multi_bank", (1, BANKS, ROWS, LINES)),
        ("multi_rank", (RANKS, BANKS, ROWS, LINES)),
    ],
)
def test_whole_extents_take_all_of_what_the_mode_names(mode, extents):
    found = of_mode(simulate_faults(SEED, np.arange(50_000), hardware(extents="whole"), YEAR_NS), mode)
    box = found.box
    assert box.slot.size > 10
    assert set(zip(*(part.tolist() for part in (box.n_ranks, box.n_banks, box.n_rows, box.n_lines)), strict=True)) == {
        extents
    }
