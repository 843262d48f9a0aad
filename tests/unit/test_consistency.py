"""Settings that make no sense together: each rule refuses its case, and passes what lies beside it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner, Result

from analysis import open_run
from fleet.cli import main
from fleet.scenario.decode import decode
from fleet.scenario.document import parse, put, read_text, scenario_names
from fleet.scenario.notices import notices
from node_sim.codes import ErrorKind, Observer
from node_sim.draws import Seed
from node_sim.errors import ConfigError
from node_sim.lives.block import simulate_block
from node_sim.server.consistency import REFUSED
from node_sim.server.daemons import DAEMONS
from node_sim.server.policy import Detection, ErrorProcess, Policy
from node_sim.server.remarks import NOTED
from node_sim.units import NS_PER_YEAR
from tests.handmade import corrected_windows, faults_of

DDR2, DDR3, DDR5 = ({"server.part": part} for part in ("ddr2_1gb_x4", "ddr3_4gb_x4", "ddr5_16gb_x4"))
NONE = {"ecc.code": "none"}
OLD = {"kernel.profile": "2.6.32"}
THP = {"workload.use.thp": 0.17}
NO_THP = {"workload.use.thp": 0.0, "workload.use.anonymous": 0.47}
FIRMWARE, AMD = {"platform.reporting": "firmware_first"}, {"platform.reporting": "amd"}
NO_MEMORY_OF_ITS_OWN = {"workload.use.thp": 0.0, "workload.use.anonymous": 0.0, "workload.use.free": 0.59}
NO_FILES = {"workload.use.file": 0.0, "workload.use.free": 0.42}
NO_TMPFS = {"workload.use.tmpfs": 0.0, "workload.use.free": 0.15}
SDDC = {"ecc.code": "sddc_table"}
RISKS = ("share_2dq", "share_3dq", "share_4dq", "low", "high", "tail_2dq", "tail_3dq", "tail_4dq", "tail_sigma")
NEVER_REPEATED = dict.fromkeys(("ecc.risk.share_2dq", "ecc.risk.share_3dq", "ecc.risk.share_4dq"), 0.0)
GROWTH_SHARES = ("share_1x1", "share_1xm", "share_2dq", "share_3dq", "share_4dq", "second_device")
ONE_DIMM = {"server.sockets": 1, "server.channels": 1, "server.dimms_per_channel": 1}
TECHNICIAN = ("technician_days", "technician_sigma")
BUCKET, BOOT = ({"page_offline.counting": law} for law in ("bucket", "boot"))
CEC = {"page_offline.daemon": "cec"}
STORMS = ("poll_30s", "poll_1s")


def document(**groups: dict) -> dict:
    """Groups with settings given by dotted keys."""
    made: dict = {"group": {name: {"share": 1.0 / len(groups)} for name in groups}}
    for name, settings in groups.items():
        for key, value in settings.items():
            put(made["group"][name], key.split("."), value)
    return made


def call(*arguments: object, code: int = 0) -> Result:
    """Call the command line."""
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done


def refusals(settings: dict) -> list[str]:
    """What is said of a group with some settings."""
    try:
        decode("x.toml", document(a=settings))
    except ConfigError as error:
        return str(error).splitlines()
    return []


SENSELESS = [
    (
        "errors.storm = 'poll_1s', expected 'none' with platform.reporting = 'firmware_first'",
        FIRMWARE | {"errors.storm": "poll_1s"},
    ),
    ("errors.storm = 'poll_30s', expected 'none' with platform.reporting = 'amd'", AMD | {"errors.storm": "poll_30s"}),
    (
        "errors.storm = 'poll_1s', expected 'poll_30s' or 'none' with kernel.profile = '6.1'",
        {"errors.storm": "poll_1s"},
    ),
    ("errors.burst_days = 26.0, expected at most burst_interval_days = 25", {"errors.burst_days": 26.0}),
    (
        "errors.intermittent_days = 121.0, expected at most intermittent_interval_days = 120",
        {"errors.intermittent_days": 121.0},
    ),
    (
        "errors.ce_cap_per_quarter_hour = 100, expected at most ce_cap_per_day = 99",
        {"errors.ce_cap_per_day": 99},
    ),
    (
        "errors.firmware_threshold = 7201, expected one that the log reaches",
        {"errors.firmware_threshold": 7201},
    ),
    (
        "workload.file_system = 'overlay', expected another with kernel.profile = '3.10'",
        {"workload.file_system": "overlay", "kernel.profile": "3.10"},
    ),
    (
        "workload.large_folio_share = 0.5, expected 0 with workload.file_system = 'ext4' and kernel.profile = '6.1'",
        {"workload.large_folio_share": 0.5},
    ),
    ("page_offline.ce_threshold = 7201, expected at most 7200", {"page_offline.ce_threshold": 7201}),
    (
        "page_offline.row_columns = 7201, expected at most 7200",
        {"page_offline.scope": "row", "page_offline.row_columns": 7201},
    ),
    (
        "page_offline.row_columns = 4, expected 0 with page_offline.scope = 'page'",
        {"page_offline.ce_threshold": 10, "page_offline.row_columns": 4},
    ),
    (
        "page_offline.ce_threshold = 14401, expected at most 14400, which is all that the windows of page_offline.age",
        BUCKET | {"page_offline.ce_threshold": 14_401},
    ),
    (
        "page_offline.row_columns = 4, expected 0 with page_offline.counting = 'bucket'",
        BUCKET | {"page_offline.scope": "row", "page_offline.row_columns": 4},
    ),
    (
        "page_offline.counting = 'boot', expected 'window' or 'bucket' with page_offline.scope = 'row'",
        BOOT | {"page_offline.scope": "row", "page_offline.ce_threshold": 4},
    ),
    *(
        (
            f"page_offline.daemon = 'mcelog', expected 'none' with page_offline.{name} = {value!r}",
            {"page_offline.daemon": "mcelog", f"page_offline.{name}": value},
        )
        for name, value in (("ce_threshold", 5), ("row_columns", 4), ("counting", "bucket"), ("age_hours", 12.0))
    ),
    (
        "page_offline.daemon = 'mrt', expected 'none' with page_offline.scope = 'row'",
        {"page_offline.daemon": "mrt", "page_offline.scope": "row"},
    ),
    ("page_offline.daemon = 'cec', expected another with kernel.profile = '3.10'", CEC | {"kernel.profile": "3.10"}),
    (
        "page_offline.daemon = 'cec', expected another with kernel.memory_failure = false",
        CEC | {"kernel.memory_failure": False},
    ),
    (
        "page_offline.row_columns = 4, expected 0 with ecc.code = 'none'",
        NONE | {"page_offline.scope": "row", "page_offline.row_columns": 4},
    ),
    (
        "repair.replace_ce = 21, expected at most 20",
        {"repair.replace_ce": 21, "errors.ce_cap_per_day": 80, "errors.ce_cap_per_quarter_hour": 80}
        | {"errors.window_hours": 12.0, "errors.firmware_threshold": 2},
    ),
    (
        "ecc.sparing_ce = 5, expected at most 4",
        {
            "ecc.sparing": "adddc_bank",
            "ecc.sparing_ce": 5,
            "errors.window_hours": 1.0,
            "errors.ce_cap_per_quarter_hour": 1,
        },
    ),
    (
        "ecc.sparing = 'adddc_bank', expected 'none' with code = 'secded'",
        {"ecc.sparing": "adddc_bank", "ecc.code": "secded"},
    ),
    (
        "ecc.sparing = 'adddc_bank', expected 'none' with server.ranks = 1",
        {"ecc.sparing": "adddc_bank", "server.ranks": 1},
    ),
    ("ecc.ecs = 'rows', expected 'off' with code = 'chipkill'", {"ecc.ecs": "rows"}),
    ("ecc.mirroring = True, expected False with ecc.code = 'none'", NONE | {"ecc.mirroring": True}),
    ("ecc.mirroring = True, expected False with server.channels = 1", {"ecc.mirroring": True, "server.channels": 1}),
    ("page_offline.ce_threshold = 1, expected 0 with ecc.code = 'none'", NONE | {"page_offline.ce_threshold": 1}),
    ("page_offline.daemon = 'cec', expected 'none' with ecc.code = 'none'", NONE | CEC),
    ("repair.replace_ce = 1, expected 0 with ecc.code = 'none'", NONE | {"repair.replace_ce": 1}),
    ("repair.map_out = True, expected False with ecc.code = 'none'", NONE | {"repair.map_out": True}),
    (
        "own_policy.function = 'm:f', expected '' where a daemon counts errors",
        {"own_policy.function": "m:f", "page_offline.ce_threshold": 1},
    ),
    (
        "own_policy.function = 'm:f', expected '' where a daemon counts errors",
        {"own_policy.function": "m:f", "page_offline.daemon": "mcelog"},
    ),
    (
        "page_offline.counting = 'bucket', expected 'window' with page_offline.scope = 'bank'",
        BUCKET | {"page_offline.scope": "bank", "page_offline.ce_threshold": 1},
    ),
    ("repair.ppr = 'soft', expected 'off' with ecc.code = 'none'", NONE | {"repair.ppr": "soft"}),
    ("repair.ppr = 'soft', expected 'off' with server.part = 'ddr2_1gb_x4'", DDR2 | {"repair.ppr": "soft"}),
    ("repair.ppr = 'hard', expected 'off' with server.part = 'ddr3_4gb_x4'", DDR3 | {"repair.ppr": "hard"}),
    (
        "platform.writeback_report = 'srao', expected 'none' with platform.reporting = 'firmware_first'",
        FIRMWARE | {"platform.writeback_report": "srao"},
    ),
    (
        "platform.writeback_report = 'srao', expected 'none' with platform.mca_recovery = false",
        {"platform.writeback_report": "srao", "platform.mca_recovery": False},
    ),
    ("repair.replace_ecs = True, expected False with ecc.ecs = 'off'", {"repair.replace_ecs": True}),
    (
        "repair.replace_risky = True, expected False with x8 devices, whose pins have no such halves",
        {"repair.replace_risky": True, "ecc.code": "secded", "server.part": "ddr4_16gb_x8"},
    ),
    (
        "detection.hot_interval_s = 3601.0, expected at most cold_interval_hours = 1,",
        {"detection.hot_interval_s": 3601.0, "detection.cold_interval_hours": 1.0},
    ),
    ("workload.use.thp = 0.17, expected 0 with kernel.profile = '2.6.32'", OLD | THP),
    (
        "kernel.profile = '3.10', expected 4.18 or later with platform.reporting = 'amd'",
        AMD | {"kernel.profile": "3.10"},
    ),
]
"""The start of what is said, and the settings that call for it."""

SENSIBLE = [
    *({"kernel.profile": profile, "errors.storm": "poll_30s"} for profile in ("3.10", "4.18", "5.10", "6.1")),
    *({"kernel.profile": profile, "errors.storm": "poll_1s"} for profile in ("6.12", "7.1")),
    AMD | {"kernel.profile": "7.1", "errors.storm": "poll_1s"},
    {"errors.burst_days": 25.0},
    {"errors.intermittent_days": 120.0},
    {"errors.ce_cap_per_day": 100},
    {"errors.firmware_threshold": 7200},
    {"page_offline.scope": "row", "page_offline.row_columns": 4},
    {"page_offline.ce_threshold": 7200, "repair.replace_ce": 7200},
    BUCKET | {"page_offline.ce_threshold": 14_400},
    BUCKET | {"page_offline.scope": "row", "page_offline.ce_threshold": 50},
    BOOT | {"page_offline.ce_threshold": 100_000},
    CEC | {"kernel.profile": "4.18"},
    *({"page_offline.daemon": name} for name in DAEMONS),
    {"errors.window_hours": 48.0, "repair.replace_ce": 14_400},
    {"errors.window_hours": 1.0, "errors.ce_cap_per_quarter_hour": 1, "page_offline.ce_threshold": 4},
    {"ecc.mirroring": True, "ecc.code": "secded", "server.channels": 2},
    NONE,
    {"repair.ppr": "hard"},
    DDR5 | {"ecc.code": "ddr5", "repair.ppr": "hard", "ecc.ecs": "rows", "repair.replace_ecs": True},
    DDR3 | {"ecc.sparing": "adddc_bank"},
    {"detection.hot_interval_s": 3600.0, "detection.cold_interval_hours": 1.0},
    OLD | NO_THP,
    {"kernel.profile": "3.10"},
    AMD | {"kernel.profile": "3.10", "platform.mca_recovery": False},
    AMD | {"kernel.profile": "4.18"},
    {"platform.writeback_report": "srao", "platform.data_load_recovery": False},
    FIRMWARE | {"platform.data_load_recovery": False},
]


@pytest.mark.parametrize(("start", "settings"), SENSELESS)
def test_what_cannot_be_meant_is_refused_once_with_what_was_expected_and_what_to_do(start, settings):
    (line,) = refusals(settings)
    assert line.startswith(f"x.toml: group.a.{start}")
    assert "(" in line or ", or " in line


@pytest.mark.parametrize("settings", SENSIBLE)
def test_what_lies_beside_it_is_allowed(settings):
    assert refusals(settings) == []


@pytest.mark.parametrize("profile", ["2.6.32", "3.10", "4.18", "5.10", "6.1", "6.12", "7.1"])
@pytest.mark.parametrize("way", ["intel", "amd", "firmware_first"])
def test_a_storm_rule_is_refused_unless_the_kernel_has_it(profile, way):
    settings = {"kernel.profile": profile, "platform.reporting": way, "platform.mca_recovery": way != "amd"} | NO_THP
    has = {
        ("intel", "poll_30s"): ("3.10", "4.18", "5.10", "6.1"),
        ("intel", "poll_1s"): ("6.12", "7.1"),
        ("amd", "poll_1s"): ("7.1",),
    }
    for storm in STORMS:
        said = refusals(settings | {"errors.storm": storm})
        assert (said == []) == (profile in has.get((way, storm), ())), (storm, said)
        assert len(said) <= 1


def test_every_refusal_has_a_case():
    keys = [start.split(" = ")[0] for start, _ in SENSELESS]
    assert {rule.key for rule in REFUSED} == set(keys)
    assert len(SENSELESS) >= len(REFUSED) - 1  # sparing on x8 devices needs a code of its own
    assert any(
        "with x8 devices" in line for line in refusals({"server.part": "ddr4_8gb_x8", "ecc.sparing": "adddc_bank"})
    )


def test_all_mistakes_of_all_groups_and_arms_are_told_at_once():
    made = document(a=OLD | THP | {"errors.burst_days": 26.0}, b={"ecc.code": "secded"})
    made["arm"] = {"x": {}, "y": {"set": {"ecc.sparing": "adddc_bank", "repair.replace_ce": 7201}, "groups": ["b"]}}
    with pytest.raises(ConfigError) as caught:
        decode("x.toml", made)
    where = [line.split(" = ")[0] for line in str(caught.value).splitlines()]
    assert where == [
        "x.toml: group.a.errors.burst_days",
        "x.toml: group.a.workload.use.thp",
        "x.toml: arm.y: group.b.repair.replace_ce",
        "x.toml: arm.y: group.b.ecc.sparing",
    ]


def test_a_named_workload_has_no_huge_pages_under_a_kernel_without_them():
    young, old = (decode("x.toml", document(a=settings)).groups[0].policies[0] for settings in ({}, OLD))
    use, other = young.workload.use, old.workload.use
    assert use.thp > 0
    assert (other.thp, other.anonymous) == (0.0, pytest.approx(use.thp + use.anonymous))
    assert (other.free, other.kernel, other.file) == (use.free, use.kernel, use.file)


def test_a_refusal_at_the_command_line_ends_with_code_2_and_no_traceback(tmp_path):
    done = call("run", "-o", tmp_path / "run", "--nodes", "100", "--set", "errors.storm=poll_1s", code=2)
    assert done.stderr.count("error: ") == len(done.stderr.splitlines()) == 1
    assert "groups sddc, altitude, secded: errors.storm" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", scenario_names())
def test_shipped_scenarios_deserve_no_notice(name):
    assert notices(decode(name, parse(name, read_text(name)[1]))) == []


# ---- notices -----------------------------------------------------------------------------------------------------

IDLE = [
    ("platform.scrub_report", AMD | {"platform.scrub_report": "srao"}, "only Intel's"),
    ("platform.scrub_report", FIRMWARE | {"platform.scrub_report": "ucna"}, "only Intel's"),
    ("platform.scrub_report", {"platform.scrub_report": "srao", "platform.mca_recovery": False}, "fatal"),
    ("platform.scrub_report", {"platform.scrub_report": "srao", "detection.scrub_hours": 0.0}, "no scrubber"),
    ("errors.scrub_share", {"errors.scrub_share": 0.1, "detection.scrub_hours": 0.0}, "no scrubber"),
    ("platform.partial_write_share", {"platform.partial_write_share": 0.1}, "writeback_report"),
    ("platform.data_load_recovery", AMD | {"platform.data_load_recovery": False}, "only Intel's"),
    ("platform.data_load_recovery", {"platform.data_load_recovery": False, "platform.mca_recovery": False}, "fatal"),
    *(
        (f"platform.{name}", {f"platform.{name}": 0.1, "platform.data_load_recovery": False}, "every load")
        for name in ("controller_first_share", "copy_share", "page_copy_share")
    ),
    ("platform.deferred_interrupt", {"platform.deferred_interrupt": False}, "AMD"),
    ("platform.physical_address", FIRMWARE | {"platform.physical_address": True}, "AMD"),
    ("platform.firmware_latency_s", {"platform.firmware_latency_s": 3.0}, "no firmware"),
    ("platform.bank_busy_s", FIRMWARE | {"platform.bank_busy_s": 3.0}, "reads the banks"),
    ("platform.controller_first_share", FIRMWARE | {"platform.controller_first_share": 0.1}, "hides"),
    *(
        (f"platform.{name}", {f"platform.{name}": 0.1, "platform.mca_recovery": False}, "fatal")
        for name in ("controller_first_share", "copy_share", "page_copy_share", "device_fatal_share", "work_latency_s")
    ),
    *(
        (key, {key: value, "kernel.memory_failure": False}, "not built in")
        for key, value in (
            ("kernel.memory_failure_early_kill", 1),
            ("kernel.memory_failure_recovery", 0),
            ("kernel.thp_split_p", 0.5),
            ("kernel.fsync_s", 1.0),
            ("platform.work_latency_s", 1.0),
        )
    ),
    (
        "kernel.memory_failure_early_kill",
        {"kernel.memory_failure_early_kill": 1, "kernel.memory_failure_recovery": 0},
        "panics",
    ),
    ("kernel.fsync_s", {"kernel.fsync_s": 1.0, "kernel.memory_failure_recovery": 0}, "panics"),
    ("ecc.command_retry", DDR3 | {"ecc.command_retry": True}, "DDR4 was the first"),
    *(
        (key, {key: value, "faults.command_address_fit": 0.0}, "no command/address faults")
        for key, value in (
            ("ecc.command_retry", False),
            ("faults.command_address_transient_share", 0.1),
            ("errors.level.command_address", 2.0),
        )
    ),
    *(
        (f"faults.growth.{name}", {f"faults.growth.{name}": 0.2, "faults.growth.factor": 0.0}, "no fault grows")
        for name in (*GROWTH_SHARES, "hours_low", "years_high")
    ),
    ("ecc.risk.grown_low", SDDC | {"ecc.risk.grown_low": 0.1, "faults.growth.factor": 0.0}, "no fault grows"),
    ("ecc.risk.grown_low", NONE | {"ecc.risk.grown_low": 0.1}, "'none'"),
    ("ecc.risk.grown_low", {"ecc.risk.grown_low": 0.1, "faults.growth.second_device": 0.0}, "second_device = 0"),
    *((f"ecc.risk.{name}", {f"ecc.risk.{name}": 0.04}, "'sddc_table'") for name in RISKS),
    *(
        (f"ecc.risk.{name}", SDDC | {f"ecc.risk.{name}": 0.04} | NEVER_REPEATED, "no fault repeats")
        for name in ("low", "high")
    ),
    ("kernel.thp_split_p", NO_THP | {"kernel.thp_split_p": 0.5}, "use.thp = 0"),
    ("workload.shared.forked", NO_MEMORY_OF_ITS_OWN | {"workload.shared.forked": 0.5}, "use.thp = 0"),
    ("workload.shared.mapped_file", NO_FILES | {"workload.shared.mapped_file": 0.5}, "use.file = 0"),
    ("workload.shared.tmpfs", NO_TMPFS | {"workload.shared.tmpfs": 0.5}, "use.tmpfs = 0"),
    ("repair.map_out", {"repair.map_out": True, "ecc.mirroring": True}, "no UE is noticed"),
    ("repair.map_out", {"repair.map_out": True} | ONE_DIMM, "the only DIMM"),
    *((f"repair.{name}", {f"repair.{name}": 0.5}, "map_out = false") for name in TECHNICIAN),
    *(
        (f"repair.{name}", {f"repair.{name}": 0.5, "repair.map_out": True, "repair.cordon.ue": 1}, "every panic")
        for name in TECHNICIAN
    ),
    ("ecc.sparing_ce", {"ecc.sparing_ce": 5}, "sparing"),
    ("ecc.locator_bits", {"ecc.locator_bits": 12}, "no such locator"),
    ("ecc.variant", {"ecc.variant": "random"}, "no such locator"),
    ("ecc.ecs_threshold", {"ecc.ecs_threshold": 1024}, "ecs"),
    ("ecc.ecs_hours", {"ecc.ecs_hours": 12.0}, "ecs"),
    ("faults.rates", DDR5 | {"ecc.code": "ddr5", "faults.rates": "ddr2_jaguar"}, "DDR2"),
    ("page_offline.scope", {"page_offline.scope": "row"}, "nothing is counted"),
    ("page_offline.counting", BUCKET, "nothing is counted"),
    ("page_offline.age_hours", {"page_offline.ce_threshold": 2, "page_offline.age_hours": 12.0}, "no bucket"),
    ("page_offline.daemon", CEC | {"repair.replace_ce": 10}, "shows the corrected errors"),
    ("detection.hot_interval_s", {"detection.hot_interval_s": 5.0, "detection.hot_share": 0.0}, "hot_share"),
    ("detection.cold_interval_hours", {"detection.cold_interval_hours": 5.0, "detection.hot_share": 1.0}, "hot_share"),
]


@pytest.mark.parametrize(("key", "settings", "why"), IDLE)
def test_a_setting_without_effect_that_is_written_down_gets_a_notice(key, settings, why):
    found = [notice for notice in notices(decode("x.toml", document(a=settings))) if notice.key == key]
    assert [why in notice.why for notice in found].count(True) == 1
    unwritten = {name: value for name, value in settings.items() if name != key}
    assert key not in [notice.key for notice in notices(decode("x.toml", document(a=unwritten)))]


PHYSICAL = ("faults", "ecc", "errors", "workload", "kernel", "repair")
MEANT_OTHERWISE = ("DDR2", "DDR4 was the first")
"""Why something is worth a notice that does have an effect."""


@pytest.mark.parametrize(
    ("key", "settings"),
    [(key, some) for key, some, why in IDLE if key.split(".")[0] in PHYSICAL and why not in MEANT_OTHERWISE],
)
def test_a_setting_that_is_said_to_have_no_effect_moves_no_row(key, settings):
    busy = {"faults.fit_factor": 20.0, "faults.command_address_fit": 300.0, "faults.growth.factor": 3.0, **settings}
    rows = []
    for some in (busy, {name: value for name, value in busy.items() if name != key}):
        (group,) = decode("x.toml", document(a=some)).groups
        block = simulate_block(Seed.of(8), np.arange(100), group.hardware, group.policies, NS_PER_YEAR)
        tables = [("faults", block.faults), *(item for part in block.parts for item in part.tables.items())]
        rows.append([(table, name, cells.tolist()) for table, of in tables for name, cells in of.items()])
    assert rows[0] == rows[1]
    assert {table for table, *_ in rows[0]} >= {"faults", "errors"}


def test_a_share_of_one_kind_of_growth_does_nothing_to_the_times_of_another():
    none = {f"faults.growth.{name}": 0.0 for name in GROWTH_SHARES}
    timed = {"faults.growth.hours_low": 2.0, "ecc.risk.grown_low": 0.1}
    told = [
        {notice.key for notice in notices(decode("x.toml", document(a=timed | some)))}
        for some in (none, none | {"faults.growth.second_device": 0.1}, {})
    ]
    assert told == [set(timed), set(), set()]


def test_every_remark_has_a_case():
    assert {rule.key for rule in NOTED} == {key for key, _, _ in IDLE}
    assert len(IDLE) == len(NOTED) + 2  # two ways of reporting leave scrub_report alone, two codes grown_low


def test_a_notice_names_the_groups_and_arms_it_is_about():
    retried = {"ecc.command_retry": True}
    made = document(a=DDR3 | retried, b=DDR3 | retried, c=retried, d=DDR3)
    late = {"kernel.memory_failure_early_kill": 1, "kernel.memory_failure_recovery": 0}
    made["arm"] = {"x": {}, "y": {"set": late, "groups": ["c", "d"]}}
    assert [(notice.key, notice.groups, notice.arms) for notice in notices(decode("x.toml", made))] == [
        ("ecc.command_retry", ("a", "b"), ("x", "y")),
        ("kernel.memory_failure_early_kill", ("c", "d"), ("y",)),
    ]


def test_notices_are_lines_beside_errors_and_part_of_the_documents(tmp_path):
    settings = ("--set", "platform.reporting=amd", "--set", "platform.scrub_report=srao")
    root = tmp_path / "run"
    done = call("run", "-o", root, "--nodes", "30", "--arm", "default", "--json", *settings)
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("notice: "))
    assert line.startswith(
        "notice: platform.scrub_report = 'srao' (groups sddc, altitude, secded; arm default): has no effect"
    )
    text = line.removeprefix("notice: ")
    assert json.loads(done.stdout)["notices"] == [text]
    assert json.loads((root / "plan.json").read_text())["notices"] == [text]
    shown = call("scenario", "show", "--json", "--sample", "0", *settings)
    assert len(json.loads(shown.stdout)["notices"]) == 1


# ---- no scrubber -------------------------------------------------------------------------------------------------


def test_without_a_scrubber_no_corrected_error_names_it():
    faults = faults_of(*({"dimm": 0, "hard": hard} for hard in (True, False) for _ in range(200)))
    corrected = np.ones(faults.tag.size, np.bool_)
    found = {}
    for hours in (0.0, 24.0):
        policy = Policy(errors=ErrorProcess(scrub_share=1.0), detection=Detection(scrub_hours=hours))
        found[hours] = corrected_windows(Seed.of(5), faults, corrected, policy, NS_PER_YEAR).scrub
    assert not found[0.0].any()
    assert found[24.0].any()
    assert found[0.0].size > 100


def test_the_log_of_a_fleet_without_a_scrubber_says_demand(tmp_path):
    root = tmp_path / "run"
    more = ("--set", "detection.scrub_hours=0", "--set", "faults.fit_factor=20", "--set", "errors.scrub_share=1.0")
    call("run", "-o", root, "--nodes", "200", "--arm", "default", *more)
    rows = open_run(root).table("errors", arm="default").to_pylist()
    seen = {row["observer"] for row in rows if row["kind"] == ErrorKind.CE.text}
    assert seen == {Observer.DEMAND.text}
