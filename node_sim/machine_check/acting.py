"""What the kernel does once a machine check is graded: panic, ``memory_failure()``, SIGBUS, or go on.

**Models.** The deferred work of the exception handler and of the poller, and what the running task meets when it
goes on: the SIGBUS of a failed recovery, or its access again.

**Leaves out.** Other tasks that wait for the page.

**Assumes.** The running task repeats the access that raised the machine check.

**Sources.** arch/x86/kernel/cpu/mce/core.c ``do_machine_check()``, ``kill_me_maybe()``, ``kill_me_never()``,
``uc_decode_notifier()``; arch/x86/mm/pat/set_memory.c ``set_mce_nospec()``.
"""

from __future__ import annotations

from node_sim.hwpoison import kernel
from node_sim.hwpoison.access import read
from node_sim.hwpoison.kill import unrecovered_code
from node_sim.hwpoison.memory_failure import memory_failure
from node_sim.hwpoison.page import Page
from node_sim.hwpoison.process import PLAIN, Pte, Received, Task
from node_sim.machine_check.exception import Arrival
from node_sim.units import PAGE_SHIFT


def _decision(arrival: Arrival) -> str:
    """Say in words what was decided."""
    if arrival.panic is not None:
        return f"panic: {arrival.panic}"
    flags = ["MF_ACTION_REQUIRED"] * arrival.action_required + ["MF_MUST_KILL"] * arrival.must_kill
    does = [f"memory_failure({' | '.join(flags) or '0'})"] * arrival.calls_handler
    does += ["SIGBUS without the handler"] * arrival.plain_sigbus + ["SIGBUS in any case"] * arrival.signals_task
    return ", ".join(does) or "nothing more"


def act_on(
    machine: kernel.Machine,
    page: Page,
    arrival: Arrival,
    task: Task | None,
    rule: str,
    *,
    repeats: bool = False,
    real: bool = False,
) -> int:
    """Do what the machine-check code decided, then let the running task go on; return the handler's answer.

    Args:
        machine: Kernel, counters and log; changed.
        page: The page; changed.
        arrival: The decision.
        task: The running task; None where the CPU was idle.
        rule: Where the decision was made.
        repeats: The running task was reading this page in user mode, and reads it again when it goes on.
        real: The memory is really bad, so a page that is still mapped raises a machine check again.

    Raises:
        Panic: The kernel stops.
    """
    machine.step("mce_severity", arrival.notes)
    machine.step(rule, _decision(arrival))
    if arrival.panic is not None:
        raise kernel.Panic(arrival.panic)
    errno, code, heard = 0, None, 0 if task is None else task.heard
    if arrival.calls_handler:
        if arrival.action_required:
            machine.log.append(f"mce: Uncorrected hardware memory error in user-access at {page.pfn << 12:x}")
        elif arrival.copied:
            machine.log.append(f"mce: Kernel accessed poison in user space at {page.pfn << 12:x}")
        call = kernel.MfCall(arrival.action_required, arrival.must_kill, current=task)
        errno = memory_failure(machine, page, call)
        code = unrecovered_code(machine.profile, errno) if arrival.action_required else None
        if errno == 0 and machine.profile.unmaps_direct and not arrival.signals_task:
            machine.step("set_mce_nospec", "the kernel's own mapping of the page is removed")
    if task is not None:
        _signal(machine, task, arrival, code, pending=task.heard > heard)
        if repeats and task.heard == heard:
            _repeat(machine, page, task, arrival, real=real)
    return errno


def _signal(machine: kernel.Machine, task: Task, arrival: Arrival, code: str | None, *, pending: bool) -> None:
    """Signal the running task; a signal that the handler has left pending swallows what comes now."""
    swallowed = ", which the one pending swallows" if pending else ""
    if arrival.signals_task:
        machine.step("kill_me_maybe", f"SIGBUS/BUS_MCEERR_AR to {task.name}{swallowed}")
        sent = Received(machine.phase, "SIGBUS", "BUS_MCEERR_AR", PAGE_SHIFT, 0, task.name)
    elif arrival.plain_sigbus:
        machine.step("kill_me_now", f"SIGBUS without address to {task.name}")
        sent = Received(machine.phase, "SIGBUS", PLAIN, None, None, task.name)
    elif code is not None:
        if code == PLAIN:
            machine.log.append("mce: Memory error not recovered")
        machine.step("kill_me_maybe", f"SIGBUS/{code} without address to {task.name}{swallowed}")
        sent = Received(machine.phase, "SIGBUS", code, None if code == PLAIN else PAGE_SHIFT, None, task.name)
    else:
        return
    if not pending:
        task.force(sent)


def _repeat(machine: kernel.Machine, page: Page, task: Task, arrival: Arrival, *, real: bool) -> None:
    """Let the task repeat its load: it swaps the page in, finds the hwpoison entry, or reads the file anew.

    Where the page is still mapped it meets the poison again, and gets the same answer: ``mce_count`` bounds machine
    checks within one entry to the kernel only, and is set back before the task goes on (``kill_me_maybe()``).
    """
    mapping = task.first
    if not task.alive or mapping is None:
        return
    if mapping.pte is not Pte.PRESENT:
        read(machine, page, task, mapping)
    elif real and arrival.calls_handler:
        machine.step("do_machine_check", f"{task.name} is told nothing and loads the poison again")
        task.loops = True
        machine.step("do_machine_check", "machine checks without end, each logged, until SIGKILL from elsewhere")
