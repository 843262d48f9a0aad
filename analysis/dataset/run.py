"""Opening a run: every file is checked against the manifest before a number is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from analysis.dataset.frames import import_pandas, to_frame, widened
from analysis.dataset.groups import GroupInfo
from analysis.dataset.reading import EVERY_ARM, stored_dataset, view_batches, view_schema
from analysis.dataset.shown import Facts, as_html, as_text, run_facts
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
from fleet.stored.parts import Survey, read_nodes, read_part, survey
from fleet.stored.schema import check_version, empty_table
from fleet.stored.store import AnyRoot, RunStore, open_store
from fleet.stored.tally import Tally
from fleet.stored.views import start_us
from node_sim.columns import TABLES
from node_sim.errors import ConfigError, DataError
from node_sim.guesses import one_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow.dataset as ds


@dataclass(frozen=True, repr=False)
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

    def _shown(self) -> Facts:
        mine = {COMMON_ARM, self.arms[0]}
        rows = {table: sum(p.rows for p in self.parts if p.table == table and p.arm in mine) for table in TABLES}
        return run_facts(self.plan, self.manifest, self.path, rows)

    def __repr__(self) -> str:
        """Show what the run is in a few lines."""
        return as_text("Run of hwpoison-fleet", self._shown())

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        return as_html("Run of hwpoison-fleet", self._shown())

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
        chosen = self.arms[0] if arm is None else self.arms[self.check_arm(arm)]
        mine = self._parts_of(name, chosen)[chosen]
        if not mine:
            empty = empty_table(name)
            return empty.select(list(columns)) if columns is not None else empty
        return pa.concat_tables([read_part(self.root, part, columns, filters) for part in mine])

    def _check_table(self, name: str) -> None:
        if name not in TABLES:
            msg = f"{self.root}: table {name!r}, {one_of(name, TABLES)}"
            raise ConfigError(msg)

    def _parts_of(self, name: str, arm: str | None) -> dict[str, list[PartFile]]:
        """Return the parts of a table in an arm's view, the common ones first, by arm; None is the baseline.

        Raises:
            ConfigError: There is no such table or arm.
        """
        self._check_table(name)
        arms = self.arms if arm == EVERY_ARM else (self.arms[0 if arm is None else self.check_arm(arm)],)
        of_table: dict[str, list[PartFile]] = {}
        for part in self.parts:
            if part.table == name:
                of_table.setdefault(part.arm, []).append(part)
        return {one: [*of_table.get(COMMON_ARM, ()), *of_table.get(one, ())] for one in arms}

    def dataset(self, name: str, arm: str | None = None) -> ds.Dataset:
        """Return one table of an arm's view as a dataset of Arrow, which is read piece by piece and only where asked.

        Args:
            name: Table.
            arm: Arm; None is the baseline, ``"*"`` are all, with a column ``arm``.

        Raises:
            ConfigError: There is no such table or arm.
        """
        return stored_dataset(self.root, name, self._parts_of(name, arm), with_arm=arm == EVERY_ARM)

    def view_schema(self, name: str, columns: Sequence[str] | None = None) -> pa.Schema:
        """Return the schema of a table as its view has it: arm, group and date of each row, then what is stored.

        Args:
            name: Table.
            columns: Columns in the order wanted; None is all.

        Raises:
            ConfigError: There is no such table or column.
        """
        self._check_table(name)
        known = view_schema(name)
        for column in columns or ():
            if column not in known.names:
                msg = f"{self.root}: column {column!r} of {name}, {one_of(column, known.names)}"
                raise ConfigError(msg)
        return known if columns is None else pa.schema([known.field(column) for column in columns])

    def view_batches(self, name: str, arm: str | None, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table as its view has them, with the columns and types of a schema, batch by batch.

        Args:
            name: Table.
            arm: Arm; None is the baseline, ``"*"`` are all.
            schema: As from ``view_schema``.

        Raises:
            ConfigError: There is no such table or arm.
        """
        dataset = stored_dataset(self.root, name, self._parts_of(name, arm), with_arm=True)
        return view_batches(dataset, schema, self.groups, start_us(self.plan))

    def frame(self, name: str, arm: str | None = None, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read one table of an arm's view as a pandas frame of Arrow types, with group and date of each row.

        Integers of up to 32 bits have 64 there, as pandas refuses to add two columns whose sum does not fit their type.

        Args:
            name: Table.
            arm: Arm; None is the baseline, ``"*"`` are all, with a column ``arm``.
            columns: Columns to read; None is all.

        Raises:
            ImportError: pandas is not installed.
            ConfigError: There is no such table, arm or column.
        """
        pandas = import_pandas()
        schema = widened(self.view_schema(name, columns))
        frame = to_frame(pandas, pa.Table.from_batches(self.view_batches(name, arm, schema), schema))
        return frame.drop(columns="arm") if columns is None and arm != EVERY_ARM else frame

    def read_part(self, part: PartFile, columns: Sequence[str] | None = None) -> pa.Table:
        """Read one committed part; ``columns`` None is all."""
        return read_part(self.root, part, columns)

    def read_nodes(self, part: PartFile, nodes: range) -> pa.Table:
        """Read the rows of some consecutive nodes of one committed part."""
        return read_nodes(self.root, part, nodes)

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
    for path, wrong in found.altered:
        msg = f"{root / path}: {wrong}, expected the views of the run; {mend}"
        raise DataError(msg)
