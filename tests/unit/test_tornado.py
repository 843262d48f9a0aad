"""The tornado figure: what it shows is what the table of ``compare --sensitivity`` says."""

import pytest

from analysis.comparison.effects import Effect
from analysis.comparison.sensitivity import BothEnds, Sensitivity
from analysis.estimators.rates import Estimate
from analysis.figures.tornado import MOST, explain_tornado, render_tornado, tornado
from fleet.stored.headline import EFFECTS_SHOWN


def effects(value):
    """Effects of two arms; the second arm's are the opposite."""

    def one(x):
        return Effect(Estimate(x, x - 5.0, x + 5.0), Estimate(None, None, None), None)

    return {"early": dict.fromkeys(EFFECTS_SHOWN, one(value)), "late": dict.fromkeys(EFFECTS_SHOWN, one(-value))}


def found(assumptions=3):
    ends = [
        BothEnds(f"section.key{n}", "h", (1.0, 100.0), effects(10.0 - n), effects(10.0 + n)) for n in range(assumptions)
    ]
    return Sensitivity(500, effects(10.0), tuple(ends), {})


def test_bars_reach_from_the_run_to_both_ends():
    ax, table = tornado(found())
    panels = ax.child_axes
    assert [panel.get_title() for panel in panels] == ["early: 10", "late: -10"]
    for panel, sign in zip(panels, (1.0, -1.0), strict=True):
        reached = sorted(bar.get_x() + bar.get_width() for bar in panel.patches)
        assert reached == pytest.approx(sorted(sign * x for x in (8.0, 9.0, 11.0, 12.0)))
        assert {bar.get_x() for bar in panel.patches} == {sign * 10.0}
        assert [tick.get_text() for tick in panel.get_yticklabels()] == ["section.key2 1–100", "section.key1 1–100"]
    assert set(table["metric"].to_pylist()) == {"losses"}


def test_the_widest_swing_is_on_top_and_named():
    _, table = tornado(found())
    caption = explain_tornado(table, 500)
    assert caption.title == "The difference in losses hangs most on section.key2"
    assert "500 nodes" in caption.sentence
    assert "early 10 [5, 15], by section.key2 from 8 to 12" in caption.description


def test_where_nothing_moves_the_figure_says_so():
    still = Sensitivity(500, effects(1.0), (BothEnds("a.b", "1", (0.0, 1.0), effects(1.0), effects(1.0)),), {})
    _, table = tornado(still)
    assert explain_tornado(table, 500).title == "Nothing moves losses"
    assert b"<svg" in render_tornado(still, "losses")


def test_many_assumptions_are_drawn_as_far_as_they_fit():
    ax, _ = tornado(found(40))
    assert {len(panel.patches) for panel in ax.child_axes} == {2 * MOST}
    assert render_tornado(found(40), "kills", "png").startswith(b"\x89PNG")
