"""Numbers and findings in words."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.estimators.rates import Estimate

PER = "per 1,000 node-years"


def number(value: float) -> str:
    """Write a number with three digits; of thousands all."""
    size = abs(value)
    if size == 0.0:
        return "0"
    if size < 0.001:
        return f"{value:.1e}"
    if size >= 999.5:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def interval(low: float | None, high: float | None) -> str:
    """Write an interval in brackets; nothing if there is none."""
    return "" if low is None or high is None else f" [{number(low)}, {number(high)}]"


def estimate(found: Estimate) -> str:
    """Write a number with its interval."""
    return "undefined" if found.value is None else number(found.value) + interval(found.low, found.high)


def percent(share: float) -> str:
    """Write a share; neither all nor nothing by rounding."""
    if 0.0 < share < 0.001:
        return "under 0.1 %"
    if 0.999 < share < 1.0:
        return "over 99.9 %"
    return f"{100.0 * share:.3g} %"


def percents(low: float | None, high: float | None) -> str:
    """Write the interval of a share in brackets; nothing if there is none."""
    return "" if low is None or high is None else f" [{percent(low)}, {percent(high)}]"


def counted(n: float, noun: str, plural: str = "") -> str:
    """Write how many there are."""
    return f"{n:,.0f} {noun if n == 1 else plural or f'{noun}s'}"


def listed(names: Sequence[str]) -> str:
    """Join names as a sentence does."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else "none"


def shortened(name: str, width: int) -> str:
    """Cut the middle out of a long name."""
    if len(name) <= width:
        return name
    head = (width - 1) // 2
    return f"{name[:head]}…{name[len(name) - (width - 1 - head) :]}"
