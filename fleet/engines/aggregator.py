"""The aggregator: takes the tables of shards, writes parts, digests and counts them. It never commits."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from fleet.scenario.fleet import Fleet
from fleet.stored.counting import tally_shard
from fleet.stored.digest import add_digests, digest_table
from fleet.stored.manifest import PartFile, Receipt
from fleet.stored.plan import Shard, groups_in
from fleet.stored.sink import write_part


class Aggregator:
    """Collects the tables of shards in flight; one call of ``finish`` turns those of one shard into files and sums."""

    def __init__(self, root: str, fleet: Fleet) -> None:
        """Prepare to write below the folder of a run."""
        self.root = Path(root)
        self.fleet = fleet
        self.pending: dict[str, dict[tuple[tuple[int, ...], str], list[pa.Table]]] = {}

    def add(self, attempt: str, arms: tuple[int, ...], table: str, rows: pa.Table) -> int:
        """Take some rows of one shard's attempt; return how many."""
        of_attempt = self.pending.setdefault(attempt, {})
        of_attempt.setdefault((arms, table), []).append(rows)
        return int(rows.num_rows)

    def drop(self, attempt: str) -> None:
        """Forget an attempt that will not finish."""
        self.pending.pop(attempt, None)

    def finish(self, attempt: str, shard: Shard) -> Receipt:
        """Write, digest and count all rows of an attempt.

        Raises:
            TransientError: A part could not be written.
        """
        names = self.fleet.arms
        digests: dict[str, dict[str, int]] = {arm: {} for arm in names}
        parts: list[PartFile] = []
        tables = []
        for position, ((arms, table), pieces) in enumerate(self.pending.pop(attempt, {}).items()):
            rows = pa.concat_tables(pieces)
            owners = tuple(names[arm] for arm in arms)
            parts.extend(write_part(self.root, table, owners, f"shard-{shard.shard_id:06d}-{attempt}-{position}", rows))
            digest = digest_table(rows)
            for arm in owners or names:
                digests[arm][table] = add_digests(digests[arm].get(table, 0), digest)
            tables.append((arms, table, rows))
        groups = self.fleet.groups
        dimm_bytes = [group.dimm_bytes for group in groups]
        tally = tally_shard(tables, groups_in(shard, groups), dimm_bytes, len(names), self.fleet.horizon_ns)
        return Receipt(shard, tuple(parts), digests, tally)
