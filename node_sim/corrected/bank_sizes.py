"""How many pages go out of use with each bank, and which huge pages of pools are broken up for it.

**Models.** Every page with lines of the bank that has not been asked for in the boot goes offline if the kernel's
answer is 0 and nobody had poisoned the page or its huge page before. The kernel answers by what the block of 2 MiB or
1 GiB of a page is for ever (``memory/pages.py``), so pages are counted by block: exactly, and without a list of them.

**Leaves out.** Huge pages that ``memory_failure()`` has broken up; as for single pages, the daemon's are counted.

**Assumes.** A huge page is broken up once in a boot by the daemon's requests.

**Sources.** None.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from node_sim.corrected.asking import BY_BANK, Ground, Offlines, question_of
from node_sim.corrected.eras import Eras
from node_sim.corrected.marks import Poisoned
from node_sim.dram.device_banks import BankMap
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import AddressMap
from node_sim.memory.pages import HUGE_PAGES, BlockKind, draw_blocks
from node_sim.records import Flags, Ints
from node_sim.units import PAGE_BYTES, PAGES_PER_HUGE_PAGE

BLOCKS_AT_ONCE = 1 << 16
"""Blocks of 2 MiB that are looked at together."""


class BankSizes(NamedTuple):
    """What goes out of use with banks, arrays of shape ``(n,)``: pages, and bytes of huge pages broken up."""

    n_pages: Ints
    pool_lost_bytes: Ints


class _AskedBank(NamedTuple):
    """What is asked about a bank in a lane at a time: pages of some chunks by their pattern, and what is known."""

    node_id: int
    chunk_set: int
    pattern: Flags
    answer: Ints
    poisoned: Poisoned


@dataclass
class _Boot:
    """What banks have done in a boot of a lane: pages asked for by set of chunks, and huge pages broken up, by size."""

    name: tuple[int, int]
    asked: dict[int, Flags] = field(default_factory=dict)
    broken: dict[int, Flags] = field(default_factory=dict)


def bank_sizes(eras: Eras, banks: Offlines, faults: FaultTable, ground: Ground, poisoned: Poisoned) -> BankSizes:
    """Count what goes out of use with banks.

    Args:
        eras: All eras of some lanes.
        banks: All banks of them that are to go offline.
        faults: All faults.
        ground: What the pages are.
        poisoned: Pages that ``memory_failure()`` has marked in the lanes.
    """
    bank_map, boot = BankMap(ground.address_map), _Boot((-1, -1))
    sizes = BankSizes(*(np.zeros(banks.era.size, np.int64) for _ in BankSizes._fields))
    names = banks.page - BY_BANK
    chunk_sets, patterns = bank_map.chunk_set(names).tolist(), bank_map.pattern(names)
    by_lane = poisoned.take(np.argsort(poisoned.lane, kind="stable"))
    for i in np.lexsort((banks.time_ns, eras.from_ns[banks.era], eras.lane[banks.era])).tolist():
        era, chunk_set = banks.era[i], chunk_sets[i]
        lane, from_ns = eras.lane[era], eras.from_ns[era]
        if boot.name != (int(lane), int(from_ns)):
            boot = _Boot((int(lane), int(from_ns)))
        before = boot.asked.get(chunk_set, np.zeros(bank_map.period, np.bool_))
        boot.asked[chunk_set] = before | patterns[i]
        mine = by_lane.take(slice(*(int(np.searchsorted(by_lane.lane, lane + more)) for more in (0, 1))))
        mine = mine.take((from_ns <= mine.poisoned_ns) & (mine.poisoned_ns <= banks.time_ns[i]))
        node_id = int(faults.node_id[eras.fault[era]])
        asked = _AskedBank(node_id, chunk_set, patterns[i] & ~before, eras.answer[era], mine)
        if not (asked.answer == 0).any():
            continue
        for n_pages, lost_bytes in _by_blocks(bank_map, asked, ground, boot):
            sizes.n_pages[i] += n_pages
            sizes.pool_lost_bytes[i] += lost_bytes
    return sizes


def _by_blocks(bank_map: BankMap, asked: _AskedBank, ground: Ground, boot: _Boot) -> Iterator[tuple[int, int]]:
    """Yield the pages that go offline, and the bytes of huge pages broken up for them, of some blocks at a time."""
    every = ground.address_map.pages // PAGES_PER_HUGE_PAGE
    for start in range(0, every, BLOCKS_AT_ONCE):
        end = min(start + BLOCKS_AT_ONCE, every)
        first, count = _counts(ground.address_map, asked.chunk_set, asked.pattern.tobytes(), start, end)
        if not first.size:
            continue
        blocks = draw_blocks(ground.seed, np.full(first.size, asked.node_id), first, ground.static)
        no = np.zeros(first.size, np.bool_)
        taken = asked.answer[question_of(blocks.kind, blocks.spare, no, no)] == 0
        gone = np.where(taken, count - _poisoned_in(bank_map, asked, first, count), 0)
        yield int(gone.sum()), _break_up(boot, blocks.kind[gone > 0], first[gone > 0], ground.address_map.pages)


@lru_cache(maxsize=256)
def _counts(address_map: AddressMap, chunk_set: int, pattern: bytes, start: int, end: int) -> tuple[Ints, Ints]:
    """Return the first pages of the blocks in a range that have pages of a set of chunks, and how many: for all nodes.

    Args:
        address_map: Of the nodes.
        chunk_set: The set.
        pattern: Which pages of a period count, as bytes.
        start: First block.
        end: Block after the last one.
    """
    bank_map, counted = BankMap(address_map), np.frombuffer(pattern, np.bool_)
    first = np.arange(start, end + 1) * PAGES_PER_HUGE_PAGE
    edges = bank_map.pages_below(chunk_set, counted, first[[0, -1]])
    count = np.diff(bank_map.pages_below(chunk_set, counted, first)) if edges[0] < edges[1] else first[:0]
    some = np.flatnonzero(count)
    return first[some], count[some]


def _poisoned_in(bank_map: BankMap, asked: _AskedBank, first: Ints, count: Ints) -> Ints:
    """Count the pages of the bank in blocks that were poisoned before, by themselves or with their huge pages.

    Args:
        bank_map: Where the lines of banks lie.
        asked: The bank.
        first: First pages of the blocks, ascending, shape ``(n,)``.
        count: Pages of the bank in each.
    """
    found = np.zeros(first.size, np.int64)
    alone, whole = (asked.poisoned.take(mine) for mine in (asked.poisoned.pages == 1, asked.poisoned.pages > 1))
    pfn = np.unique(alone.pfn)
    pfn = pfn[(pfn >= first[0]) & (pfn < first[-1] + PAGES_PER_HUGE_PAGE)]
    pfn = pfn[bank_map.in_part(asked.chunk_set, asked.pattern, pfn)]
    np.add.at(found, np.searchsorted(first, pfn, side="right") - 1, 1)
    for page, size in zip((whole.pfn // whole.pages).tolist(), whole.pages.tolist(), strict=True):
        inside = slice(*np.searchsorted(first, (page * size, (page + 1) * size)).tolist())
        found[inside] = count[inside]
    return np.minimum(found, count)


def _break_up(boot: _Boot, kind: Ints, first: Ints, pages: int) -> int:
    """Note that huge pages of pools lose pages; return the size of those that were whole in this boot [bytes]."""
    lost = 0
    for of_kind in (BlockKind.POOL_2M, BlockKind.POOL_1G):
        size = int(HUGE_PAGES[of_kind])
        huge = np.unique(first[kind == of_kind] // size)
        if huge.size:
            broken = boot.broken.setdefault(size, np.zeros(-(-pages // size), np.bool_))
            lost += int(np.count_nonzero(~broken[huge])) * size * PAGE_BYTES
            broken[huge] = True
    return lost
