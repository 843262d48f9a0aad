"""What it is worth to act on corrected errors: uncorrected ones avoided, what that cost, how good the alarms were."""

from __future__ import annotations

from typing import Final

from analysis.comparison.policies import PolicyTable
from analysis.estimators.rates import Estimate
from analysis.report.plain import Bullets, Cell, Content, Grid, Head, Paragraph, Titled
from analysis.report.rates import ARMS_ACROSS
from analysis.report.words import cell, share

COLUMNS: Final = {
    "ue_avoided": ("UEs avoided", "in the whole run"),
    "ue_avoided_share": ("share avoided", "of the UEs of the first policy"),
    "dimms_replaced": ("DIMMs replaced", ""),
    "dimms_replaced_for_nothing": ("for nothing", "of these, DIMMs without any UE"),
    "more_dimms_replaced_per_ue_avoided": ("DIMMs per UE", "replaced more, for each UE avoided"),
    "memory_offlined_gib_per_ue_avoided": ("memory per UE", "taken out of use, for each UE avoided"),
    "dimms_alarmed": ("alarms", "DIMMs that the policy acted on"),
    "precision": ("right", "a UE of the DIMM would have followed"),
    "recall": ("in time", "of DIMMs with a UE, those acted on before it"),
    "lead_median_hours": ("lead time [h]", "median, from alarm to UE"),
}
"""Figures that are shown, with name and gloss."""
_MIB_PER_GIB: Final = 1024.0


def corrected_block(found: PolicyTable | None, baseline: str) -> tuple[Content, ...]:
    """Compare policies that act on corrected errors; nothing if none of the run does."""
    if found is None or not any(figures["dimms_alarmed"] for figures in found.arms.values()):
        return ()
    base = found.baseline
    text = (
        "Some policies act when a DIMM shows corrected errors: they take pages out of use or replace it. An alarm is "
        f"the first such act; what the same DIMM does with {baseline} shows whether it was right."
    )
    failing = _written("share", base["dimms_with_ce_that_have_ue_share"])
    sudden = _written("share", base["ue_without_ce_before_share"])
    said = (
        f"DIMMs with corrected errors: {base['dimms_with_ce']:,}. Alarms about all would be right for {failing}.",
        f"UEs of DIMMs that had no corrected error before, which no such policy can avoid: {sudden}.",
    )
    heads = (Head("policy", holds="text"), *(Head(*words) for words in COLUMNS.values()))
    rows = tuple(
        (Cell(arm), *(_cell(key, figures[key]) for key in COLUMNS))
        for arm, figures in found.arms.items()
        if figures["dimms_alarmed"]
    )
    grid = Grid("What acting on corrected errors is worth", heads, rows)
    shown = grid.transposed() if len(rows) <= ARMS_ACROSS else grid
    return (Titled("Acting on corrected errors", (Paragraph(text), Bullets(said), shown)),)


def _written(key: str, item: int | Estimate) -> str:
    found = _cell(key, item)
    return f"{found.text} {found.small}".rstrip()


def _cell(key: str, item: int | Estimate) -> Cell:
    if not isinstance(item, Estimate):
        return Cell(f"{item:,}".replace("-", "−"))
    if key in ("precision", "recall") or key.endswith("share"):
        return share(item)
    if key == "memory_offlined_gib_per_ue_avoided" and item.value is not None:
        return Cell(f"{cell(Estimate(_MIB_PER_GIB * item.value, None, None)).text} MiB")
    return cell(item)
