"""What follows a panic or too many uncorrected errors: reboot, cordon, DIMM replacement.

**Models.** A panic reboots the node. After ``repair.cordon.ue`` uncorrected errors (per page and boot) since
the last repair the node is drained and every DIMM that had one is replaced.

**Leaves out.** Post-package repair, sparing, mirroring, replacement on corrected errors.

**Assumes.** A cordon does not wait: the node does no work from the limit until the repair ends. The new DIMM is
in place at the end of the repair.

**Sources.** Limits: ``catalog/numbers.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from node_sim.config import Policy
from node_sim.grades import Reporting, grade_table
from node_sim.hwpoison.profiles import PROFILE_NAMES
from node_sim.records import Floats, Ints
from node_sim.units import hours_to_ns, seconds_to_ns


class PolicyColumns(NamedTuple):
    """Settings of several arms as arrays indexed by arm set, so that lanes of all arms advance together."""

    profile: Ints
    early_kill: Ints
    recovery: Ints
    thp_split_p: Floats
    fsync_ns: Ints
    latency_ns: Ints
    busy_ns: Ints
    delay_ns: Ints
    firmware_first: npt.NDArray[np.bool_]
    grades: Ints
    device_fatal_share: Floats
    copy_share: Floats
    reboot_ns: Ints
    cordon_ue: Ints
    drain_ns: Ints
    replace_ns: Ints
    ce_threshold: Ints

    @classmethod
    def of(cls, policies: list[Policy]) -> PolicyColumns:
        """Lay out the settings of several arms."""
        rows = [
            (
                PROFILE_NAMES.index(policy.kernel.profile),
                policy.kernel.memory_failure_early_kill,
                policy.kernel.memory_failure_recovery,
                policy.kernel.thp_split_p,
                seconds_to_ns(policy.kernel.fsync_s),
                seconds_to_ns(policy.platform.work_latency_s),
                seconds_to_ns(policy.platform.record_busy_s),
                seconds_to_ns(policy.platform.report_delay_s),
                policy.platform.reporting == "firmware_first",
                grade_table(Reporting.of(policy)),
                policy.platform.device_fatal_share,
                policy.platform.copy_share,
                seconds_to_ns(60.0 * policy.repair.reboot_minutes),
                policy.repair.cordon.ue,
                hours_to_ns(policy.repair.cordon.drain_hours),
                hours_to_ns(policy.repair.replace_hours),
                policy.page_offline.ce_threshold,
            )
            for policy in policies
        ]
        return cls(*(np.asarray(column) for column in zip(*rows, strict=True)))


def reaches_limit(ue: Ints, limit: Ints) -> npt.NDArray[np.bool_]:
    """Return which nodes have had enough uncorrected errors to be cordoned; limit 0 means never."""
    return (limit > 0) & (ue >= limit)


class RepairTimes(NamedTuple):
    """When a cordoned node is drained and when it is back [ns]."""

    drained_ns: Ints
    end_ns: Ints


def repair_times(start_ns: Ints, drain_ns: Ints, replace_ns: Ints) -> RepairTimes:
    """Return the times of a repair that starts with a cordon."""
    drained = start_ns + drain_ns
    return RepairTimes(drained, drained + replace_ns)
