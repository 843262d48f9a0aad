"""Sections of the report: what they say is what the run holds, whatever its arms."""

import dataclasses

import pyarrow as pa
import pytest

from analysis import open_run
from analysis.comparison.effects import compare_run
from analysis.estimators.rates import rate
from analysis.figures import Caption, Figure, Rendered
from analysis.report.gates import gates_section
from analysis.report.page import Wish, page_of
from analysis.report.pictures import numbers
from analysis.report.plain import Bullets, Cell, Commands, Folded, Grid, Head, Paragraph, Picture, Provenance, Titled
from analysis.report.rates import sums_of
from analysis.report.sources import sources_section
from analysis.report.words import WORDS, cell, mean_bytes, number
from analysis.text.document import summary_document
from fleet.commands.report import provenance
from fleet.scenario.decode import decode
from fleet.scenario.describe import scenario_document
from fleet.stored.headline import EFFECTS_SHOWN, RATES_SHOWN
from node_sim.errors import ConfigError
from tests.fleets import busy_document, busy_fleet, run_fleet

ORDER = ["answer", "setup", "headline", "effects", "events", "figures", "assumptions", "sources", "limits", "gates"]
GATES = [
    {
        "expression": "kills < 3",
        "arm": "default",
        "group": "sddc",
        "value": 2.5,
        "limit": 3,
        "unit": "per 1,000 node-years",
        "passed": True,
    }
]
TABLE = pa.table({"arm": ["a", "b"], "kills": [1, None], "rate": [0.5, 2e-5]})


def fake_figure(applies=True):
    """A figure with the types of a real one."""
    return Figure("fake", None, lambda _run, _arms: TABLE, None, lambda _run: applies, None, lambda _table: 100.0)


def draw(_figure, _run):
    svg = b'<?xml version="1.0"?>\n<!-- c -->\n<svg id="x"></svg>\n'
    return Rendered(svg, Caption("a title", "a sentence", "described"), TABLE)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("sections") / "run"
    run_fleet(busy_fleet(nodes=60), root)
    return open_run(root)


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    document = busy_document(nodes=20)
    document["arm"] = {f"t_{n}": {"set": {"page_offline.ce_threshold": n}} for n in (0, 2, 3, 5, 9, 50)}
    root = tmp_path_factory.mktemp("six") / "run"
    run_fleet(decode("test", document), root)
    return open_run(root)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    document = busy_document(nodes=20, fit_factor=1e-6)
    document["arm"] = {"alone": {}}
    root = tmp_path_factory.mktemp("one") / "run"
    run_fleet(decode("test", document), root)
    return open_run(root)


def page(run, **asked):
    return page_of(run, provenance(run), Wish(**asked), {"fake": fake_figure()}, draw)


def walk(blocks):
    for block in blocks:
        yield block
        if isinstance(block, Titled | Folded):
            yield from walk(block.blocks)
        if isinstance(block, Picture):
            yield block.numbers


def section(page, key):
    return next(one for one in page.sections if one.key == key)


def texts(page, key):
    """All texts of a section, in order."""
    found = []
    for block in walk(section(page, key).blocks):
        if isinstance(block, Paragraph | Commands):
            found.append(block.text)
        elif isinstance(block, Bullets):
            found += block.items
        elif isinstance(block, Grid):
            found += [head.text for head in block.heads]
            found += [part for row in block.rows for one in row for part in (one.text, one.small)]
    return found


def test_sections_stand_in_the_order_in_which_a_reader_asks(run, six, one):
    for each in (run, six, one):
        assert [part.key for part in page(each).sections] == ORDER[:-1]
        assert [part.key for part in page(each, gates=GATES).sections] == ORDER


def test_no_section_is_empty_and_rows_fit_their_heads(run, six, one):
    for each in (run, six, one):
        for part in page(each).sections:
            assert part.blocks
            for block in walk(part.blocks):
                if isinstance(block, Grid):
                    assert block.rows
                    assert {len(row) for row in block.rows} == {len(block.heads)}


def test_the_answer_has_the_rate_of_the_first_arm_with_its_interval(run):
    lead = next(block for block in section(page(run), "answer").blocks if block.lead)
    losses = rate(sums_of(run, run.arms[0]), "losses")
    assert f"{number(losses.value)} [{number(losses.low)} to {number(losses.high)}] processes" in lead.text
    apart = compare_run(run)["no_recovery"]["losses"].difference
    assert f"no_recovery ({number(apart.value, signed=True)} [" in lead.text


def test_every_number_of_the_summary_is_in_the_headline_table(run):
    document = summary_document(run)["arms"]
    found = texts(page(run), "headline")
    for arm in run.arms:
        for key in RATES_SHOWN:
            assert number(document[arm]["rates_per_1000_node_years"][f"{key}_rate"]["value"]) in found
    assert set(run.arms) <= set(found)


@pytest.mark.parametrize("baseline", [None, "no_recovery"])
def test_differences_are_those_to_the_baseline(run, baseline):
    chosen = baseline or run.arms[0]
    effects = compare_run(run, chosen)
    grids = [
        block for block in walk(section(page(run, baseline=baseline), "effects").blocks) if isinstance(block, Grid)
    ]
    for arm, found in effects.items():
        grid = next(one for one in grids if one.caption == f"Differences of {arm} to {chosen}")
        assert [row[1] for row in grid.rows] == [cell(found[key].difference, signed=True) for key in EFFECTS_SHOWN]


def test_of_many_arms_a_row_each_and_all_in_full_below(six):
    grids = [block for block in walk(section(page(six), "effects").blocks) if isinstance(block, Grid)]
    matrix = next(one for one in grids if one.caption == "Differences of all policies")
    assert sorted(row[0].text for row in matrix.rows) == sorted(six.arms[1:])
    assert sum(one.caption.startswith("Differences of t_") for one in grids) == 5
    rates = [block for block in walk(section(page(six), "headline").blocks) if isinstance(block, Grid)]
    assert [row[0].text for row in rates[0].rows] == list(six.arms)


def test_arms_are_differences_from_the_first_also_if_another_is_the_baseline(run):
    found = " ".join(texts(page(run, baseline="no_recovery"), "setup"))
    assert "The first policy is default" in found
    assert "compared with no_recovery" in found
    assert "kernel.memory_failure_recovery" in found


def test_servers_to_look_at_are_as_many_as_asked_and_have_commands(run):
    commands = [block for block in walk(section(page(run, top=3), "events").blocks) if isinstance(block, Commands)]
    lines = commands[0].text.splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"hwpoison-fleet replay {run.path} --node ") for line in lines)


def test_every_assumption_has_its_range(run):
    found = texts(page(run), "assumptions")
    for item in run.plan["headline_assumptions"]:
        assert item["setting"] in found
        if "values" in item:
            assert any(text.startswith(f"{item['low']:g} to {item['high']:g}") for text in found)


def test_every_published_number_of_the_scenario_has_its_source(run):
    entries = scenario_document(busy_fleet(nodes=60))["groups"].values()
    wanted = {one["origin"] for group in entries for one in group if one["origin"].startswith("published")}
    found = texts(page(run), "sources")
    assert wanted
    for origin in wanted:
        assert any(text and text in origin for text in found), origin
    counts = [
        int(row[2].text)
        for block in walk(section(page(run), "sources").blocks)
        if isinstance(block, Grid)
        for row in block.rows
    ]
    keys = {(one["key"], one["origin"]) for group in entries for one in group if one["origin"].startswith("published")}
    assert sum(counts) == len(keys)


def test_a_run_whose_scenario_is_not_known_says_so(run):
    found = page_of(run, Provenance("DIR"), Wish(), {}, draw)
    assert "cannot be simulated again" in " ".join(texts(found, "setup"))
    assert sources_section(Provenance("DIR")).blocks


def test_a_run_in_which_nothing_happened_says_so(one):
    found = page_of(one, provenance(one), Wish(), {"fake": fake_figure(applies=False)}, draw)
    assert "No process was lost" in " ".join(texts(found, "events"))
    assert "nothing to draw" in " ".join(texts(found, "figures"))
    assert "one policy only" in " ".join(texts(found, "effects"))
    assert "Only 0 servers lost a process" in " ".join(texts(found, "limits"))


def test_notices_of_the_scenario_are_limits(run):
    noticed = dataclasses.replace(run, plan={**run.plan, "notices": ["x = 1 (group a; arm b): nothing"]})
    assert "x = 1 (group a; arm b): nothing" in texts(page(noticed), "limits")


def test_gates_show_value_limit_and_verdict():
    rows = gates_section([*GATES, {**GATES[0], "expression": "panics == 0", "value": None, "passed": False}]).blocks
    assert rows[0].text == "1 of 2 passed."
    assert [tuple(one.text for one in row) for row in rows[1].rows] == [
        ("kills < 3", "default", "2.5", "3", "passed"),
        ("panics == 0", "default", "undefined", "3", "FAILED"),
    ]
    assert gates_section([]) is None


def test_figures_bring_their_numbers_and_nothing_before_the_drawing(run):
    picture = section(page(run), "figures").blocks[0]
    assert picture.svg == '<svg id="x"></svg>'
    assert picture.numbers.rows == ((Cell("a"), Cell("1"), Cell("0.5")), (Cell("b"), Cell("–"), Cell("2.0e-05")))


def test_of_long_tables_the_rest_is_said_to_be_elsewhere():
    found = numbers("c", pa.table({"n": range(1000)}), "the command")
    assert len(found.rows) == 401
    assert "600 more rows: the command" in found.rows[-1][0].text


def test_a_baseline_that_is_none_is_refused(run):
    with pytest.raises(ConfigError, match="did you mean no_recovery"):
        page(run, baseline="no_recover")


def test_everything_that_is_shown_has_a_word():
    assert {*RATES_SHOWN, *EFFECTS_SHOWN} <= set(WORDS)


def test_a_transposed_grid_is_the_same_the_other_way_round():
    grid = Grid("c", (Head("x", holds="text"), Head("a"), Head("b", "s")), ((Cell("r"), Cell("1"), Cell("2")),))
    assert grid.transposed().rows == ((Cell("a"), Cell("1")), (Cell("b", "s"), Cell("2")))
    assert grid.transposed().transposed() == grid


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (14.6, "14.6"), (-0.417, "−0.417"), (1234.6, "1,235"), (999.6, "1,000"), (2e-5, "2.0e-05")],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_memory_has_a_unit_that_can_be_read():
    assert [mean_bytes(size) for size in (0, 0.3, 1.07, 182_272.0, 2**50)] == [
        "0",
        "under 1 B",
        "1.07 B",
        "178 KiB",
        "1.02e+03 TiB",
    ]


def test_figures_and_rates_follow_the_baseline(run):
    seen = []
    spy = dataclasses.replace(fake_figure(), applies=lambda each: seen.append(each.arms[0]) is None)
    found = page_of(run, provenance(run), Wish(baseline="no_recovery"), {"fake": spy}, draw)
    assert seen == ["no_recovery"]
    lead = next(block for block in section(found, "answer").blocks if block.lead)
    assert "processes a year to bad memory with the policy no_recovery: 0 [" in lead.text
