"""Second reading of the catalogue: every number against the published tables, every assumption against its range."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest

from node_sim.catalog import numbers, workloads
from node_sim.catalog.fit import DDR4_COMPONENTS, PINS_PER_FAULT, RATE_TABLES
from node_sim.catalog.parts import PARTS
from node_sim.catalog.patterns import DDR4_PATTERNS
from node_sim.catalog.sites import SITES
from node_sim.catalog.values import Assumed, Published
from node_sim.codes import Mode, PageUse, ProcessClass
from node_sim.dram.rates import table_rates
from node_sim.server.policy import Levels, Policy
from node_sim.server.workload import Process, Use, Workload
from tests.oracle.catalog.tables import read_table, rows_by

DATASETS = {
    "ddr2_jaguar": "SC12-Jaguar",
    "ddr4_a": "DDR4-A",
    "ddr4_b": "DDR4-B",
    "ddr4_c": "DDR4-C",
    "ddr4_avg": "DDR4-avg",
}
MODE_NAMES = {"bank_partial": "bank"}
FIT = {
    (row["dataset"], MODE_NAMES.get(row["mode"], row["mode"])): row
    for row in read_table("fit_modes")
    if row["dataset"] in DATASETS.values()
}
COMPONENT_ROWS = rows_by("fit_ddr4_components_avg", "component_fault")
MISSPELT = {"multiple_single_bit_failures_": "multiple_single_bit_failures", "consequtive_rows": "consecutive_rows"}
CONFIDENCES = {"read", "read-secondary", "measured", "computed", "recalled-unverified"}
PUBLISHED = {name: value for name, value in vars(numbers).items() if isinstance(value, Published)}
ASSUMED = {
    f"{module.__name__}.{name}": value
    for module in (numbers, workloads)
    for name, value in vars(module).items()
    if isinstance(value, Assumed)
}
RATES = [number for table in RATE_TABLES.values() for pair in table.values() for number in pair]
SITE_NAMES = {
    "new_york": "New York City",
    "oakland": "Oakland (Hopper)",
    "quincy": "Quincy WA",
}


def tidy(component: str) -> str:
    """Correct the spelling of a component's name."""
    return MISSPELT.get(component, component).replace("mutli", "multi")


@pytest.mark.parametrize("table", DATASETS)
def test_a_rate_table_has_every_mode_of_its_source_and_no_other(table):
    modes = {mode for dataset, mode in FIT if dataset == DATASETS[table]} - {"TOTAL"}
    assert {mode.text for mode in RATE_TABLES[table]} == modes


def test_there_is_a_second_reading_of_every_rate_table():
    assert set(RATE_TABLES) == set(DATASETS)


@pytest.mark.parametrize(("table", "mode"), [(table, mode) for table, modes in RATE_TABLES.items() for mode in modes])
def test_the_rates_of_a_mode_are_those_of_the_table(table, mode):
    row = FIT[DATASETS[table], mode.text]
    transient, permanent = RATE_TABLES[table][mode]
    assert (transient.value, permanent.value) == (float(row["fit_transient"]), float(row["fit_permanent"]))


@pytest.mark.parametrize("table", DATASETS)
def test_the_rates_add_up_to_the_published_total(table):
    row = FIT[DATASETS[table], "TOTAL"]
    # Up to seven addends and a total, each rounded: half a unit of the last digit for each of them.
    for position, column in enumerate(("fit_transient", "fit_permanent")):
        total = sum(pair[position].value for pair in RATE_TABLES[table].values())
        assert total == pytest.approx(float(row[column]), abs=0.005 + 7 * 0.0005)


def test_every_component_rate_is_that_of_the_table():
    published = {
        tidy(name): (float(row["fit_transient_per_chip"]), float(row["fit_permanent_per_chip"]))
        for name, row in COMPONENT_ROWS.items()
    }
    assert published == DDR4_COMPONENTS


MODE_OF_COMPONENT = {
    "multiple_single_bit_failures": Mode.BIT,
    "local_wordline": Mode.ROW,
    "consecutive_rows": Mode.ROW,
    "single_sense_amp": Mode.COLUMN,
    "single_csl_column": Mode.COLUMN,
    "potential_sense_amp": Mode.COLUMN,
    "decoder_single_col": Mode.COLUMN,
    "potential_csl_column": Mode.COLUMN,
    "not_clustered_single_column": Mode.COLUMN,
    "not_clustered_multi_bank": Mode.MULTI_BANK,
    "bank_control_bank_8diff": Mode.MULTI_BANK,
    "bank_control": Mode.MULTI_BANK,
    "multi_rank": Mode.MULTI_RANK,
    "multi_rank_random_bits": Mode.MULTI_RANK,
}
"""All other components take in part of a bank."""


@pytest.mark.parametrize("mode", RATE_TABLES["ddr4_avg"])
def test_the_ddr4_components_of_a_mode_add_up_to_its_average_rate(mode):
    rates = [rate for name, rate in DDR4_COMPONENTS.items() if MODE_OF_COMPONENT.get(name, Mode.BANK) is mode]
    total = [sum(column) for column in zip(*rates, strict=True)]
    expected = [number.value for number in RATE_TABLES["ddr4_avg"][mode]]
    # Each component, and the sum, is rounded to 0.001.
    assert total == pytest.approx(expected, abs=0.0005 * (len(rates) + 1))


def test_the_ddr4_components_add_up_to_the_published_total():
    total = [sum(column) for column in zip(*DDR4_COMPONENTS.values(), strict=True)]
    row = FIT["DDR4-avg", "TOTAL"]
    expected = [float(row["fit_transient"]), float(row["fit_permanent"])]
    assert total == pytest.approx(expected, abs=0.005 + 0.0005 * len(DDR4_COMPONENTS))


def test_every_pin_share_is_that_of_the_table():
    published = {
        Mode[name.upper()]: tuple(float(row[f"dq{n}"]) for n in (1, 2, 3, 4))
        for name, row in rows_by("dq_pins_per_fault", "mode").items()
    }
    assert published == PINS_PER_FAULT


def test_every_count_of_pins_and_beats_is_that_of_the_table():
    names = {"cell": Mode.BIT, "column": Mode.COLUMN, "row": Mode.ROW, "bank": Mode.BANK, "multi_bank": Mode.MULTI_BANK}
    expected = {mode: np.zeros((4, 8), int) for mode in names.values()}
    for row in read_table("pattern_mix_by_mode"):
        if row["platform"] == "purley" and row["mode"] in names:
            expected[names[row["mode"]]][int(row["dq"]) - 1, int(row["beats"]) - 1] = int(row["dimms"])
    assert {mode: counts.tolist() for mode, counts in expected.items()} == {
        mode: [list(row) for row in counts] for mode, counts in DDR4_PATTERNS.value.items()
    }


PART_NAMES = {
    "ddr4_8gb_x4": "DDR4 8Gb x4",
    "ddr4_8gb_x8": "DDR4 8Gb x8",
    "ddr4_16gb_x4": "DDR4 16Gb x4",
    "ddr4_16gb_x8": "DDR4 16Gb x8",
    "ddr5_16gb_x4": "DDR5 16Gb x4",
    "ddr5_16gb_x8": "DDR5 16Gb x8",
    "ddr5_32gb_x4": "DDR5 32Gb x4",
}
GEOMETRY = rows_by("geometry", "part")
OLDER_PARTS = {
    "ddr2_1gb_x4": (8, 16_384, 2_048, 4),
    "ddr3_2gb_x4": (8, 32_768, 2_048, 4),
    "ddr3_2gb_x8": (8, 32_768, 1_024, 8),
    "ddr3_4gb_x4": (8, 65_536, 2_048, 4),
    "ddr3_4gb_x8": (8, 65_536, 1_024, 8),
}
"""Banks, rows, columns and pins: FaultSim's configuration, and the row and column addresses of JESD79-3."""


def test_there_is_a_second_reading_of_every_part():
    assert set(PARTS) == {*PART_NAMES, *OLDER_PARTS}
    assert set(GEOMETRY) == set(PART_NAMES.values())


@pytest.mark.parametrize("name", OLDER_PARTS)
def test_the_sizes_of_an_older_part_are_those_of_the_second_reading_and_multiply_to_its_name(name):
    part = PARTS[name]
    assert (part.banks, part.rows, part.columns, part.width) == OLDER_PARTS[name]
    gbit = int(re.search(r"_(\d+)gb_", name)[1])
    assert part.banks * part.rows * part.columns * part.width == gbit * 2**30
    assert (part.bank_groups, part.data_devices * part.width, part.devices * part.width) == (1, 64, 72)


@pytest.mark.parametrize("name", PART_NAMES)
def test_the_sizes_of_a_part_are_those_of_the_table(name):
    part, row = PARTS[name], GEOMETRY[PART_NAMES[name]]
    found = (part.bank_groups, part.banks, part.rows, part.columns, part.width, part.data_devices)
    columns = ("bank_groups", "banks", "rows_per_bank", "columns", "width", "data_chips_per_rank_or_subchannel")
    assert found == tuple(int(row[column]) for column in columns)


@pytest.mark.parametrize("name", PART_NAMES)
def test_a_row_and_a_bank_of_a_rank_hold_as_much_data_as_tabulated(name):
    part, row = PARTS[name], GEOMETRY[PART_NAMES[name]]
    assert part.row_lines * 64 == int(row["row_data_bytes_per_rank_or_subchannel"])
    assert part.row_lines * 64 * part.rows == int(row["bank_data_MiB_per_rank_or_subchannel"]) * 2**20


@pytest.mark.parametrize("name", PARTS)
def test_a_rank_has_an_eighth_more_for_check_bits_and_a_ddr5_subchannel_a_quarter(name):
    part = PARTS[name]
    assert part.check_devices * (4 if name.startswith("ddr5") else 8) == part.data_devices
    assert part.subchannels * part.data_devices * part.width == 64


COSMIC = rows_by("cosmic_sites", "site")


@pytest.mark.parametrize("name", SITES)
def test_altitude_and_rigidity_of_a_site_are_those_of_the_table(name):
    row = COSMIC[SITE_NAMES.get(name, name.replace("_", " ").title())]
    assert (SITES[name].altitude_m, SITES[name].cutoff_gv) == (float(row["altitude_m"]), float(row["cutoff_GV"]))


EXTENTS_OF_A_FAULT = {
    "COLUMN_ROW_SHARE": (0.005, 0.06),
    "ROW_COLUMN_SHARE": (0.01, 0.10),
    "ROW_WIDE_SHARE": (0.25, 0.30),
    "ROW_WIDE_P": 0.1,
    "BANK_ROW_SHARE": (0.01, 0.10),
    "BANK_COLUMN_SHARE": (0.01, 0.40),
    "BANKS_TWO_P": 0.46,
    "BANKS_EIGHT_P": 0.37,
}
"""Read again in the gem5 DRAM failure model header."""


@pytest.mark.parametrize("name", EXTENTS_OF_A_FAULT)
def test_extents_of_a_fault_are_those_of_the_second_reading(name):
    assert PUBLISHED[name].value == EXTENTS_OF_A_FAULT[name]


def table_value(table: str, key: str, value: str, row_starts: str, pattern: str) -> list[float]:
    """Numbers picked out of one cell of a published table."""
    (cell,) = (row[value] for row in read_table(table) if row[key].startswith(row_starts))
    match = re.search(pattern, cell)
    assert match, f"{table}.csv: {row_starts}: {cell!r} does not match {pattern!r}"
    return [float(group) for group in match.groups()]


def test_the_logging_cap_is_that_of_the_huawei_windows():
    (cap,) = table_value("ce_process", "quantity", "fitted_or_derived", "CE in the last 15 min", r"and (\d+) per day")
    assert numbers.CE_CAP_PER_DAY.value == cap


def test_the_share_of_scrub_errors_is_that_of_the_huawei_sample():
    scrub, total = table_value("ce_process", "quantity", "value", "share of scrub CE", r"([\d.]+) of ([\d.]+)")
    assert numbers.CE_SCRUB_SHARE.value == pytest.approx(scrub / total, abs=0.005)


def test_the_scrub_period_is_the_default_of_the_controller():
    hours = [
        float(re.search(r"in (\d+) h by default", row["figure"])[1])
        for row in read_table("thresholds_repair")
        if row["source"] == "AMD PG456"
    ]
    assert hours == [numbers.SCRUB_HOURS.value]


def test_the_scrub_pace_is_that_of_the_published_text():
    (pace,) = table_value("thresholds_repair", "figure", "figure", "1 line per 16k cycles", r"about (\d+) GB per day")
    assert numbers.SCRUB_GB_PER_DAY.value == pace


def test_the_cordon_limit_is_the_critical_count_of_mcelog_plus_one_repeat():
    (uncorrected,) = table_value("thresholds_repair", "mechanism", "figure", "mcelog.conf dimm", r"UC (\d+) in 24 h")
    assert numbers.CORDON_UE.low == uncorrected
    assert numbers.CORDON_UE.value == uncorrected + 1


def test_sparing_needs_what_the_whitepaper_says():
    width, ranks = table_value("thresholds_repair", "mechanism", "figure", "ADDDC", r"needs x(\d+) and >=(\d+) ranks")
    assert (numbers.SPARING_WIDTH.value, numbers.SPARING_RANKS_MIN.value) == (width, ranks)


def test_error_check_and_scrub_has_the_thresholds_of_cxl_and_the_period_of_the_table():
    # CXL 3.1 table 8-210 codes the threshold in three bits: 011b, the default, is 256, and each step is 4 times more.
    codes = (0b011, 0b100, 0b101)
    assert numbers.ECS_THRESHOLDS.value == tuple(4 ** (code + 1) for code in codes)
    assert numbers.ECS_THRESHOLD.value == 4 ** (codes[0] + 1)
    assert table_value("thresholds_repair", "mechanism", "figure", "ECS period", r"(\d+)") == [numbers.ECS_HOURS.value]


def test_a_bank_group_has_the_spare_rows_of_the_whitepaper():
    (rows,) = table_value("thresholds_repair", "mechanism", "figure", "PPR DDR4", r">=(\d+) spare row per bank group")
    assert numbers.SPARE_ROWS.value == rows


@pytest.mark.parametrize(
    ("number", "row", "pattern"),
    [
        (numbers.REPLACE_CE_INTEL, "Intel default CE threshold", r"(\d+) in 24 h"),
        (numbers.REPLACE_CE_ORACLE, "Oracle CE replacement", r"(\d+) in 24 h"),
        (numbers.REPLACE_CE_MCELOG, "mcelog.conf dimm", r"CE (\d+) in 24 h"),
    ],
)
def test_limits_of_corrected_errors_are_those_of_the_table(number, row, pattern):
    assert [number.value] == table_value("thresholds_repair", "mechanism", "figure", row, pattern)


@pytest.mark.parametrize(
    ("number", "row"),
    [
        (numbers.RASDAEMON_CE, "rasdaemon page"),
        (numbers.RASDAEMON_ROW_CE, "rasdaemon row"),
        (numbers.MCELOG_PAGE_CE, "mcelog.conf page"),
    ],
)
def test_thresholds_of_daemons_are_those_of_their_sources(number, row):
    (text,) = (row_of["figure"] for row_of in read_table("thresholds_repair") if row_of["mechanism"] == row)
    found = re.search(r"(\d+) in (\d+) h|(\d+) in (\d+)", text)
    assert found is not None
    threshold, hours = (int(part) for part in found.groups() if part)
    assert (number.value, numbers.DAEMON_AGE_HOURS.value) == (threshold, hours)


def test_mcelog_took_pages_offline_at_ten_errors_before_2024_09():
    assert numbers.MCELOG_PAGE_CE_2024.value == 10  # kernel_semantics.md 9.4: "10 / 24h" until then


def test_the_kernel_counts_in_ten_bits_and_acts_at_two_on_intel_since_6_1():
    # kernel_semantics.md 9.2: 4.12 on; 4.12 to 5.3 one error more; Intel since 6.1: 2.
    assert numbers.CEC_CE.value == (1 << 10) - 1
    assert numbers.CEC_CE_INTEL.value == 2
    assert numbers.CEC_KERNELS.value == ("4.18", "5.10", "6.1")


def test_lognormal_sigmas_add_up_to_the_published_concentration():
    total = (numbers.CE_SIGMA_FAULT.value**2 + numbers.CE_SIGMA_WINDOW.value**2) ** 0.5
    low, high = table_value("ce_process", "quantity", "value", "starting value", r"sigma ([\d.]+) to ([\d.]+)")
    assert min(low, high) <= total <= max(low, high)


def test_the_memory_failure_queue_has_16_entries():
    assert numbers.QUEUE_ENTRIES.value == 16


def test_records_of_banks_wait_in_a_ring_of_16_less_one_and_later_in_two_pages_of_records():
    assert numbers.RING_ENTRIES.value == 16 - 1
    assert numbers.POOL_RECORDS.value == 80  # "~80 records", and the minimum since 6.12


def test_the_channels_of_a_socket_are_those_of_the_measured_address_map():
    measured = {row["mapping"] for row in read_table("pages_per_fault") if row["confidence"] == "measured-here"}
    (channels,) = (int(match[1]) for name in measured if (match := re.search(r"Intel (\d+) channels", name)))
    assert numbers.CHANNELS.value == channels


def test_the_default_server_has_the_commonest_number_of_dimm_slots():
    rows = [row for row in read_table("alibaba_population") if row["quantity"] == "servers with n DIMM slots"]
    commonest = max(rows, key=lambda row: int(row["value"]))
    assert numbers.SOCKETS.value * numbers.CHANNELS.value * numbers.DIMMS_PER_CHANNEL.value == int(commonest["key"])


def test_the_speed_exponent_is_that_of_the_published_ratio():
    (row,) = (row for row in read_table("fleet_outcomes") if row["metric"] == "2400 against 1066 Mbps")
    exponent = math.log(float(row["value"])) / math.log(2400 / 1066)
    assert numbers.SPEED_EXPONENT.value == pytest.approx(exponent, abs=0.0005)


def test_the_quarter_hour_cap_is_the_one_seen_in_the_huawei_windows():
    (cap,) = table_value(
        "ce_process", "quantity", "fitted_or_derived", "CE in the last 15 min", r"near (\d+) per 15 min"
    )
    assert numbers.CE_CAP_PER_QUARTER_HOUR.value == cap


def test_wearout_sets_in_at_the_published_ages():
    months = table_value("ce_process", "quantity", "value", "CE rate rises with age", r"from (\d+) to (\d+) months")
    assert list(numbers.WEAROUT_MONTHS.value) == months


def test_storms_of_corrected_errors_follow_the_kernel():
    # kernel_semantics.md 10.6: above 15 in one second a poll every 30 s; 5 in 64 s, then one every second.
    assert {name: rule.value for name, rule in numbers.CMCI_STORMS.items()} == {
        "poll_30s": (15.0, 30.0),
        "poll_1s": (5 / 64, 1.0),
    }


def test_kernels_rule_storms_as_their_eras_say():
    # kernel_semantics.md 10.6: 3.10 to 6.7, 6.8 to the latest; AMD from 6.19 with the rule of 6.8.
    found = {
        (way, rule): kernels.value for way, of in numbers.CMCI_STORM_KERNELS.items() for rule, kernels in of.items()
    }
    assert found == {
        ("intel", "poll_30s"): ("3.10", "6.1"),
        ("intel", "poll_1s"): ("6.12", None),
        ("amd", "poll_1s"): ("7.1", None),
    }
    assert found.keys() >= {("intel", rule) for rule in numbers.CMCI_STORMS}


SECOND_READ = {
    "SPEED_EXPONENT",
    "CE_CAP_PER_QUARTER_HOUR",
    "WEAROUT_MONTHS",
    *EXTENTS_OF_A_FAULT,
    "CE_CAP_PER_DAY",
    "CE_SCRUB_SHARE",
    "SCRUB_HOURS",
    "SCRUB_GB_PER_DAY",
    "QUEUE_ENTRIES",
    "RING_ENTRIES",
    "POOL_RECORDS",
    "CHANNELS",
    "DIMMS_PER_CHANNEL",
    "SPARING_WIDTH",
    "SPARING_RANKS_MIN",
    "SPARE_ROWS",
    "ECS_THRESHOLD",
    "ECS_THRESHOLDS",
    "ECS_HOURS",
    "REPLACE_CE_INTEL",
    "REPLACE_CE_ORACLE",
    "REPLACE_CE_MCELOG",
    "RASDAEMON_CE",
    "RASDAEMON_ROW_CE",
    "MCELOG_PAGE_CE",
    "MCELOG_PAGE_CE_2024",
    "DAEMON_AGE_HOURS",
    "CEC_CE",
    "CEC_CE_INTEL",
    "CEC_KERNELS",
}


def test_every_published_number_has_a_second_reading_here():
    assert set(PUBLISHED) == SECOND_READ


@pytest.mark.parametrize("number", [*PUBLISHED.values(), *RATES], ids=lambda n: f"{n.value}")
def test_every_published_number_has_unit_source_and_confidence(number):
    assert number.unit
    assert len(number.source) > 10
    assert number.confidence in CONFIDENCES


@pytest.mark.parametrize("name", ASSUMED)
def test_every_assumption_lies_in_its_range_and_has_a_reason(name):
    assumed = ASSUMED[name]
    assert assumed.low <= assumed.value <= assumed.high
    assert assumed.low < assumed.high
    assert len(assumed.why) > 10
    assert assumed.unit


@pytest.mark.parametrize("name", workloads.WORKLOADS)
def test_a_named_workload_is_a_valid_workload(name):
    table = workloads.WORKLOADS[name]
    workload = Workload(
        tenancy_days=table["tenancy_days"],
        use=Use(**table["use"]),
        process=tuple(Process(**process) for process in table["process"]),
    )
    assert sum(workload.use.shares()) == pytest.approx(1.0, abs=1e-9)
    assert {process.kind.upper() for process in workload.process} <= set(ProcessClass.__members__)


def test_the_default_use_of_memory_is_that_of_the_web_workload():
    assert dataclasses.asdict(Policy().workload.use) == workloads.WORKLOADS["web"]["use"]


def test_pages_of_every_block_use_are_refined_completely():
    assert set(workloads.PAGE_REFINEMENT) == set(workloads.BLOCK_USES)
    assert [sum(shares.values()) for shares in workloads.PAGE_REFINEMENT.values()] == pytest.approx([1.0] * 8)


def test_what_the_kernels_blocks_are_used_for_is_changed_on_purpose_only():
    # Nobody published the split, and what the handler can do about these pages hangs on it.
    assert workloads.PAGE_REFINEMENT["kernel"] == {"reserved": 0.15, "slab": 0.60, "page table": 0.25}


def test_every_page_use_occurs_in_exactly_one_block_use():
    uses = [use for shares in workloads.PAGE_REFINEMENT.values() for use in shares]
    assert sorted(uses) == sorted(use.text for use in PageUse)


def test_accesses_of_every_page_use_add_up_to_one_or_to_none():
    assert set(workloads.ACCESS_SHARES) == {use.text for use in PageUse}
    totals = {use: sum(shares) for use, shares in workloads.ACCESS_SHARES.items()}
    assert [totals.pop(use) for use in ("free", "hugetlb free", "hugetlb 1G free")] == [0.0, 0.0, 0.0]
    assert list(totals.values()) == pytest.approx([1.0] * len(totals))


def test_the_levels_of_modes_follow_the_medians_of_dimms_that_did_not_fail():
    medians = {
        row["mode"]: float(row["ce_p50"])
        for row in read_table("ce_count_by_mode")
        if (row["platform"], row["outcome"]) == ("purley", "not failed")
    }
    levels = Levels()
    found = {"cell": levels.bit, "row": levels.row, "column": levels.column}
    found |= {"bank": levels.bank, "multi_bank": levels.multi_bank}
    # One factor for all, within what the levels are assumed to be right to: a factor of two.
    ratio = {mode: medians[mode] / level for mode, level in found.items()}
    assert max(ratio.values()) / min(ratio.values()) < 4.0


@pytest.mark.parametrize("table", RATE_TABLES)
def test_the_bit_factor_multiplies_the_rates_of_bits_soft_and_hard_and_no_others(table):
    usual, more = (table_rates(table, 18, bit_factor=factor) for factor in (1.0, 8.8))
    bits = usual.mode == Mode.BIT
    assert np.bincount(usual.hard[bits]).tolist() == [1, 1]
    assert more.per_year / usual.per_year == pytest.approx(np.where(bits, 8.8, 1.0), rel=1e-12)
