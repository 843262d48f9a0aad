"""Settings that make no sense together and are refused, as a table.

A row of ``REFUSED`` says of one setting when it cannot be meant, what was expected and what to do. Scenarios ask for
every group under every arm; the dataclasses themselves check ranges only, so that tests can ask for limiting cases.
Settings that have no effect are in ``remarks.py``.

Source:
    CMCI storms: arch/x86/kernel/cpu/mcheck/mce_intel.c (3.10), mce/intel.c (4.18-6.7), mce/threshold.c (6.8 on, asked
    by mce/amd.c since 6.19). Huge pages: mm/huge_memory.c, since 2.6.38. Post-package repair: JEDEC DDR4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import reduce
from typing import Any, Final, NamedTuple

import numpy as np

from node_sim.catalog import numbers
from node_sim.catalog.designs import PINS
from node_sim.catalog.file_systems import FILE_SYSTEMS
from node_sim.catalog.kernels import PROFILE_NAMES, has_since
from node_sim.codes import EcsUnit
from node_sim.server.daemons import CEC, NO_DAEMON, has_cec
from node_sim.server.hardware import Hardware
from node_sim.server.page_offline import OfflineScope, PageOffline
from node_sim.server.policy import Policy
from node_sim.units import S_PER_HOUR

SPARED = ("chipkill", "sddc_table", "sddc_locator")
"""Codes that go without a device: ADDDC needs one over devices of one rank."""
MIRROR_CHANNELS = 2
"""Channels of a socket that hold a line and its copy."""


def _at(settings: object, key: str) -> Any:
    """Return the setting with a dotted key."""
    return reduce(getattr, key.split("."), settings)


class Asked(NamedTuple):
    """A group of servers under an arm, and what follows from its settings.

    Attributes:
        policy: What an arm may change.
        hardware: What it may not.
    """

    policy: Policy
    hardware: Hardware

    @property
    def generation(self) -> str:
        """Generation of the DRAM part, such as ``ddr4``."""
        return self.hardware.server.part.partition("_")[0]

    @property
    def storm(self) -> str:
        """The rule against CMCI storms that the kernel has for this platform, ``none`` if it has none."""
        column = PROFILE_NAMES.index(self.policy.kernel.profile)
        for name, kernels in numbers.CMCI_STORM_KERNELS.get(self.policy.platform.reporting, {}).items():
            first, last = kernels.value
            if PROFILE_NAMES.index(first) <= column <= PROFILE_NAMES.index(last or PROFILE_NAMES[-1]):
                return name
        return "none"

    @property
    def most_logged(self) -> int:
        """Corrected errors of a fault that one window can log at most."""
        errors = self.policy.errors
        quarters = np.asarray([math.ceil(4 * errors.window_hours)])
        return int(errors.saturation(quarters)[0]) // errors.firmware_threshold

    @property
    def most_of_age(self) -> int:
        """Corrected errors of a fault that the windows of a leaky bucket can log at most."""
        n_windows = math.ceil(self.policy.page_offline.age_hours / self.policy.errors.window_hours) + 1
        return self.most_logged * n_windows

    @property
    def file_system_since(self) -> str:
        """First profile with the workload's file system."""
        return FILE_SYSTEMS[self.policy.workload.file_system].since

    @property
    def folio_makers(self) -> tuple[str, ...]:
        """File systems for which the kernel makes large folios."""
        rules = self.policy.kernel.rules
        return tuple(name for name, it in FILE_SYSTEMS.items() if it.large_since and has_since(rules, it.large_since))

    @property
    def anonymous(self) -> float:
        """Share of anonymous pages, huge ones among them."""
        use = self.policy.workload.use
        return round(use.thp + use.anonymous, 9)


When = Callable[[Policy, Asked], bool]


class Rule(NamedTuple):
    """A setting that makes no sense, or no difference, with others.

    Attributes:
        key: The setting.
        when: Whether it is so, of the policy and all that is asked.
        text: What was expected and what to do, or why it has no effect, with ``{p}`` for the policy, ``{s}`` for the
            server and ``{a}`` for all that is asked.
    """

    key: str
    when: When
    text: str

    def holds(self, asked: Asked) -> bool:
        """Whether the setting makes no sense, or no difference."""
        return self.when(asked.policy, asked)

    def value(self, asked: Asked) -> Any:
        """Value of the setting."""
        section = self.key.partition(".")[0]
        return _at(asked.policy if hasattr(asked.policy, section) else asked.hardware, self.key)

    def says(self, asked: Asked) -> str:
        """The text."""
        return self.text.format(p=asked.policy, a=asked, s=asked.hardware.server)


def _above_the_log(key: str) -> When:
    """Whether a count is above what a window can log, where that is anything."""
    return lambda p, a: bool(0 < a.most_logged < _at(p, key))


def _without_code(key: str) -> When:
    """Whether something is on that corrected or noticed errors start, and there are none."""
    return lambda p, _: p.ecc.code == "none" and _at(p, key) not in (0, False, "off")


OWN_OF_DAEMONS = {item.name: item.default for item in fields(PageOffline) if item.name != "daemon"}
"""Settings that a daemon by name stands for, and their defaults."""


def _named_and_given(name: str) -> When:
    """Whether a daemon is given by name, and one of the settings that it stands for."""
    default = OWN_OF_DAEMONS[name]
    return lambda p, _: p.page_offline.daemon != NO_DAEMON and getattr(p.page_offline, name) != default


_FIRMWARE, _AMD = "firmware_first", "amd"
_NO_CODE = " with ecc.code = 'none', which corrects and notices nothing (or set ecc.code to a code)"
_CAPS = (
    "{a.most_logged}, which is all that errors.ce_cap_per_day, ce_cap_per_quarter_hour and firmware_threshold let a "
    "window log (or change them)"
)
_ECS_ON = " or ".join(EcsUnit.vocabulary())

REFUSED: Final = (
    # --- corrected errors and their log
    Rule(
        "errors.storm",
        lambda p, a: p.errors.storm not in ("none", a.storm) and p.platform.reporting == _FIRMWARE,
        "'none' with platform.reporting = 'firmware_first', where the kernel gets no interrupts of corrected errors "
        "(or set platform.reporting = 'intel')",
    ),
    Rule(
        "errors.storm",
        lambda p, a: p.errors.storm not in ("none", a.storm) and p.platform.reporting == _AMD,
        "'none' with platform.reporting = 'amd' and kernel.profile = {p.kernel.profile!r}: kernels rule storms there "
        "from 6.19 on (or set kernel.profile = '7.1' with errors.storm = 'poll_1s')",
    ),
    Rule(
        "errors.storm",
        lambda p, a: p.errors.storm not in ("none", a.storm) and p.platform.reporting == "intel",
        "{a.storm!r} or 'none' with kernel.profile = {p.kernel.profile!r}, which has no other rule (poll_30s: 3.10 to "
        "6.7, poll_1s: 6.8 on)",
    ),
    Rule(
        "errors.burst_days",
        lambda p, _: p.errors.burst_days > p.errors.burst_interval_days,
        "at most burst_interval_days = {p.errors.burst_interval_days:g} (or raise that)",
    ),
    Rule(
        "errors.intermittent_days",
        lambda p, _: p.errors.intermittent_days > p.errors.intermittent_interval_days,
        "at most intermittent_interval_days = {p.errors.intermittent_interval_days:g} (or raise that)",
    ),
    Rule(
        "errors.ce_cap_per_quarter_hour",
        lambda p, _: p.errors.ce_cap_per_quarter_hour > p.errors.ce_cap_per_day,
        "at most ce_cap_per_day = {p.errors.ce_cap_per_day} (lower it, or raise that)",
    ),
    Rule(
        "errors.firmware_threshold",
        lambda _, a: a.most_logged == 0,
        "one that the log reaches: its caps let a window see fewer errors, so none is ever reported (lower it, or "
        "raise errors.ce_cap_per_day and ce_cap_per_quarter_hour)",
    ),
    Rule(
        "page_offline.ce_threshold",
        lambda p, a: p.page_offline.counting == "window" and _above_the_log("page_offline.ce_threshold")(p, a),
        f"at most {_CAPS}",
    ),
    Rule(
        "page_offline.ce_threshold",
        lambda p, a: p.page_offline.counting == "bucket" and 0 < a.most_of_age < p.page_offline.ce_threshold,
        "at most {a.most_of_age}, which is all that the windows of page_offline.age_hours = "
        "{p.page_offline.age_hours:g} can log (lower it, or raise that or errors.ce_cap_per_day)",
    ),
    Rule("page_offline.row_columns", _above_the_log("page_offline.row_columns"), f"at most {_CAPS}"),
    Rule(
        "page_offline.row_columns",
        lambda p, _: (
            p.page_offline.row_columns > 0
            and p.page_offline.by is not OfflineScope.ROW
            and p.page_offline.daemon == NO_DAEMON
        ),
        "0 with page_offline.scope = {p.page_offline.scope!r}, which counts no rows (or set scope = 'row')",
    ),
    Rule(
        "page_offline.row_columns",
        lambda p, _: p.page_offline.row_columns > 0 and p.page_offline.counting != "window",
        "0 with page_offline.counting = {p.page_offline.counting!r}: pages of a row are counted by window only (or set "
        "page_offline.counting = 'window')",
    ),
    Rule(
        "page_offline.counting",
        lambda p, _: p.page_offline.counting == "boot" and p.page_offline.by is OfflineScope.ROW,
        "'window' or 'bucket' with page_offline.scope = 'row': only the kernel counts since boot, and it counts pages "
        "(or set page_offline.scope = 'page')",
    ),
    Rule(
        "page_offline.counting",
        lambda p, _: p.page_offline.counting != "window" and p.page_offline.by is OfflineScope.BANK,
        "'window' with page_offline.scope = 'bank': banks are counted by window only (or set page_offline.scope = "
        "'page')",
    ),
    *(
        Rule(
            "page_offline.daemon",
            _named_and_given(name),
            f"'none' with page_offline.{name} = {{p.page_offline.{name}!r}}: the name stands for a setting of its own "
            f"(or leave page_offline.{name} at {default!r})",
        )
        for name, default in OWN_OF_DAEMONS.items()
    ),
    Rule(
        "page_offline.daemon",
        lambda p, _: p.page_offline.daemon == CEC and not has_cec(p.kernel.rules),
        "another with kernel.profile = {p.kernel.profile!r}: the kernel counts corrected errors since 4.12 (or set "
        "kernel.profile = '4.18' or later)",
    ),
    Rule(
        "page_offline.daemon",
        lambda p, _: p.page_offline.daemon == CEC and has_cec(p.kernel.rules) and not p.kernel.memory_failure,
        "another with kernel.memory_failure = false: CONFIG_RAS_CEC needs CONFIG_MEMORY_FAILURE (or set that to true)",
    ),
    Rule("repair.replace_ce", _above_the_log("repair.replace_ce"), f"at most {_CAPS}"),
    Rule(
        "own_policy.function",
        lambda p, _: bool(p.own_policy.function) and (p.page_offline.counts or p.page_offline.daemon != NO_DAEMON),
        "'' where a daemon counts errors and takes pages offline, as they would not know of each other (or set "
        "page_offline.ce_threshold and row_columns to 0, and daemon to 'none', and let it count)",
    ),
    Rule(
        "ecc.sparing_ce",
        lambda p, a: p.ecc.sparing != "none" and 0 < a.most_logged < p.ecc.sparing_ce,
        f"at most {_CAPS}",
    ),
    # --- codes and repair
    Rule(
        "ecc.sparing",
        lambda p, _: p.ecc.sparing != "none" and p.ecc.code not in SPARED,
        "'none' with code = {p.ecc.code!r} (or set code = 'chipkill', 'sddc_table' or 'sddc_locator')",
    ),
    Rule(
        "ecc.sparing",
        lambda p, a: p.ecc.sparing != "none" and a.hardware.server.dram.width != numbers.SPARING_WIDTH.value,
        f"'none' with x{{s.dram.width}} devices (or set server.part to x{numbers.SPARING_WIDTH.value})",
    ),
    Rule(
        "ecc.sparing",
        lambda p, a: p.ecc.sparing != "none" and a.hardware.server.ranks < numbers.SPARING_RANKS_MIN.value,
        f"'none' with server.ranks = {{s.ranks}} (or set it >= {numbers.SPARING_RANKS_MIN.value})",
    ),
    Rule(
        "ecc.ecs",
        lambda p, _: p.ecc.ecs != "off" and p.ecc.code != "ddr5",
        "'off' with code = {p.ecc.code!r} (or set code = 'ddr5')",
    ),
    Rule("ecc.mirroring", _without_code("ecc.mirroring"), f"False{_NO_CODE}"),
    Rule(
        "ecc.mirroring",
        lambda p, a: p.ecc.mirroring and a.hardware.server.channels < MIRROR_CHANNELS,
        f"False with server.channels = {{s.channels}} (or set it >= {MIRROR_CHANNELS})",
    ),
    Rule("page_offline.ce_threshold", _without_code("page_offline.ce_threshold"), f"0{_NO_CODE}"),
    Rule("page_offline.row_columns", _without_code("page_offline.row_columns"), f"0{_NO_CODE}"),
    Rule(
        "page_offline.daemon",
        lambda p, _: p.ecc.code == "none" and p.page_offline.daemon != NO_DAEMON,
        f"'none'{_NO_CODE}",
    ),
    Rule("repair.replace_ce", _without_code("repair.replace_ce"), f"0{_NO_CODE}"),
    Rule("repair.replace_risky", _without_code("repair.replace_risky"), f"False{_NO_CODE}"),
    Rule(
        "repair.replace_risky",
        lambda p, a: p.repair.replace_risky and a.hardware.server.dram.width != PINS,
        f"False with x{{s.dram.width}} devices, whose pins have no such halves (or set server.part to x{PINS})",
    ),
    Rule("repair.map_out", _without_code("repair.map_out"), f"False{_NO_CODE}"),
    Rule("repair.ppr", _without_code("repair.ppr"), f"'off'{_NO_CODE}"),
    Rule(
        "repair.ppr",
        lambda p, a: p.repair.ppr != "off" and a.generation in ("ddr2", "ddr3"),
        "'off' with server.part = {s.part!r}: post-package repair came with DDR4 (or set server.part to DDR4 or DDR5)",
    ),
    Rule(
        "repair.replace_ecs",
        lambda p, _: p.repair.replace_ecs and p.ecc.ecs == "off",
        f"False with ecc.ecs = 'off' (or set ecc.ecs to {_ECS_ON})",
    ),
    # --- memory and its users
    Rule(
        "detection.hot_interval_s",
        lambda p, _: p.detection.hot_interval_s > p.detection.cold_interval_hours * S_PER_HOUR,
        "at most cold_interval_hours = {p.detection.cold_interval_hours:g}, as hot pages are read more often than cold "
        "ones (lower it, or raise that)",
    ),
    Rule(
        "workload.use.thp",
        lambda p, _: p.workload.use.thp > 0 and p.kernel.rules.thp == "none",
        "0 with kernel.profile = {p.kernel.profile!r}: transparent huge pages came with 2.6.38 (set workload.use.thp = "
        "0 and workload.use.anonymous = {a.anonymous:g})",
    ),
    Rule(
        "workload.file_system",
        lambda p, a: not has_since(p.kernel.rules, a.file_system_since),
        "another with kernel.profile = {p.kernel.profile!r}, which does not have it (or set kernel.profile to "
        "{a.file_system_since} or later)",
    ),
    Rule(
        "workload.large_folio_share",
        lambda p, a: p.workload.large_folio_share > 0 and p.workload.file_system not in a.folio_makers,
        "0 with workload.file_system = {p.workload.file_system!r} and kernel.profile = {p.kernel.profile!r}, which "
        "makes large folios for {a.folio_makers} only (or choose one of them, or a later kernel)",
    ),
    # --- platform and kernel
    Rule(
        "platform.writeback_report",
        lambda p, _: p.platform.writeback_report != "none" and p.platform.reporting != "intel",
        "'none' with platform.reporting = {p.platform.reporting!r}, as only Intel's machine checks have such a report "
        "(or set platform.reporting = 'intel')",
    ),
    Rule(
        "platform.writeback_report",
        lambda p, _: (
            p.platform.writeback_report != "none" and p.platform.reporting == "intel" and not p.platform.mca_recovery
        ),
        "'none' with platform.mca_recovery = false, where nothing is recoverable (or set that to true)",
    ),
    Rule(
        "kernel.profile",
        lambda p, _: p.platform.reporting == _AMD and p.platform.mca_recovery and p.kernel.rules.amd_rules == "intel",
        "4.18 or later with platform.reporting = 'amd' (it has no rules for AMD's recoverable errors, so a task would "
        "read its poison again for ever), or platform.mca_recovery = false",
    ),
)
"""Settings that cannot be meant; the value of each is shown before the text."""


def complaints(policy: Policy, hardware: Hardware) -> Iterator[str]:
    """Yield what is refused: ``where = value, expected …``."""
    asked = Asked(policy, hardware)
    for rule in REFUSED:
        if rule.holds(asked):
            yield f"{rule.key} = {rule.value(asked)!r}, expected {rule.says(asked)}"
