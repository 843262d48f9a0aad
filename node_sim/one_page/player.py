"""Play one recorded scenario: injections, accesses and system calls, written in the notation of the recordings.

**Models.** The operations of the column ``plan``.

**Leaves out.** kpageflags after the error.

**Assumes.** Processes act in turn, P0 first.

**Sources.** The description of the recordings and of the program that made them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from node_sim.catalog.kernels import has_since
from node_sim.catalog.profile import Profile
from node_sim.hwpoison import access, sources
from node_sim.hwpoison.file import Backing
from node_sim.hwpoison.kernel import ERRNO_NAMES, Machine, Panic
from node_sim.hwpoison.page import Page
from node_sim.hwpoison.process import PLAIN, Mapping, Pte, Received, Task
from node_sim.hwpoison.soft_offline import soft_offline
from node_sim.hwpoison.unpoison import unpoison
from node_sim.one_page.calls import later_calls
from node_sim.one_page.checks import deliver
from node_sim.one_page.operations import ON_MAPPING, core_page
from node_sim.one_page.page_types import ScenarioRow, UnknownScene, check_type
from node_sim.one_page.scene import Scene, build_scene

_DIED = "no-return(process died)"
_INJECTIONS: Final = {
    "2": ("corrupt-pfn", "corrupt-pfn="),
    "h": ("hard_offline", "hard_offline="),
    "S": ("soft_offline", "soft_offline="),
    "o": ("madvise", "madvise="),
    "n": ("corrupt-pfn", "corrupt-pfn(next pfn)="),
}
_ACCESSES: Final = {"R": "read", "W": "write", "r": "reread", "x": "exec"}
_INSTRUCTION = "ok(0xb8)"
"""What a read of a page of instructions shows: the recording program's move of the letter that the call returns."""
COMPARED: Final = (
    "call_errno",
    "action_log",
    "result",
    "signals",
    "process_outcome",
    "later_access",
    "later_syscalls",
    "hw_corrupted_kb_delta",
)
"""The columns that are compared, in the table's order."""
PREDICTED: Final = (*COMPARED, "unpoison", "hw_corrupted_kb_after_unpoison", "unpoison_log", "kernel_log")
"""All columns that are predicted."""


class Player:
    """One scenario being played."""

    def __init__(self, row: ScenarioRow, profile: Profile) -> None:
        """Build the page, its processes and the kernel of one recorded scenario.

        Args:
            row: Input columns.
            profile: The kernel.

        Raises:
            UnknownScene: The row describes something outside the model.
        """
        self.row = row
        self.scene: Scene = build_scene(row)
        check_type(row["page_type"], profile)
        self.page: Page = self.scene.page
        self.next_page: Page | None = None
        self.was_huge = self.page.order > 0
        self.machine = Machine(
            profile,
            early_kill=row["early_kill"] == "1",
            recovery=row["recovery"] != "0",
            filtered=self.scene.is_filtered,
            filter_enabled=self.scene.filter is not None,
        )
        tasks = self.page.tasks
        descriptors = 0 if self.scene.closed else self.scene.descriptors
        self.calls = access.Calls(self.machine, self.page, tasks[0], descriptors=descriptors) if tasks else None
        self.letter = self.scene.letter
        self.errnos: list[str] = []
        self.later: list[str] = []
        self.syscalls: list[str] = []
        self.outcomes: list[str] = []
        self.unpoisoned: list[str] = []
        self.unpoison_lines: list[str] = []
        self.counted_pages: int | None = None
        self.exited = False

    def play(self) -> dict[str, str]:
        """Play the plan and return the predicted columns."""
        try:
            for operation in self.row["plan"]:
                self._operate(operation)
        except Panic as panic:
            text = f"Kernel panic - not syncing: {panic}".replace(f"{self.page.pfn:x}", "PFN")
            return dict.fromkeys(PREDICTED, "") | {"result": "PANIC", "process_outcome": text}
        actions, counted = self.machine.actions, self.machine.counted_pages
        return {
            "call_errno": ";".join(self.errnos),
            "action_log": ";".join(text for text, _ in actions),
            "result": ";".join(result for _, result in actions) or "none",
            "signals": "".join(_signal(got) for task in self.page.tasks for got in task.received),
            "process_outcome": "".join(self.outcomes),
            "later_access": "".join(self.later),
            "later_syscalls": "".join(self.syscalls),
            "hw_corrupted_kb_delta": str(4 * (counted if self.counted_pages is None else self.counted_pages)),
            "unpoison": ";".join(self.unpoisoned),
            "hw_corrupted_kb_after_unpoison": str(4 * counted),
            "unpoison_log": " / ".join(self._normal(line) for line in self.unpoison_lines),
            "kernel_log": " / ".join(self._normal(line) for line in self.machine.log),
        }

    def _normal(self, line: str) -> str:
        """Write a log line as the recordings do."""
        line = re.sub(r"(fault at|virtual address) (0x)?[0-9a-f]+", r"\1 ADDR", line)
        return line.replace(f"{self.page.pfn:#x}", "PFN")

    def _operate(self, operation: str) -> None:
        others: dict[str, Callable[[], None]] = {
            "P": self._entries,
            "Y": self._system_calls,
            "V": self._pending,
            "U": self._unblock,
            "k": self._count,
            "q": self._quit,
            "u": self._unpoison,
            "w": lambda: None,
            "X": self._munmap,
            "d": self._drop_caches,
            "C": lambda: None,  # core dumps are switched on
            "a": self._abort,
            "c": self._core,
        }
        if operation == "!" or operation in _INJECTIONS:
            self._inject(operation)
        elif operation in _ACCESSES:
            self._access(_ACCESSES[operation])
        elif operation in others:
            others[operation]()
        elif operation in ON_MAPPING:
            calls = self._on_mapping()
            for name, answer in ON_MAPPING[operation](calls, self.letter) if calls is not None else ():
                self._say(name, answer)
        else:
            msg = f"plan {self.row['plan']!r}: operation {operation!r} is not known"
            raise UnknownScene(msg)

    @property
    def _alive(self) -> list[Task]:
        return [] if self.exited else [task for task in self.page.tasks if task.alive]

    # ------------------------------------------------------------------------------------ injections

    def _inject(self, operation: str) -> None:
        self.machine.phase = "inject"
        how, prefix = _INJECTIONS.get(operation, (self.row["injection"], ""))
        page = self._next() if operation == "n" else self.page
        owner = self.page.tasks[0] if self.page.tasks else None
        by_owner = how.startswith("madvise")
        gone = by_owner and (owner is None or owner not in self._alive)
        heard = len(owner.received) if owner is not None else 0
        following = [page.separate(number) for number in range(1, self._advised(how, page))]
        errno = "" if gone else ERRNO_NAMES[self._call(how, page)]
        for one in following if errno == "0" else ():
            errno = ERRNO_NAMES[self._call(how, one)]
            del one.tasks[0].received[heard + 1 :]  # merges with the one that is pending until the call returns
        if page is not self.page:
            self.page.learn_of(page)
        for copy, task in zip(page.tasks, self.page.tasks, strict=False):  # of another page they are copies
            task.died_of, task.pending = task.died_of or copy.died_of, task.pending or copy.pending
        died = by_owner and (owner is None or not owner.alive)
        self.errnos.append(prefix + (_DIED if gone or died else errno))

    def _advised(self, how: str, page: Page) -> int:
        """Return how many pages one call is about: madvise() steps over the rest of a huge page (4.0)."""
        if not how.startswith("madvise") or (page.order and has_since(self.machine.profile, "4.18")):
            return 1
        return self.scene.advised_pages

    def _next(self) -> Page:
        if not self.was_huge:
            msg = "what the next page frame is used for is not an input"
            raise UnknownScene(msg)
        if self.next_page is None:
            self.next_page = self.page.next_subpage()
        return self.next_page

    def _call(self, how: str, page: Page) -> int:
        spare = self.scene.spare_huge_page
        if how in ("madvise", "madvise_soft"):
            return sources.madvise(
                self.machine,
                page,
                page.tasks[0],
                soft=how == "madvise_soft",
                privileged=self.scene.privileged,
                spare_huge_page=spare,
            )
        if how.startswith("mce"):
            deliver(self.machine, page, self.row)
            return 0
        calls: dict[str, Callable[[], int]] = {
            "corrupt-pfn": lambda: sources.corrupt_pfn(self.machine, page),
            "hard_offline": lambda: sources.hard_offline(self.machine, page),
            "soft_offline": lambda: soft_offline(self.machine, page, spare_huge_page=spare),
        }
        if how not in calls:
            msg = f"injection {how!r}: expected one of the recordings' kinds"
            raise UnknownScene(msg)
        return calls[how]()

    # ------------------------------------------------------------------------------------ what processes do

    def _entries(self) -> None:
        for task in self._alive:
            self.later.append(f"{task.name}.pfn={_entry(task.first)};")

    def _access(self, word: str) -> None:
        self.machine.phase = "read" if word == "exec" else word
        for task in self._alive:
            answer = self._touch(task, word)
            self.later.append(f"{task.name}.{word}={answer if task.alive else 'died'};")

    def _touch(self, task: Task, word: str) -> str:
        mapping = task.first
        if mapping is not None:
            touch = access.write if word == "write" else access.read
            answer = touch(self.machine, self.page, task, mapping)
            shown = self.scene.code and word in ("read", "reread") and answer.startswith("ok(")
            return _INSTRUCTION if shown else answer
        if word == "write" or not self.scene.descriptors:
            return "n/a"
        fresh = Mapping(Pte.NONE, shared=True)
        return "new_mmap_read=" + access.read(self.machine, self.page, task, fresh)

    def _system_calls(self) -> None:
        self.machine.phase = "syscall"
        if self.calls is None or self.calls.task not in self._alive:
            return
        if self.scene.closed and not self.calls.files:
            self.calls = access.Calls(self.machine, self.page, self.calls.task, descriptors=self.scene.descriptors)
            self._say("open", "0")
        answers = []
        for name, answer in later_calls(self.calls, self.scene):
            if not self.calls.task.alive:
                self.syscalls.append(f"{self.calls.task.name} died;")
                return
            answers.append((name, answer))
        for name, answer in answers:
            self._say(name, answer)

    def _say(self, name: str, answer: str) -> None:
        self.syscalls.append(f"{name}={answer};")

    def _pending(self) -> None:
        for task in self._alive:
            self.later.append(f"{task.name}.sigpending=pending={int(task.pending is not None)};")

    def _unblock(self) -> None:
        self.machine.phase = "unblock"
        for task in self._alive:
            self.later.append(f"{task.name}.unblock=pending={int(task.pending is not None)};")
            task.unblock("unblock")

    def _munmap(self) -> None:
        for task in self._alive:
            task.munmap()

    def _on_mapping(self) -> access.Calls | None:
        """Return the calls of P0 where it lives and still maps the page."""
        self.machine.phase = "syscall"
        ready = self.calls is not None and self.calls.task in self._alive and self.calls.task.first is not None
        return self.calls if ready else None

    def _drop_caches(self) -> None:
        if self.page.file is not None:
            self.page.file.drop_caches(mapped=self.page.mapped)

    def _abort(self) -> None:
        for task in self._alive:
            task.kill(Received("syscall", "SIGABRT", "SI_TKILL", None, None, task.name))

    def _core(self) -> None:
        if self.calls is not None and not self.calls.task.alive:
            self._say("core", "0")
            self._say("core.page", core_page(self.calls, self.letter))

    # ------------------------------------------------------------------------------------ the end

    def _count(self) -> None:
        self.counted_pages = self.machine.counted_pages

    def _quit(self) -> None:
        """Let all processes exit, with what only they held."""
        for task in self.page.tasks:
            died = task.died_of
            fate = "survived" if died is None else f"killed {died.signal} at {died.phase}"
            self.outcomes.append(f"{task.name} {fate};")
            task.mappings = []
        self.exited = True
        file = self.page.file
        if file is not None and not self.scene.named and file.backing in (Backing.SHMEM, Backing.BLOCK):
            self.page.file = None

    def _unpoison(self) -> None:
        when = "after-exit" if self.exited else "alive"
        huge = self.page.hugetlb and self.page.subpage > 0
        before = len(self.machine.log)
        errno = unpoison(self.machine, self.page)
        marked = self.page.poisoned and not huge
        answer = f"{when}:{ERRNO_NAMES[errno]} poison={int(marked)}"
        if huge and errno:
            errno = unpoison(self.machine, self.page, head=True)
            answer += f"; head pfn:{ERRNO_NAMES[errno]} poison={int(self.page.poisoned)}"
        self.unpoisoned.append(answer)
        self.unpoison_lines += self.machine.log[before:]
        del self.machine.log[before:]


def _entry(mapping: Mapping | None) -> str:
    """Return what /proc/self/pagemap shows; it has no special entries for hugetlb."""
    if mapping is None or mapping.huge_entry:
        return "none"
    special = mapping.pte in (Pte.SWAP_ERROR, Pte.GUARD)
    return Pte.HWPOISON.value if special else mapping.pte.value


def _signal(got: Received) -> str:
    lsb = "" if got.lsb is None else f" lsb={got.lsb}"
    where = "NULL" if got.offset is None else f"page{got.offset:+d}"
    who = got.who if ":" not in got.who else "child"
    code = "code128" if got.code == PLAIN else got.code
    return f"{who}@{got.phase}:{got.signal}/{code}{lsb} addr={where};"


def predict(row: ScenarioRow, profile: Profile) -> dict[str, str]:
    """Predict the outcome columns of a recorded scenario from its input columns.

    Args:
        row: Input columns of one row.
        profile: The kernel.

    Raises:
        UnknownScene: The row describes something outside the model.
    """
    return Player(row, profile).play()
