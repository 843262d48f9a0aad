"""Judge the alert rules of this folder on fleets whose errors are known; the table of deploy/README.md is its result.

``python deploy/alert_study.py`` simulates the fleets, judges the rules (some ten minutes on two cores) and stores
what came of it in alert_study.json; ``python deploy/alert_study.py --table`` prints the table of what is stored.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
RESULT: Final = HERE / "alert_study.json"
FLEETS: Final = {"baseline": (30_000, 1), "alibaba-2022": (10_000, 2)}
"""Servers and years of each scenario, with seed 1, in the first arm: enough for some hundred nodes with a UE."""
FILES: Final = ("popular_alerts.yml", "alerts.yml")
PERCENT: Final = 100.0
TWO_DIGITS: Final = 9.95
"""Below it a number has a digit after its point."""
PROGRAM: Final = str(Path(sys.executable).with_name("hwpoison-fleet"))


def judge(scenario: str, nodes: int, years: int, prometheus: str | None) -> dict[str, Any]:
    """Simulate a fleet and judge all rules on it."""
    more = ["--prometheus", prometheus] if prometheus else []
    with tempfile.TemporaryDirectory() as folder:
        run = f"{folder}/run"
        _call("run", scenario, "--nodes", str(nodes), "--years", str(years), "--seed", "1", "-o", run)
        found = [
            json.loads(_call("alerts", run, "--rules", str(HERE / "prometheus" / name), "--json", *more))
            for name in FILES
        ]
    first = found[0]
    return {
        "scenario": scenario,
        "nodes": nodes,
        "years": years,
        "node_years": first["node_years"],
        "truth_events": first["truth_events"],
        "lead_days": first["lead_days"],
        "rules": [rule for one in found for rule in one["rules"]],
    }


def _call(*words: str) -> str:
    done = subprocess.run([PROGRAM, *words], check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return done.stdout


def table(fleets: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table."""
    titles = (
        "rule",
        "fleet",
        "pages per 1,000 node-years",
        "nodes alerted, %",
        "right, %",
        "recall, %",
        "warning, days",
    )
    yield f"| {' | '.join(titles)} |"
    yield f"{'|---' * len(titles)}|"
    names = [rule["rule"] for rule in fleets[0]["rules"]]
    for at, name in enumerate(names):
        for fleet in fleets:
            rule = fleet["rules"][at]
            yield f"| `{name}` | {fleet['scenario']} | {' | '.join(cells(rule))} |"


def cells(rule: dict[str, Any]) -> list[str]:
    """Return the cells of a rule on a fleet."""
    judged = rule["judged"]
    if judged is None:
        return [f"not judged: {rule['not_judged']}", "", "", "", ""]
    if not judged["counts"]["nodes_alerted"]:
        return ["none", "0", "–", "0", "–"]
    return [
        shown(judged["pages_per_1000_node_years"]),
        shown(judged["nodes_alerted_share"], PERCENT),
        shown(judged["precision_nodes"], PERCENT),
        shown(judged["recall"], PERCENT),
        shown(judged["warning_days"][1]),
    ]


def shown(estimate: dict[str, Any], scale: float = 1.0) -> str:
    """Write a value with its interval to two digits or three."""
    value, ends = estimate["value"], estimate["ci95"]
    if value is None:
        return "–"
    interval = f" ({number(scale * ends[0])}–{number(scale * ends[1])})" if ends else ""
    return f"{number(scale * value)}{interval}"


def number(value: float) -> str:
    """Write a number to two digits, or to all before its point."""
    return f"{value:,.0f}" if abs(value) >= TWO_DIGITS else f"{value:.2g}"


def main() -> None:
    """Judge, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="print the table of what is stored")
    parser.add_argument("--prometheus", metavar="PATH", help="as of 'hwpoison-fleet alerts'")
    asked = parser.parse_args()
    if not asked.table:
        found = [judge(scenario, *size, asked.prometheus) for scenario, size in FLEETS.items()]
        RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join(table(json.loads(RESULT.read_text()))))


if __name__ == "__main__":
    main()
