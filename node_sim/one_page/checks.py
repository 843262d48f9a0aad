"""The machine checks of recorded scenarios: bank registers from the columns, delivered as the recording did.

**Models.** The monitor's machine check, banks written with wrmsr and found by the poll, the mce-inject module.

**Leaves out.** Which bank.

**Assumes.** The words say whether the owner ran in user mode; an error that is only logged does nothing.

**Sources.** The description of the recordings; arch/x86/kernel/cpu/mce/inject.c ``do_inject()``.
"""

from __future__ import annotations

from node_sim.hwpoison.kernel import Machine
from node_sim.hwpoison.page import Page
from node_sim.machine_check.acting import act_on
from node_sim.machine_check.exception import exception, poll
from node_sim.machine_check.severity import EIPV, MCIP, PCC, RIPV, UC, Bank, Context
from node_sim.one_page.page_types import ScenarioRow, UnknownScene

_BY_HARDWARE = {"mce": "do_machine_check", "mce-msr": "machine_check_poll"}


def _numbers(row: ScenarioRow) -> tuple[list[str], list[int]]:
    """Split the column ``mce`` into its words and its numbers: bank, status, [MCG status], misc."""
    words = row["mce"].split()
    numbers = [int(word, 0) for word in words if word[0].isdigit()]
    wanted = 4 if row["injection"] == "mce" else 3
    if len(numbers) != wanted:
        msg = f"mce {row['mce']!r}: expected {wanted} numbers for injection {row['injection']!r}"
        raise UnknownScene(msg)
    return words, numbers


def _context(state: str, page: Page) -> Context:
    """Say from the words what the CPU was doing."""
    before_others = state.split("P1", maxsplit=1)[0]
    idle = "idle" in before_others or "patrol scrub" in state or not page.tasks
    return Context.KERNEL if idle or "kernel" in state else Context.USER


def deliver(machine: Machine, page: Page, row: ScenarioRow) -> None:
    """Let a recorded machine check happen.

    Args:
        machine: Kernel, counters and log; changed.
        page: The page it names; changed.
        row: Input columns.

    Raises:
        UnknownScene: The registers cannot be read.
        Panic: The kernel stops.
    """
    words, numbers = _numbers(row)
    profile, state, boot = machine.profile, row["state_details"], row["boot"]
    if "mce=off" in boot:
        machine.step("machine_check_poll", "machine checks are switched off")
        return
    if row["injection"] == "mce-inject" and words[0] == "sw":
        machine.step("mce_inject", "sw: the record is logged without a severity, nothing else happens")
        return
    status, misc = numbers[1], numbers[-1]
    by_exception = (row["injection"] == "mce" and bool(status & UC)) or words[0] == "hw"
    if not by_exception:
        if "ignore_ce" in boot:
            machine.step("machine_check_poll", "polling is switched off")
            return
        act_on(machine, page, poll(Bank(status, misc), profile), None, "machine_check_poll")
        return
    if words[0] == "hw":
        mcgstatus, context = EIPV | MCIP | (0 if status & PCC else RIPV), Context.KERNEL
    else:
        mcgstatus, context = numbers[2], _context(state, page)
    cpus = 2 if "2 CPUs" in boot else 1
    reached = cpus if "b" in words or words[0] == "hw" else 1
    arrival = exception(Bank(status, misc, mcgstatus), context, profile, cpus=cpus, cpus_reached=reached)
    running = page.tasks[0] if context is Context.USER else None
    elsewhere = "next page of its area" in state
    act_on(machine, page, arrival, running, "do_machine_check", repeats=not elsewhere)
