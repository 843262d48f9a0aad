"""Checks of a run as text."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.checks.check import statistical
from analysis.checks.verdict import ALPHA, Finding
from analysis.text.compared import columns_of_text


def check_lines(checks: Sequence[Finding], *, every: bool) -> list[str]:
    """Lay out checks, a line each, on request also laws that hold; say how many have failed and at which level."""
    n = statistical(checks)
    failed = sum(not check.passed(n) for check in checks)
    shown = [check for check in checks if every or check.z is not None or not check.passed(n)]
    rows = [
        [
            check.quantity,
            f"{check.expected:,.6g}",
            f"{check.observed:,.6g}",
            "law" if check.z is None else f"{check.z:+.2f}",
            "ok" if check.passed(n) else "FAILED",
        ]
        for check in shown
    ]
    table = columns_of_text(["quantity", "expected", "observed", "z", "verdict"], rows, 1) if rows else []
    level = f"{n} by chance, each at {ALPHA:g} / {n} = {ALPHA / n:.1e}, and {len(checks) - n} laws"
    return [*table, f"{len(checks)} checks ({level}): {f'{failed} FAILED' if failed else 'all passed'}"]
