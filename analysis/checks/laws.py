"""Laws that rows have no exceptions to: every row has a cause, a node that is down does nothing, counts add up.

**Models.** Causes lead from signals and I/O errors over the handling of pages and machine checks to errors, and from
there to faults. A UE either did harm (a kill, an I/O error, a panic) or was survived. What a code corrects whatever it
carries is never uncorrected by one fault alone.

**Leaves out.** Whether the cause is the right one: the simulation's own tests ask that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from analysis.checks.verdict import Finding, law
from analysis.dataset.exposure import exposure_from_rows
from analysis.dataset.run import Run
from analysis.theory import ALWAYS_CORRECTED, ALWAYS_NOTICED
from fleet.stored.headline import BY_KEY, EXPOSURE, INDEX
from node_sim.codes import UP_KINDS, ErrorKind, Fate, LifecycleKind, Mode, Path
from node_sim.columns import TABLE_NAMES
from node_sim.records import Flags, Ints, join, take

CAUSES: Final = {
    "errors": ("faults",),
    "machine_checks": ("errors",),
    "memory_failures": ("machine_checks",),
    "signals": ("memory_failures", "machine_checks"),
    "io_errors": ("memory_failures",),
}
"""Tables whose rows may be the cause of rows of a table; the causes of others may be rows of any."""
ROUNDING: Final = 1e-9
Names = npt.NDArray[np.uint64]


class ArmRows(NamedTuple):
    """All rows of an arm, ordered by name (node and number): table, time, name of the cause; one element each."""

    name: Names
    table: Ints
    time_ns: Ints
    cause: Names
    caused: Flags

    def at(self, name: Names) -> tuple[Ints, Flags]:
        """Return the places of rows, and which there are."""
        if not self.name.size:
            return np.zeros(name.size, np.int64), np.zeros(name.size, np.bool_)
        place = np.minimum(np.searchsorted(self.name, name), self.name.size - 1)
        return place, self.name[place] == name


def law_checks(run: Run, codes: Sequence[Sequence[str]]) -> Iterator[Finding]:
    """Finding the laws in every arm.

    Args:
        run: The run.
        codes: Error-correcting code of each group, by arm.
    """
    for position, arm in enumerate(run.arms):
        tables = {name: run.table(name, arm) for name in TABLE_NAMES}
        rows = _all_rows(tables)
        yield law(f"{arm}: rows of one node and number", rows.name.size - np.unique(rows.name).size)
        yield law(f"{arm}: numbers without a row", _gaps(rows))
        yield from _causes(arm, rows)
        yield law(f"{arm}: rows of nodes that are down", _while_down(tables))
        yield law(f"{arm}: rows outside the time that is simulated", _outside(rows, run.horizon_ns))
        yield from _counts(run, position, tables, rows)
        yield from _codes(run, arm, [of_group[position] for of_group in codes], tables)


def _ints(table: pa.Table, name: str) -> Ints:
    found: Ints = table.column(name).fill_null(0).to_numpy().astype(np.int64)
    return found


def _is(table: pa.Table, name: str, *texts: str) -> Flags:
    found = np.zeros(table.num_rows, np.bool_)
    for text in texts:
        found |= np.asarray(pc.fill_null(pc.equal(table.column(name), text), False)).astype(np.bool_)
    return found


def _names(table: pa.Table, number: str) -> Names:
    """Name rows of an arm by node and a number."""
    return _ints(table, "node_id").astype(np.uint64) * np.uint64(1 << 32) + _ints(table, number).astype(np.uint64)


def _all_rows(tables: dict[str, pa.Table]) -> ArmRows:
    parts = []
    for kind, table in enumerate(tables.values()):
        name, caused = _names(table, "seq"), "cause_seq" in table.column_names
        kinds, flags = np.full(name.size, kind), np.full(name.size, caused)
        parts.append(
            ArmRows(name, kinds, _ints(table, "time_ns"), _names(table, "cause_seq") if caused else name, flags)
        )
    joined = join(parts)
    return take(joined, np.argsort(joined.name, kind="stable"))


def _gaps(rows: ArmRows) -> int:
    """Count the numbers below the last of a node that no row has; rows of a node are numbered from 0 on."""
    node = rows.name >> np.uint64(32)
    last = np.flatnonzero(np.append(node[1:] != node[:-1], True)) if node.size else np.empty(0, np.int64)
    wanted = (rows.name[last] & np.uint64(0xFFFFFFFF)).astype(np.int64) + 1
    return int(wanted.sum() - np.unique(rows.name).size)


def _causes(arm: str, rows: ArmRows) -> Iterator[Finding]:
    """Finding that causes are rows, of the right tables, and do not come after what they cause."""
    effect = np.flatnonzero(rows.caused)
    cause, known = rows.at(rows.cause[effect])
    yield law(f"{arm}: rows without their cause", int((~known).sum()))
    yield law(f"{arm}: rows before their cause", int((known & (rows.time_ns[cause] > rows.time_ns[effect])).sum()))
    for table, causes in CAUSES.items():
        mine = rows.table[effect] == TABLE_NAMES.index(table)
        right = np.isin(rows.table[cause], [TABLE_NAMES.index(name) for name in causes])
        yield law(f"{arm}: {table} that are not due to {' or '.join(causes)}", int((mine & known & ~right).sum()))


def _while_down(tables: dict[str, pa.Table]) -> int:
    """Count the rows within intervals in which their node is down."""
    life = tables["lifecycle"]
    down = ~_is(life, "kind", *(kind.text for kind in UP_KINDS))
    node, begin, end = (_ints(life, name)[down] for name in ("node_id", "time_ns", "end_ns"))
    order = np.lexsort((begin, node))
    node, begin, end = node[order], begin[order], end[order]
    wrong = 0
    for name, table in tables.items():
        if name == "faults" or not node.size:
            continue
        of_row, time_ns = _ints(table, "node_id"), _ints(table, "time_ns")
        # Intervals of a node repeat or follow each other, so the last that began before is the one that may hold it.
        all_node, all_ns = np.concatenate((node, of_row)), np.concatenate((begin, time_ns))
        is_row = np.arange(all_node.size) >= node.size
        merged = np.lexsort((~is_row, all_ns, all_node))
        last = np.cumsum(~is_row[merged])[is_row[merged]] - 1
        row = merged[is_row[merged]] - node.size
        inside = (last >= 0) & (node[last] == of_row[row]) & (time_ns[row] < end[last])
        wrong += int(inside.sum())
    return wrong


def _outside(rows: ArmRows, horizon_ns: int) -> int:
    return int(((rows.time_ns < 0) | (rows.time_ns > horizon_ns)).sum())


def _counts(run: Run, position: int, tables: dict[str, pa.Table], rows: ArmRows) -> Iterator[Finding]:
    """Finding that the stored counts are those of the rows, and that what was survived and what was not is all."""
    arm, total = run.arms[position], run.tally.total[position].sum(axis=0)
    ue = _is(tables["errors"], "kind", ErrorKind.UE.text)
    killed = _is(tables["signals"], "fate", Fate.KILLED.text)
    panic = _is(tables["lifecycle"], "kind", LifecycleKind.PANIC.text)
    lost = _ints(tables["lifecycle"], "processes_lost")[panic]
    seen = {
        "ue": int(ue.sum()),
        "kills": int(killed.sum()),
        "panics": int(panic.sum()),
        "losses": int(killed.sum() + lost.sum()),
        "io_errors": tables["io_errors"].num_rows,
        "machine_checks": tables["machine_checks"].num_rows,
    }
    for key, observed in seen.items():
        counted = sum(float(total[INDEX[part]]) for part in BY_KEY[key].parts or (key,))
        yield _equal(f"{arm}: counted {key}, by rows", counted, observed)
    harmful = (("signals", killed), ("io_errors", slice(None)), ("lifecycle", panic))
    roots = _roots(rows, np.concatenate([_names(tables[name], "cause_seq")[which] for name, which in harmful]))
    errors = _names(tables["errors"], "seq")[ue]
    harmless = int((~np.isin(errors, roots)).sum())
    yield _equal(f"{arm}: UEs that were survived, by rows", float(total[INDEX["ue_survived"]]), harmless)
    up = exposure_from_rows(run, arm)
    for group, counted in zip(run.groups, run.tally.total[position, :, INDEX[EXPOSURE]], strict=True):
        yield _equal(f"{arm}: node-years up of {group.name}, by rows", float(counted), up[group.name])


def _roots(rows: ArmRows, name: Names) -> Names:
    """Return the errors that rows were caused by in the end."""
    errors, found = TABLE_NAMES.index("errors"), np.unique(name)
    for _ in TABLE_NAMES:
        place, known = rows.at(found)
        onward = known & (rows.table[place] > errors)
        found = np.where(onward, rows.cause[place], found)
    return np.unique(found)


def _equal(quantity: str, expected: float, observed: float) -> Finding:
    same = abs(expected - observed) <= ROUNDING * max(1.0, abs(expected))
    return Finding(quantity, expected, observed, float(same), None)


def _codes(run: Run, arm: str, codes: Sequence[str], tables: dict[str, pa.Table]) -> Iterator[Finding]:
    """Finding that no fault alone defeats a code that corrects, or notices, as many pins of one device."""
    errors, faults = tables["errors"], tables["faults"]
    alone = _is(errors, "path", Path.BORN.text, Path.GROWN.text)
    fault_id, order = faults.column("fault_id").to_numpy(), np.argsort(faults.column("fault_id").to_numpy())
    at = order[np.searchsorted(fault_id[order], errors.column("fault_id").to_numpy()[alone])]
    n_dq, cells = _ints(faults, "n_dq")[at], ~_is(faults, "mode", Mode.COMMAND_ADDRESS.text)[at]
    node, silent = _ints(errors, "node_id")[alone], _is(errors, "kind", ErrorKind.SDC.text)[alone]
    for group, code in zip(run.groups, codes, strict=True):
        mine = cells & (node >= group.first_node) & (node < group.first_node + group.nodes)
        if code in ALWAYS_CORRECTED:
            wrong = mine & (n_dq <= ALWAYS_CORRECTED[code])
            yield law(f"{arm}: {group.name}: errors that {code} corrects, uncorrected", int(wrong.sum()))
        if code in ALWAYS_NOTICED:
            wrong = mine & silent & (n_dq <= ALWAYS_NOTICED[code])
            yield law(f"{arm}: {group.name}: errors that {code} notices, silent", int(wrong.sum()))
