"""Build the dashboards: ``python deploy/grafana/build.py`` writes what is in ``dashboards``.

Rates of a run are quotients: events over node-years, each by the window. So they mean the same on both axes of time,
that of the simulation in a history, and that of the wall while a run is watched.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from panels import Json, dashboard, panel, source_variable, variable  # noqa: E402 - it lies beside this file

# A variable of one value is put in as it is, not as a pattern.
_OF_RUN: Final = 'and on (job, instance) hwpoison_fleet_run_info{run="$run"}'
_CHOSEN: Final = 'instance=~"$instance",arm=~"$arm",group=~"$group"'
_PER: Final = "1000"
SMALL, HALF, THIRD = (4, 5), (12, 8), (8, 8)


def _series(name: str, more: str = "") -> str:
    return f"hwpoison_fleet_{name}_total{{{_CHOSEN}{more}}}"


def so_far(name: str, more: str = "", by: str = "arm") -> str:
    """Return a counter of the chosen run."""
    return f"sum by ({by}) ({_series(name, more)} {_OF_RUN})"


def lately(name: str, more: str = "", by: str = "arm") -> str:
    """Return by how much it grows a second."""
    return f"sum by ({by}) (rate({_series(name, more)}[$__rate_interval]) {_OF_RUN})"


def rate_so_far(name: str, more: str = "") -> str:
    """Return events per 1,000 node-years."""
    return f"{_PER} * {so_far(name, more)} / ({so_far('node_years')} > 0)"


def rate_lately(name: str, more: str = "", label: str = "") -> str:
    """Return events per 1,000 node-years of a window."""
    if not label:
        return f"{_PER} * {lately(name, more)} / ({lately('node_years')} > 0)"
    return f"{_PER} * {lately(name, more, f'arm, {label}')} / on (arm) group_left () ({lately('node_years')} > 0)"


def _parts_so_far(name: str, label: str) -> str:
    return f"{_PER} * {so_far(name, by=f'arm, {label}')} / on (arm) group_left () ({so_far('node_years')} > 0)"


def share(part: str, whole: str) -> str:
    """Return a part of a whole, where there is a whole."""
    return f"{part} / ({whole} > 0)"


_UE: Final = ',kind="ue"'
_ARM: Final = "{{arm}}"
_RATE: Final = "Per 1,000 node-years up."
_WINDOW: Final = "Per 1,000 node-years up, in the window of each point."


def _overview() -> list[Json]:
    lost = "Processes killed by a signal or gone with a panic, per 1,000 node-years up."
    return [
        panel("stat", "Node-years", "Simulated so far, without time down, by arm.", "short", SMALL,
              (so_far("node_years"), _ARM)),
        panel("stat", "Uncorrected errors", _RATE, "short", SMALL, (rate_so_far("errors", _UE), _ARM)),
        panel("stat", "Losses", lost, "short", SMALL, (rate_so_far("losses"), _ARM)),
        panel("stat", "Kills", "Processes killed by a signal for bad memory, per 1,000 node-years up.", "short", SMALL,
              (rate_so_far("kills"), _ARM)),
        panel("stat", "Panics", _RATE, "short", SMALL, (rate_so_far("panics"), _ARM)),
        panel("stat", "UEs survived", "Share of UEs after which no process died, no data was lost and the node stayed "
              "up.", "percentunit", SMALL, (share(so_far("ue_survived"), so_far("errors", _UE)), _ARM)),
    ]  # fmt: skip


def _outcomes() -> list[Json]:
    return [
        panel("timeseries", "Uncorrected and silent errors", f"{_WINDOW} First sight of a page per boot.", "short",
              HALF,
              (rate_lately("errors", ',kind=~"ue|sdc"', "kind"), "{{arm}} {{kind}}")),
        panel("timeseries", "Corrected errors", f"{_WINDOW} One bad DIMM may have most of them.", "short", HALF,
              (rate_lately("errors", ',kind="ce"'), _ARM)),
        panel("timeseries", "Pages handled, by result", f"{_WINDOW} What memory_failure() made of them.", "short", HALF,
              (rate_lately("memory_failures", label="result"), "{{arm}} {{result}}"), stack=True),
        panel("timeseries", "Pages recovered", "Share of the pages handled so far whose result is Recovered.",
              "percentunit", HALF,
              (share(so_far("memory_failures", ',result="recovered"'), so_far("memory_failures")), _ARM)),
        panel("timeseries", "Machine checks", f"{_WINDOW} Of uncorrected errors.", "short", THIRD,
              (rate_lately("machine_checks"), _ARM)),
        panel("timeseries", "Panics", _WINDOW, "short", THIRD, (rate_lately("panics"), _ARM)),
        panel("timeseries", "I/O errors", f"{_WINDOW} Returned for data that was lost.", "short", THIRD,
              (rate_lately("io_errors"), _ARM)),
    ]  # fmt: skip


def _kills() -> list[Json]:
    return [
        panel("timeseries", "Kills, by cause", "Per 1,000 node-years up, so far. AO: action optional, the process did "
              "not touch the page; AR: it did.", "short", HALF, (_parts_so_far("kills", "cause"), "{{arm}} {{cause}}")),
        panel("timeseries", "Losses", f"{_WINDOW} Kills, and processes that panics took along.", "short", HALF,
              (rate_lately("losses"), _ARM)),
        panel("timeseries", "Kills and losses, counted", "Processes so far.", "short", HALF,
              (so_far("kills"), "{{arm}} kills"), (so_far("losses"), "{{arm}} losses")),
        panel("timeseries", "Losses by panics", "Share of the processes lost so far that no signal killed.",
              "percentunit", HALF, (f"1 - {share(so_far('kills'), so_far('losses'))}", _ARM)),
    ]  # fmt: skip


def _capacity() -> list[Json]:
    return [
        panel("timeseries", "Memory out of use", "Bytes of a node, on average over the time so far.", "bytes", HALF,
              (share(so_far("memory_lost_byte_years"), so_far("node_years")), _ARM)),
        panel("timeseries", "Huge pages lost", "Bytes that the pools of a node lack, on average over the time so far.",
              "bytes", HALF, (share(so_far("pool_lost_byte_years"), so_far("node_years")), _ARM)),
        panel("timeseries", "Pages soft-offlined", _WINDOW, "short", THIRD,
              (rate_lately("page_offlines", label="result"), "{{arm}} {{result}}")),
        panel("timeseries", "DIMMs replaced", _WINDOW, "short", THIRD, (rate_lately("dimm_replacements"), _ARM)),
        panel("timeseries", "Nodes cordoned", _WINDOW, "short", THIRD, (rate_lately("cordons"), _ARM)),
    ]  # fmt: skip


def _compared() -> list[Json]:
    columns = ("losses", "kills", "panics", "errors", "io_errors", "dimm_replacements")
    names = ("Losses", "Kills", "Panics", "UEs", "I/O errors", "DIMMs replaced")
    queries = [(rate_so_far(name, _UE if name == "errors" else ""), "") for name in columns]
    losses = rate_so_far("losses")
    return [
        panel("table", "Rates by arm", "Per 1,000 node-years up, so far; arms are the same servers under other "
              "policies. Intervals: hwpoison-fleet compare.", "short", (24, 8), *queries, names=names),
        panel("bargauge", "Losses above the best arm", "Per 1,000 node-years up, so far, more than in the arm that "
              "loses fewest.", "short", HALF, (f"{losses} - on () group_left () min({losses})", _ARM)),
        panel("bargauge", "Memory out of use", "Bytes of a node, on average over the time so far.", "bytes", HALF,
              (share(so_far("memory_lost_byte_years"), so_far("node_years")), _ARM)),
    ]  # fmt: skip


def _simulator() -> list[Json]:
    def plain(name: str) -> str:
        return f'hwpoison_fleet_{name}{{instance=~"$instance"}} {_OF_RUN}'

    rows = 'rate(hwpoison_fleet_rows_total{instance=~"$instance",arm=~"$arm"}[$__rate_interval])'
    return [
        panel("stat", "Nodes committed", "Share of the nodes whose rows are stored; 1 in a history.", "percentunit",
              SMALL, (f"({plain('nodes_committed')}) / ({plain('nodes')})", "{{instance}}")),
        panel("stat", "Shards", "Committed, and planned.", "short", SMALL, (plain("shards_committed"), "committed"),
              (plain("shards"), "planned")),
        panel("stat", "Shards tried again", "After a failure outside of them, since the driver began.", "short", SMALL,
              (plain("shard_retries_total"), "{{instance}}")),
        panel("table", "Run", "What it was made of.", "short", (12, 5),
              ('hwpoison_fleet_run_info{run="$run",instance=~"$instance"}', ""), names=("Is",)),
        panel("timeseries", "Rows in flight", "Rows simulated of shards that are not committed yet; 0 in a history.",
              "short", HALF, (plain("rows_in_flight"), "{{instance}}")),
        panel("timeseries", "Shard lag", "Age of the oldest shard in flight: it hangs if rows in flight stand still "
              "meanwhile. 0 in a history.", "s", HALF, (plain("shard_lag_seconds"), "{{instance}}")),
        panel("timeseries", "Node-years per second", "While a run is watched: how fast it is. In a history: the nodes "
              "that are up, in years of a second.", "short", HALF, (lately("node_years"), _ARM)),
        panel("timeseries", "Rows per second", "While a run is watched, of the wall; in a history, of simulated time.",
              "short", HALF, (f"sum by (arm) ({rows} {_OF_RUN})", _ARM)),
    ]  # fmt: skip


def run_dashboard() -> Json:
    """Return the dashboard of a run."""
    of_instance = '{instance=~"$instance"}'
    variables = [
        source_variable(),
        variable("run", "Run", "The folder of the run.", "label_values(hwpoison_fleet_run_info, run)"),
        variable("instance", "Exporter", "Where the run was scraped.",
                 'label_values(hwpoison_fleet_run_info{run="$run"}, instance)', many=True),
        variable("arm", "Arm", "Policies to show.", f"label_values(hwpoison_fleet_node_years_total{of_instance}, arm)",
                 many=True),
        variable("group", "Group", "Node groups to add up.",
                 f"label_values(hwpoison_fleet_node_years_total{of_instance}, group)", many=True),
    ]  # fmt: skip
    rows = {
        "Overview": _overview(),
        "Outcomes": _outcomes(),
        "Kills": _kills(),
        "Capacity": _capacity(),
        "Policies compared": _compared(),
        "Simulator": _simulator(),
    }
    description = "A run of hwpoison-fleet: while it goes on, or its past over simulated time (export openmetrics)."
    return dashboard("hwpoison-run", "hwpoison-fleet: a run", description, "1y", variables, rows)


def _host(name: str, more: str = "") -> str:
    return f'{name}{{instance=~"$instance"{more}}}'


def _grown(name: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (increase({_host(name, more)}[$__range]))"


_CE: Final = "node_edac_correctable_errors_total"
_UES: Final = "node_edac_uncorrectable_errors_total"
_ROWS_CE: Final = "node_edac_csrow_correctable_errors_total"
_POISONED: Final = "node_memory_HardwareCorrupted_bytes"
_BOOT: Final = "node_boot_time_seconds"


def _hosts_overview() -> list[Json]:
    return [
        panel("stat", "Hosts", "Hosts that answer.", "short", SMALL, (f"count({_host(_BOOT)})", "hosts")),
        panel("stat", "With corrected errors", "Hosts that had any in the range shown.", "short", SMALL,
              (f"count({_grown(_CE, 'instance')} > 0) or vector(0)", "hosts")),
        panel("stat", "Corrected errors", "In the range shown.", "short", SMALL,
              (f"sum({_grown(_CE, 'instance')})", "")),
        panel("stat", "Uncorrected errors", "In the range shown, as far as the system outlived them.", "short", SMALL,
              (f"sum({_grown(_UES, 'instance')})", "")),
        panel("stat", "Memory out of use", "Poisoned and soft-offlined pages of all hosts (HardwareCorrupted).",
              "bytes", SMALL, (f"sum({_host(_POISONED)})", "")),
        panel("stat", "Boots", "In the range shown.", "short", SMALL, (f"sum(changes({_host(_BOOT)}[$__range]))", "")),
    ]  # fmt: skip


def _hosts_corrected() -> list[Json]:
    by_host = f"topk(10, 3600 * sum by (instance) (rate({_host(_CE)}[$__rate_interval])))"
    unknown = _grown(_ROWS_CE, "instance", ',csrow="unknown"')
    return [
        panel("timeseries", "Corrected errors, by host", "Per hour; the ten hosts that have most at each time.",
              "short", HALF, (by_host, "{{instance}}")),
        panel("timeseries", "Hosts with corrected errors", "In the window of each point.", "short", HALF,
              (f"count(sum by (instance) (increase({_host(_CE)}[$__rate_interval])) > 0) or vector(0)", "hosts")),
        panel("table", "Memory controllers with most", "Corrected errors in the range shown.", "short", HALF,
              (f"topk(20, {_grown(_CE, 'instance, controller')})", ""), names=("Corrected errors",)),
        panel("table", "Rows of DIMMs with most", "Corrected errors by csrow in the range shown; unknown are errors "
              "whose DIMM the controller did not tell.", "short", HALF,
              (f"topk(20, {_grown(_ROWS_CE, 'instance, controller, csrow')})", ""), names=("Corrected errors",)),
        panel("stat", "Without a DIMM", "Share of corrected errors in the range shown whose DIMM is unknown.",
              "percentunit", SMALL, (f"sum({unknown}) / sum({_grown(_CE, 'instance')})", "")),
    ]  # fmt: skip


def _hosts_uncorrected() -> list[Json]:
    return [
        panel("timeseries", "Uncorrected errors", "By host, in the window of each point; the ten that have most.",
              "short", HALF,
              (f"topk(10, sum by (instance) (increase({_host(_UES)}[$__rate_interval])))", "{{instance}}")),
        panel("table", "Hosts with most", "Uncorrected errors in the range shown.", "short", HALF,
              (f"topk(20, {_grown(_UES, 'instance, controller')})", ""), names=("Uncorrected errors",)),
    ]  # fmt: skip


def _hosts_memory() -> list[Json]:
    return [
        panel("timeseries", "Memory out of use, by host", "Poisoned and soft-offlined pages; the ten hosts with most.",
              "bytes", HALF, (f"topk(10, {_host(_POISONED)})", "{{instance}}")),
        panel("timeseries", "Memory out of use", "Share of the memory of all hosts.", "percentunit", HALF,
              (f"sum({_host(_POISONED)}) / sum({_host('node_memory_MemTotal_bytes')})", "all hosts")),
    ]  # fmt: skip


def _hosts_themselves() -> list[Json]:
    since = f"{_host('node_time_seconds')} - {_host(_BOOT)}"
    failed = _host("node_scrape_collector_success", ',collector="edac"') + " == 0"
    # Without a driver the collector succeeds, and there are no counters.
    counts = f"({_host(_CE)} unless on (job, instance) {failed})"
    return [
        panel("timeseries", "Boots", "Hosts that booted in the window of each point.", "short", THIRD,
              (f"sum(changes({_host(_BOOT)}[$__rate_interval]))", "boots")),
        panel("timeseries", "Time since the boot", "Median and longest; counters of EDAC are counted since then.", "s",
              THIRD, (f"quantile(0.5, {since})", "median"), (f"max({since})", "longest")),
        panel("timeseries", "Kernels", "Hosts by the kernel they run.", "short", THIRD,
              (f"count by (release) ({_host('node_uname_info')})", "{{release}}"), stack=True),
        panel("timeseries", "Hosts that tell of errors", "Hosts with counters of EDAC, and without, as where the "
              "collector fails or there is no driver: of the latter no error is seen.", "short", HALF,
              (f"count(count by (job, instance) {counts}) or vector(0)", "edac"),
              (f"count({_host(_BOOT)} unless on (job, instance) {counts}) or vector(0)", "no edac")),
    ]  # fmt: skip


def hosts_dashboard() -> Json:
    """Return the dashboard of hosts that node_exporter watches, simulated or not."""
    query = f"label_values({_BOOT}, instance)"
    variables = [source_variable(), variable("instance", "Host", "Hosts to show.", query, many=True)]
    rows = {
        "Overview": _hosts_overview(),
        "Corrected errors": _hosts_corrected(),
        "Uncorrected errors": _hosts_uncorrected(),
        "Memory out of use": _hosts_memory(),
        "Hosts": _hosts_themselves(),
    }
    description = "Memory errors of hosts by names of node_exporter alone: real ones, or those of hwpoison-fleet."
    return dashboard("hwpoison-hosts", "Memory errors of hosts", description, "30d", variables, rows)


DASHBOARDS: Final = {"run.json": run_dashboard, "hosts.json": hosts_dashboard}


def text_of(name: str) -> str:
    """Return the text of a file of ``dashboards``."""
    return json.dumps(DASHBOARDS[name](), indent=1) + "\n"


def main() -> None:
    """Write all of them."""
    for name in DASHBOARDS:
        (HERE / "dashboards" / name).write_text(text_of(name), encoding="utf-8")


if __name__ == "__main__":
    main()
