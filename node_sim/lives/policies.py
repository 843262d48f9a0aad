"""Settings of several arms side by side, so that lanes of all arms advance together.

**Models.** Every setting that a life depends on, converted to the units of the kernels once.

**Leaves out.** Settings that decide the physics; arms that differ in them do not share a call.

**Assumes.** Nothing.

**Sources.** None.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.catalog.profile import Profile
from node_sim.hwpoison.offline_answers import OfflineAnswers, offline_answers
from node_sim.machine_check.grades import Reporting, grade_table
from node_sim.memory.kernel_reads import kernel_read_cdf
from node_sim.records import Flags, Floats, Ints
from node_sim.server.policy import PPR_KINDS, Policy
from node_sim.units import hours_to_ns, seconds_to_ns

PPR_OFF, PPR_SOFT, PPR_HARD = range(len(PPR_KINDS))


class PolicyColumns(NamedTuple):
    """Settings of several arms as arrays indexed by arm set, and the kernels that ``profile`` numbers."""

    kernels: tuple[Profile, ...]
    profile: Ints
    early_kill: Ints
    recovery: Ints
    thp_split_p: Floats
    fsync_ns: Ints
    latency_ns: Ints
    busy_ns: Ints
    delay_ns: Ints
    firmware_first: Flags
    controller_first: Floats
    queue_entries: Ints
    grades: Ints
    device_fatal_share: Floats
    kernel_reads: Floats
    found_at_writeback: Floats
    reboot_ns: Ints
    cordon_ue: Ints
    drain_ns: Ints
    replace_ns: Ints
    ce_threshold: Ints
    replace_ce: Ints
    replace_ecs: Flags
    ppr: Ints
    offline_answer: Ints

    @classmethod
    def of(cls, policies: list[Policy]) -> PolicyColumns:
        """Lay out the settings of several arms."""
        kernels = tuple(dict.fromkeys(policy.kernel.rules for policy in policies))
        rows = [
            (
                kernels.index(policy.kernel.rules),
                policy.kernel.memory_failure_early_kill,
                policy.kernel.memory_failure_recovery,
                policy.kernel.thp_split_p,
                seconds_to_ns(policy.kernel.fsync_s),
                seconds_to_ns(policy.platform.work_latency_s),
                seconds_to_ns(policy.platform.record_busy_s),
                seconds_to_ns(policy.platform.report_delay_s),
                policy.platform.reporting == "firmware_first",
                policy.platform.controller_first_share,
                policy.platform.record_entries(policy.kernel.rules),
                grade_table(Reporting.of(policy)),
                policy.platform.device_fatal_share,
                kernel_read_cdf(policy.platform.copy_share, policy.platform.page_copy_share),
                policy.platform.found_at_writeback,
                seconds_to_ns(60.0 * policy.repair.reboot_minutes),
                policy.repair.cordon.ue,
                hours_to_ns(policy.repair.cordon.drain_hours),
                hours_to_ns(policy.repair.replace_hours),
                policy.page_offline.ce_threshold,
                policy.repair.replace_ce,
                policy.repair.replace_ecs,
                PPR_KINDS.index(policy.repair.ppr),
                answers_of(policy),
            )
            for policy in policies
        ]
        return cls(kernels, *(np.asarray(column) for column in zip(*rows, strict=True)))


def answers_of(policy: Policy) -> OfflineAnswers:
    """Return what the kernel of an arm answers to a daemon that wants to soft-offline pages."""
    kernel = policy.kernel
    return offline_answers(kernel.rules, memory_failure=kernel.memory_failure, enabled=bool(kernel.enable_soft_offline))
