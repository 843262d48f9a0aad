"""What follows a panic or too many errors: reboot, cordon, post-package repair, DIMM replacement.

**Models.** A panic reboots the node. After ``repair.cordon.ue`` uncorrected errors (per page and boot) since the last
repair, or ``repair.replace_ce`` logged corrected errors in one window, or with ``repair.replace_ecs`` a report of
error check and scrub, the node is drained and every DIMM that is due is replaced: those that had uncorrected errors
since the last repair, and the one at the limit. With ``repair.ppr``, a boot gives the spare row of its bank group to
a hard fault that takes one row of a device and had an uncorrected error or reached the limit of corrected ones; in
that last case the DIMM stays, and a reboot ends the repair. Hard repair uses the spare up; soft repair is undone when
the node is powered off to replace a DIMM.

**Leaves out.** What becomes of a later fault that met the repaired one in a code word. Limits of sockets; a daemon
that forgets part of a count.

**Assumes.** A cordon does not wait: the node does no work from the limit until the repair ends. The new DIMM is
in place at the end of the repair. Corrected errors are counted per fault, so two faults of a DIMM do not reach the
limit together, in whole windows since the last boot; the cordon begins a nanosecond after the error that reaches it.
Firmware tests a row before it repairs it, so soft faults take no spare; of two faults that meet it repairs the later
one. Uncorrected errors of a repaired row still count for the cordon.

**Sources.** Limits and spare rows: ``catalog/numbers.py``; hard and soft repair: Linux 6.15 edac memory_repair.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.catalog.kernels import PROFILE_NAMES
from node_sim.catalog.parts import Part
from node_sim.dram.faults import FaultTable
from node_sim.dram.names import GENERATION_SHIFT
from node_sim.machine_check.grades import Reporting, grade_table
from node_sim.records import Flags, Floats, Ints
from node_sim.server.policy import PPR_KINDS, Policy
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
    firmware_first: Flags
    grades: Ints
    device_fatal_share: Floats
    copy_share: Floats
    reboot_ns: Ints
    cordon_ue: Ints
    drain_ns: Ints
    replace_ns: Ints
    ce_threshold: Ints
    replace_ce: Ints
    replace_ecs: Flags
    ppr: Ints

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
                policy.repair.replace_ce,
                policy.repair.replace_ecs,
                PPR_KINDS.index(policy.repair.ppr),
            )
            for policy in policies
        ]
        return cls(*(np.asarray(column) for column in zip(*rows, strict=True)))


def reaches_limit(ue: Ints, limit: Ints) -> Flags:
    """Return which nodes have had enough uncorrected errors to be cordoned; limit 0 means never."""
    return (limit > 0) & (ue >= limit)


PPR_OFF, PPR_SOFT, PPR_HARD = range(len(PPR_KINDS))


def takes_one_row(faults: FaultTable) -> Flags:
    """Return which faults a spare row can replace."""
    box = faults.box
    one: Flags = faults.hard & (box.n_ranks == 1) & (box.n_banks == 1) & (box.n_rows == 1)
    return one


def spare_name(faults: FaultTable, part: Part) -> Ints:
    """Name the bank group whose spare row each fault needs: slot, generation, rank, device, group; below 2**31."""
    group = faults.box.bank // (part.banks // part.bank_groups)
    name: Ints = (faults.tag >> GENERATION_SHIFT << 4) | faults.box.rank
    return (((name << 6) | faults.cells.device) << 4) | group


class RepairTimes(NamedTuple):
    """When a cordoned node is drained and when it is back [ns]."""

    drained_ns: Ints
    end_ns: Ints


def repair_times(start_ns: Ints, drain_ns: Ints, replace_ns: Ints) -> RepairTimes:
    """Return the times of a repair that starts with a cordon."""
    drained = start_ns + drain_ns
    return RepairTimes(drained, drained + replace_ns)
