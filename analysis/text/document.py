"""The summary of a run as one document."""

from __future__ import annotations

from typing import Any, Final

from analysis.comparison.effects import compare_run, to_json
from analysis.dataset.run import Run
from analysis.estimators.rates import Sums, ends_of, rate, recovery_ratio, survival_ratio, weights
from fleet.stored.headline import INDEX, REGISTRY

UNITS: Final = {
    **dict.fromkeys(("kill_rate", "panic_rate"), "per 1,000 node-years"),
    **{metric.key: f"{metric.unit}s" for metric in REGISTRY if metric.unit != "1"},
}
"""Of the numbers of an arm whose names do not say it."""


def arm_document(run: Run, arm: int) -> dict[str, Any]:
    """Return the figures of one arm: every metric of the registry at its path, rates and ratios."""
    sums = Sums.of(run.tally, arm, ends=ends_of(group.processes for group in run.groups))
    document: dict[str, Any] = {}
    for metric in REGISTRY:
        if metric.parts:
            continue
        total = float(sums.total[INDEX[metric.key]])
        *above, name = metric.path
        section = document
        for key in above:
            section = section.setdefault(key, {})
        section[name] = round(total) if metric.unit == "1" else total
    rates = {
        f"{metric.key}_rate": rate(sums, metric.key).to_json()
        for metric in REGISTRY
        if metric.unit == "1"  # the interval of a rate is that of a count
    }
    for name, ratio in (("recovery_ratio", recovery_ratio(sums)), ("survival_ratio", survival_ratio(sums))):
        document |= {name: ratio.value, f"{name}_ci95": ratio.to_json()["ci95"]}
    kills = rates["kills_rate"]
    return document | {
        "kill_rate": kills["value"],
        "kill_rate_ci95": kills["ci95"],
        "panic_rate": rates["panics_rate"]["value"],
        "rates_per_1000_node_years": rates,
    }


def node_years(run: Run) -> float:
    """Return the node-years simulated, time down among them; above 0."""
    return max(1, sum(group.nodes for group in run.groups)) * float(run.plan["years"])


def group_ue(run: Run, arm: int) -> dict[str, dict[str, int | float]]:
    """Return what each node group contributed: nodes, node-years, faults, UEs and kills."""
    found = {}
    for position, group in enumerate(run.groups):
        sums = Sums.of(run.tally, arm, [position])
        found[group.name] = {
            "nodes": group.nodes,
            "node_years": float(sums.total[INDEX["node_years"]]),
            "faults": round(float(sums.total[INDEX["faults"]])),
            "ue": round(float(sums.total[INDEX["ue"]])),
            "kills": round(float(weights("kills") @ sums.total)),
            "panics": round(float(sums.total[INDEX["panics"]])),
        }
    return found


def run_document(run: Run) -> dict[str, Any]:
    """Return what a run is."""
    return {
        "path": str(run.path),
        "seed": run.plan["seed"],
        "scenario": run.plan["scenario"].get("name", "unnamed"),
        "scenario_sha256": run.plan["scenario_sha256"],
        "complete": run.manifest["complete"],
        "nodes": max(1, sum(group.nodes for group in run.groups)),
        "years": run.plan["years"],
        "changes": run.plan.get("changes", []),
        "seconds": run.manifest["seconds"],
        "digests": run.manifest["digests"],
    }


def rows_per_node_year(run: Run) -> float:
    """Return how many rows a node of the baseline has in a year."""
    return float(run.tally.rows[0]) / node_years(run)


def faults_per_node_year(run: Run) -> float:
    """Return how many faults a node of the baseline has in a year."""
    return float(Sums.of(run.tally, 0).total[INDEX["faults"]]) / node_years(run)


def summary_document(run: Run) -> dict[str, Any]:
    """Return the summary of a run as one JSON document."""
    return {
        "run": run_document(run),
        "arms": {arm: arm_document(run, position) for position, arm in enumerate(run.arms)},
        "effects": to_json(compare_run(run)),
        "groups": group_ue(run, 0),
        "a_panic_ends": {group.name: group.processes for group in run.groups},
        "rows_per_node_year": rows_per_node_year(run),
        "faults_per_node_year": faults_per_node_year(run),
        "units": UNITS,
        "headline_assumptions": run.plan["headline_assumptions"],
        "notices": run.plan.get("notices", []),
    }
