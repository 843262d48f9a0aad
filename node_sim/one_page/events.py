"""How an error comes to a page: the machine check, interface or call of each kind of event.

**Models.** Machine checks of Intel CPUs by their bank contents; madvise, debugfs and sysfs.

**Leaves out.** Other reporters than machine checks.

**Assumes.** One bank holds the record, with the address of the page.

**Sources.** Bank contents: Intel SDM volume 3B, Machine-Check Architecture, compound error codes;
arch/x86/kernel/cpu/mce/severity.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from node_sim.hwpoison import kernel, sources
from node_sim.hwpoison.memory_failure import memory_failure
from node_sim.hwpoison.page import Page
from node_sim.hwpoison.soft_offline import soft_offline
from node_sim.machine_check.acting import act_on
from node_sim.machine_check.exception import Arrival, exception, poll
from node_sim.machine_check.severity import ADDRV, AR, EIPV, EN, MCIP, MISCV, OVER, PCC, RIPV, UC, VAL, Bank, Context, S

_READ, _MCG = VAL | UC | EN | MISCV | ADDRV, RIPV | EIPV | MCIP
_SRAR = _READ | S | AR | 0x0134
_CHECKS: Final = {
    "srao": (Bank(_READ | S | 0x00CF), Context.KERNEL),
    "ar": (Bank(_SRAR, mcgstatus=_MCG), Context.USER),
    "ar-fetch": (Bank(_READ | S | AR | 0x0150, mcgstatus=_MCG), Context.USER),
    "ar-not-restartable": (Bank(_SRAR, mcgstatus=EIPV | MCIP), Context.USER),
    "ar-lost-events": (Bank(_SRAR | OVER, mcgstatus=_MCG), Context.USER),
    "ar-copy": (Bank(_SRAR, mcgstatus=_MCG), Context.COPYIN),
    "ar-kernel": (Bank(_SRAR, mcgstatus=_MCG), Context.KERNEL),
    "context-corrupt": (Bank(_READ | PCC | 0x0134, mcgstatus=_MCG), Context.USER),
}
_UCNA: Final = Bank(_READ | 0x0090)
EVENTS: Final = {
    "ao": "memory_failure() with flags 0: action optional, from any source",
    "srao": "machine check of the patrol scrubber (SRAO)",
    "ucna": "deferred error that the poller finds (UCNA)",
    "ar": "the first process loads the data: machine check, action required (SRAR, RIPV=1)",
    "ar-fetch": "the same for an instruction",
    "ar-not-restartable": "the same, and it cannot be restarted (RIPV=0)",
    "ar-lost-events": "the same, and records were lost (OVER=1)",
    "ar-copy": "the kernel copies the data from the first process (copy_from_user)",
    "ar-kernel": "other kernel code loads the data",
    "context-corrupt": "machine check with PCC=1",
    "madvise": "madvise(MADV_HWPOISON) by the first process",
    "madvise_soft": "madvise(MADV_SOFT_OFFLINE) by the first process",
    "corrupt-pfn": "debugfs hwpoison/corrupt-pfn",
    "hard_offline": "sysfs hard_offline_page",
    "soft_offline": "sysfs soft_offline_page",
}
"""Kinds of event by name."""


class MachineFacts(NamedTuple):
    """What the machine is like.

    Attributes:
        memory_failure: CONFIG_MEMORY_FAILURE.
        mca_recovery: The CPU reports recoverable errors; otherwise every uncorrected error corrupts its context.
        tolerant: The sysfs knob, up to 5.17.
    """

    memory_failure: bool = True
    mca_recovery: bool = True
    tolerant: int = 1


def _without_handler(machine: kernel.Machine, event: str) -> int:
    """Say what an interface answers in a kernel without CONFIG_MEMORY_FAILURE."""
    machine.step("memory_failure", "the kernel is built without CONFIG_MEMORY_FAILURE")
    if event.startswith("madvise"):
        return kernel.EINVAL
    return 0 if event == "ao" else kernel.ENOENT


def happen(machine: kernel.Machine, page: Page, event: str, facts: MachineFacts) -> int:
    """Let the error happen."""
    first = page.tasks[0] if page.tasks else None
    if not facts.memory_failure and event not in _CHECKS and event != "ucna":
        return _without_handler(machine, event)
    plain: dict[str, Callable[[], int]] = {
        "ao": lambda: memory_failure(machine, page, kernel.MfCall()),
        "corrupt-pfn": lambda: sources.corrupt_pfn(machine, page),
        "hard_offline": lambda: sources.hard_offline(machine, page),
        "soft_offline": lambda: soft_offline(machine, page),
        "ucna": lambda: act_on(machine, page, _found(machine, facts), None, "machine_check_poll"),
    }
    if event in plain:
        return plain[event]()
    if event.startswith("madvise"):
        return kernel.EFAULT if first is None else sources.madvise(machine, page, first, soft=event != "madvise")
    bank, context = _CHECKS[event]
    if not facts.mca_recovery:
        bank = Bank(bank.status & ~(S | AR) | PCC, bank.misc, bank.mcgstatus)
    arrival = exception(
        bank,
        context,
        machine.profile.name,
        ser=facts.mca_recovery,
        memory_failure=facts.memory_failure,
        tolerant=facts.tolerant,
    )
    running = first if context is not Context.KERNEL else None
    return act_on(machine, page, arrival, running, "do_machine_check", repeats=context is Context.USER)


def _found(machine: kernel.Machine, facts: MachineFacts) -> Arrival:
    return poll(_UCNA, machine.profile.name, ser=facts.mca_recovery, memory_failure=facts.memory_failure)
