"""How an error comes to a page: the machine check, interface or call of each kind of event.

**Models.** Machine checks of Intel CPUs by their bank contents, and the two reports of a demand load on Intel and AMD;
copies by the kernel; madvise, debugfs and sysfs.

**Leaves out.** Other reporters than machine checks.

**Assumes.** A bank holds the record, with the address of the page; on AMD it is marked as a physical one.

**Sources.** Bank contents: Intel SDM volume 3B, Machine-Check Architecture, compound error codes;
arch/x86/kernel/cpu/mce/severity.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from node_sim.catalog.kernels import PROFILES
from node_sim.errors import ConfigError
from node_sim.hwpoison import kernel, sources
from node_sim.hwpoison.copies import COPIES, begin, recovery_of, survive
from node_sim.hwpoison.memory_failure import memory_failure
from node_sim.hwpoison.page import Page
from node_sim.hwpoison.process import Task
from node_sim.hwpoison.reclaim import reclaim
from node_sim.hwpoison.soft_offline import soft_offline
from node_sim.machine_check.acting import act_on
from node_sim.machine_check.exception import Arrival, amd_deferred, amd_exception, context_of, exception, poll
from node_sim.machine_check.severity import (
    ADDRV,
    AR,
    DEFERRED,
    EIPV,
    EN,
    MCIP,
    MISCV,
    OVER,
    PADDRV,
    PCC,
    POISON,
    RIPV,
    UC,
    VAL,
    Bank,
    Context,
    S,
)

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
_AMD_DEFERRED: Final = Bank(VAL | EN | DEFERRED | ADDRV | PADDRV)
EVENTS: Final = {
    "ao": "memory_failure() with flags 0: action optional, from any source",
    "srao": "machine check of the patrol scrubber (SRAO)",
    "ucna": "deferred error that the poller finds (UCNA)",
    "ucna-ar": "a demand load, reported by the memory controller (UCNA) and then by the core (SRAR)",
    "ar-ucna": "a demand load, reported by the core (SRAR) and then by the memory controller (UCNA)",
    "amd-deferred-ar": "a demand load on AMD, deferred error first, then the machine check of the core",
    "amd-ar-deferred": "a demand load on AMD, machine check first, then the deferred error",
    "ar": "the first process loads the data: machine check, action required (SRAR, RIPV=1)",
    "ar-fetch": "the same for an instruction",
    "ar-not-restartable": "the same, and it cannot be restarted (RIPV=0)",
    "ar-lost-events": "the same, and records were lost (OVER=1)",
    "ar-copy": "the kernel copies the data from the first process (copy_from_user)",
    "ar-kernel": "other kernel code loads the data",
    "context-corrupt": "machine check with PCC=1",
    **{f"ar-{name}": copy.text for name, copy in COPIES.items()},
    "madvise": "madvise(MADV_HWPOISON) by the first process",
    "madvise_soft": "madvise(MADV_SOFT_OFFLINE) by the first process",
    "corrupt-pfn": "debugfs hwpoison/corrupt-pfn",
    "hard_offline": "sysfs hard_offline_page",
    "soft_offline": "sysfs soft_offline_page",
    "reclaim": "no error: memory reclaim comes to the page",
}
"""Kinds of event by name."""
SIMULATED: Final = frozenset({"madvise", "madvise_soft", "corrupt-pfn", "hard_offline", "soft_offline", "reclaim"})
"""Events that leave the memory as it is; all others mean memory that is really bad."""
TWO_REPORTS: Final = frozenset({"ucna-ar", "ar-ucna", "amd-deferred-ar", "amd-ar-deferred"})
"""Events of two reports; the answer of the first is told."""
_INTERFACES: Final = (SIMULATED | {"ao"}) - {"reclaim"}


class MachineFacts(NamedTuple):
    """What the machine is like.

    Attributes:
        memory_failure: CONFIG_MEMORY_FAILURE.
        mca_recovery: The CPU reports recoverable errors; otherwise every uncorrected error corrupts its context.
        tolerant: The sysfs knob, up to 5.17.
        firmware_first: The firmware reads the banks of the memory controller and hides them.
        safe_copies: The CPU has what machine-check safe copies need (fast string copies, or a server's RAS features).
    """

    memory_failure: bool = True
    mca_recovery: bool = True
    tolerant: int = 1
    safe_copies: bool = True
    firmware_first: bool = False


def check_event(event: str, profile: str) -> None:
    """Check that a kernel grades the machine checks of an event.

    Raises:
        ConfigError: It does not: kernels before 4.6 have no rules for AMD.
    """
    if event.startswith("amd-") and PROFILES[profile].amd_rules == "intel":
        msg = f"--event {event}: kernel {profile} has no rules for AMD, expected 4.18 or later; choose another --kernel"
        raise ConfigError(msg)


def _without_handler(machine: kernel.Machine, event: str) -> int:
    """Say what an interface answers in a kernel without CONFIG_MEMORY_FAILURE."""
    machine.step("memory_failure", "the kernel is built without CONFIG_MEMORY_FAILURE")
    if event.startswith("madvise"):
        return kernel.EINVAL
    return 0 if event == "ao" else kernel.ENOENT


def happen(machine: kernel.Machine, page: Page, event: str, facts: MachineFacts) -> int:
    """Let the error happen."""
    first = page.tasks[0] if page.tasks else None
    if not facts.memory_failure and event in _INTERFACES:
        return _without_handler(machine, event)
    plain: dict[str, Callable[[], int]] = {
        "ucna-ar": lambda: _twice(machine, page, facts, "ucna", "ar"),
        "ar-ucna": lambda: _twice(machine, page, facts, "ar", "ucna"),
        "amd-deferred-ar": lambda: _twice(machine, page, facts, "deferred", "amd-ar"),
        "amd-ar-deferred": lambda: _twice(machine, page, facts, "amd-ar", "deferred"),
        "ao": lambda: memory_failure(machine, page, kernel.MfCall()),
        "corrupt-pfn": lambda: sources.corrupt_pfn(machine, page),
        "hard_offline": lambda: sources.hard_offline(machine, page),
        "soft_offline": lambda: soft_offline(machine, page),
        "ucna": lambda: _report(machine, page, facts, "ucna"),
    }
    if event == "reclaim":
        reclaim(machine, page)
        return 0
    if event in plain:
        return plain[event]()
    if event.startswith("madvise") and first is None:
        machine.step("madvise_inject_error", "no process maps the page")
        return kernel.EFAULT
    if event.startswith("madvise"):
        assert first is not None
        return sources.madvise(machine, page, first, soft=event != "madvise")
    if event.removeprefix("ar-") in COPIES:
        return _copied(machine, page, event, facts)
    bank, context = _CHECKS[event]
    arrival = _raise(machine, bank, context, facts)
    running = first if context is not Context.KERNEL else None
    return act_on(machine, page, arrival, running, "do_machine_check", repeats=context is Context.USER, real=True)


def _raise(machine: kernel.Machine, bank: Bank, context: Context, facts: MachineFacts) -> Arrival:
    """Raise a machine check, on hardware that may know no recoverable ones."""
    if not facts.mca_recovery:
        bank = Bank(bank.status & ~(S | AR) | PCC, bank.misc, bank.mcgstatus)
    return exception(
        bank,
        context,
        machine.profile,
        ser=facts.mca_recovery,
        memory_failure=facts.memory_failure,
        tolerant=facts.tolerant,
    )


def _copied(machine: kernel.Machine, page: Page, event: str, facts: MachineFacts) -> int:
    """Let kernel code that copies or reads the page meet the poison."""
    if page.poisoned:
        machine.step("do_machine_check", "handled before: nothing reads the page any more")
        return 0
    if recovery_of(event, machine.profile) == "none":
        machine.step("do_machine_check", "this kernel makes no such copy: nothing reads the page")
        return 0
    begin(page, event)
    context = context_of(event, machine.profile, safe_copies=facts.safe_copies)
    arrival = _raise(machine, Bank(_SRAR, mcgstatus=_MCG), context, facts)
    act_on(machine, page, arrival, None, "do_machine_check")
    if context is Context.KERNEL:  # "tolerant" at 3 lets the kernel go on with what it read
        return 0
    return survive(machine, page, event)


def _twice(machine: kernel.Machine, page: Page, facts: MachineFacts, *reporters: str) -> int:
    """Let the memory controller and the core report one demand load, in the order in which they win the race."""
    first, second = reporters
    errno = _report(machine, page, facts, first)
    heard = [len(task.received) for task in page.tasks]
    answer = machine.answer
    _report(machine, page, facts, second)
    machine.answer = answer
    for task, signals in zip(page.tasks, heard, strict=True):
        if signals and len(task.received) > signals:
            del task.received[signals:]
            machine.step("kill_procs", f"{task.name} has a SIGBUS pending, which swallows the second")
    return errno


def _report(machine: kernel.Machine, page: Page, facts: MachineFacts, reporter: str) -> int:
    """Let one of the two that see a demand load of poison report it."""
    profile, configured = machine.profile, facts.memory_failure
    if reporter in ("ucna", "deferred") and facts.firmware_first:
        machine.step("machine_check_poll", "firmware first: the record of the memory controller is hidden")
        return 0
    if reporter == "ucna":
        arrival = poll(_UCNA, profile, ser=facts.mca_recovery, memory_failure=configured)
        return act_on(machine, page, arrival, None, "machine_check_poll")
    if reporter == "deferred":
        arrival = amd_deferred(_AMD_DEFERRED, profile, interrupt=True, memory_failure=configured)
        return act_on(machine, page, arrival, None, "machine_check_poll")
    task = page.tasks[0] if page.tasks else None
    if task is None or not task.alive:
        return 0
    if reporter == "ar":
        arrival = _raise(machine, *_CHECKS["ar"], facts)
    else:
        recovers = facts.mca_recovery
        bank = Bank(_READ | 0x0134 | (POISON if recovers else PCC), mcgstatus=_MCG)
        arrival = amd_exception(
            bank, Context.USER, profile, succor=recovers, overflow_recovery=True, memory_failure=configured
        )
    return act_on(machine, page, arrival, task, "do_machine_check", repeats=True, real=True)


def load_again(machine: kernel.Machine, page: Page, task: Task, facts: MachineFacts) -> None:
    """Let a process load poison from a page that is still mapped: the next machine check."""
    arrival = _raise(machine, *_CHECKS["ar"], facts)
    act_on(machine, page, arrival, task, "do_machine_check", repeats=True, real=True)


def copy_again(machine: kernel.Machine, page: Page, task: Task, facts: MachineFacts) -> int:
    """Let the kernel copy poison from a page that is still mapped for a process (copy_from_user)."""
    arrival = _raise(machine, *_CHECKS["ar-copy"], facts)
    return act_on(machine, page, arrival, task, "do_machine_check")


def read_file(machine: kernel.Machine, page: Page, facts: MachineFacts) -> None:
    """Let read() copy poison out of the page cache, which no kernel survives."""
    act_on(machine, page, _raise(machine, *_CHECKS["ar-kernel"], facts), None, "do_machine_check")
