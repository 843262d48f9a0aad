"""What would the kernel do with this page? One injection, told step by step.

**Models.** Every page use and state, processes with policy and disposition, the sysctls, the kind of event, and
accesses afterwards.

**Leaves out.** Several bad pages.

**Assumes.** The first process is the one that consumes the data or calls madvise().

**Sources.** As the handler's; ``kernel.RULES`` names kernel file and function of every rule.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from node_sim.catalog.kernels import (
    DEFAULT_PROFILE,
    LIST,
    PROFILE_NAMES,
    PROFILES,
    SWITCHES,
    find_profile,
    kernel_differences,
    switch_value,
)
from node_sim.codes import KillPolicy
from node_sim.errors import ConfigError
from node_sim.guesses import one_of
from node_sim.hwpoison import kernel
from node_sim.hwpoison.copies import COPIES, check_copy
from node_sim.hwpoison.error_states import ERROR_STATES
from node_sim.hwpoison.file import Backing
from node_sim.hwpoison.filters import DISK, flag_bits, parse_filter, stable_flags
from node_sim.hwpoison.page import Page
from node_sim.hwpoison.page_states import PAGES, build_page, check_state
from node_sim.hwpoison.process import Disposition, Received, Task
from node_sim.one_page.afterwards import ACCESSES, Afterwards
from node_sim.one_page.events import EVENTS, SIMULATED, TWO_REPORTS, MachineFacts, check_event, happen


def _tasks(processes: Sequence[str]) -> list[Task]:
    policies = {member.text: member for member in KillPolicy}
    dispositions = {member.value: member for member in Disposition if member is not Disposition.UNBLOCKED_LATER}
    tasks, problems = [], []
    for number, words in enumerate(processes):
        policy, _, masks = words.partition(":")
        own, *others = (masks or "default").split("+")
        threads = policy.split("+")
        wrong = not set(threads) <= set(policies) or own not in dispositions or len(others) >= len(threads)
        if wrong or not set(others) <= {"open", "blocked"} or ("open" in others and own != "blocked"):
            known = f"{'|'.join(policies)}, {'|'.join(dispositions)}"
            problems.append(
                f"--process {words}: expected POLICY[+POLICY...][:DISPOSITION[+MASK...]] of {known}, with a MASK for "
                f"threads after the first at most: blocked, or open where DISPOSITION is blocked"
            )
            continue
        name = f"app{number or ''}:{100 + number}"
        unblocked, blocked = (
            frozenset(place for place, mask in enumerate(others, 1) if mask == word) for word in ("open", "blocked")
        )
        tasks.append(Task(name, tuple(policies[one] for one in threads), dispositions[own], unblocked, blocked))
    if problems:
        raise ConfigError("\n".join(problems))
    return tasks


def _check(
    page: str,
    event: str,
    then: Sequence[str],
    checks: Sequence[Callable[[], object]],
) -> None:
    """Check every name; all mistakes at once."""
    problems = []
    names: list[tuple[str, str, Collection[str]]] = [("--page", page, PAGES), ("--event", event, EVENTS)]
    for option, text, known in [*names, *(("--then", name, ACCESSES) for name in then)]:
        if text not in known:
            problems.append(f"{option} {text}: {one_of(text, known, LIST)}")
    for check in checks:
        try:
            check()
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))


def _check_knob(kernel_name: str, switches: Mapping[str, str] | None) -> None:
    """Check that a kernel has vm.enable_soft_offline."""
    if not find_profile(kernel_name, switches).has_enable_soft_offline:
        since = next(name for name in PROFILE_NAMES if PROFILES[name].has_enable_soft_offline)
        msg = (
            f"--no-soft-offline: kernel {kernel_name} has no vm.enable_soft_offline, expected profile {since} or "
            "later; leave it out, or choose another --kernel"
        )
        raise ConfigError(msg)


def inject(  # noqa: PLR0913 - each is an option of the command
    page: str,
    *,
    kernel_name: str = DEFAULT_PROFILE,
    event: str = "ao",
    processes: Sequence[str] = ("unset",),
    early_kill: bool = False,
    recovery: bool = True,
    enable_soft_offline: bool = True,
    facts: MachineFacts | None = None,
    filters: Mapping[str, str] | None = None,
    then: Sequence[str] = (),
    switches: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Inject an error and say what the kernel does.

    Args:
        page: Page use and state, a name of ``PAGES``.
        kernel_name: Kernel profile.
        event: How the error comes, a name of ``EVENTS``.
        processes: Of each process that uses the page ``POLICY[+POLICY...][:DISPOSITION[+MASK...]]``: a policy for each
            thread; for threads after the first ``open`` where SIGBUS is not blocked.
        early_kill: vm.memory_failure_early_kill.
        recovery: vm.memory_failure_recovery.
        enable_soft_offline: vm.enable_soft_offline; False only where the kernel has it.
        facts: What else the machine is like; None is the ordinary one.
        filters: Criteria of the injection filter by debugfs name; None leaves it switched off.
        then: What follows, names of ``ACCESSES``.
        switches: Switches of the profile to set otherwise, text by name.

    Returns:
        ``page_type``, ``result``, ``errno``, ``call_errno``, ``log``, ``trace``, ``signals``, ``panic``, ``later``,
        ``hardware_corrupted_kb``, ``memory_lost_bytes``, ``statistics`` and ``steps``; page type and result are None
        without an action line. ``errno`` is the return value of ``memory_failure()`` (of the call where that was not
        reached), ``call_errno`` what the caller gets.

    Raises:
        ConfigError: A name is not known, or the kernel does not have it; all mistakes at once.
    """
    checks: list[Callable[[], object]] = [
        lambda: find_profile(kernel_name, switches) if enable_soft_offline else _check_knob(kernel_name, switches),
        lambda: _tasks(processes),
        lambda: parse_filter(filters or {}),
    ]
    if page in PAGES and kernel_name in PROFILE_NAMES:
        checks.append(lambda: check_state(page, kernel_name))
        checks.append(lambda: check_event(event, kernel_name))
        if event.removeprefix("ar-") in COPIES:
            checks.append(lambda: check_copy(event, build_page(page, _tasks(processes)), page))
    _check(page, event, then, checks)
    machine = kernel.Machine(
        find_profile(kernel_name, switches),
        early_kill=early_kill,
        recovery=recovery,
        enable_soft_offline=enable_soft_offline,
        filtered=_filter(filters or {}),
        filter_enabled=filters is not None,
    )
    return _tell(machine, build_page(page, _tasks(processes)), event, facts or MachineFacts(), then)


def _tell(machine: kernel.Machine, page: Page, event: str, facts: MachineFacts, then: Sequence[str]) -> dict[str, Any]:
    """Let the error and what follows happen, and write down what can be seen."""
    panic, call_errno, errno, later, actions = None, 0, 0, [], 0
    afterwards = Afterwards(
        machine, page, lambda: happen(machine, page, event, facts), facts, real=event not in SIMULATED
    )
    try:
        call_errno = happen(machine, page, event, facts)
        errno = call_errno if machine.answer is None else machine.answer
        actions = len(machine.actions)
        for what in then:
            later.append({"what": what, "answer": "panic"})
            later[-1]["answer"] = afterwards.do(what)
    except kernel.Panic as reason:
        panic = f"Kernel panic - not syncing: {reason}"
        machine.log.append(panic)
    told = 0 if event in TWO_REPORTS else actions - 1  # the line of the call whose answer is told
    page_type, result = machine.actions[told] if actions else (None, None)
    received = [got for task in page.tasks for got in (*task.received, task.pending, task.died_of) if got is not None]
    pending = [task.pending for task in page.tasks]
    return {
        "page_type": page_type,
        "result": result,
        "errno": errno,
        "call_errno": call_errno,
        "log": machine.log,
        "trace": machine.trace,
        "signals": [_signal(got) | {"pending": got in pending} for got in received],
        "panic": panic,
        "later": later,
        "hardware_corrupted_kb": 4 * machine.counted_pages,
        "memory_lost_bytes": page.lost_bytes,
        "statistics": machine.statistics,
        "steps": [{"rule": rule, "decision": decision} for rule, decision in machine.steps],
    }


def _filter(criteria: Mapping[str, str]) -> Callable[[Page], bool]:
    """Return what says whether the injection filter drops a page."""
    wanted = parse_filter(criteria)
    return lambda page: wanted.drops(flag_bits(stable_flags(page)), _device(page), owned=bool(page.tasks))


def _device(page: Page) -> tuple[int, int] | None:
    """Return the backing device of a page's file system."""
    return DISK if page.backing in (Backing.FILE, Backing.METADATA) else None


def _signal(got: Received) -> dict[str, Any]:
    return {
        "task": got.who,
        "phase": got.phase,
        "signal": got.signal,
        "code": got.code,
        "lsb": got.lsb,
        "offset": got.offset,
        "killed": got.killed,
    }


def inject_lines(found: dict[str, Any]) -> list[str]:
    """Tell an injection in lines."""
    lines = ["steps:", *(f"  {step['rule']:<26} {step['decision']}" for step in found["steps"])]
    lines += ["kernel log:", *(f"  {line}" for line in found["log"] or ["(nothing)"])]
    if found["trace"]:
        lines += ["trace:", *(f"  {line}" for line in found["trace"])]
    lines += ["signals:", *(f"  {_signal_line(got)}" for got in found["signals"])]
    lines += [] if found["signals"] else ["  (none)"]
    if found["later"]:
        lines += ["afterwards:", *(f"  {entry['what']:<12} {entry['answer']}" for entry in found["later"])]
    if found["panic"]:
        return [*lines, found["panic"]]
    errno = kernel.ERRNO_NAMES[found["errno"] or found["call_errno"]]
    summary = (
        f"{found['page_type'] or 'no action line'}: {found['result'] or '-'}",
        f"returns {'' if errno == '0' else '-'}{errno}",
        f"HardwareCorrupted {found['hardware_corrupted_kb']:+d} kB",
        f"memory lost {found['memory_lost_bytes'] // 1024} kB",
    )
    return [*lines, ", ".join(summary)]


def _signal_line(got: dict[str, Any]) -> str:
    extent = "" if got["lsb"] is None else f" lsb={got['lsb']}"
    address = "" if got["offset"] is None else f" addr=page{got['offset']:+d}"
    fate = "killed" if got["killed"] else "pending" if got["pending"] else "handled"
    return f"{got['task']} during {got['phase']}: {got['signal']} {got['code']}{extent}{address}, {fate}"


def list_lines(kernel_name: str = PROFILE_NAMES[-1]) -> list[str]:
    """List page states, events, accesses, kernels and switches; of a kernel between the profiles, what it may be."""
    lines, group = ["pages (--page):"], ""
    for name, state in PAGES.items():
        if state.group != group:
            group = state.group
            lines.append(f"  {group}:")
        since = "" if state.since == PROFILE_NAMES[0] else f" (since {state.since})"
        lines.append(f"    {name:<26} {state.text}{since}")
    events = {name: text + " (the memory stays good)" * (name in SIMULATED) for name, text in EVENTS.items()}
    for heading, table in (("events (--event):", events), ("afterwards (--then):", ACCESSES)):
        lines += [heading, *(f"  {name:<28} {text}" for name, text in table.items())]
    lines += [
        "kernels (--kernel):",
        f"  {', '.join(PROFILE_NAMES)}",
        "switches (--switch), with their value in each kernel:",
    ]
    columns = range(len(PROFILE_NAMES))
    lines += [f"  {name:<24} {', '.join(str(switch_value(name, column)) for column in columns)}" for name in SWITCHES]
    for heading, switches in zip(("known", "not known"), kernel_differences(kernel_name), strict=True):
        if switches:
            lines.append(f"switches in which the profiles around {kernel_name} differ, {heading} of {kernel_name}:")
            lines += [f"  {name:<24} {value}" for name, value in switches.items()]
    return lines


def list_document(kernel_name: str = PROFILE_NAMES[-1]) -> dict[str, Any]:
    """Return what ``list_lines`` lists."""
    known, unknown = kernel_differences(kernel_name)
    return {
        "pages": [
            {"name": name, "group": state.group, "means": state.text, "since": state.since}
            for name, state in PAGES.items()
        ],
        "events": [{"name": name, "means": text, "simulated": name in SIMULATED} for name, text in EVENTS.items()],
        "accesses": [{"name": name, "means": text} for name, text in ACCESSES.items()],
        "kernels": list(PROFILE_NAMES),
        "switches": [
            {
                "name": name,
                "values": {one: str(switch_value(name, place)) for place, one in enumerate(PROFILE_NAMES)},
            }
            for name in SWITCHES
        ],
        "asked": {
            "kernel": kernel_name,
            "known": {name: str(value) for name, value in known.items()},
            "not_known": {name: str(value) for name, value in unknown.items()},
        },
    }


def rule_lines() -> list[str]:
    """List every rule with the kernel file and function it models, and the rows of the state table."""
    lines = [f"{name:<27} {where}" for name, where in kernel.RULES.items()]
    rows = [f"  {row.texts[2]:<28} -> {row.handler}" for row in ERROR_STATES]
    return [*lines, "rows of error_states[], first match wins:", *rows]
