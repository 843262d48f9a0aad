"""The assumptions that the answer hangs on: what the run uses, what else is plausible, and why."""

from __future__ import annotations

from typing import Any

from analysis.dataset.run import Run
from analysis.report.plain import Cell, Grid, Head, Paragraph, Provenance, Section

TITLE = "What the answer hangs on"


def assumptions_section(run: Run, about: Provenance) -> Section:
    """List the headline assumptions of a run with their ranges."""
    listed = run.plan.get("headline_assumptions", [])
    if not listed:
        return Section("assumptions", TITLE, (Paragraph("No number that the answer hangs on was assumed."),))
    means = {one.key: one.means for numbers in about.numbers.values() for one in numbers}
    text = (
        "Nobody published these numbers, and the rates above hang on them directly. The intervals do not allow for "
        "them: they say how sure the answer is if the assumptions hold. To see what another value does, run again with "
        "--set KEY=VALUE. Settings that do not begin with faults may differ between policies: --sweep KEY=VALUE,VALUE "
        "compares them within one run."
    )
    heads = (
        Head("setting", holds="text"),
        Head("used here"),
        Head("plausible"),
        Head("why", holds="prose"),
    )
    rows = tuple(_row(item, means) for item in listed)
    return Section("assumptions", TITLE, (Paragraph(text), Grid("Assumptions with their ranges", heads, rows)))


def _row(item: dict[str, Any], means: dict[str, str]) -> tuple[Cell, ...]:
    name = Cell(item["setting"], means.get(item["setting"], ""))
    if "values" not in item:
        return name, Cell("see scenario"), Cell("unknown"), Cell(item["why"])
    unit = "" if item["unit"] in ("1", "-") else f" {item['unit']}"
    values = item["values"]
    used = f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"
    notes = [f"by {item['by']}"] if item.get("by") else []
    if values != [item["assumed"]]:
        notes.append(f"assumed: {item['assumed']:g}")
    together = f"with {item['with']} at most 1" if item.get("with") else ""
    return (
        name,
        Cell(f"{used}{unit}", ", ".join(notes)),
        Cell(f"{item['low']:g} to {item['high']:g}{unit}", together),
        Cell(item["why"]),
    )
