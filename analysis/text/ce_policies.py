"""What policies on corrected errors are worth, as text: the baseline in figures, then the arms against it."""

from __future__ import annotations

from typing import Final

from analysis.comparison.policies import PolicyTable
from analysis.estimators.rates import Estimate
from analysis.text.differences import ARMS_SIDE_BY_SIDE
from analysis.text.layout import columns, format_estimate, format_number, lines_of_arms
from fleet.printable import WIDTH, fitted

MIB_PER_GIB: Final = 1024
BASELINE_ROWS: Final = {
    "dimms_with_ce": "DIMMs with CEs",
    "dimms_with_ce_that_have_ue_share": "  share with UEs (alarms about all are right so often)",
    "dimms_with_ue": "DIMMs with UEs",
    "ue": "UEs",
    "ue_without_ce_before_share": "  share without a CE before (no such policy avoids it)",
    "dimms_replaced": "DIMMs replaced",
    "dimms_alarmed": "DIMMs alarmed",
}
POLICY_ROWS: Final = {
    "ue": "UEs",
    "ue_avoided": "UEs avoided",
    "ue_avoided_share": "  share avoided",
    "dimms_spared": "DIMMs spared all UEs",
    "dimms_spared_share": "  share spared",
    "dimms_replaced": "DIMMs replaced",
    "dimms_replaced_for_nothing": "  for nothing (no UE)",
    "": "more than the baseline, per UE avoided",
    "more_dimms_replaced_per_ue_avoided": "  DIMMs replaced",
    "more_dimms_replaced_for_nothing_per_ue_avoided": "  DIMMs replaced for nothing",
    "memory_offlined_gib_per_ue_avoided": "  memory offlined [MiB]",
    "memory_offlined_gib_years_per_ue_avoided": "  memory offlined [MiB-years]",
    "dimms_alarmed": "DIMMs alarmed",
    "dimms_with_ce_alarmed_share": "  share of DIMMs with CE",
    "precision": "  precision (UE follows)",
    "recall": "  recall (before the first UE)",
    "lead_median_hours": "lead time, median [h]",
    "lead_above_15_min_share": "  above 15 min",
    "lead_above_1_h_share": "  above 1 h",
    "lead_above_1_day_share": "  above 1 day",
}
"""Rows of the tables of policies on corrected errors; one that has no figure is a heading."""
ARM_CELLS: Final = {
    "ue_avoided": "UEs avoided",
    "ue_avoided_share": "share avoided",
    "dimms_replaced": "DIMMs replaced",
    "dimms_replaced_for_nothing": "for nothing",
    "precision": "precision",
    "recall": "recall",
    "lead_median_hours": "median lead [h]",
}
"""Figures of an arm that has one line; of these, the share avoided has its interval there."""


def policy_lines(found: PolicyTable, baseline: str, width: int = WIDTH) -> list[str]:
    """Lay out what policies on corrected errors are worth: the baseline first, then the arms."""
    base = found.baseline
    lines = ["", *fitted(f"policies on corrected errors, against {baseline}:", width)]
    told = (f"  {title:<56}{_figure(key, base[key])}" for key, title in BASELINE_ROWS.items())
    lines += [part for line in told for part in fitted(line, width)]
    if base["dimms_alarmed"]:
        lines += fitted("  it acts on CEs itself, so alarms about UEs that it avoids count as wrong", width)
    many = len(found.arms) >= ARMS_SIDE_BY_SIDE
    return [*lines, "", *(_line_each(found, width) if many else _side_by_side(found, width))]


def _side_by_side(found: PolicyTable, width: int) -> list[str]:
    rows = [
        (title, [_figure(key, figures[key]) if key else "" for figures in found.arms.values()])
        for key, title in POLICY_ROWS.items()
    ]
    return columns("", list(found.arms), rows, width)


def _line_each(found: PolicyTable, width: int) -> list[str]:
    """Lay out a line for each arm, sorted by UEs avoided, most first."""

    def avoided(arm: str) -> int:
        n = found.arms[arm]["ue_avoided"]
        return -n if isinstance(n, int) else 0

    rows = [
        (arm, [_figure(key, found.arms[arm][key], interval=key == "ue_avoided_share") for key in ARM_CELLS])
        for arm in sorted(found.arms, key=avoided)
    ]
    return lines_of_arms(("arm", *ARM_CELLS.values()), rows, width)


def _figure(key: str, item: int | Estimate, *, interval: bool = True) -> str:
    """Write a figure of a policy, memory in MiB."""
    if not isinstance(item, Estimate):
        return f"{item:,}"
    if item.value is None:
        return "undefined"
    scale = MIB_PER_GIB if "_gib_" in key else 1.0
    return format_estimate(item, scale=scale) if interval else format_number(scale * item.value)
