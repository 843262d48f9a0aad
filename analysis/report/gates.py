"""The gates a run had to pass: what was asked, what was found, and the limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.report.plain import Cell, Grid, Head, Paragraph, Section
from analysis.report.words import number


def gates_section(gates: Sequence[dict[str, Any]]) -> Section | None:
    """Show the verdicts of gates, as ``Verdict.to_json`` has them; None if there are none."""
    if not gates:
        return None
    failed = sum(not gate["passed"] for gate in gates)
    heads = (
        Head("asked", holds="code"),
        Head("policy", holds="text"),
        Head("found"),
        Head("limit"),
        Head("verdict", holds="text"),
    )
    rows = tuple(
        (
            Cell(str(gate["expression"])),
            Cell(str(gate["arm"]), f"group {gate['group']}" if gate["group"] else ""),
            Cell(_value(gate["value"]), str(gate["unit"])),
            Cell(_value(gate["limit"])),
            Cell("passed" if gate["passed"] else "FAILED"),
        )
        for gate in gates
    )
    text = f"{len(gates) - failed} of {len(gates)} passed." if failed else f"All {len(gates)} passed."
    return Section("gates", "Gates", (Paragraph(text), Grid("Gates of the run", heads, rows)))


def _value(value: Any) -> str:
    return number(float(value)) if isinstance(value, int | float) else "undefined"
