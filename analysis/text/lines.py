"""The summary of a run as text: tables of rates and effects, node groups, and the assumptions behind them."""

from __future__ import annotations

import textwrap
from typing import Any

from analysis.comparison.effects import Effect, compare_run
from analysis.comparison.policies import PolicyTable
from analysis.dataset.run import Run
from analysis.estimators.rates import DAEMONS, Estimate, Sums, ends_of, rate, recovery_ratio, survival_ratio
from analysis.text.document import group_ue, node_years, summary_document
from fleet.stored.headline import BY_KEY, EFFECTS_SHOWN, INDEX, RATES_SHOWN, REGISTRY

ARMS_PER_BLOCK = 4
NAME_WIDTH = 26
CELL_WIDTH = 24
SETTING_WIDTH = 30
WIDTH = 118
MIB_PER_GIB = 1024
_FOUR_DIGITS = 999.5
NOTE = (
    "Per 1,000 node-years with 95 % intervals; differences are paired node by node. An interval about 0 where no node\n"
    "differs is what nodes may do that no node of this run did. Losses are kills, and processes that panics took along."
)
POLICY_NAME_WIDTH = 40
GROUP_COLUMNS = (
    ("nodes", "node", 10),
    ("faults", "fault", 10),
    ("ue", "UE", 8),
    ("kills", "kill", 6),
    ("panics", "panic", 6),
)
"""Of the table of node groups: figure, noun, width of the number."""
BASELINE_ROWS = {
    "dimms_with_ce": "DIMMs with CEs",
    "dimms_with_ce_that_have_ue_share": "  share with UEs (alarms about all are right so often)",
    "dimms_with_ue": "DIMMs with UEs",
    "ue": "UEs",
    "ue_without_ce_before_share": "  share without a CE before (no such policy avoids it)",
    "dimms_replaced": "DIMMs replaced",
    "dimms_alarmed": "DIMMs alarmed",
}
POLICY_ROWS = {
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


def _number(value: float) -> str:
    size = abs(value)
    if size == 0.0:
        return "0"
    if size < 0.001:
        return f"{value:.1e}"
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 1 else f"{value:.3f}"


def format_estimate(estimate: Estimate, *, signed: bool = False) -> str:
    """Write a number with its interval."""
    if estimate.value is None:
        return "-"
    plus = "+" if signed and estimate.value > 0.0 else ""
    if estimate.low is None or estimate.high is None:
        return f"{plus}{_number(estimate.value)} [undefined]"
    return f"{plus}{_number(estimate.value)} [{_number(estimate.low)}, {_number(estimate.high)}]"


def format_byte_years(size: float) -> str:
    """Write memory out of use over time with a binary unit; less than a byte for a year is worth no digits."""
    if size < 1.0:
        return "under 1 B-year" if size else "0"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < _FOUR_DIGITS:
            return f"{size:.3g} {unit}-years"
        size /= 1024
    return f"{size:.3g} TiB-years"


def _block(title: str, names: list[str], rows: list[tuple[str, list[str]]], left: int = NAME_WIDTH) -> list[str]:
    """Lay out a table: row names, then one right-aligned column per arm."""
    width = max(CELL_WIDTH, *(len(name) + 2 for name in names))
    lines = [title.ljust(left) + "".join(name.rjust(width) for name in names)]
    lines.extend(name.ljust(left) + "".join(cell.rjust(width) for cell in cells) for name, cells in rows)
    return [line.rstrip() for line in lines]


def _title(key: str) -> str:
    """Return the name of a metric in the table of rates; parts of a total are set in."""
    inside = any(key in metric.parts for metric in REGISTRY)
    return f"  {BY_KEY[key].title}" if inside else BY_KEY[key].title


def _headline(run: Run, arms: list[int]) -> list[str]:
    sums = [Sums.of(run.tally, arm, ends=ends_of(group.processes for group in run.groups)) for arm in arms]
    rows = [(_title(key), [format_estimate(rate(s, key)) for s in sums]) for key in RATES_SHOWN]
    rows.append(("recovery ratio", [format_estimate(recovery_ratio(s)) for s in sums]))
    rows.append(("survival ratio of UEs", [format_estimate(survival_ratio(s)) for s in sums]))
    for title, key in (("memory lost per node", "memory_lost_byte_years"), ("huge pages lost", "pool_lost_byte_years")):
        lost = [float(s.total[INDEX[key]] / s.total[INDEX["node_years"]]) for s in sums]
        if key == "memory_lost_byte_years" or any(lost):
            rows.append((title, [format_byte_years(one) for one in lost]))
    return _block("per 1,000 node-years", [run.arms[arm] for arm in arms], rows)


def effect_lines(effects: dict[str, dict[str, Effect]], baseline: str, node_years: float) -> list[str]:
    """Lay out the paired differences to the baseline, and say of each arm whether the data tell it apart."""
    others = list(effects)
    lines: list[str] = []
    for start in range(0, len(others), ARMS_PER_BLOCK):
        names = others[start : start + ARMS_PER_BLOCK]
        rows = [
            (BY_KEY[key].title, [format_estimate(effects[name][key].difference, signed=True) for name in names])
            for key in EFFECTS_SHOWN
        ]
        lines.extend(["", *_block(f"difference to {baseline}", names, rows)])
    sentences = (told_apart(name, effects[name], baseline, node_years) for name in others)
    return [*lines, "", *(line for one in sentences for line in textwrap.wrap(one, WIDTH, subsequent_indent="  "))]


def told_apart(arm: str, effects: dict[str, Effect], baseline: str, node_years: float) -> str:
    """Say in a sentence in what the data tell an arm from its baseline, and how many more node-years would in what."""
    shown = {BY_KEY[key].title: effects[key] for key in EFFECTS_SHOWN if effects[key].difference.low is not None}
    wanted = {title: found.wanted for title, found in shown.items()}
    told = [title for title, times in wanted.items() if times == 1.0]
    later = {title: times for title, times in wanted.items() if times is not None and times > 1.0}
    same = [title for title, found in shown.items() if not found.differing]
    open_ = [title for title in shown if title not in (*told, *later, *same)]
    parts = [f"differs from {baseline} in {', '.join(told)}" if told else f"cannot be told from {baseline}"]
    if later:
        more = (f"{title} {_about((times - 1.0) * node_years)}" for title, times in later.items())
        parts.append(f"about so many more node-years would tell: {', '.join(more)}")
    if open_:
        parts.append(f"as much up as down: {', '.join(open_)}")
    if same:
        parts.append(f"no node differs in {', '.join(same)}")
    return f"{arm} {'; '.join(parts)}."


def _about(value: float) -> str:
    """Round a number to two digits."""
    return f"{float(f'{value:.1e}'):,.0f}"


def policy_lines(found: PolicyTable, baseline: str) -> list[str]:
    """Lay out what policies on corrected errors are worth: the baseline in a sentence, then a column per arm."""
    base, others = found.baseline, list(found.arms)
    lines = ["", f"policies on corrected errors, against {baseline}:"]
    lines += [f"  {title:<56}{_figure(key, base[key])}" for key, title in BASELINE_ROWS.items()]
    if base["dimms_alarmed"]:
        lines.append("  it acts on CEs itself, so alarms about UEs that it avoids count as wrong")
    for start in range(0, len(others), ARMS_PER_BLOCK):
        names = others[start : start + ARMS_PER_BLOCK]
        rows = [
            (title, [_figure(key, found.arms[name][key]) if key else "" for name in names])
            for key, title in POLICY_ROWS.items()
        ]
        lines.extend(["", *_block("", names, rows, POLICY_NAME_WIDTH)])
    return lines


def _figure(key: str, item: int | Estimate) -> str:
    """Write a figure of a policy, memory in MiB."""
    if not isinstance(item, Estimate):
        return f"{item:,}"
    if item.value is None:
        return "undefined"
    scale = MIB_PER_GIB if "_gib_" in key else 1.0
    if item.low is None or item.high is None:
        return f"{_number(scale * item.value)} [undefined]"
    return f"{_number(scale * item.value)} [{_number(scale * item.low)}, {_number(scale * item.high)}]"


def summary_lines(run: Run) -> list[str]:
    """Write the summary of a run as text."""
    document = summary_document(run)
    about = document["run"]
    unit = "year" if about["years"] == 1 else "years"
    fleet = f"{about['scenario']}: {about['nodes']:,} nodes x {about['years']:g} {unit}, seed {about['seed']}"
    density = (
        f"{document['faults_per_node_year']:.2f} faults and {document['rows_per_node_year']:.1f} rows per node-year"
    )
    lines = [f"{fleet}, {density}", *_change_lines(document["run"]["changes"]), ""]
    for start in range(0, len(run.arms), ARMS_PER_BLOCK):
        lines.extend([*_headline(run, list(range(len(run.arms)))[start : start + ARMS_PER_BLOCK]), ""])
    lines.pop()
    if len(run.arms) > 1:
        lines.extend(effect_lines(compare_run(run), run.arms[0], node_years(run)))
        lines.append(NOTE)
    lines.extend(["", *_group_lines(run), "", *_assumption_lines(document["headline_assumptions"])])
    return lines


def _change_lines(changes: list[str]) -> list[str]:
    """Say in what a run is not its scenario."""
    if not changes:
        return []
    return textwrap.wrap(f"changed from the scenario: {'; '.join(changes)}", WIDTH, subsequent_indent="  ")


def _group_lines(run: Run) -> list[str]:
    lines = [f"node groups in arm {run.arms[0]}:"]
    for name, found in group_ue(run, 0).items():
        cells = (_counted(round(found[key]), noun, width) for key, noun, width in GROUP_COLUMNS)
        lines.append(f"  {name:<16} {' '.join(cells)}".rstrip())
    return [*lines, "a panic ends:", *(f"  {group.name:<16} {_panic_ends(group.processes)}" for group in run.groups)]


def _counted(n: int, noun: str, width: int) -> str:
    """Write a number with what it counts, as wide for one as for many."""
    return f"{n:>{width},} {noun}{' ' if n == 1 else 's'}"


def _panic_ends(processes: dict[str, int]) -> str:
    """Say which processes a panic takes along, the daemons of the system apart."""
    daemons = processes.get(DAEMONS, 0)
    work = ", ".join(f"{n} {kind}" for kind, n in processes.items() if kind != DAEMONS)
    return f"{work or 'no work'}; and {daemons} system daemons"


def _assumption_lines(assumptions: list[dict[str, Any]]) -> list[str]:
    """Name each assumption with what the run uses and, in brackets, what is plausible."""
    lines = [
        "Such figures depend on assumptions nobody published (range in brackets; vary with --set or --sweep,",
        "those that begin with 'faults' with --set only, as all arms share the faults):",
    ]
    lines.extend(f"  {item['setting']:<{SETTING_WIDTH}} {_assumed(item)}" for item in assumptions)
    return lines


def _assumed(item: dict[str, Any]) -> str:
    """Write the values of an assumption, or the reason where it is no number."""
    if "values" not in item:
        return str(item["why"])
    unit = "" if item["unit"] == "1" else f" {item['unit']}"
    ends = f"{item['low']:g} to {item['high']:g}"
    if item.get("with"):
        ends += f"; with {item['with']} at most 1"
    values = item["values"]
    if values == [item["assumed"]]:
        return f"{values[0]:g}{unit} ({ends})"
    shown = f"{values[0]:g}{unit}" if item["by"] is None else f"{values[0]:g} to {values[-1]:g}{unit} by {item['by']}"
    return f"{shown} ({ends}), chosen instead of the assumed {item['assumed']:g}"
