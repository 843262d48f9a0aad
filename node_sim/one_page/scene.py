"""From the input columns of a recorded scenario to a page, its processes and its file.

**Models.** The columns of the recordings: page type, state, kpageflags, processes, policies, disposition, filter.

**Leaves out.** The row's name and group: they are never read.

**Assumes.** Flags come from /proc/kpageflags where it shows them; the words decide what flags cannot show (a dirty
page table entry, an extra reference, a private mapping).

**Sources.** The column descriptions of the recordings; fs/proc/page.c ``stable_page_flags()``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from node_sim.catalog.file_systems import FILE_SYSTEMS
from node_sim.codes import KillPolicy
from node_sim.hwpoison.file import ZEROS, Backing, File
from node_sim.hwpoison.filters import Filter, flag_bits, parse_filter, stable_flags
from node_sim.hwpoison.page import Kind, Page
from node_sim.hwpoison.process import Disposition, Mapping, Pte, Task
from node_sim.one_page.page_types import RecordedType, ScenarioRow, type_of
from node_sim.units import PAGE_BYTES

_POLICIES = {"EARLY": KillPolicy.EARLY, "LATE": KillPolicy.LATE}
_MERGED_AT, _SECOND_AT = 12288, 8192
"""Where a process maps the page a second time, from the first [bytes]."""
_SLOW_DISK = (254, 64)


@dataclass
class Scene:
    """A page with what else a scenario's columns say.

    Attributes:
        page: The page.
        descriptors: Descriptors open on the file.
        closed: They were all closed before the error.
        named: The file has a name and can be opened again.
        mapped: The processes have a mapping of the object.
        privileged: The caller has CAP_SYS_ADMIN.
        spare_huge_page: The hugetlb pool has a free page.
        filter: Criteria of the injection filter; None where it is switched off.
        code: The page holds instructions, which a read shows.
        flags: /proc/kpageflags as a number.
        device: Major and minor number of the page's backing device.
        advised_pages: Pages that one call of madvise() is about.
    """

    page: Page
    descriptors: int = 0
    closed: bool = False
    named: bool = False
    mapped: bool = True
    privileged: bool = True
    spare_huge_page: bool = True
    filter: Filter | None = None
    code: bool = False
    flags: int = 0
    device: tuple[int, int] | None = None
    advised_pages: int = 1

    @property
    def letter(self) -> str:
        """What the page holds, as it is now."""
        private = [mapping.private for task in self.page.tasks for mapping in task.mappings]
        file = self.page.file
        return next((letter for letter in private if letter is not None), (file and file.cached) or ZEROS)

    def is_filtered(self, page: Page) -> bool:
        """Whether the injection filter, where it is on, drops the page; the flags of a tail page say little."""
        flags = flag_bits(stable_flags(page)) if self.flags & flag_bits(["COMPOUND_TAIL"]) else self.flags
        return self.filter is not None and self.filter.drops(flags, self.device, owned=bool(page.tasks))


def _filter(text: str) -> Filter | None:
    """Read the column ``filter``: enable, dev major, minor, flags mask, flags value, memcg; ``-`` where not set."""
    words = text.split()
    if not words or words[0] != "1":
        return None
    names = ("dev-major", "dev-minor", "flags-mask", "flags-value", "memcg")
    return parse_filter({name: word for name, word in zip(names, words[1:], strict=True) if word != "-"})


def _is_dirty(page_type: str, state: str, flags: frozenset[str], *, private_copy: bool) -> bool:
    """Say whether PG_dirty or a page table entry is set; flags show the former only, and not for tail pages."""
    if page_type == "anonymous swap cache":
        return "DIRTY" in flags or "then written" in state
    if page_type.startswith("DAX"):  # of which there are no flags
        return "dirty" in state
    if "COMPOUND_TAIL" in flags and not flags & {"SLAB", "ZERO_PAGE"}:
        return not re.search(r"\bclean\b", state)
    if page_type.startswith("anonymous") or private_copy:
        return "SWAPBACKED" in flags or "HUGE" in flags
    return "DIRTY" in flags


def _order(state: str, default: int) -> int:
    found = re.search(r"\b(\d+)K huge page", state)
    return (int(found.group(1)) * 1024 // PAGE_BYTES).bit_length() - 1 if found else default


def _subpage(state: str, default: int) -> int:
    found = re.search(r"(?<!on )sub page (\d+)", state)
    if found:
        return int(found.group(1))
    return 0 if "head sub page" in state else default


def _file(kind: RecordedType, state: str, *, dirty: bool, private_copy: bool) -> File | None:
    if not kind.file:
        return None
    if "truncated" in state:
        return File(kind.backing, stored=kind.stored, truncated=True)
    if kind.stored is None:
        cached = None if private_copy else kind.written
        return File(kind.backing, stored=None, cached=cached)
    written = (dirty and not private_copy and "as left by" not in state) or "writeback" in state
    cached = kind.written if written else kind.stored
    stored = cached if "writeback" in state else kind.stored
    return File(kind.backing, stored=stored, cached=cached, system=FILE_SYSTEMS[kind.system])


def _policies(row: ScenarioRow, index: int) -> tuple[KillPolicy, ...]:
    state = row["state_details"]
    leader = _POLICIES.get(row["proc_policy"], KillPolicy.UNSET)
    own = re.search(rf"\bP{index} (EARLY|LATE|DEFAULT|unset)\b", state)
    if index and own:
        leader = _POLICIES.get(own.group(1), KillPolicy.UNSET)
    if "before a second thread is created" in state:
        return (leader, leader)
    second = re.search(r"a second thread (?:\(not the main one\) )?(?:has )?(EARLY|LATE|unset)\b", state)
    return (leader, _POLICIES.get(second.group(1), KillPolicy.UNSET)) if second else (leader,)


def _disposition(row: ScenarioRow, index: int) -> Disposition:
    """Return what one process has arranged for SIGBUS: its own where the words name one, else that of P0."""
    own = re.search(
        rf"SIGBUS: .*\bP{index} (handler|default|blocked-then-unblocked|blocked|ignored)\b", row["state_details"]
    )
    return Disposition(own.group(1) if own else row["sigbus_disposition"])


def _mapping(page: Page, state: str, entry: Pte, private: str | None, *, shared: bool) -> Mapping:
    readable = "PROT_NONE" not in state
    writable = readable and not re.search(r"PROT_READ(?!\|PROT_WRITE)|read-only", state)
    return Mapping(entry, shared=shared, readable=readable, writable=writable, private=private, locked=page.mlocked)


def _tasks(row: ScenarioRow, scene: Scene, kind: RecordedType, entry: Pte) -> list[Task]:
    page, state = scene.page, row["state_details"]
    shared = kind.file and "MAP_PRIVATE" not in state
    private = None
    if page.file is None or page.backing is Backing.ANONYMOUS:
        private = "P" if kind.file and kind.kind is Kind.USER else kind.written
    tasks = []
    for index in range(int(row["processes"])):
        task = Task(f"P{index}", _policies(row, index), _disposition(row, index))
        if re.search(r"main thread blocks SIGBUS, a second thread .* does not", state):
            task.unblocked = frozenset({1})
        if scene.mapped:
            task.mappings = [_mapping(page, state, entry, private, shared=shared)]
            if page.ksm or "mapped twice" in state or "2 mappings" in state:
                second = _mapping(page, state, entry, private, shared=shared)
                second.offset = _MERGED_AT if page.ksm else _SECOND_AT
                task.mappings.append(second)
        tasks.append(task)
    return tasks


def build_scene(row: ScenarioRow) -> Scene:
    """Build the page, its processes and its file from the input columns of one row.

    Raises:
        UnknownScene: The row describes something outside the model.
    """
    page_type, state = row["page_type"], row["state_details"]
    flags = frozenset(row["kpageflags_before"].split("+")) - {"-", "", "(no such pfn)"}
    kind = type_of(page_type, state, flags)
    private_copy = "private copy" in state
    dirty = _is_dirty(page_type, state, flags, private_copy=private_copy)
    page = Page(
        kind=kind.kind,
        backing=Backing.ANONYMOUS if private_copy else kind.backing,
        dirty=dirty,
        swapcache="SWAPCACHE" in flags,
        swapbacked="SWAPBACKED" in flags,
        mlocked="mlocked" in state,
        unevictable=("UNEVICTABLE" in flags and "mlocked" not in state) or kind.backing is Backing.SECRETMEM,
        ksm="KSM" in flags and "KSM" in page_type,  # 6.12 shows the flag of every anonymous page
        order=_order(state, kind.order),
        subpage=_subpage(state, kind.subpage),
        by_entries=any(words in state for words in ("mapped by page table entries", "half unmapped", "mTHP")),
        splits=not (kind.kind is Kind.USER and kind.order and "extra reference" in state),
        extra_references=int(kind.pinned or "extra reference" in state or "still referenced" in state),
        buffers="buffers in use" in state,
        writeback="writeback" in state,
        table="PGTABLE" in flags,
        file=_file(kind, state, dirty=dirty, private_copy=private_copy),
    )
    advised = re.search(r"madvise over (\d+) pages", state)
    scene = Scene(
        page,
        descriptors=kind.descriptors,
        closed="all fds closed" in state,
        named=kind.named,
        privileged="not root" not in state,
        spare_huge_page="one 2M and one 1G" not in row["boot"],
        filter=_filter(row["filter"]),
        code=bool(re.search(r"\btext (page )?of (a|the) running program", state)),
        flags=flag_bits(flags),
        device=None if private_copy else _SLOW_DISK if "writeback" in state else kind.device,
        advised_pages=int(advised.group(1)) if advised else 1,
    )
    missing = "no page" in state.split(";")[0] and page.backing is Backing.ANONYMOUS
    present = bool(flags & {"MMAP", "ZERO_PAGE"}) and not missing
    present |= kind.kind is Kind.DEVICE and "not mapped" not in state
    scene.mapped = present or missing or (page.swapcache and not page.cached_in)
    entry = Pte.PRESENT if present else Pte.SWAP if page.swapcache else Pte.NONE
    page.tasks = _tasks(row, scene, kind, entry)
    return scene
