"""Settings that have no effect where somebody has written them down, as a table; scenarios print a notice of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from node_sim.catalog.designs import DESIGNS
from node_sim.server.consistency import Asked, Rule
from node_sim.server.daemons import CEC, NO_DAEMON
from node_sim.server.hardware import Faults, Hardware
from node_sim.server.page_offline import OfflineScope
from node_sim.server.policy import Policy

_FIRMWARE, _AMD = "firmware_first", "amd"
_INERT = "has no effect"
_FATAL = "with platform.mca_recovery = false every read of poison is fatal"
_PANICS = "with kernel.memory_failure_recovery = 0 the handler panics before it comes to that"
_NO_SCRUBBER = "with detection.scrub_hours = 0 there is no scrubber"


def _never_handled(p: Policy, _: Asked) -> bool:
    return not p.kernel.memory_failure


def _all_fatal(p: Policy, _: Asked) -> bool:
    return not p.platform.mca_recovery


def _unscrubbed(p: Policy, _: Asked) -> bool:
    return p.detection.scrub_hours == 0 and p.detection.scrub_gb_per_day == 0


def _nothing_grows(faults: Faults) -> bool:
    growth = faults.growth
    shares = growth.share_1x1, growth.share_1xm, growth.share_2dq, growth.share_3dq, growth.share_4dq
    return growth.factor == 0 or not any((*shares, growth.second_device))


def _no_risk_table(p: Policy, _: Asked) -> bool:
    """Whether no table says which reads of one device are at risk because the code cannot tell devices apart."""
    design = DESIGNS[p.ecc.code]
    return design.by_algebra or not design.locator_bits


def _no_risk_of_growth(p: Policy, a: Asked) -> bool:
    """Whether what grows is no risk under the code: wider faults, and there are no second devices."""
    return p.ecc.code == "none" or (_no_risk_table(p, a) and a.hardware.faults.growth.second_device == 0)


NOTED: Final = (
    # --- who reports
    Rule(
        "platform.scrub_report",
        lambda p, _: p.platform.reporting != "intel",
        f"{_INERT}: only Intel's machine checks obey it, not platform.reporting = {{p.platform.reporting!r}}",
    ),
    Rule(
        "platform.scrub_report",
        lambda p, _: p.platform.reporting == "intel" and not p.platform.mca_recovery,
        f"{_INERT}: {_FATAL}",
    ),
    Rule(
        "platform.partial_write_share",
        lambda p, _: p.platform.writeback_report == "none",
        f"{_INERT}: platform.writeback_report = 'none'",
    ),
    Rule(
        "platform.data_load_recovery",
        lambda p, _: p.platform.reporting == _AMD,
        f"{_INERT}: only Intel's machine checks obey it, not platform.reporting = 'amd'",
    ),
    Rule(
        "platform.data_load_recovery",
        lambda p, _: p.platform.reporting != _AMD and not p.platform.mca_recovery,
        f"{_INERT}: {_FATAL}",
    ),
    *(
        Rule(
            f"platform.{name}",
            lambda p, _: p.platform.reporting != _AMD and p.platform.mca_recovery and not p.platform.data_load_recovery,
            f"{_INERT}: with platform.data_load_recovery = false every load of poison is fatal",
        )
        for name in ("controller_first_share", "copy_share", "page_copy_share")
    ),
    Rule("platform.scrub_report", _unscrubbed, f"{_INERT}: {_NO_SCRUBBER}"),
    Rule("errors.scrub_share", _unscrubbed, f"{_INERT}: {_NO_SCRUBBER}"),
    *(
        Rule(
            key,
            lambda p, _: p.platform.reporting != _AMD or not p.platform.mca_recovery,
            f"{_INERT}: only AMD's deferred errors obey it (platform.reporting = 'amd', mca_recovery = true)",
        )
        for key in ("platform.deferred_interrupt", "platform.physical_address")
    ),
    Rule(
        "platform.firmware_latency_s",
        lambda p, _: p.platform.reporting != _FIRMWARE,
        f"{_INERT}: no firmware handles errors first with platform.reporting = {{p.platform.reporting!r}}",
    ),
    Rule(
        "platform.bank_busy_s",
        lambda p, _: p.platform.reporting == _FIRMWARE,
        f"{_INERT}: a firmware that handles errors first reads the banks, within firmware_latency_s",
    ),
    Rule(
        "platform.controller_first_share",
        lambda p, _: p.platform.reporting == _FIRMWARE,
        f"{_INERT}: a firmware that handles errors first hides the record of the memory controller",
    ),
    *(
        Rule(f"platform.{name}", _all_fatal, f"{_INERT}: {_FATAL}")
        for name in ("controller_first_share", "copy_share", "page_copy_share", "device_fatal_share", "work_latency_s")
    ),
    # --- the kernel's handler
    *(
        Rule(key, _never_handled, f"{_INERT}: the handler is not built in (kernel.memory_failure = false)")
        for key in (
            "kernel.memory_failure_early_kill",
            "kernel.memory_failure_recovery",
            "kernel.thp_split_p",
            "kernel.fsync_s",
            "platform.work_latency_s",
        )
    ),
    Rule(
        "kernel.memory_failure_early_kill",
        lambda p, _: p.kernel.memory_failure_early_kill == 1 and p.kernel.memory_failure_recovery == 0,
        f"{_INERT}: {_PANICS}",
    ),
    Rule("kernel.fsync_s", lambda p, _: p.kernel.memory_failure_recovery == 0, f"{_INERT}: {_PANICS}"),
    # --- the daemon
    Rule(
        "page_offline.scope",
        lambda p, _: p.page_offline.by is not OfflineScope.PAGE and not p.page_offline.counts,
        f"{_INERT}: nothing is counted with page_offline.ce_threshold = 0 and row_columns = 0",
    ),
    Rule(
        "page_offline.counting",
        lambda p, _: not p.page_offline.counts and p.page_offline.daemon == NO_DAEMON,
        f"{_INERT}: nothing is counted with page_offline.ce_threshold = 0",
    ),
    Rule(
        "page_offline.age_hours",
        lambda p, _: p.page_offline.daemon == NO_DAEMON and p.page_offline.counting != "bucket",
        f"{_INERT}: there is no bucket with page_offline.counting = {{p.page_offline.counting!r}}",
    ),
    Rule(
        "page_offline.daemon",
        lambda p, _: p.page_offline.daemon == CEC and bool(p.repair.replace_ce or p.repair.replace_risky),
        "the kernel shows the corrected errors that it counts to no other daemon, so repair.replace_ce and "
        "replace_risky need a controller of the board that counts them",
    ),
    # --- repair
    Rule("repair.map_out", lambda p, _: p.ecc.mirroring, f"{_INERT}: with ecc.mirroring = true no UE is noticed"),
    Rule("repair.map_out", lambda _, a: a.hardware.server.dimms == 1, f"{_INERT}: the only DIMM of a node stays"),
    *(
        Rule(f"repair.{name}", when, f"{_INERT}: {why}")
        for name in ("technician_days", "technician_sigma")
        for when, why in (
            (lambda p, _: not p.repair.map_out, "nothing is mapped out with repair.map_out = false"),
            (
                lambda p, _: p.repair.map_out and p.repair.cordon.ue == 1,
                "with repair.cordon.ue = 1 every panic is followed by a cordon, whose repair replaces the DIMM",
            ),
        )
    ),
    # --- codes, faults and readers
    Rule(
        "ecc.command_retry",
        lambda p, a: p.ecc.command_retry and a.generation in ("ddr2", "ddr3"),
        "DDR4 was the first to repeat commands with wrong parity, and server.part = {s.part!r} does it here, too (or "
        "set ecc.command_retry = false)",
    ),
    *(
        Rule(
            key,
            lambda _, a: a.hardware.faults.command_address_fit == 0,
            f"{_INERT}: no command/address faults (faults.command_address_fit = 0)",
        )
        for key in ("ecc.command_retry", "faults.command_address_transient_share", "errors.level.command_address")
    ),
    *(
        Rule(
            f"faults.growth.{name}",
            lambda _, a: a.hardware.faults.growth.factor == 0,
            f"{_INERT}: no fault grows (faults.growth.factor = 0)",
        )
        for name in ("share_1x1", "share_1xm", "share_2dq", "share_3dq", "share_4dq", "second_device")
    ),
    *(
        Rule(
            key,
            lambda _, a: _nothing_grows(a.hardware.faults),
            f"{_INERT}: no fault grows (faults.growth.factor = 0, or all shares)",
        )
        for key in ("faults.growth.hours_low", "faults.growth.years_high", "ecc.risk.grown_low")
    ),
    *(
        Rule(
            f"ecc.risk.{name}",
            _no_risk_table,
            f"{_INERT}: only reads under ecc.code = 'sddc_table' are at risk, not under {{p.ecc.code!r}}",
        )
        for name in (
            "share_2dq",
            "share_3dq",
            "share_4dq",
            "low",
            "high",
            "tail_2dq",
            "tail_3dq",
            "tail_4dq",
            "tail_sigma",
        )
    ),
    Rule(
        "ecc.risk.grown_low",
        lambda p, a: _no_risk_of_growth(p, a) and not _nothing_grows(a.hardware.faults),
        f"{_INERT}: ecc.code = {{p.ecc.code!r}} with faults.growth.second_device = "
        "{a.hardware.faults.growth.second_device:g}",
    ),
    *(
        Rule(
            f"ecc.risk.{name}",
            lambda p, a: not (_no_risk_table(p, a) or p.ecc.risk.shares().any()),
            f"{_INERT}: no fault repeats a bad pattern (ecc.risk.share_2dq, share_3dq and share_4dq = 0)",
        )
        for name in ("low", "high")
    ),
    Rule("kernel.thp_split_p", lambda p, _: p.workload.use.thp == 0, f"{_INERT}: workload.use.thp = 0"),
    Rule("workload.shared.forked", lambda _, a: a.anonymous == 0, f"{_INERT}: workload.use.anonymous and use.thp = 0"),
    Rule("workload.shared.mapped_file", lambda p, _: p.workload.use.file == 0, f"{_INERT}: workload.use.file = 0"),
    Rule("workload.shared.tmpfs", lambda p, _: p.workload.use.tmpfs == 0, f"{_INERT}: workload.use.tmpfs = 0"),
    *(
        Rule(
            key, lambda p, _: p.ecc.code != "sddc_locator", f"{_INERT}: ecc.code = {{p.ecc.code!r}} has no such locator"
        )
        for key in ("ecc.locator_bits", "ecc.variant")
    ),
    Rule("ecc.sparing_ce", lambda p, _: p.ecc.sparing == "none", f"{_INERT}: ecc.sparing = 'none'"),
    *(
        Rule(key, lambda p, _: p.ecc.ecs == "off", f"{_INERT}: ecc.ecs = 'off'")
        for key in ("ecc.ecs_threshold", "ecc.ecs_hours")
    ),
    Rule(
        "faults.rates",
        lambda _, a: a.generation == "ddr5" and a.hardware.faults.rates.startswith("ddr2"),
        "rates of DDR2 devices for server.part = {s.part!r}, two generations later (or choose a ddr4 table)",
    ),
    Rule("detection.hot_interval_s", lambda p, _: p.detection.hot_share == 0, f"{_INERT}: hot_share = 0"),
    Rule("detection.cold_interval_hours", lambda p, _: p.detection.hot_share == 1, f"{_INERT}: hot_share = 1"),
)
"""Settings that change nothing, or hardly what was meant, where somebody has written them down."""


def inert_keys(policy: Policy, hardware: Hardware) -> frozenset[str]:
    """Return the settings without any effect, whether somebody has written them down or not."""
    asked = Asked(policy, hardware)
    return frozenset(rule.key for rule in NOTED if rule.text.startswith(_INERT) and rule.holds(asked))


def remarks(policy: Policy, hardware: Hardware) -> Iterator[tuple[str, Any, str]]:
    """Yield what is worth a notice where somebody has written it down: setting, value and why."""
    asked = Asked(policy, hardware)
    for rule in NOTED:
        if rule.holds(asked):
            yield rule.key, rule.value(asked), rule.says(asked)
