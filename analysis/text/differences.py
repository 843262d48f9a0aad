"""Arms against their baseline as text: paired differences side by side, or one line an arm, and what the data tell."""

from __future__ import annotations

from analysis.comparison.effects import Effect
from analysis.dataset.run import Run
from analysis.estimators.rates import Estimate, Sums, rate, survival_ratio
from analysis.text.document import node_years
from analysis.text.layout import columns, cut, format_byte_years, format_estimate, format_number, lines_of_arms
from fleet.printable import WIDTH, fitted
from fleet.stored.headline import BY_KEY, EFFECTS_SHOWN, INDEX
from node_sim.guesses import listed

ARMS_SIDE_BY_SIDE = 4
"""More arms than these have a line each."""
NOTE = (
    "Per 1,000 node-years with 95 % intervals; differences are paired node by node. Where no node differs, the "
    "difference is 0 and its interval is what nodes may do that no node of this run did. Losses are kills, and "
    "processes that panics took along."
)
PERCENT = 100.0
TITLE_MAX = 36
"""Columns of the title of a table, which bears the name of the baseline."""
_SORTED_BY = "losses"


def note_lines(width: int = WIDTH) -> list[str]:
    """Say how numbers of arms are to be read."""
    return fitted(NOTE, width, 0)


def effects_of_run(run: Run, effects: dict[str, dict[str, Effect]], baseline: str, width: int = WIDTH) -> list[str]:
    """Lay out all arms against a baseline: side by side as long as they are few."""
    if len(run.arms) > ARMS_SIDE_BY_SIDE:
        return one_line_each(run, effects, baseline, width)
    return effect_lines(effects, baseline, node_years(run), width)


def effect_lines(effects: dict[str, dict[str, Effect]], baseline: str, years: float, width: int = WIDTH) -> list[str]:
    """Lay out the paired differences to the baseline, and say of each arm whether the data tell it apart."""
    rows = [
        (BY_KEY[key].title, [format_estimate(found[key].difference, signed=True) for found in effects.values()])
        for key in EFFECTS_SHOWN
    ]
    sentences = (told_apart(name, found, baseline, years) for name, found in effects.items())
    return [
        *columns(cut(f"difference to {baseline}", TITLE_MAX), list(effects), rows, width),
        "",
        *(part for one in sentences for part in fitted(one, width)),
    ]


def told_apart(arm: str, effects: dict[str, Effect], baseline: str, years: float) -> str:
    """Say in a sentence in what the data tell an arm from its baseline, and how many more node-years would in what."""
    shown = {BY_KEY[key].title: effects[key] for key in EFFECTS_SHOWN if effects[key].difference.low is not None}
    wanted = {title: found.wanted for title, found in shown.items()}
    told = [title for title, times in wanted.items() if times == 1.0]
    later = {title: times for title, times in wanted.items() if times is not None and times > 1.0}
    same = [title for title, found in shown.items() if not found.differing]
    open_ = [title for title in shown if title not in (*told, *later, *same)]
    parts = [f"differs from {baseline} in {', '.join(told)}" if told else f"cannot be told from {baseline}"]
    if later:
        more = (f"{title} {_about((times - 1.0) * years)}" for title, times in later.items())
        parts.append(f"about so many more node-years would tell: {', '.join(more)}")
    if open_:
        parts.append(f"as much up as down: {', '.join(open_)}")
    if same:
        parts.append(f"no node differs in {', '.join(same)}")
    return f"{arm} {'; '.join(parts)}."


def _about(value: float) -> str:
    """Round a number to two digits."""
    return f"{float(f'{value:.1e}'):,.0f}"


def one_line_each(
    run: Run, effects: dict[str, dict[str, Effect]], baseline: str, width: int = WIDTH, sorted_by: str = _SORTED_BY
) -> list[str]:
    """Lay out a line for each arm, the baseline first, then by difference, the lowest first."""

    def difference(arm: str) -> float:
        return effects[arm][sorted_by].difference.value or 0.0

    order = [baseline, *sorted(effects, key=lambda arm: (difference(arm), run.arms.index(arm)))]
    title = BY_KEY[sorted_by].title
    titles = ("arm", "kills", "losses", "panics", "UEs survived [%]", "memory lost per node", f"difference in {title}")
    rows = [(arm, [*_figures(run, arm), _cell(effects, arm, sorted_by)]) for arm in order]
    lines = fitted(
        f"per 1,000 node-years; the baseline is {baseline}, the others by their difference in {title}", width
    )
    return [*lines, "", *lines_of_arms(titles, rows, width), "", *in_what_arms_differ(effects, baseline, width)]


def _figures(run: Run, arm: str) -> list[str]:
    """Return what an arm has, without intervals: those of all arms are as wide as those of the differences."""
    sums = Sums.of(run.tally, run.arms.index(arm))
    rates = [_value(rate(sums, key)) for key in ("kills", "losses", "panics")]
    lost = float(sums.total[INDEX["memory_lost_byte_years"]] / sums.total[INDEX["node_years"]])
    return [*rates, _value(survival_ratio(sums), PERCENT), format_byte_years(lost)]


def _value(found: Estimate, scale: float = 1.0) -> str:
    return "-" if found.value is None else format_number(scale * found.value)


def _cell(effects: dict[str, dict[str, Effect]], arm: str, key: str) -> str:
    return format_estimate(effects[arm][key].difference, signed=True) if arm in effects else "baseline"


def in_what_arms_differ(effects: dict[str, dict[str, Effect]], baseline: str, width: int = WIDTH) -> list[str]:
    """Say in what the data tell arms from the baseline, those of the same answer together."""
    arms: dict[tuple[str, ...], list[str]] = {}
    for arm, found in effects.items():
        told = tuple(BY_KEY[key].title for key in EFFECTS_SHOWN if found[key].wanted == 1.0)
        arms.setdefault(told, []).append(arm)
    return [
        line
        for told, names in sorted(arms.items(), key=lambda item: -len(item[1]))
        for line in fitted(_sentence(told, names, baseline, len(effects)), width)
    ]


def _sentence(told: tuple[str, ...], names: list[str], baseline: str, n_arms: int) -> str:
    one = len(names) == 1
    what = f"{'differs' if one else 'differ'} from {baseline} in {', '.join(told)}"
    return f"{len(names)} of {n_arms} {what if told else f'cannot be told from {baseline}'}: {listed(names)}."
