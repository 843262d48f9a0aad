"""The summary of a run: one document, and the same as text."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.compare import Effect, compare_run, to_json
from analysis.dataset import Run
from analysis.rates import KILL_WEIGHTS, UNDEFINED, Estimate, Sums, rate, recovery_ratio, survival_ratio, weights
from fleet.tally import INDEX
from node_sim.catalog import numbers
from node_sim.catalog.values import Assumed
from node_sim.catalog.workloads import WORKLOAD_ASSUMPTION

ARMS_PER_BLOCK = 4
NEGLIGIBLE = 0.0005
"""Smaller rates per 1,000 node-years (from slightly different exposures) are printed as 0."""
NAME_WIDTH = 26
CELL_WIDTH = 24
HEADLINE_ROWS = (
    ("kills", "kills"),
    ("  early AO", "kills_early_ao"),
    ("  late AR", "kills_late_ar"),
    ("  direct AR", "kills_direct_ar"),
    ("  SIGKILL", "kills_sigkill"),
    ("losses (kills + panics')", "losses"),
    ("panics", "panics"),
    ("EIO", "io_errors"),
    ("silent corruptions", "sdc"),
)
CAUSES = {
    "early_ao": "kills_early_ao",
    "late_ar": "kills_late_ar",
    "direct_ar": "kills_direct_ar",
    "sigkill": "kills_sigkill",
}


def _events(metric: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return KILL_WEIGHTS if metric == "kills" else weights(metric)


def arm_document(run: Run, arm: int) -> dict[str, Any]:
    """Return the headline figures of one arm."""
    sums = Sums.of(run.tally, arm)

    def count(metric: str) -> int:
        return round(float(sums.total[INDEX[metric]]))

    kill_rate, recovery, survival = rate(sums, KILL_WEIGHTS), recovery_ratio(sums), survival_ratio(sums)
    rates = {f"{name}_rate": rate(sums, _events(name)).to_json() for name in ("losses", "panics", "io_errors", "sdc")}
    return {
        "node_years": float(sums.total[INDEX["node_years"]]),
        "faults": count("faults"),
        "ce": count("ce"),
        "ue": count("ue"),
        "sdc": count("sdc"),
        "machine_checks": count("machine_checks"),
        "memory_failures": {name: count(f"mf_{name}") for name in ("ignored", "failed", "delayed", "recovered")},
        "kills": {cause: count(metric) for cause, metric in CAUSES.items()},
        "losses": count("losses"),
        "panics": count("panics"),
        "io_errors": count("io_errors"),
        "pages_offlined": count("pages_offlined"),
        "pages_not_offlined": count("pages_not_offlined"),
        "ecs_reports": count("ecs_reports"),
        "cordons": count("cordons"),
        "dimm_replacements": count("dimm_replacements"),
        "ue_survived": count("ue_survived"),
        "kill_rate": kill_rate.value,
        "kill_rate_ci95": kill_rate.to_json()["ci95"],
        "recovery_ratio": recovery.value,
        "recovery_ratio_ci95": recovery.to_json()["ci95"],
        "survival_ratio": survival.value,
        "survival_ratio_ci95": survival.to_json()["ci95"],
        "panic_rate": rates["panics_rate"]["value"],
        "rates_per_1000_node_years": rates,
        "memory_lost_byte_years": float(sums.total[INDEX["memory_lost_byte_years"]]),
    }


def group_ue(run: Run, arm: int) -> dict[str, dict[str, float]]:
    """Return what each node group contributed: nodes, node-years, faults, UEs and kills."""
    found = {}
    for position, group in enumerate(run.groups):
        sums = Sums.of(run.tally, arm, [position])
        found[group.name] = {
            "nodes": float(group.nodes),
            "node_years": float(sums.total[INDEX["node_years"]]),
            "faults": float(sums.total[INDEX["faults"]]),
            "ue": float(sums.total[INDEX["ue"]]),
            "kills": float(KILL_WEIGHTS @ sums.total),
            "panics": float(sums.total[INDEX["panics"]]),
        }
    return found


def headline_assumptions() -> list[dict[str, Any]]:
    """List the assumptions that kill, recovery and panic rates hang on directly."""
    listed = [
        {
            "name": name.lower(),
            "value": item.value,
            "low": item.low,
            "high": item.high,
            "unit": item.unit,
            "why": item.why,
        }
        for name, item in vars(numbers).items()
        if isinstance(item, Assumed) and item.headline
    ]
    return [*listed, {"name": "workload shares", "why": WORKLOAD_ASSUMPTION.why}]


def summary_document(run: Run) -> dict[str, Any]:
    """Return the summary of a run as one JSON document."""
    rows = run.tally.rows[0]
    nodes = max(1, sum(group.nodes for group in run.groups))
    node_years = nodes * float(run.plan["years"])
    return {
        "run": {
            "path": str(run.path),
            "seed": run.plan["seed"],
            "scenario": run.plan["scenario"].get("name", "unnamed"),
            "scenario_sha256": run.plan["scenario_sha256"],
            "complete": run.manifest["complete"],
            "nodes": nodes,
            "years": run.plan["years"],
            "seconds": run.manifest["seconds"],
            "digests": run.manifest["digests"],
        },
        "arms": {arm: arm_document(run, position) for position, arm in enumerate(run.arms)},
        "effects": to_json(compare_run(run)),
        "groups": group_ue(run, 0),
        "rows_per_node_year": float(rows) / node_years,
        "faults_per_node_year": float(Sums.of(run.tally, 0).total[INDEX["faults"]]) / node_years,
        "headline_assumptions": headline_assumptions(),
    }


# ---- text -------------------------------------------------------------------------------------------------------


def _number(value: float) -> str:
    size = abs(value)
    if size < NEGLIGIBLE:
        return "0"
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 1 else f"{value:.3f}"


def format_estimate(estimate: Estimate, *, signed: bool = False) -> str:
    """Write a number with its interval."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "-"
    plus = "+" if signed and estimate.value >= NEGLIGIBLE else ""
    return f"{plus}{_number(estimate.value)} [{_number(estimate.low)}, {_number(estimate.high)}]"


def format_bytes(size: float) -> str:
    """Write a size with a binary unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"


def _block(title: str, names: list[str], rows: list[tuple[str, list[str]]]) -> list[str]:
    """Lay out a table: row names, then one right-aligned column per arm."""
    width = max(CELL_WIDTH, *(len(name) + 2 for name in names))
    lines = [title.ljust(NAME_WIDTH) + "".join(name.rjust(width) for name in names)]
    lines.extend(name.ljust(NAME_WIDTH) + "".join(cell.rjust(width) for cell in cells) for name, cells in rows)
    return [line.rstrip() for line in lines]


def _headline(run: Run, arms: list[int]) -> list[str]:
    sums = [Sums.of(run.tally, arm) for arm in arms]
    rows = [(name, [format_estimate(rate(s, _events(metric))) for s in sums]) for name, metric in HEADLINE_ROWS]
    rows.append(("recovery ratio", [format_estimate(recovery_ratio(s)) for s in sums]))
    rows.append(("survival ratio of UEs", [format_estimate(survival_ratio(s)) for s in sums]))
    lost = INDEX["memory_lost_byte_years"], INDEX["node_years"]
    rows.append(
        ("memory lost per node", [f"{format_bytes(float(s.total[lost[0]] / s.total[lost[1]]))}-years" for s in sums])
    )
    return _block("per 1,000 node-years", [run.arms[arm] for arm in arms], rows)


def effect_lines(effects: dict[str, dict[str, Effect]], baseline: str) -> list[str]:
    """Lay out the paired differences to the baseline."""
    others = list(effects)
    lines: list[str] = []
    for start in range(0, len(others), ARMS_PER_BLOCK):
        names = others[start : start + ARMS_PER_BLOCK]
        metrics = ("kills", "losses", "panics", "ue", "sdc", "io_errors", "pages_offlined", "dimm_replacements")
        rows = [(metric, [_effect_cell(effects[name][metric]) for name in names]) for metric in metrics]
        lines.extend(["", *_block(f"difference to {baseline}", names, rows)])
    return lines


def _effect_cell(found: Effect) -> str:
    difference = found.difference
    if difference.value is not None and difference.value == 0 and difference.low == difference.high:
        return "0 (same events)"
    return format_estimate(difference if difference.value is not None else UNDEFINED, signed=True)


def summary_lines(run: Run) -> list[str]:
    """Write the summary of a run as text."""
    document = summary_document(run)
    about = document["run"]
    unit = "year" if about["years"] == 1 else "years"
    fleet = f"{about['scenario']}: {about['nodes']:,} nodes x {about['years']:g} {unit}, seed {about['seed']}"
    density = (
        f"{document['faults_per_node_year']:.2f} faults and {document['rows_per_node_year']:.1f} rows per node-year"
    )
    lines = [f"{fleet}, {density}", ""]
    for start in range(0, len(run.arms), ARMS_PER_BLOCK):
        lines.extend([*_headline(run, list(range(len(run.arms)))[start : start + ARMS_PER_BLOCK]), ""])
    lines.pop()
    if len(run.arms) > 1:
        lines.extend(effect_lines(compare_run(run), run.arms[0]))
        lines.append("Rates are per 1,000 node-years with 95 % intervals; differences are paired node by node.")
    lines.extend(["", *_group_lines(run), "", *_assumption_lines(document["headline_assumptions"])])
    return lines


def _group_lines(run: Run) -> list[str]:
    lines = [f"node groups in arm {run.arms[0]}:"]
    for name, found in group_ue(run, 0).items():
        lines.append(
            f"  {name:<16} {found['nodes']:>10,.0f} nodes {found['faults']:>10,.0f} faults {found['ue']:>8,.0f} UEs "
            f"{found['kills']:>6,.0f} kills {found['panics']:>6,.0f} panics"
        )
    return lines


def _assumption_lines(assumptions: list[dict[str, Any]]) -> list[str]:
    lines = ["The figures above depend on these assumptions (nobody published them; vary them with --set or --sweep):"]
    for item in assumptions:
        if "value" in item:
            unit = "" if item["unit"] == "1" else f" {item['unit']}"
            lines.append(f"  {item['name']:<22} {item['value']:g}{unit} ({item['low']:g} to {item['high']:g})")
        else:
            lines.append(f"  {item['name']:<22} {item['why']}")
    return lines
