"""The lines of the kernel's log about a handled page: those of the handler itself, asked about pages of its use.

**Models.** A row of ``memory_failures`` says what the page was used for, and page type, result and errno. The handler
of the kernel is run on page states of that use until one gives these; what it printed is the text, with the number of
the page and the processes that the run signalled.

**Leaves out.** Which file system, and how often a page is mapped, where the text would tell.

**Assumes.** Signals of one call are sent together, where the handler sends its first.

**Sources.** ``node_sim.hwpoison.outcomes``; held against recorded kernels by a test.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

from analysis.hosts.lives import Row
from analysis.records.moments import Handled
from analysis.records.processes import address_of, task_of
from node_sim.catalog.file_systems import FILE_SYSTEMS
from node_sim.catalog.profile import Profile
from node_sim.codes import CheckAction, KernelRead, KillPolicy, PageUse, Result, SignalCode, SignalName
from node_sim.hwpoison.access import late_kill_line
from node_sim.hwpoison.kernel import Machine, report
from node_sim.hwpoison.kill import unrecovered_code
from node_sim.hwpoison.outcomes import CALLS, CallKind, Earlier, call_of_read, handle_state
from node_sim.hwpoison.page import Page
from node_sim.hwpoison.page_states import PFN
from node_sim.hwpoison.use_states import state_of_use

NOT_RECOVERED: Final = "mce: Memory error not recovered"
_CONSUMER, _OTHER = "owner 0", "owner 1"
_UNSET: Final = (KillPolicy.UNSET,)


class HandlerLines(NamedTuple):
    """What the handler prints about a page.

    Attributes:
        before: TimedLines before the first about a signal.
        after: TimedLines after it.
        consumer: Line about the process that consumed the data; empty if the handler does not tell it.
        other: Line about another.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    consumer: str
    other: str


class HandlerAnswer(NamedTuple):
    """What a run says that the handler made of a page."""

    use: str
    page_type: str | None
    result: str | None
    errno: int


def call_of(check: Row) -> CallKind:
    """Return why the handler was called, given the row of ``machine_checks`` behind it."""
    if check["action"] == CheckAction.ACTION_REQUIRED.text:
        return CallKind.ACTION_REQUIRED
    read = check["kernel_read"]
    return CallKind.ACTION_OPTIONAL if read is None else call_of_read(KernelRead.of(read))


def handled_lines(moment: Handled, rules: Profile) -> Iterator[str]:
    """Yield the lines about a handled page and the signals that were sent at once, in order.

    Args:
        moment: The handling.
        rules: What the kernel does.
    """
    row, call = moment.row, call_of(moment.check)
    printed = printed_by(
        rules, HandlerAnswer(row["page_use"], row["page_type"], row["result"], row["errno"]), call, moment.known
    )
    yield from (_at(line, row["pfn"]) for line in printed.before)
    direct: list[str] = []
    for signal in moment.signals:
        line = _kill_line(signal, printed, rules)
        if line:
            yield _at(line, row["pfn"])
        elif signal["timing"] == "direct":
            direct += _direct_lines(signal, row, rules, call)
    yield from (_at(line, row["pfn"]) for line in printed.after)
    yield from direct


def _at(line: str, pfn: int) -> str:
    return line.replace(f"{PFN:#x}", f"{pfn:#x}")


def _kill_line(signal: Row, printed: HandlerLines, rules: Profile) -> str:
    """Return the handler's line about a signal; empty if others send it."""
    told = signal["timing"] == "direct"
    if signal["code"] == SignalCode.KERNEL.text and signal["signal"] == SignalName.SIGBUS.text:
        return ""
    if told and signal["code"] == SignalCode.MCEERR_AR.text and not printed.consumer:
        return ""
    line = printed.consumer if told and printed.consumer else printed.other or printed.consumer
    line = line or rules.prefix.format(pfn=PFN) + rules.killing_text.format(task=_OTHER)
    return line.replace(_CONSUMER, task_of(signal)).replace(_OTHER, task_of(signal))


def _direct_lines(signal: Row, row: Row, rules: Profile, call: CallKind) -> list[str]:
    """Return what is printed of a signal that the machine-check code sends, or the page fault of a repeated load."""
    if signal["code"] == SignalCode.KERNEL.text:
        return [NOT_RECOVERED]
    by_caller = unrecovered_code(rules, row["errno"]) is not None
    by_caller |= call is CallKind.KERNEL_COPY and rules.copy_recovery == "signal"
    return [] if by_caller else [late_kill_line(task_of(signal), address_of(signal))]


@cache
def printed_by(rules: Profile, found: HandlerAnswer, call: CallKind, known: bool) -> HandlerLines:
    """Return what the handler prints about a page, with the number ``PFN``.

    Args:
        rules: What the kernel does.
        found: What it made of the page.
        call: How it was called.
        known: Whether it had been called for the page before.
    """
    for state, kind, earlier in _candidates(found, call, known):
        lines: list[str] = []
        outcome = handle_state(
            state, kind, _UNSET, early_kill=True, recovery=True, earlier=earlier, others=(_UNSET,), profile=rules,
            printed=lines,
        )  # fmt: skip
        page_type, result = (None if code is None else code.text for code in (outcome.page_type, outcome.result))
        if not outcome.panic and (page_type, result, outcome.errno) == found[1:]:
            return _split(lines)
    return _split(_action_line(rules, found))


def _candidates(found: HandlerAnswer, call: CallKind, known: bool) -> Iterator[tuple[str, CallKind, Earlier]]:
    """Yield page states of a use, calls and what came before, the likeliest first."""
    use = PageUse.of(found.use)
    options = itertools.product(FILE_SYSTEMS, (True, False), (False, True), (False, True))
    states = [
        state_of_use(use, file_system=system, large=large, shared=shared, split_ok=splits)
        for system, splits, large, shared in options
    ]
    second = [kind for kind, (_, itself) in CALLS.items() if itself is call]
    first = [(call, earlier) for earlier in (Earlier.NOTHING, Earlier.NEIGHBOUR, Earlier.PAGE)]
    again = [(kind, Earlier.NOTHING) for kind in second] + [(kind, Earlier.NEIGHBOUR) for kind in second]
    ordered = [first[2], *again, *first[:2]] if known else [*first, *again]
    for (kind, earlier), state in itertools.product(ordered, dict.fromkeys(states)):
        yield state, kind, earlier


def _split(lines: list[str]) -> HandlerLines:
    """Part the lines of the handler at those about processes."""
    about = [n for n, line in enumerate(lines) if _CONSUMER in line or _OTHER in line]
    at = about[0] if about else max(len(lines) - 1, 0)
    consumer = next((line for line in lines if _CONSUMER in line), "")
    other = next((line for line in lines if _OTHER in line), "")
    rest = [line for n, line in enumerate(lines) if n >= at and n not in about]
    return HandlerLines(tuple(lines[:at]), tuple(rest), consumer, other)


def _action_line(rules: Profile, found: HandlerAnswer) -> list[str]:
    """Return the action line alone, for pages in a state that no page of the fleet is in."""
    machine = Machine(rules)
    if found.page_type is not None and found.result is not None:
        report(machine, Page(pfn=PFN), found.page_type, Result.of(found.result))
    return machine.log
