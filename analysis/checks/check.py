"""All checks of a run, and their verdict together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.checks.faults import fault_checks
from analysis.checks.laws import law_checks
from analysis.checks.verdict import ALPHA, Finding
from analysis.dataset.run import Run


def check_run(run: Run, hardware: Sequence[Mapping[str, Any]], codes: Sequence[Sequence[str]]) -> list[Finding]:
    """Check a run against closed forms and laws.

    Args:
        run: The run.
        hardware: Settings of each group's servers and faults, with all defaults filled in.
        codes: Error-correcting code of each group, by arm.
    """
    return [*fault_checks(run, hardware), *law_checks(run, codes)]


def statistical(checks: Sequence[Finding]) -> int:
    """Return how many checks a healthy run may fail by chance; laws are not among them."""
    return max(1, sum(check.z is not None for check in checks))


def all_passed(checks: Sequence[Finding]) -> bool:
    """Whether a run passes all its checks."""
    return all(check.passed(statistical(checks)) for check in checks)


def checks_json(checks: Sequence[Finding]) -> dict[str, Any]:
    """Return all checks, and the level of each so that a healthy run fails any with ``alpha``."""
    n = statistical(checks)
    each = {"alpha": ALPHA, "checks_by_chance": n, "p_least": ALPHA / n}
    return {**each, "passed": all_passed(checks), "checks": [check.to_json(n) for check in checks]}
