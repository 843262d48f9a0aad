"""The summary of a run as text: tables of rates and effects, node groups, and the assumptions behind them."""

from __future__ import annotations

from typing import Any

from analysis.comparison.effects import compare_run
from analysis.dataset.run import Run
from analysis.estimators.rates import DAEMONS, Sums, ends_of, rate, recovery_ratio, survival_ratio
from analysis.text.differences import ARMS_SIDE_BY_SIDE, effects_of_run, note_lines
from analysis.text.document import faults_per_node_year, group_ue, rows_per_node_year, run_document
from analysis.text.layout import columns, format_byte_years, format_estimate
from fleet.printable import WIDTH, fitted
from fleet.stored.headline import BY_KEY, INDEX, RATES_SHOWN, REGISTRY

SETTING_WIDTH = 30
PERCENT = 100.0
ASSUMED = (
    "Such figures depend on assumptions nobody published (range in brackets; vary with --set or --sweep, those that "
    "begin with 'faults' with --set only, as all arms share the faults):"
)
GROUP_COLUMNS = (
    ("nodes", "node", 10),
    ("faults", "fault", 10),
    ("ue", "UE", 8),
    ("kills", "kill", 6),
    ("panics", "panic", 6),
)
"""Of the table of node groups: figure, noun, width of the number."""


def _title(key: str) -> str:
    """Return the name of a metric in the table of rates; parts of a total are set in."""
    inside = any(key in metric.parts for metric in REGISTRY)
    return f"  {BY_KEY[key].title}" if inside else BY_KEY[key].title


def _headline(run: Run, width: int) -> list[str]:
    sums = [
        Sums.of(run.tally, arm, ends=ends_of(group.processes for group in run.groups)) for arm in range(len(run.arms))
    ]
    rows = [(_title(key), [format_estimate(rate(s, key)) for s in sums]) for key in RATES_SHOWN]
    for title, of in (("recovery ratio [%]", recovery_ratio), ("UEs survived [%]", survival_ratio)):
        rows.append((title, [format_estimate(of(s), scale=PERCENT) for s in sums]))
    for title, key in (("memory lost per node", "memory_lost_byte_years"), ("huge pages lost", "pool_lost_byte_years")):
        lost = [float(s.total[INDEX[key]] / s.total[INDEX["node_years"]]) for s in sums]
        if key == "memory_lost_byte_years" or any(lost):
            rows.append((title, [format_byte_years(one) for one in lost]))
    return columns("per 1,000 node-years", run.arms, rows, width)


def summary_lines(run: Run, width: int = WIDTH) -> list[str]:
    """Write the summary of a run as text of a width."""
    about = run_document(run)
    unit = "year" if about["years"] == 1 else "years"
    fleet = f"{about['scenario']}: {about['nodes']:,} nodes x {about['years']:g} {unit}, seed {about['seed']}"
    density = f"{faults_per_node_year(run):.2f} faults and {rows_per_node_year(run):.1f} rows per node-year"
    lines = [*fitted(f"{fleet}, {density}", width), *_change_lines(about["changes"], width), ""]
    if len(run.arms) <= ARMS_SIDE_BY_SIDE:
        lines.extend(_headline(run, width))
        lines.extend([""] * (len(run.arms) > 1))
    if len(run.arms) > 1:
        lines.extend([*effects_of_run(run, compare_run(run), run.arms[0], width), *note_lines(width)])
    lines.extend(["", *_group_lines(run, width), "", *_assumption_lines(run.plan["headline_assumptions"], width)])
    return lines


def _change_lines(changes: list[str], width: int) -> list[str]:
    """Say in what a run is not its scenario."""
    if not changes:
        return []
    return fitted(f"changed from the scenario: {'; '.join(changes)}", width)


def _group_lines(run: Run, width: int) -> list[str]:
    lines = [f"node groups in arm {run.arms[0]}:"]
    for name, found in group_ue(run, 0).items():
        cells = (_counted(round(found[key]), noun, digits) for key, noun, digits in GROUP_COLUMNS)
        lines.append(f"  {name:<16} {' '.join(cells)}".rstrip())
    lines += ["a panic ends:", *(f"  {group.name:<16} {_panic_ends(group.processes)}" for group in run.groups)]
    return [part for line in lines for part in fitted(line, width)]


def _counted(n: int, noun: str, width: int) -> str:
    """Write a number with what it counts, as wide for one as for many."""
    return f"{n:>{width},} {noun}{' ' if n == 1 else 's'}"


def _panic_ends(processes: dict[str, int]) -> str:
    """Say which processes a panic takes along, the daemons of the system apart."""
    daemons = processes.get(DAEMONS, 0)
    work = ", ".join(f"{n} {kind}" for kind, n in processes.items() if kind != DAEMONS)
    return f"{work or 'no work'}; and {daemons} system daemons"


def _assumption_lines(assumptions: list[dict[str, Any]], width: int) -> list[str]:
    """Name each assumption with what the run uses and, in brackets, what is plausible."""
    lines = (f"  {item['setting']:<{SETTING_WIDTH}} {_assumed(item)}" for item in assumptions)
    return [*fitted(ASSUMED, width, 0), *(part for line in lines for part in fitted(line, width))]


def _assumed(item: dict[str, Any]) -> str:
    """Write the values of an assumption, or the reason where it is no number."""
    if "values" not in item:
        return str(item["why"])
    unit = "" if item["unit"] == "1" else f" {item['unit']}"
    ends = f"{item['low']:g} to {item['high']:g}"
    if item.get("with"):
        ends += f"; with {item['with']} at most 1"
    values = item["values"]
    if values == [item["assumed"]]:
        return f"{values[0]:g}{unit} ({ends})"
    shown = f"{values[0]:g}{unit}" if item["by"] is None else f"{values[0]:g} to {values[-1]:g}{unit} by {item['by']}"
    return f"{shown} ({ends}), chosen instead of the assumed {item['assumed']:g}"
