"""Who is told of a bad page, and with which signal.

**Models.** Collection by profile, action-optional and action-required signals, SIGKILL when a page cannot be
unmapped, one entry per mapping of which the second merges with the first.

**Leaves out.** Out of memory while collecting.

**Assumes.** A process that maps a file maps its bad page.

**Sources.** mm/memory-failure.c ``collect_procs()``, ``task_early_kill()``, ``find_early_kill_thread()``,
``kill_procs()``, ``kill_proc()`` of the profiles' kernels.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from node_sim.catalog.profile import Profile
from node_sim.codes import KillPolicy
from node_sim.hwpoison.file import Backing
from node_sim.hwpoison.kernel import EHWPOISON, EOPNOTSUPP, Machine, MfCall
from node_sim.hwpoison.page import Page
from node_sim.hwpoison.process import PLAIN, Mapping, Pte, Received, Task
from node_sim.units import PAGE_BYTES


class KillSet(NamedTuple):
    """Collection rules of a range of kernels.

    Attributes:
        threads: Whose policy counts: the "leader"'s, "any early" thread (then the sysctl, whatever the leader asked
            for), or "each" thread's, of which the first that has to be told decides.
        others: What an action-required event does to mapping processes that did not consume the data: they are told
            by the "policy", "all" or "none". The consumer is always told.
    """

    threads: str
    others: str


KILL_SETS: Final = {
    "K0": KillSet("leader", "policy"),
    "K1b": KillSet("leader", "all"),
    "K2": KillSet("any early", "all"),
    "K3": KillSet("each", "none"),
    "K4": KillSet("each", "policy"),
}
"""Versions: K0 2.6.32-3.3, K1b 3.10.105, K2 3.16-5.7, K3 5.8-5.11, K4 since 5.12 (K1, vanilla 3.10, is nobody's)."""


class Told(NamedTuple):
    """A process to signal: for which mapping, whether it consumed the data, and the number of its thread."""

    task: Task
    mapping: Mapping
    consumer: bool
    thread: int = 0


def unrecovered_code(profile: Profile, errno: int) -> str | None:
    """Return the code of the SIGBUS for a consumer, given the handler's answer; None where the page was recovered.

    Neither code comes with an address (``kill_me_maybe()``; before 5.8 ``mce_notify_process()``).
    """
    if errno in (0, EHWPOISON, EOPNOTSUPP):
        return None
    return "BUS_MCEERR_AR" if profile.unrecovered == "null address" else PLAIN


def early_thread(policies: tuple[KillPolicy, ...], kill_set: str, *, early_kill: bool) -> int | None:
    """Return the thread that is told at once about an action-optional error; None where nobody is.

    Args:
        policies: ``PR_MCE_KILL`` policy of each thread, leader first.
        kill_set: Name of the rules.
        early_kill: vm.memory_failure_early_kill.
    """
    wanted = [early_kill if policy is KillPolicy.UNSET else policy is KillPolicy.EARLY for policy in policies]
    threads = KILL_SETS[kill_set].threads
    if threads == "leader":
        return 0 if wanted[0] else None
    if threads == "any early":
        return policies.index(KillPolicy.EARLY) if KillPolicy.EARLY in policies else 0 if early_kill else None
    return wanted.index(True) if any(wanted) else None


def _candidates(machine: Machine, page: Page, task: Task) -> list[Mapping]:
    """Return the mappings of a process that count: one per area; of a merged page the last that was merged."""
    anonymous = page.backing is Backing.ANONYMOUS
    if page.backing is Backing.NONE:
        return []
    found = [mapping for mapping in task.mappings if not anonymous or mapping.pte is Pte.PRESENT]
    if page.hugetlb and page.subpage and anonymous and machine.profile.hugetlb_early == "head only":
        return []
    return found[-1:] if page.ksm else found


def collect(machine: Machine, page: Page, call: MfCall) -> list[Told]:
    """Return the processes to tell, one entry per mapping."""
    name = machine.profile.kill_set
    rules = KILL_SETS[name]
    chosen = []
    for task in page.tasks:
        mappings = _candidates(machine, page, task) if task.alive else []
        if not mappings:
            continue
        current = call.action_required and task is call.current
        thread = early_thread(task.policies, name, early_kill=machine.early_kill)
        early = thread is not None
        told = early
        if call.action_required:
            told = current or rules.others == "all" or (rules.others == "policy" and early)
        why = "consumed the data" if current and told else "early" if early else "maps the page" if told else "late"
        machine.step("task_early_kill", f"{task.name}: {why}{'' if told else ', not told now'} ({name})")
        if told:
            chosen += [Told(task, mapping, current, 0 if current else thread or 0) for mapping in mappings]
    return chosen


def signal(machine: Machine, page: Page, told: list[Told], *, lsb: int, sigkill: bool = False) -> None:
    """Send the signals.

    Args:
        machine: Log and phase.
        page: The bad page.
        told: Whom.
        lsb: log2 of the extent that is lost.
        sigkill: The page could not be unmapped, so SIGKILL it is.
    """
    for number, (task, mapping, consumer, thread) in enumerate(told):
        if sigkill:
            machine.say(page, f"forcibly killing {task.name} because of failure to unmap corrupted page")
            machine.step("kill_procs", f"SIGKILL to {task.name}")
            task.kill(Received(machine.phase, "SIGKILL", "SI_KERNEL", None, None, task.name))
            continue
        start = page.hugetlb and machine.profile.hugetlb_early == "start"
        offset = mapping.offset - (page.subpage * PAGE_BYTES if start else 0)
        code = "BUS_MCEERR_AR" if consumer else "BUS_MCEERR_AO"
        machine.say(page, machine.profile.killing_text.format(task=task.name))
        machine.step("kill_procs", f"SIGBUS/{code} to {task.name}, lsb {lsb}")
        if any(task is other.task for other in told[:number]):
            continue  # merges with the first, which is still pending
        received = Received(machine.phase, "SIGBUS", code, lsb, offset, task.name)
        if consumer:
            task.force(received)
        else:
            task.queue(received, thread)
