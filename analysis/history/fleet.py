"""The counters of a run as its exporter has them, over simulated time instead of while it is simulated.

**Models.** What the exporter of the finished run shows, had its nodes lived side by side: at each time the counts
of the rows until then. All shards are committed, none is in flight, and none was tried again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from analysis.dataset.run import Run
from analysis.history.counts import TimeCounts
from analysis.history.grid import SampleGrid
from analysis.history.series import Segment, Series, SeriesFamily, family_of
from fleet.stored.address import run_name
from fleet.stored.exported import (
    GAUGES,
    IN_FLIGHT,
    INFO,
    INFO_HELP,
    PREFIX,
    RETRIES,
    RETRIES_HELP,
    ROWS,
    ROWS_HELP,
    run_info,
)
from fleet.stored.headline import FAMILIES, METRICS, REGISTRY
from fleet.stored.manifest import COMMON_ARM
from node_sim.columns import TABLES

JOB = "hwpoison-fleet"


def count_fleet_series(run: Run, arms: Sequence[str]) -> int:
    """Return how many series ``fleet_families`` yields."""
    return 1 + len(GAUGES) + len(IN_FLIGHT) + 1 + len(arms) * (1 + len(run.groups) * len(METRICS))


def fleet_families(run: Run, arms: Sequence[str], grid: SampleGrid) -> Iterator[tuple[SeriesFamily, Iterator[Series]]]:
    """Yield the families of the exporter, each with its series in order.

    Args:
        run: The run.
        arms: Arms to show.
        grid: When samples are taken.
    """
    scraped = {"job": JOB, "instance": run_name(run.path)}
    whole = Segment(0, grid.samples, 0)
    info = scraped | _info(run)
    yield family_of(f"{PREFIX}{INFO}_info", "info", INFO_HELP), iter([Series(info, [whole._replace(value=1)])])
    values = {"shards": len(run.receipts), "nodes": run.plan["nodes"]}
    for name, sentence in GAUGES.items():
        constant = whole._replace(value=values[name.removesuffix("_committed")])
        yield family_of(PREFIX + name, "gauge", sentence), iter([Series(scraped, [constant])])
    for name, sentence in IN_FLIGHT.items():
        yield family_of(PREFIX + name, "gauge", sentence), iter([Series(scraped, [whole])])
    yield SeriesFamily(PREFIX + RETRIES, "counter", RETRIES_HELP), iter([Series(scraped, [whole])])
    counted = _count(run, arms, grid)
    ordered = sorted(arms)
    rows = (Series(scraped | {"arm": arm}, counted[arm].segments(ROWS, 0)) for arm in ordered)
    yield SeriesFamily(PREFIX + ROWS, "counter", ROWS_HELP), rows
    groups = sorted(range(len(run.groups)), key=lambda position: run.groups[position].name)
    for name, (sentence, label) in FAMILIES.items():
        mine = sorted((metric for metric in REGISTRY if metric.family == name), key=lambda metric: metric.value)
        series = (
            Series(
                scraped | {"arm": arm, "group": run.groups[group].name} | ({label: metric.value} if label else {}),
                counted[arm].segments(metric.key, group),
            )
            for arm in ordered
            for group in groups
            for metric in mine
        )
        yield SeriesFamily(PREFIX + name, "counter", sentence), series


def _info(run: Run) -> dict[str, str]:
    plan = run.plan
    return run_info(
        run=run_name(run.path),
        scenario=plan["scenario"]["name"],
        sha256=plan["scenario_sha256"],
        seed=plan["seed"],
        version=plan["versions"]["hwpoison-fleet"],
        engine=run.manifest["engine"]["name"],
    )


def _count(run: Run, arms: Sequence[str], grid: SampleGrid) -> dict[str, TimeCounts]:
    """Count the rows of arms, shard by shard."""
    found = {arm: TimeCounts(run.groups, grid) for arm in arms}
    for receipt in run.receipts:
        tables: dict[str, dict[str, list[pa.Table]]] = {}
        for part in receipt.parts:
            if part.arm in (COMMON_ARM, *arms):
                tables.setdefault(part.arm, {}).setdefault(part.table, []).append(run.read_part(part))
        common = tables.get(COMMON_ARM, {})
        for arm in arms:
            own = tables.get(arm, {})
            parts = {name: [*common.get(name, ()), *own.get(name, ())] for name in TABLES}
            found[arm].add_tables({name: pa.concat_tables(some) for name, some in parts.items() if some})
    return found
