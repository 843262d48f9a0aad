"""Opening a run: every file is checked against the manifest before a number is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from fleet.stored.digest import add_digests, digest_table, to_hex
from fleet.stored.headline import METRICS
from fleet.stored.manifest import (
    COMMON_ARM,
    PLAN,
    RUN,
    PartFile,
    Receipt,
    read_manifest,
    read_plan,
)
from fleet.stored.parts import Survey, read_part, survey
from fleet.stored.schema import check_version, empty_table
from fleet.stored.store import AnyRoot, RunStore, open_store
from fleet.stored.tally import Tally
from node_sim.columns import TABLES
from node_sim.errors import ConfigError, DataError
from node_sim.guesses import one_of


@dataclass(frozen=True)
class GroupInfo:
    """A node group of a run; of its processes, how many of each kind a node runs in the first arm."""

    name: str
    first_node: int
    nodes: int
    dimm_bytes: int
    processes: dict[str, int]


@dataclass(frozen=True)
class Run:
    """A complete, unaltered run.

    Attributes:
        root: What it is stored on.
        plan: Content of plan.json.
        manifest: Content of run.json.
        receipts: The commit of each shard, in order.
        tally: Counts over all nodes.
    """

    root: RunStore
    plan: dict[str, Any]
    manifest: dict[str, Any]
    receipts: tuple[Receipt, ...]
    tally: Tally

    @property
    def path(self) -> Path | str:
        """Its folder, or its URL."""
        return self.root.path

    @property
    def parts(self) -> tuple[PartFile, ...]:
        """All committed parts."""
        return tuple(part for receipt in self.receipts for part in receipt.parts)

    @property
    def arms(self) -> tuple[str, ...]:
        """Arms; the first is the baseline."""
        return tuple(self.plan["arms"])

    @property
    def groups(self) -> tuple[GroupInfo, ...]:
        """Node groups."""
        return tuple(GroupInfo(**group) for group in self.plan["groups"])

    @property
    def horizon_ns(self) -> int:
        """End of simulated time [ns]."""
        return int(self.plan["horizon_ns"])

    def check_arm(self, arm: str) -> int:
        """Return the position of an arm.

        Raises:
            ConfigError: The run has no such arm.
        """
        if arm not in self.arms:
            msg = f"{self.root}: arm {arm!r}, {one_of(arm, self.arms)}"
            raise ConfigError(msg)
        return self.arms.index(arm)

    def table(
        self, name: str, arm: str | None = None, columns: Sequence[str] | None = None, filters: Any = None
    ) -> pa.Table:
        """Read one table of an arm's view: the common rows and its own.

        Args:
            name: Table.
            arm: Arm; None is the baseline.
            columns: Columns to read; None is all.
            filters: As in ``pyarrow.parquet.read_table``.
        """
        if name not in TABLES:
            msg = f"{self.root}: table {name!r}, {one_of(name, TABLES)}"
            raise ConfigError(msg)
        arm = self.arms[self.check_arm(arm)] if arm is not None else self.arms[0]
        mine = [part for part in self.parts if part.table == name and part.arm in (COMMON_ARM, arm)]
        if not mine:
            empty = empty_table(name)
            return empty.select(list(columns)) if columns is not None else empty
        return pa.concat_tables([read_part(self.root, part, columns, filters) for part in mine])

    def read_part(self, part: PartFile, columns: Sequence[str] | None = None) -> pa.Table:
        """Read one committed part; ``columns`` None is all."""
        return read_part(self.root, part, columns)

    def digests(self) -> dict[str, dict[str, str]]:
        """Compute the digests of all tables of all arms from the stored rows."""
        of_part: dict[str, int] = {}
        known: dict[str, int] = {}
        for part in self.parts:
            if part.checksum not in known:
                known[part.checksum] = digest_table(self.read_part(part))
            of_part[part.path] = known[part.checksum]
        return {
            arm: {
                name: to_hex(
                    add_digests(
                        *(of_part[p.path] for p in self.parts if p.table == name and p.arm in (COMMON_ARM, arm))
                    )
                )
                for name in TABLES
            }
            for arm in self.arms
        }


def open_run(path: AnyRoot) -> Run:
    """Open a run.

    Args:
        path: Folder of the run, or its URL.

    Raises:
        DataError: The run is not complete, a file is missing or was altered, or another version made it.
    """
    root = open_store(path)
    if not root.exists():
        msg = f"{root}: no such folder, expected a run; check the path"
        raise DataError(msg)
    if not root.holds(RUN):
        unfinished = "an unfinished run; 'hwpoison-fleet resume' it"
        hint = unfinished if root.holds(PLAN) else "not a run; check the path"
        msg = f"{root}: no {RUN}, expected a complete run; this is {hint}"
        raise DataError(msg)
    plan = read_plan(root)
    check_version(root / PLAN, plan)
    manifest = read_manifest(root, plan)
    if manifest.get("metrics") != list(METRICS):
        msg = f"{root / RUN}: counts other metrics than this version, expected {len(METRICS)} known ones; run it anew"
        raise DataError(msg)
    found = survey(root, plan)
    _check_whole(root, plan, found)
    receipts = tuple(found.receipts[shard] for shard in sorted(found.receipts))
    return Run(root, plan, manifest, receipts, _tally(root, plan, manifest))


def _tally(root: RunStore, plan: dict[str, Any], manifest: dict[str, Any]) -> Tally:
    """Return the counts of the whole run.

    Raises:
        DataError: The manifest has none, or they are not of this plan.
    """
    try:
        return Tally.from_json(manifest["tally"], len(plan["arms"]), len(plan["groups"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        msg = f"{root / RUN}: not the manifest of a run ({error}); do not use this run"
        raise DataError(msg) from None


def _check_whole(root: RunStore, plan: dict[str, Any], found: Survey) -> None:
    """Check that exactly the planned shards are committed, as the manifest saw them, with all their parts.

    Raises:
        DataError: They are not.
    """
    mend = "do not use this run; 'hwpoison-fleet resume' mends it"
    if found.missing(plan):
        msg = f"{root}: commits of shards {found.missing(plan)} are missing; {mend}"
        raise DataError(msg)
    if found.foreign():
        msg = f"{root}: commits of shards {found.foreign()} are not those that {RUN} has seen; {mend}"
        raise DataError(msg)
    for damage in found.damage.values():
        path, wrong = damage[0]
        msg = f"{root / path}: {wrong}, expected a part of the run; {mend}"
        raise DataError(msg)
