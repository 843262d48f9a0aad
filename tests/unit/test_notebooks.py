"""What notebooks show of runs and comparisons is short, whatever the run, and nothing in it is taken for HTML."""

import dataclasses
import json

import pytest
from IPython.core.formatters import DisplayFormatter

from analysis import open_run
from analysis.comparison.effects import Effect, compare_run, to_json
from analysis.comparison.shown import EffectsByArm
from analysis.estimators.rates import UNDEFINED, Estimate
from tests.fleets import busy_fleet, run_fleet

TEXT_MAX, HTML_MAX = 2000, 20_000
HOSTILE = "<script>alert(1)</script>&" + "x" * 150


def shown(thing):
    return DisplayFormatter().format(thing)[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("notebooks") / "run"
    run_fleet(busy_fleet(60), root)
    return open_run(root)


@pytest.fixture(scope="module")
def large(run):
    """A run of 256 arms and groups whose names are as long as can be, and hostile, in such a place."""
    names = [f"{HOSTILE}{n}" for n in range(256)]
    groups = [{**run.plan["groups"][0], "name": name} for name in names]
    plan = {**run.plan, "arms": names, "groups": groups, "scenario": {"name": HOSTILE}}
    root = dataclasses.replace(run.root, path=run.path.joinpath(*["<b>" * 50] * 20))
    return dataclasses.replace(run, plan=plan, root=root)


def test_a_run_shows_what_it_is_and_how_to_cite_it(run):
    found = shown(run)
    errors = run.table("errors").num_rows
    for text in found.values():
        for word in ("baseline", "default", "early_kill", "page_offline_2_per_24h", str(run.path), "hwpoison-fleet 0."):
            assert word in text
        assert f"errors {errors:,}" in text
        assert run.plan["scenario_sha256"][:16] in text
        assert "sddc, altitude, secded" in text


def test_what_is_shown_is_short_for_small_runs_and_large(run, large):
    effects = next(iter(compare_run(run).values()))
    many = EffectsByArm({f"{HOSTILE}{n}": effects for n in range(255)}, HOSTILE)
    for thing in (run, large, compare_run(run), many, effects["kills"], effects["kills"].difference, UNDEFINED):
        found = shown(thing)
        assert 0 < len(found["text/plain"]) < TEXT_MAX
        assert 0 < len(found["text/html"]) < HTML_MAX
        assert "<script" not in found["text/html"]
        assert "<b>" not in found["text/html"]


def test_what_is_left_out_is_counted(large, run):
    effects = next(iter(compare_run(run).values()))
    assert "and 250 more" in repr(large)
    many = EffectsByArm({f"{n}": effects for n in range(255)}, "x")
    assert "and 249 more arms" in repr(many)
    assert "and 215 more arms" in many._repr_html_()


def test_a_comparison_is_still_a_mapping_of_effects(run):
    found = compare_run(run, "early_kill")
    assert isinstance(found, dict)
    assert list(found) == ["default", "no_recovery", "page_offline_2_per_24h"]
    assert isinstance(found["default"]["kills"], Effect)
    assert json.dumps(to_json(found))
    assert found.baseline == "early_kill"
    assert "differences to early_kill" in repr(found)
    assert str(found["default"]["kills"].difference) in found._repr_html_()


def test_an_estimate_is_printed_with_its_interval():
    assert str(Estimate(12.3456, 0.012345, 1234.5)) == "12.3 [0.0123, 1.23e+03]"
    assert str(Estimate(2.0, None, None)) == "2 [no interval]"
    assert str(UNDEFINED) == "undefined"
    assert "Estimate(value=2.0" in repr(Estimate(2.0, 1.0, 3.0))
