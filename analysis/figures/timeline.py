"""What happened to one node, and when?

**Models.** The rows of one node in one arm, as ``replay`` gives them, in lanes from cause to consequence: faults, rate
of corrected errors, uncorrected and silent errors, machine checks, memory_failure(), signals, I/O errors, pages taken
offline, time down, repairs. The rate is that of the windows' counts, spread evenly from the first error of a window to
its last, in about 200 stretches, and drawn on a logarithmic scale from one a day on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from analysis.figures.figure import Caption
from analysis.figures.labels import label_x
from analysis.figures.render import Sheet, print_sheet
from analysis.figures.style import COLOURS, HATCHES, MARKERS, WIDTH, ink, own_axes
from analysis.figures.tables import column_of, tidy, where
from analysis.figures.words import counted, listed, number
from node_sim.codes import ErrorKind, Fate, LifecycleKind, OfflineResult, Result
from node_sim.units import NS_PER_DAY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EventRow = dict[str, Any]


class Lane(NamedTuple):
    """A lane of the timeline.

    Attributes:
        name: Written beside it.
        table: Table of its rows.
        kinds: Of its rows, each with a mark of its own, the harmless first.
        kind: Which of them a row is; None if it is of another lane.
    """

    name: str
    table: str
    kinds: tuple[str, ...]
    kind: Callable[[EventRow], str | None]


def _is(kind: str) -> Callable[[EventRow], str | None]:
    return lambda _row: kind


def _among(column: str, *kinds: str) -> Callable[[EventRow], str | None]:
    return lambda row: row[column] if row[column] in kinds else None


RATE: Final = "CEs per day"
_DOWN: Final = (LifecycleKind.CORDON.text, LifecycleKind.PANIC.text, LifecycleKind.MAP_OUT.text)
_REPAIR: Final = (LifecycleKind.DIMM_REPLACEMENT.text, LifecycleKind.POST_PACKAGE_REPAIR.text)
_OTHER: Final = "no action line"
LANES: Final = (
    Lane("faults", "faults", ("soft", "hard", "intermittent"), lambda row: str(row["persistence"])),
    Lane(RATE, "errors", (ErrorKind.CE.text,), _among("kind", ErrorKind.CE.text)),
    Lane(
        "UEs, SDCs",
        "errors",
        (ErrorKind.UE.text, ErrorKind.SDC.text),
        _among("kind", ErrorKind.UE.text, ErrorKind.SDC.text),
    ),
    Lane("machine checks", "machine_checks", ("machine check",), _is("machine check")),
    Lane(
        "handler",
        "memory_failures",
        (Result.RECOVERED.text, Result.DELAYED.text, Result.FAILED.text, Result.IGNORED.text, _OTHER),
        lambda row: row["result"] or _OTHER,
    ),
    Lane("signals", "signals", (Fate.HANDLED.text, Fate.KILLED.text), lambda row: str(row["fate"])),
    Lane("I/O errors", "io_errors", ("EIO",), _is("EIO")),
    Lane(
        "pages offline",
        "page_offlines",
        (OfflineResult.OFFLINED.text, "refused"),
        lambda row: OfflineResult.OFFLINED.text if row["result"] == OfflineResult.OFFLINED.text else "refused",
    ),
    Lane("down, draining", "lifecycle", _DOWN, _among("kind", *_DOWN)),
    Lane("repairs", "lifecycle", _REPAIR, _among("kind", *_REPAIR)),
)
"""Lanes from the top; those without rows are not drawn."""
_STRETCHES: Final = 200
_ROW: Final = 34.0
_AROUND: Final = 90.0


def timeline_table(tables: Mapping[str, pa.Table]) -> pa.Table:
    """Return the rows of a node by lane and time: begin, end (its begin for what lasts no time), kind and amount.

    The amount is a count of corrected errors, of pages of a fault or of pages taken offline, else 1.
    """
    rows = [row for lane in LANES for row in _rows_of(lane, tables)]
    return tidy(rows, lane="", kind="", begin_ns="ns", end_ns="ns", amount="1")


def _rows_of(lane: Lane, tables: Mapping[str, pa.Table]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a lane in order of time."""
    stored = tables[lane.table].to_pylist() if lane.table in tables else []
    for row in sorted(stored, key=lambda row: (row["time_ns"], row["seq"])):
        kind = lane.kind(row)
        if kind is not None:
            begin_ns = row["first_time_ns"] if lane.name == RATE else row["time_ns"]
            end_ns = row["last_time_ns"] if lane.name == RATE else row.get("end_ns", begin_ns)
            counts = row["ce_count"] if lane.name == RATE else row["n_pages"] if lane.table in _PAGES else 1
            yield lane.name, kind, begin_ns, end_ns, counts


_PAGES: Final = ("faults", "page_offlines")


def _lanes_in(table: pa.Table) -> list[Lane]:
    known = set(column_of(table, "lane"))
    return [lane for lane in LANES if lane.name in known]


def _paint(ax: Axes, table: pa.Table) -> None:
    lanes = _lanes_in(table)
    begin, end = (np.asarray(column_of(table, f"{which}_ns"), np.float64) / NS_PER_DAY for which in ("begin", "end"))
    low, high = float(begin.min(initial=0.0)), float(end.max(initial=1.0))
    around = 0.02 * (high - low) or 1.0
    for place, lane in enumerate(lanes):
        mine = where(table, lane=lane.name)
        ax.axhline(place + 0.5, color=ink(), linewidth=0.5, alpha=0.25)
        if lane.name == RATE:
            _paint_rate(ax, place, mine, (low, high))
        else:
            _paint_lane(ax, place, lane, mine)
    ax.set_yticks(np.arange(len(lanes)), [lane.name for lane in lanes])
    ax.set_ylim(max(1, len(lanes)) - 0.5, -0.5)
    ax.set_xlim(low - around, high + around)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    label_x(ax, "days since the start", _marks(table))


def _paint_lane(ax: Axes, place: int, lane: Lane, mine: pa.Table) -> None:
    """Draw what lasts as bars, and everything else as marks."""
    for look, kind in enumerate(lane.kinds):
        rows = where(mine, kind=kind)
        begin, end = (np.asarray(column_of(rows, f"{which}_ns"), np.float64) / NS_PER_DAY for which in ("begin", "end"))
        colour = COLOURS[look % len(COLOURS)]
        if lane.table == "lifecycle":
            hatch = HATCHES[look]
            ax.barh([place] * begin.size, end - begin, 0.6, begin, facecolor=colour, hatch=hatch, edgecolor=ink())
        ax.plot(begin, [place] * begin.size, MARKERS[look], color=colour, linestyle="none", clip_on=False)


def _paint_rate(ax: Axes, place: int, mine: pa.Table, span: tuple[float, float]) -> None:
    """Draw the rate of corrected errors as the height of an area in its lane."""
    edges, rate = rate_of_errors(mine, span)
    height = np.log10(np.maximum(1.0, rate))
    most = max(1.0, float(height.max(initial=0.0)))
    ax.stairs(place + 0.45 - 0.85 * height / most, edges, baseline=place + 0.45, fill=True, color=COLOURS[0])
    ax.annotate(
        f"{number(float(rate.max()))}/d",
        (1.0, place),
        xycoords=("axes fraction", "data"),
        va="center",
        ha="left",
        fontsize=8,
    )


def rate_of_errors(mine: pa.Table, span: tuple[float, float]) -> tuple[Any, Any]:
    """Return the edges of equal stretches [day], and the corrected errors per day in each."""
    begin, end = (np.asarray(column_of(mine, f"{which}_ns"), np.float64) / NS_PER_DAY for which in ("begin", "end"))
    amount = np.asarray(column_of(mine, "amount"), np.float64)
    edges = np.linspace(span[0], max(span[1], span[0] + 1e-6), _STRETCHES + 1)
    # What takes no time at all is put at one place; the last edge belongs to the last stretch.
    lasts = np.maximum(end - begin, 1e-9)
    up_to = np.asarray([(amount * np.clip((edge - begin) / lasts, 0.0, 1.0)).sum() for edge in edges])
    up_to[-1] = amount.sum()
    return edges, np.diff(up_to) / np.diff(edges)


def _marks(table: pa.Table) -> str:
    """Say what the marks of lanes with several kinds are."""
    words = []
    for lane in _lanes_in(table):
        known = set(column_of(where(table, lane=lane.name), "kind"))
        if len(lane.kinds) > 1:
            marks = (f"{_SIGNS[MARKERS[look]]} {kind}" for look, kind in enumerate(lane.kinds) if kind in known)
            words.append(f"{lane.name}: {', '.join(marks)}")
    return "; ".join(words)


_SIGNS: Final = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼"}


def timeline(tables: Mapping[str, pa.Table], ax: Axes | None = None) -> tuple[Axes, pa.Table]:
    """Draw the life of a node from the tables that ``fleet.replay.replay_node`` returns.

    >>> ax, table = timeline(tables)
    >>> table.column_names
    ['lane', 'kind', 'begin_ns', 'end_ns', 'amount']
    """
    table = timeline_table(tables)
    ax = own_axes(ax, _height(table))
    _paint(ax, table)
    return ax, table


def _height(table: pa.Table) -> float:
    return _AROUND + _ROW * max(4, len(_lanes_in(table)))


def explain_timeline(table: pa.Table, node: int, arm: str) -> Caption:
    """Say what happened to a node."""
    lanes = _lanes_in(table)
    if not lanes:
        return Caption(f"Nothing happened to node {node} in {arm}", "There is nothing to see.", "No rows.")
    n = {lane.name: where(table, lane=lane.name).num_rows for lane in lanes}
    errors = sum(column_of(where(table, lane=RATE), "amount"))
    parts = [counted(n.get("faults", 0), "fault"), counted(errors, "corrected error")]
    for lane in ("UEs, SDCs", "signals", "down, draining", "repairs"):
        kinds = column_of(where(table, lane=lane), "kind")
        parts += [f"{kinds.count(kind):,} {kind}" for kind in dict.fromkeys(kinds)]
    title = f"Node {node} in {arm}: {listed(parts)}"
    sentence = (
        "Lanes from cause to consequence: a mark is a row of the run, a bar the time that it lasts; the height of the "
        "rate of corrected errors is logarithmic, the most is written beside it."
    )
    return Caption(title, sentence, f"{title}. Lanes: {listed([f'{name} {rows:,}' for name, rows in n.items()])}.")


def render_timeline(
    tables: Mapping[str, pa.Table],
    node: int,
    arm: str,
    kind: str = "svg",
    sheet: Sheet | None = None,
) -> bytes:
    """Draw the life of a node into a file.

    Raises:
        ConfigError: There is no such format, or matplotlib is not installed, or the size cannot be drawn.
    """
    table = timeline_table(tables)
    chosen = sheet or Sheet((WIDTH, _height(table)))
    return print_sheet("timeline", table, _paint, explain_timeline(table, node, arm), kind, chosen)
