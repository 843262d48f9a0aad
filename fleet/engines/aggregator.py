"""The aggregator: takes the tables of shards and writes parts as they fill up. It never commits."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from fleet.engines.shard import ShardSums
from fleet.scenario.fleet import Fleet
from fleet.stored.manifest import PartFile, Receipt
from fleet.stored.plan import Shard
from fleet.stored.sink import give_memory_back, sync_parts, write_part
from fleet.stored.store import open_store

PENDING_BYTES_MAX = 8 << 20
"""Rows that wait to be written, of all shards in flight; beyond it the largest table of them becomes a part."""

PartKey = tuple[tuple[int, ...], str]


@dataclass
class _Attempt:
    """One attempt at a shard: rows that wait, by arms and table, and the parts that are written."""

    pending: dict[PartKey, list[pa.Table]] = field(default_factory=dict)
    size_bytes: dict[PartKey, int] = field(default_factory=dict)
    parts: list[PartFile] = field(default_factory=list)
    written: int = 0


class Aggregator:
    """Writes the rows of shards in flight; ``finish`` turns one attempt at a shard into its receipt."""

    def __init__(self, root: str, fleet: Fleet) -> None:
        """Prepare to write below the folder of a run."""
        give_memory_back()
        self.root = open_store(root)
        self.fleet = fleet
        self.attempts: dict[str, _Attempt] = {}
        self.waiting_bytes = 0

    def add(self, attempt: str, arms: tuple[int, ...], table: str, rows: pa.Table) -> int:
        """Take some rows of one shard's attempt; return how many.

        Raises:
            TransientError: A part could not be written.
        """
        mine, key = self.attempts.setdefault(attempt, _Attempt()), (arms, table)
        mine.pending.setdefault(key, []).append(rows)
        mine.size_bytes[key] = mine.size_bytes.get(key, 0) + rows.nbytes
        self.waiting_bytes += rows.nbytes
        while self.waiting_bytes > PENDING_BYTES_MAX:
            sizes = {(name, key): size for name, one in self.attempts.items() for key, size in one.size_bytes.items()}
            self._write(*max(sizes, key=sizes.__getitem__))
        return int(rows.num_rows)

    def drop(self, attempt: str) -> None:
        """Forget an attempt that will not finish, and delete its parts."""
        mine = self.attempts.pop(attempt, _Attempt())
        self.waiting_bytes -= sum(mine.size_bytes.values())
        for part in mine.parts:
            self.root.remove(part.path)

    def finish(self, attempt: str, shard: Shard, sums: ShardSums) -> Receipt:
        """Write what waits of an attempt, and have all of it on disk.

        Raises:
            TransientError: A part could not be written.
        """
        mine = self.attempts.setdefault(attempt, _Attempt())
        for key in list(mine.pending):
            self._write(attempt, key)
        sync_parts(self.root, mine.parts)
        del self.attempts[attempt]
        return Receipt(shard, tuple(mine.parts), sums.digests, sums.tally)

    def _write(self, attempt: str, key: PartKey) -> None:
        """Write what waits of one table and set of arms."""
        mine, (arms, table) = self.attempts[attempt], key
        rows = pa.concat_tables(mine.pending.pop(key))
        self.waiting_bytes -= mine.size_bytes.pop(key)
        owners = tuple(self.fleet.arms[arm] for arm in arms)
        mine.parts.extend(write_part(self.root, table, owners, f"shard-{attempt}-{mine.written}", rows))
        mine.written += 1
