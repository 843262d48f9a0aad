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
from node_sim.corrected.asking import OfflineQuestion
from node_sim.hwpoison.kill import early_thread
from node_sim.hwpoison.offline_answers import offline_answers
from node_sim.machine_check.grades import Reporting, grade_table
from node_sim.memory.kernel_reads import kernel_read_cdf
from node_sim.memory.processes import threads_of
from node_sim.records import Flags, Floats, Ints
from node_sim.server.policy import PPR_KINDS, Policy
from node_sim.units import HOURS_PER_DAY, hours_to_ns, seconds_to_ns

PPR_OFF, PPR_SOFT, PPR_HARD = range(len(PPR_KINDS))


class PolicyColumns(NamedTuple):
    """Settings of several arms as arrays indexed by arm set, and the kernels that ``profile`` numbers."""

    kernels: tuple[Profile, ...]
    profile: Ints
    early: Flags
    recovery: Ints
    marks_huge_pages: Flags
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
    scope: Ints
    row_columns: Ints
    count_age_ns: Ints
    replace_ce: Ints
    replace_risky: Flags
    replace_ecs: Flags
    ppr: Ints
    map_out: Flags
    technician_ns: Ints
    technician_sigma: Floats
    offline_answer: Ints
    handler_base_ns: Ints
    handler_mapping_ns: Ints

    @classmethod
    def of(cls, policies: list[Policy]) -> PolicyColumns:
        """Lay out the settings of several arms."""
        kernels = tuple(dict.fromkeys(policy.kernel.rules for policy in policies))
        rows = [
            (
                kernels.index(policy.kernel.rules),
                early_owners(policy),
                policy.kernel.memory_failure_recovery,
                policy.kernel.rules.hugetlb != "non lru",
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
                policy.page_offline.by,
                policy.page_offline.row_columns,
                policy.page_offline.age_ns,
                policy.repair.replace_ce,
                policy.repair.replace_risky,
                policy.repair.replace_ecs,
                PPR_KINDS.index(policy.repair.ppr),
                policy.repair.map_out,
                hours_to_ns(HOURS_PER_DAY * policy.repair.technician_days),
                policy.repair.technician_sigma,
                answers_of(policy),
                seconds_to_ns(1e-6 * policy.platform.handler_base_us),
                seconds_to_ns(1e-6 * policy.platform.handler_mapping_us),
            )
            for policy in policies
        ]
        return cls(kernels, *(np.asarray(column) for column in zip(*rows, strict=True)))


def answers_of(policy: Policy) -> tuple[int, ...]:
    """Return what the kernel of an arm answers to a daemon that wants to soft-offline pages, by ``OfflineQuestion``."""
    kernel = policy.kernel
    rules, enabled = kernel.rules, bool(kernel.enable_soft_offline)
    answers = offline_answers(rules, memory_failure=kernel.memory_failure, enabled=enabled)
    return tuple(getattr(answers, question.name.lower()) for question in OfflineQuestion)


def early_owners(policy: Policy) -> list[bool]:
    """Return which processes are told early of an error, by number."""
    kernel = policy.kernel
    sysctl, kill_set = bool(kernel.memory_failure_early_kill), kernel.rules.kill_set
    return [
        early_thread(threads_of(process), kill_set, early_kill=sysctl) is not None
        for process in policy.workload.process
        for _ in range(process.count)
    ]
