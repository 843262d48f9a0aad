"""Fault counts, times and footprints over a million node-years against the published rates and ranges.

Without frailty, so that all counts are Poisson; ``test_frailty.py`` holds it against its own law. False-alarm rate 1e-6
per check, divided by the number of classes where there are several.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from node_sim.codes import Mode
from node_sim.dram.ageing import start_age_ns
from node_sim.dram.faults import FaultTable, draw_faults, simulate_faults, simulate_generation
from node_sim.dram.rates import fault_rates
from node_sim.draws import Seed
from node_sim.errors import ConfigError
from node_sim.records import join
from node_sim.server.hardware import Faults, Hardware, Server
from tests.oracle.catalog.tables import read_table, rows_by

ALPHA = 1e-6
NODES = 1_000_000
CHUNK = 125_000
YEAR_NS = 8766 * 3600 * 10**9
SEED = Seed.of(20260401)
DIMMS, RANKS, DEVICES, BANKS, ROWS, LINES = 12, 2, 18, 16, 262144, 128
"""Default server: 2 sockets, 6 channels, one two-rank DIMM of 16 Gbit x4 devices each."""
COMMAND_ADDRESS_FIT, LANE_FIT = 31.0, 5.0
"""Per DIMM."""
TRANSIENT_SHARE = 0.3
"""Of the command/address faults; the others are hard."""
COMMANDS = {"command_address_fit": COMMAND_ADDRESS_FIT, "command_address_transient_share": TRANSIENT_SHARE}
HARDWARE = Hardware(faults=Faults(frailty_variance=0.0, **COMMANDS))
ALPHA_SHARE = 0.1
AREAS = ("bank", "multi_bank", "multi_rank", "command_address")
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
    found = [
        Expected(Mode.COMMAND_ADDRESS, False, COMMAND_ADDRESS_FIT * TRANSIENT_SHARE * exposure),
        Expected(Mode.COMMAND_ADDRESS, True, COMMAND_ADDRESS_FIT * (1 - TRANSIENT_SHARE) * exposure),
        Expected(Mode.LANE, True, LANE_FIT * exposure),
    ]
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


def test_faults_of_one_rank_are_spread_evenly_over_the_ranks(faults):
    assert uniform_p(faults.box.rank[faults.box.n_ranks == 1], RANKS) > ALPHA


def test_faults_are_spread_evenly_over_the_devices_of_a_rank(faults):
    assert uniform_p(faults.cells.device[faults.mode != Mode.COMMAND_ADDRESS], DEVICES) > ALPHA


def test_faults_of_some_banks_are_spread_evenly_over_the_banks(faults):
    assert uniform_p(faults.box.bank[faults.box.n_banks < BANKS], BANKS) > ALPHA


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
    assert int((box.rank + box.n_ranks).max()) <= RANKS


ROW_SHARES = {"column": (0.005, 0.06), "lane": (1.0, 1.0), **dict.fromkeys(AREAS, (0.01, 0.10))}
LINE_SHARES = {"row": (0.01, 0.30), "lane": (1.0, 1.0), **dict.fromkeys(AREAS, (0.01, 0.40))}
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


@pytest.mark.parametrize("mode", ["column", *AREAS])
def test_rows_of_a_large_footprint_are_uniform_over_the_published_range(faults, mode):
    low, high = ROW_SHARES[mode]
    n_rows = of_mode(faults, mode).box.n_rows
    # Half a row for the rounding up; one row is 1e-4 of the range at most.
    assert stats.kstest(((n_rows - 0.5) / ROWS - low) / (high - low), "uniform").pvalue > ALPHA


@pytest.mark.parametrize("mode", AREAS)
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


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in ("multi_bank", "multi_rank", "lane")])
def test_other_faults_take_in_one_bank(faults, mode):
    assert set(of_mode(faults, mode).box.n_banks.tolist()) == {1}


@pytest.mark.parametrize("mode", MODES)
def test_only_multi_rank_and_lane_faults_take_in_two_ranks(faults, mode):
    assert set(of_mode(faults, mode).box.n_ranks.tolist()) == {2 if mode in ("multi_rank", "lane") else 1}


@pytest.fixture(scope="module")
def ddr3_faults() -> FaultTable:
    many = Hardware(Server(part="ddr3_4gb_x4"), Faults(fit_factor=20.0, lane_fit=500.0))
    return simulate_faults(SEED, np.arange(10_000), many, YEAR_NS)


@pytest.mark.parametrize("mode", [row["mode"] for row in read_table("dq_pins_per_fault") if row["mode"] != "word"])
def test_pins_of_a_fault_before_ddr4_have_the_published_shares_renormalised(ddr3_faults, mode):
    row = rows_by("dq_pins_per_fault", "mode")[mode]
    shares = np.asarray([float(row[f"dq{n}"]) for n in (1, 2, 3, 4)])
    n_dq = of_mode(ddr3_faults, mode).cells.n_dq
    expected = shares / shares.sum() * n_dq.size
    assert stats.chisquare(np.bincount(n_dq - 1, minlength=4), expected).pvalue > ALPHA


COUNTED = [row for row in read_table("pattern_mix_by_mode") if row["platform"] == "purley"]


@pytest.mark.parametrize("mode", ["bit", "column", "row", "bank", "multi_bank", "multi_rank"])
def test_pins_and_beats_of_a_hard_ddr4_fault_have_the_counted_shares(faults, mode):
    name = {"bit": "cell", "multi_rank": "multi_bank"}.get(mode, mode)
    counts = np.zeros((4, 8))
    for row in COUNTED:
        if row["mode"] == name:
            counts[int(row["dq"]) - 1, int(row["beats"]) - 1] = int(row["dimms"])
    of = of_mode(faults, mode)
    cells = of.cells.take(of.hard)
    found = np.zeros((4, 8))
    np.add.at(found, (cells.n_dq - 1, cells.n_beats - 1), 1)
    assert not found[counts == 0].any()
    expected = counts / counts.sum() * cells.n_dq.size
    rare = expected < 5
    groups = [np.append(part[~rare], part[rare].sum()) for part in (found, expected)]
    kept = groups[1] > 0
    assert stats.chisquare(groups[0][kept], groups[1][kept]).pvalue > ALPHA


def test_a_lane_or_soft_bit_has_one_pin_and_a_command_address_fault_all(faults):
    soft = of_mode(faults, "bit")
    soft = soft.take(~soft.hard).cells
    assert {(1, 1)} == set(zip(soft.n_dq.tolist(), soft.n_beats.tolist(), strict=True))
    assert set(of_mode(faults, "lane").cells.n_dq.tolist()) == {1}
    assert set(of_mode(faults, "command_address").cells.n_dq.tolist()) == {4}


def test_any_set_of_as_many_beats_is_as_likely(faults):
    for n_beats in (1, 2, 7):
        beats = faults.cells.beats[faults.cells.n_beats == n_beats]
        assert set(np.bitwise_count(beats).tolist()) == {n_beats}
        found = np.unique(beats, return_counts=True)[1]
        assert found.size == math.comb(8, n_beats)
        assert stats.chisquare(found).pvalue > ALPHA


@pytest.mark.parametrize("name", ["level", "pace"])
def test_levels_and_paces_are_standard_normal(faults, name):
    assert stats.kstest(getattr(faults.habit, name), "norm").pvalue > ALPHA


def test_first_bursts_are_exponential(faults):
    assert stats.kstest(faults.habit.first_burst, "expon").pvalue > ALPHA


def test_level_pace_first_burst_and_persistence_of_a_fault_are_independent(faults):
    hard = faults.take(faults.hard).habit
    parts = [np.asarray(part, np.float64) for part in hard]
    p = [stats.spearmanr(a, b).pvalue for a, b in itertools.combinations(parts, 2)]
    assert min(p) > ALPHA / len(p)


def test_half_of_the_hard_faults_of_every_mode_are_intermittent(faults):
    hard = faults.take(faults.hard)
    modes = np.unique(hard.mode).tolist()
    p = [
        stats.binomtest(int(hard.habit.intermittent[mine].sum()), int(mine.sum()), 0.5).pvalue
        for mine in (hard.mode == mode for mode in modes)
    ]
    assert min(p) > ALPHA / len(modes)


def test_a_soft_fault_is_never_intermittent(faults):
    assert not faults.habit.intermittent[~faults.hard].any()


def test_names_of_faults_are_unique(faults):
    assert np.unique(faults.fault_id).size == faults.fault_id.size


def test_faults_are_ordered_by_node_and_time(faults):
    order = np.lexsort((faults.tag, faults.time_ns, faults.node_id))
    assert np.array_equal(order, np.arange(order.size))


def hardware(**faults: object) -> Hardware:
    return Hardware(faults=Faults(**{"frailty_variance": 0.0, **COMMANDS, **faults}))


NOTHING = {"fit_factor": 0.0, "command_address_fit": 0.0, "lane_fit": 0.0}


def test_with_all_rates_zero_the_total_rate_is_zero():
    assert fault_rates(hardware(**NOTHING)).total_per_year == 0.0


@pytest.mark.parametrize("variance", [0.0, 3.0])
def test_with_all_rates_zero_there_are_no_faults(variance):
    found = simulate_faults(SEED, np.arange(20_000), hardware(**NOTHING, frailty_variance=variance), YEAR_NS)
    assert found.node_id.size == 0


@pytest.mark.parametrize(
    ("name", "mode", "persistence"),
    [("command_address_fit", Mode.COMMAND_ADDRESS, {False, True}), ("lane_fit", Mode.LANE, {True})],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_with_all_rates_but_one_zero_only_faults_of_that_mode_remain(name, mode, persistence):
    found = simulate_faults(SEED, np.arange(20_000), hardware(**{**NOTHING, name: 1e4}), YEAR_NS)
    assert set(found.mode.tolist()) == {int(mode)}
    assert set(found.hard.tolist()) == persistence


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_of_command_address_faults_the_configured_share_passes_whatever_the_site(share):
    options = {"site": "leadville", "alpha_share": 0.0, "command_address_transient_share": share}
    n = 20_000
    found = simulate_faults(SEED, np.arange(n), hardware(**{**NOTHING, "command_address_fit": 1e4}, **options), YEAR_NS)
    mean = 1e4 * n * DIMMS * 8766 / 1e9
    hard = int(found.hard.sum())
    assert poisson_p(hard, (1 - share) * mean) > ALPHA / 2
    assert poisson_p(found.hard.size - hard, share * mean) > ALPHA / 2


@pytest.mark.parametrize(
    ("name", "mode"), [("command_address_fit", Mode.COMMAND_ADDRESS), ("lane_fit", Mode.LANE)], ids=lambda part: part
)
def test_with_no_rate_of_its_own_a_mode_has_no_faults(name, mode):
    found = simulate_faults(SEED, np.arange(100_000), hardware(**{name: 0.0}), YEAR_NS)
    assert found.mode.size > 0
    assert mode not in found.mode


@pytest.mark.parametrize("server", [Server(ranks=1), Server(ranks=4), Server(part="ddr5_16gb_x8")])
def test_faults_of_wires_have_rates_per_dimm_whatever_its_devices_their_number_and_speed(server):
    wires = {
        (Mode.COMMAND_ADDRESS, False): 7000.0 * TRANSIENT_SHARE,
        (Mode.COMMAND_ADDRESS, True): 7000.0 * (1 - TRANSIENT_SHARE),
        (Mode.LANE, True): 3000.0,
    }
    many = hardware(fit_factor=3.0, speed_ratio=1.5, command_address_fit=7000.0, lane_fit=3000.0)
    n = 20_000
    found = simulate_faults(SEED, np.arange(n), Hardware(server, many.faults), YEAR_NS)
    p = [
        poisson_p(int(((found.mode == mode) & (found.hard == hard)).sum()), fit * n * server.dimms * 8766 / 1e9)
        for (mode, hard), fit in wires.items()
    ]
    assert min(p) > ALPHA / 3
    assert found.hard[found.mode == Mode.LANE].all()


KINDS = ("transient", "permanent")
PLACES = [
    ({"site": "leadville", "alpha_share": 0.0}, ("Leadville", "flux_rel_mean"), (0.0, 1.0)),
    ({"site": "denver", "sun": "quiet", "alpha_share": 0.3}, ("Denver", "flux_rel_quiet"), (0.3, 0.7)),
    ({"site": "denver", "sun": "active", "alpha_share": 0.3}, ("Denver", "flux_rel_active"), (0.3, 0.7)),
    # A quarter of the neutrons' share triples: 0.75 + 0.25 * 3 = 1.5.
    (
        {"site": "singapore", "alpha_share": 0.2, "thermal_share": 0.25, "thermal_factor": 3.0},
        ("Singapore", "flux_rel_mean"),
        (0.2, 0.8 * 1.5),
    ),
    # Of neutrons that are all thermal, none are left.
    (
        {"site": "leadville", "alpha_share": 0.5, "thermal_share": 1.0, "thermal_factor": 0.0},
        ("Leadville", "flux_rel_mean"),
        (0.5, 0.0),
    ),
]


@pytest.mark.parametrize(("options", "flux", "scale"), PLACES)
def test_soft_faults_scale_with_the_surroundings_and_hard_ones_do_not(options, flux, scale):
    n, (fixed, scaled) = 10_000, scale
    site, column = flux
    found = simulate_faults(SEED, np.arange(n), hardware(fit_factor=10.0, **options), YEAR_NS)
    relative = fixed + scaled * float(rows_by("cosmic_sites", "site")[site][column])
    exposure = n * DIMMS * 8766 / 1e9
    table = [row for row in read_table("fit_modes") if row["dataset"] == "DDR4-avg" and row["mode"] != "TOTAL"]
    soft, hard = (RANKS * DEVICES * 10 * sum(float(row[f"fit_{kind}"]) for row in table) for kind in KINDS)
    # The flux of the table is rounded by 1e-4 of itself at most: far below the Poisson spread 5e-3.
    passing, staying = COMMAND_ADDRESS_FIT * TRANSIENT_SHARE, COMMAND_ADDRESS_FIT * (1 - TRANSIENT_SHARE)
    assert poisson_p(int((~found.hard).sum()), (soft * relative + passing) * exposure) > ALPHA / 2
    assert poisson_p(int(found.hard.sum()), (hard + staying + LANE_FIT) * exposure) > ALPHA / 2


def test_faults_of_faster_parts_are_as_much_more_frequent_as_published():
    # 2400 Mbps parts have 6.7 times the FIT of 1066 Mbps parts; the exponent is rounded by 5e-4.
    n = 10_000
    found = simulate_faults(SEED, np.arange(n), hardware(speed_ratio=2400 / 1066, command_address_fit=0.0), YEAR_NS)
    slow = sum(one.mean for one in expected_classes() if one.mode not in (Mode.COMMAND_ADDRESS, Mode.LANE)) / NODES
    assert poisson_p(int((found.mode != Mode.LANE).sum()), 6.7 * slow * n) > ALPHA


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2400 / 1066, 4.0])
def test_every_rate_of_the_table_scales_with_the_speed_to_the_power_2_344(ratio):
    slow, fast = fault_rates(hardware()), fault_rates(hardware(speed_ratio=ratio))
    wires = np.isin(slow.mode, (Mode.COMMAND_ADDRESS, Mode.LANE))
    assert fast.per_year[~wires] == pytest.approx(slow.per_year[~wires] * np.exp(2.344 * np.log(ratio)), rel=1e-12)
    assert np.array_equal(fast.per_year[wires], slow.per_year[wires])


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_intermittent_faults_are_the_configured_share_of_the_hard_ones(share):
    found = simulate_faults(SEED, np.arange(2000), hardware(fit_factor=100.0, intermittent_share=share), YEAR_NS)
    rests = int(found.habit.intermittent[found.hard].sum())
    assert stats.binomtest(rests, int(found.hard.sum()), share).pvalue > ALPHA
    assert not found.habit.intermittent[~found.hard].any()


def test_the_intermittent_share_changes_nothing_else():
    few, many = (
        simulate_faults(SEED, np.arange(1000), hardware(fit_factor=30.0, intermittent_share=share), YEAR_NS)
        for share in (0.2, 0.8)
    )
    assert (few.habit.intermittent <= many.habit.intermittent).all()
    habit = many.habit._replace(intermittent=few.habit.intermittent)
    assert same(many._replace(habit=habit), few)


def columns(table: tuple) -> Iterator[np.ndarray]:
    """All arrays of a table and of the records in it."""
    for part in table:
        yield from columns(part) if isinstance(part, tuple) else [part]


def same(a: FaultTable, b: FaultTable) -> bool:
    """Whether two tables hold the same faults, in any order."""
    a, b = a.take(np.argsort(a.fault_id)), b.take(np.argsort(b.fault_id))
    return all(np.array_equal(x, y) for x, y in zip(columns(a), columns(b), strict=True))


MANY = Hardware(
    faults=Faults(fit_factor=20.0, frailty_variance=3.0, infant_factor=1.0, wearout_factor=1.0, oldest_years=3.0)
)
"""Frail and ageing DIMMs with many faults."""


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


def all_dimms(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Node and slot of every DIMM of some nodes."""
    node, slot = (part.ravel() for part in np.meshgrid(np.arange(nodes), np.arange(DIMMS), indexing="ij"))
    return node, slot


def test_generation_zero_drawn_one_dimm_at_a_time_is_that_of_the_screened_nodes():
    node, slot = all_dimms(500)
    # Installed before time 0, by their age.
    installed_ns = -start_age_ns(SEED, node, MANY.faults)
    alone, owner = simulate_generation(SEED, node, slot, np.zeros_like(node), installed_ns, MANY, YEAR_NS)
    assert same(alone, simulate_faults(SEED, np.arange(500), MANY, YEAR_NS))
    assert np.array_equal(alone.node_id, node[owner])
    assert np.array_equal(alone.box.slot, slot[owner])


STEADY = hardware(fit_factor=30.0)
"""DIMMs neither frail nor ageing with many faults."""


def test_the_next_generation_of_a_dimm_has_other_faults_at_the_same_rate():
    node, slot = all_dimms(2000)
    zero = np.zeros_like(node)
    first, _ = simulate_generation(SEED, node, slot, zero, zero, STEADY, YEAR_NS)
    second, _ = simulate_generation(SEED, node, slot, zero + 1, zero, STEADY, YEAR_NS)
    mean = fault_rates(STEADY).total_per_year * node.size
    assert poisson_p(second.time_ns.size, mean) > ALPHA
    assert not np.intersect1d(first.time_ns, second.time_ns).size
    assert set(second.generation.tolist()) == {1}


def test_a_dimm_installed_later_has_the_faults_of_its_generation_from_then_on():
    node, slot = all_dimms(500)
    one = np.ones_like(node)
    installed_ns = np.random.default_rng(3).integers(0, YEAR_NS, node.size)
    whole, owner = simulate_generation(SEED, node, slot, one, 0 * one, STEADY, YEAR_NS)
    late, late_owner = simulate_generation(SEED, node, slot, one, installed_ns, STEADY, YEAR_NS)
    kept = whole.time_ns >= installed_ns[owner]
    assert same(late, whole.take(kept))
    assert np.array_equal(late_owner, owner[kept])


def test_a_fault_does_not_depend_on_those_drawn_with_it():
    whole = simulate_faults(SEED, np.arange(200), MANY, YEAR_NS)
    for place in (17, 170):
        one = whole.take(np.asarray([place]))
        assert same(draw_faults(SEED, one.node_id, one.tag, one.hard, MANY, YEAR_NS), one)


def test_a_one_rank_dimm_has_no_two_rank_footprints():
    small = Hardware(server=Server(ranks=1), faults=Faults(fit_factor=100.0, lane_fit=1000.0))
    found = simulate_faults(SEED, np.arange(3000), small, YEAR_NS)
    assert {Mode.MULTI_RANK, Mode.LANE} <= set(found.mode.tolist())
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


def test_before_ddr4_bits_words_and_columns_stay_in_one_beat_and_larger_faults_touch_all(ddr3_faults):
    # The rate table has no words.
    one, cells = np.isin(ddr3_faults.mode, (Mode.BIT, Mode.COLUMN)), ddr3_faults.cells
    assert set(cells.beats[~one].tolist()) == {255}
    assert stats.chisquare(np.bincount(np.log2(cells.beats[one]).astype(int), minlength=8)).pvalue > ALPHA


@pytest.mark.parametrize(
    ("mode", "extents"),
    [
        ("bit", (1, 1, 1, 1)),
        ("column", (1, 1, ROWS, 1)),
        ("row", (1, 1, 1, LINES)),
        ("bank", (1, 1, ROWS, LINES)),
        ("multi_bank", (1, BANKS, ROWS, LINES)),
        ("multi_rank", (RANKS, BANKS, ROWS, LINES)),
        ("command_address", (1, 1, ROWS, LINES)),
        ("lane", (RANKS, BANKS, ROWS, LINES)),
    ],
)
def test_whole_extents_take_all_of_what_the_mode_names(mode, extents):
    many = hardware(extents="whole", lane_fit=50.0)
    found = of_mode(simulate_faults(SEED, np.arange(50_000), many, YEAR_NS), mode)
    box = found.box
    assert box.slot.size > 10
    assert set(zip(*(part.tolist() for part in (box.n_ranks, box.n_banks, box.n_rows, box.n_lines)), strict=True)) == {
        extents
    }


DDR5_BANKS, DDR5_ROWS, DDR5_LINES, DDR5_DEVICES = 32, 65536, 128, 10
"""16 Gbit x4: 2,048 columns of 4 bits on 8 data devices are 128 lines of 64 bytes."""


def ddr5(extents: str = "partial", ranks: int = 2) -> FaultTable:
    faults = Faults(fit_factor=20.0, lane_fit=5000.0, extents=extents)
    return simulate_faults(SEED, np.arange(10_000), Hardware(Server(part="ddr5_16gb_x4", ranks=ranks), faults), YEAR_NS)


@pytest.fixture(scope="module", params=["partial", "whole"])
def ddr5_faults(request) -> FaultTable:
    return ddr5(request.param)


def test_a_lane_fault_takes_all_ranks_of_one_subchannel_and_all_their_banks_rows_and_lines(ddr5_faults):
    box = of_mode(ddr5_faults, "lane").box
    extents = box.n_ranks, box.n_banks, box.n_rows, box.n_lines
    assert set(zip(*(part.tolist() for part in extents), strict=True)) == {(2, DDR5_BANKS, DDR5_ROWS, DDR5_LINES)}
    assert not (box.bank + box.row + box.line).any()
    assert set(box.rank.tolist()) == {0, 2}
    assert uniform_p(box.rank // 2, 2) > ALPHA


def test_a_lane_fault_is_one_pin_of_any_device_in_all_beats(ddr5_faults):
    cells = of_mode(ddr5_faults, "lane").cells
    assert set(cells.n_dq.tolist()) == {1}
    assert set(cells.beats.tolist()) == {0xFFFF}
    assert uniform_p(cells.device, DDR5_DEVICES) > ALPHA / 2
    assert uniform_p(np.log2(cells.pins).astype(int), 4) > ALPHA / 2


def test_a_lane_fault_is_hard(ddr5_faults):
    assert of_mode(ddr5_faults, "lane").hard.all()


def test_a_multi_rank_fault_stays_in_one_subchannel(ddr5_faults):
    box = of_mode(ddr5_faults, "multi_rank").box
    assert set(box.n_ranks.tolist()) == {2}
    assert set(box.rank.tolist()) == {0, 2}
    assert uniform_p(box.rank // 2, 2) > ALPHA


def test_faults_of_one_rank_are_spread_evenly_over_the_ranks_of_both_subchannels(ddr5_faults):
    box = ddr5_faults.box
    assert uniform_p(box.rank[box.n_ranks == 1], 4) > ALPHA


def test_of_four_ranks_of_a_subchannel_a_partial_multi_rank_fault_takes_two_neighbours():
    box = of_mode(ddr5(ranks=4), "multi_rank").box
    assert set(box.n_ranks.tolist()) == {2}
    assert set(box.rank.tolist()) == {0, 1, 2, 4, 5, 6}
    assert uniform_p(np.searchsorted([0, 1, 2, 4, 5, 6], box.rank), 6) > ALPHA


@pytest.mark.parametrize(("extents", "modes"), [("partial", ["lane"]), ("whole", ["lane", "multi_rank"])])
def test_of_four_ranks_of_a_subchannel_whole_faults_take_all(extents, modes):
    box = of_mode(ddr5(extents, ranks=4), *modes).box
    assert set(zip(box.rank.tolist(), box.n_ranks.tolist(), strict=True)) == {(0, 4), (4, 4)}


def test_faults_of_ddr5_touch_one_of_its_sixteen_beats_or_all(ddr5_faults):
    one = np.isin(ddr5_faults.mode, (Mode.BIT, Mode.COLUMN))
    assert set(ddr5_faults.cells.beats[~one].tolist()) == {0xFFFF}
    assert uniform_p(np.log2(ddr5_faults.cells.beats[one]).astype(int), 16) > ALPHA


def test_a_lane_of_ranks_in_lockstep_is_one_pin_of_any_of_the_devices_of_both():
    pair = Hardware(Server(ranks=4, lockstep=True), Faults(fit_factor=0.0, lane_fit=5000.0))
    found = of_mode(simulate_faults(SEED, np.arange(10_000), pair, YEAR_NS), "lane")
    assert set(zip(found.box.rank.tolist(), found.box.n_ranks.tolist(), strict=True)) == {(0, 2)}
    assert set(found.cells.n_dq.tolist()) == {1}
    assert uniform_p(found.cells.device, 2 * DEVICES) > ALPHA


def test_pins_of_a_fault_of_an_x8_part_are_neighbours_anywhere_on_the_device():
    wide = Hardware(Server(part="ddr4_16gb_x8"), Faults(fit_factor=20.0, lane_fit=1000.0))
    cells = simulate_faults(SEED, np.arange(5000), wide, YEAR_NS).cells
    lowest = cells.pins & -cells.pins
    assert np.array_equal(cells.pins // lowest, (1 << cells.n_dq) - 1)
    assert cells.pins.max() < 256
    assert uniform_p(np.log2(cells.pins[cells.n_dq == 1]).astype(int), 8) > ALPHA
