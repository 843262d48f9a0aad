"""How do uncorrected errors, panics and lost memory go over the time of a run?

**Models.** Twelve stretches of equal length. UEs and panics per 1,000 node-years installed, time down among them; the
interval is that of a compound Poisson count whose clusters are what a node has in the stretch (``estimators``). Memory
out of use is its average over the stretch, per node: pages that memory_failure() or soft offlining took, until the
node's next boot, and DIMMs mapped out, while the node is up.

**Leaves out.** Huge pages that pools lose, and an interval of the memory, of which a few nodes have most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analysis.dataset.run import Run
from analysis.estimators.intervals import count_interval, unseen_size
from analysis.estimators.rates import PER_NODE_YEARS
from analysis.figures.arms import chosen
from analysis.figures.bars import legend_above
from analysis.figures.figure import Arms, Caption, RunFigure
from analysis.figures.labels import label_x
from analysis.figures.lost_memory import COLUMNS as OF_MEMORY
from analysis.figures.lost_memory import Losses, losses_of
from analysis.figures.panels import height_of_panels, stack_panels
from analysis.figures.pareto import format_bytes
from analysis.figures.style import COLOURS, DASHES, own_axes
from analysis.figures.tables import arms_in, column_of, tidy, where
from analysis.figures.views import ints, is_code, read_shards
from analysis.figures.words import PER, counted, number
from fleet.stored.cells import Tables
from node_sim.codes import ErrorKind, LifecycleKind
from node_sim.records import Ints
from node_sim.units import NS_PER_DAY, NS_PER_YEAR

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STRETCHES: Final = 12
CURVES: Final = 4
_BAND_MAX: Final = 3.0
"""The axis ends at so many times the highest value, wherever bands do."""
COLUMNS: Final = {**OF_MEMORY, "errors": ("node_id", "time_ns", "kind")}
PANELS: Final = (("ue", f"UEs {PER}"), ("panics", f"panics {PER}"), ("memory_lost", "memory out of use per node"))


class Clusters:
    """What nodes have in each stretch: events, the sum of their squares by node, nodes with any, the most of one."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.total, self.square, self.nodes, self.largest = (np.zeros(STRETCHES) for _ in range(4))

    def merge(self, other: Clusters) -> None:
        """Add those of other nodes."""
        self.total += other.total
        self.square += other.square
        self.nodes += other.nodes
        self.largest = np.maximum(self.largest, other.largest)

    def add(self, node: Ints, time_ns: Ints, edges_ns: Ints) -> None:
        """Add the events of nodes of which none has been added yet."""
        stretch = np.clip(np.searchsorted(edges_ns, time_ns, side="right") - 1, 0, STRETCHES - 1)
        clusters, per_node = np.unique(stretch + STRETCHES * node, return_counts=True)
        at = clusters % STRETCHES
        self.total += np.bincount(at, per_node, STRETCHES)
        self.square += np.bincount(at, per_node**2, STRETCHES)
        self.nodes += np.bincount(at, minlength=STRETCHES)
        np.maximum.at(self.largest, at, per_node)

    def rates(self, stretch: int, exposure: float) -> tuple[float, ...]:
        """Return the events of a stretch, and their rate and its interval for so many node-years."""
        total, nodes = float(self.total[stretch]), float(self.nodes[stretch])
        size = unseen_size(float(self.largest[stretch]), nodes) if nodes else 1.0
        ends = count_interval(total, float(self.square[stretch]), size)
        return round(total), *(PER_NODE_YEARS * part / exposure for part in (total, *ends))


EVENTS: Final = {"ue": ("errors", ErrorKind.UE), "panics": ("lifecycle", LifecycleKind.PANIC)}
"""Tables and kinds of the events that are counted."""


class Course:
    """What happens in one arm over time."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.events = {name: Clusters() for name in EVENTS}
        self.memory = np.zeros(STRETCHES)

    def add(self, run: Run, tables: Tables, edges_ns: Ints) -> None:
        """Add nodes of which none has been added yet."""
        for name, (table, kind) in EVENTS.items():
            some = is_code(tables[table], "kind", kind)
            node, time_ns = (ints(tables[table], part)[some] for part in ("node_id", "time_ns"))
            self.events[name].add(node, time_ns, edges_ns)
        self.memory += _of_stretches(losses_of(run, tables), edges_ns)

    def merge(self, other: Course) -> None:
        """Add what happens to other nodes."""
        for name, clusters in self.events.items():
            clusters.merge(other.events[name])
        self.memory += other.memory


def over_time_table(run: Run, arms: Arms = None) -> pa.Table:
    """Return UEs, panics and memory out of use by arm and stretch of time."""
    courses = {arm: Course() for arm in chosen(run, arms)}
    edges = [run.horizon_ns * edge // STRETCHES for edge in range(STRETCHES + 1)]
    edges_ns = np.asarray(edges, np.int64)
    for shard in read_shards(run, list(courses), COLUMNS):
        shared = Course()
        shared.add(run, shard.shared, edges_ns)
        for arm, course in courses.items():
            course.merge(shared)
            course.add(run, shard.own[arm], edges_ns)
    nodes = sum(group.nodes for group in run.groups)
    years = nodes * run.horizon_ns / STRETCHES / NS_PER_YEAR
    rows = [
        (
            arm,
            *edges[stretch : stretch + 2],
            *course.events["ue"].rates(stretch, years),
            *course.events["panics"].rates(stretch, years),
            float(course.memory[stretch]) / nodes,
        )
        for arm, course in courses.items()
        for stretch in range(STRETCHES)
    ]
    ends = (("", "1"), ("_rate", PER), ("_rate_low", PER), ("_rate_high", PER))
    units = {f"{name}{end}": unit for name in EVENTS for end, unit in ends}
    return tidy(rows, arm="", begin_ns="ns", end_ns="ns", **units, memory_lost="byte per node")


def _of_stretches(losses: Losses, edges_ns: Ints) -> npt.NDArray[np.float64]:
    """Return the memory out of use on average over each stretch [byte], shape ``(stretches,)``."""
    size_bytes, lasts_ns = losses.size_bytes.astype(np.float64), losses.until_ns - losses.since_ns
    up_to = [float(size_bytes @ np.clip(edge_ns - losses.since_ns, 0, lasts_ns)) for edge_ns in edges_ns]
    found: npt.NDArray[np.float64] = np.diff(up_to) / np.diff(edges_ns)
    return found


def _arms_drawn(table: pa.Table) -> list[str]:
    """Return the arms that are drawn: the first, and those that differ most in UEs."""
    arms = arms_in(table)
    ue = [sum(column_of(where(table, arm=arm), "ue")) for arm in arms]
    order = sorted(range(1, len(arms)), key=lambda one: -abs(ue[one] - ue[0]))[: CURVES - 1]
    return [arms[one] for one in (0, *sorted(order))]


def _paint(ax: Axes, table: pa.Table) -> None:
    shown = _arms_drawn(table)
    panels = stack_panels(ax, len(PANELS))
    size, unit = _unit(float(np.asarray(table["memory_lost"]).max(initial=0.0)))
    for panel, (name, title) in zip(panels, PANELS, strict=True):
        highest = 0.0
        for place, arm in enumerate(shown):
            mine = where(table, arm=arm)
            edges = np.asarray([*column_of(mine, "begin_ns"), column_of(mine, "end_ns")[-1]]) / NS_PER_DAY
            column = name if name == "memory_lost" else f"{name}_rate"
            scale = size if name == "memory_lost" else 1.0
            value = np.asarray(column_of(mine, column), np.float64) / scale
            highest = max(highest, float(value.max()))
            look = {"color": COLOURS[place], "linestyle": DASHES[place], "label": arm}
            panel.stairs(value, edges, baseline=None, linewidth=1.6, **look)
            if place == 0 and name != "memory_lost":
                low, high = (np.asarray(column_of(mine, f"{column}_{end}"), np.float64) for end in ("low", "high"))
                panel.stairs(high, edges, baseline=low, fill=True, color=COLOURS[0], alpha=0.15, linewidth=0.0)
        top = 1.1 if name == "memory_lost" else _BAND_MAX
        panel.set_ylim(0.0, top * highest or 1.0)
        panel.set_xlim(edges[0], edges[-1])
        panel.grid()
        panel.set_title(f"{title} [{unit}]" if name == "memory_lost" else title, pad=3.0)
    left = len(arms_in(table)) - len(shown)
    note = f"{counted(left, 'arm')} left out; the table has all" if left else ""
    label_x(panels[-1], "days since the start", legend_above(ax, panels[0]), note)


def fleet_over_time(run: Run, arms: Arms = None, ax: Axes | None = None) -> tuple[Axes, pa.Table]:
    """Draw uncorrected errors, panics and lost memory over the time of a run.

    >>> ax, table = fleet_over_time(run, arms=run.arms[:1])
    >>> table.num_rows
    12
    """
    table = over_time_table(run, arms)
    ax = own_axes(ax, FIGURE.height(table))
    _paint(ax, table)
    return ax, table


def _unit(most_bytes: float) -> tuple[float, str]:
    """Return the binary unit in which memory is drawn."""
    unit = format_bytes(most_bytes).rsplit(" ", 1)[1]
    return 2.0 ** (10 * ("B", "KiB", "MiB", "GiB", "TiB").index(unit)), unit


def _explain(run: Run, table: pa.Table) -> Caption:
    arm = arms_in(table)[0]
    mine = where(table, arm=arm).to_pylist()
    first, last = (sum(row["ue"] for row in half) for half in (mine[: STRETCHES // 2], mine[STRETCHES // 2 :]))
    nodes = sum(group.nodes for group in run.groups)
    total = first + last
    title = (
        f"{arm}: {counted(first, 'UE')} in the first half and {last:,} in the second; "
        f"{format_bytes(mine[-1]['memory_lost'])} per node out of use at the end"
    )
    sentence = (
        f"Steps: {STRETCHES} stretches of {run.horizon_ns / STRETCHES / NS_PER_DAY:.3g} days of "
        f"{counted(nodes, 'node')}; bands: 95 % intervals of {arm}, nodes being clusters, of "
        f"{counted(total, 'UE')} and {counted(sum(row['panics'] for row in mine), 'panic')}. Bands are cut "
        "at the top of the axis. Memory has no interval, as a few nodes have most."
    )
    rates = ", ".join(number(row["ue_rate"]) for row in mine)
    return Caption(title, sentence, f"UEs {PER} of {arm} by stretch: {rates}.")


FIGURE = RunFigure(
    "fleet_over_time",
    fleet_over_time,
    over_time_table,
    _paint,
    lambda _run: True,
    _explain,
    lambda _table: height_of_panels(len(PANELS), 110.0),
)
