"""Figures as people get them: nothing is clipped or overlaps, on any width; the same bytes; readable on any page."""

import doctest
import io
import itertools
import re
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

import analysis.figures as room
from analysis import open_run
from analysis.figures import FIGURES, FORMATS, arms, render, timeline
from analysis.figures.figure import Caption
from analysis.figures.files import is_figure, is_table, table_as_csv
from analysis.figures.render import SIDE_MIN, Sheet, print_sheet
from analysis.figures.style import COLOURS, DARK_INK, DARK_PAPER, HATCHES, INK, MARKERS, PAPER
from analysis.figures.tables import arms_in
from fleet.commands.figures import NAMES
from fleet.replay import replay_node
from fleet.scenario.decode import decode
from node_sim.errors import ConfigError
from tests.figure_runs import KINDS, document_of, make_run
from tests.fleets import run_fleet

SVG = "{http://www.w3.org/2000/svg}"
NO_CAPTION = Caption("A title", "A sentence.", "A description.")


@pytest.fixture(scope="module")
def baseline(shared_folder):
    return make_run("baseline", shared_folder)


def boxes(svg):
    """Corners of all texts of an SVG, as wide as they are in its font, with their texts."""
    root = ET.fromstring(svg)
    found = []
    for text in root.iter(f"{SVG}text"):
        words = "".join(text.itertext())
        if not words.strip():
            continue
        moved = re.findall(r"translate\(([-\d.]+) ([-\d.]+)\)", text.get("transform", ""))
        x, y = (float(part) for part in (moved[0] if moved else (text.get("x"), text.get("y"))))
        size = float(text.get("font-size").removesuffix("px"))
        font = FontProperties(size=size, weight=text.get("font-weight", "normal"))
        width, height, down = text_to_path.get_text_width_height_descent(words, font, ismath=False)
        left = {"middle": -width / 2, "end": -width}.get(text.get("text-anchor"), 0.0)
        box = (x + left, y - height + down, x + left + width, y + down)
        if "rotate(-90" in text.get("transform", ""):
            box = (x - height + down, y - left - width, x + down, y - left)
        found.append((box, words))
    return found, [float(part) for part in root.get("viewBox").split()[2:]]


def check_layout(svg):
    found, (width, height) = boxes(svg)
    assert found
    for (left, top, right, bottom), words in found:
        assert left >= -1, f"{words!r} begins at {left}"
        assert right <= width + 1, f"{words!r} ends at {right} of {width}"
        assert top >= -1, f"{words!r} begins {top} from the top"
        assert bottom <= height + 1, f"{words!r} ends {bottom} from the top of {height}"
    for (one, a), (two, b) in itertools.combinations(found, 2):
        across = min(one[2], two[2]) - max(one[0], two[0])
        down = min(one[3], two[3]) - max(one[1], two[1])
        assert across < 1.5 or down < 1.5, f"{a!r} lies over {b!r}"


CASES = [
    ("baseline", None, 390),
    ("baseline", ["results_by_page_type", "fleet_over_time"], 900),
    ("one_key", ["response_to_sweep"], 390),
    ("two_keys", ["heat_map_of_sweep", "kills_by_cause"], 390),
    ("two_keys", ["heat_map_of_sweep", "memory_against_kills"], 900),
    ("policies", ["memory_against_kills", "time_from_ce_to_ue"], 390),
    *(pytest.param(kind, None, width, marks=pytest.mark.long) for kind in KINDS for width in (320, 390, 640, 1280)),
]


@pytest.mark.parametrize(("kind", "names", "width"), CASES)
def test_a_figure_can_be_read(shared_folder, kind, names, width):
    """Nothing is clipped or lies over something else; the SVG is plain, named and described."""
    run = make_run(kind, shared_folder)
    for name in names or FIGURES:
        figure = FIGURES[name]
        if figure.applies(run):
            height = figure.height(figure.tabulate(run, None)) + (60 if width < 500 else 20)
            drawn = render(figure, run, size=(width, height))
            check_layout(drawn.content)
            check_svg(name, drawn)


def check_svg(name, drawn):
    text, root = drawn.content.decode(), ET.fromstring(drawn.content)
    assert " style=" not in text
    assert not re.search(r"<script|https?://(?!www\.w3\.org)|\$\\\\", text)
    assert root.find(f"{SVG}title").text == drawn.caption.title
    assert root.find(f"{SVG}desc").text == drawn.caption.description
    assert INK not in re.sub(r'<style>.*?</style>|color="[^"]*" stroke-linejoin', "", text)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert all(one.startswith(f"{name}-") for one in ids)
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) <= set(ids)
    assert all(drawn.caption)
    assert len(text) < 120_000


def test_the_command_knows_all_figures():
    assert tuple(FIGURES) == NAMES
    assert all(getattr(room, name) is figure.draw for name, figure in FIGURES.items())


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_run_gives_the_same_bytes(baseline, kind, monkeypatch):
    figure = FIGURES["time_from_ce_to_ue"]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    first = render(figure, baseline, kind)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    second = render(figure, baseline, kind)
    assert first.content == second.content
    assert is_figure(first.content)
    assert first.table.equals(second.table)


@pytest.mark.parametrize("name", ["difference_to_baseline", "fleet_over_time", "what_followed_ues"])
def test_an_svg_is_drawn_once_and_is_what_savefig_would_print(baseline, name, monkeypatch):
    drawn, draw = [], Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda figure, renderer: drawn.append(figure) or draw(figure, renderer))
    found = render(FIGURES[name], baseline).content
    assert len(drawn) == 1

    def save(canvas, kind, sheet):
        content = io.BytesIO()
        canvas.savefig(content, format=kind, dpi=sheet.dpi, metadata={"Date": None})
        return content.getvalue()

    monkeypatch.setattr(sys.modules["analysis.figures.render"], "_print", save)
    assert render(FIGURES[name], baseline).content == found
    assert len(drawn) == 3


def test_a_figure_can_be_drawn_without_its_title(baseline):
    figure = FIGURES["losses_by_arm"]
    with_, without = (boxes(render(figure, baseline, titled=titled).content)[0] for titled in (True, False))
    assert len(with_) > len(without)


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, two):
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


def test_text_and_marks_stand_out_on_light_and_dark_pages():
    assert contrast(INK, PAPER) > 4.5
    assert contrast(DARK_INK, DARK_PAPER) > 4.5
    for colour in COLOURS:
        assert contrast(colour, PAPER) >= 3.0
        assert contrast(colour, DARK_PAPER) >= 3.0
    assert len(set(HATCHES)) == len(COLOURS) <= len(set(MARKERS))


# Machado, Oliveira and Fernandes 2009, table of matrices at severity 1.0, on linear RGB.
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    "none": np.eye(3),
}


def lab(colour, kind):
    parts = np.asarray([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(BLINDNESS[kind]) @ linear, 0, 1)
    xyz = np.asarray([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    f = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.asarray([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", BLINDNESS)
def test_the_colours_of_lines_can_be_told_apart_by_colour_blind_people(kind):
    """Of the four that lines have; areas are hatched, too. A difference (CIE 1976) of 10 is seen at a glance."""
    for one, two in itertools.combinations(COLOURS[:4], 2):
        assert np.linalg.norm(lab(one, kind) - lab(two, kind)) > 10


def with_many_arms(table, n):
    """The rows of the first arm n times, as of arms of a sweep."""
    mine = table.filter(pa.compute.equal(table["arm"], arms_in(table)[0]))
    names = [f"ce_threshold={k}+profile=6.1+memory_failure_early_kill={k % 2}" for k in range(n)]
    at = mine.column_names.index("arm")
    return pa.concat_tables([mine.set_column(at, mine.schema.field(at), [[name] * mine.num_rows]) for name in names])


@pytest.mark.parametrize(
    ("n", "width"),
    [(32, 390), pytest.param(24, 390, marks=pytest.mark.long), pytest.param(256, 900, marks=pytest.mark.long)],
)
def test_any_number_of_arms_gives_a_figure_that_can_be_read(baseline, n, width):
    for name, figure in FIGURES.items():
        if figure.applies(baseline):
            table = with_many_arms(figure.tabulate(baseline, None), n)
            height = figure.height(table) + 60
            assert height < 900
            svg = print_sheet(name, table, figure.paint, NO_CAPTION, "svg", Sheet((width, height)))
            check_layout(svg)
            shown = [words for _, words in boxes(svg)[0]]
            assert name == "results_by_page_type" or any(
                re.search(r"\d+ (arms left out|of \d+ arms|other arms)", words) for words in shown
            )


@pytest.mark.parametrize("sides", [(2, 3), (16, 16), (3, 40)])
def test_a_heat_map_of_any_size_can_be_read(sides):
    from analysis.figures import heat_map
    from analysis.figures.tables import tidy

    rows = [
        (
            f"{a}+{b}",
            "kernel.profile",
            str(a),
            "page_offline.ce_threshold",
            str(b),
            "losses",
            float(a - b),
            -9.0,
            9.0,
            False,
        )
        for a in range(sides[0])
        for b in range(sides[1])
    ]
    named = ("arm", "first_key", "first_value", "second_key", "second_value", "metric")
    numbers = ("difference", "difference_low", "difference_high")
    table = tidy(rows, **dict.fromkeys(named, ""), **dict.fromkeys(numbers, "x"), told="?")
    sheet = Sheet((390, heat_map.FIGURE.height(table) + 20))
    check_layout(print_sheet("heat", table, heat_map.FIGURE.paint, NO_CAPTION, "svg", sheet))


def test_a_run_in_which_nothing_happens_has_figures(tmp_path):
    document = document_of("baseline")
    document["nodes"] = 12
    for group in document["group"].values():
        group["faults"]["fit_factor"] = 0.0
    run_fleet(decode("test", document), tmp_path / "quiet")
    quiet = open_run(tmp_path / "quiet")
    for figure in FIGURES.values():
        if "sweep" not in figure.name:
            drawn = render(figure, quiet)
            check_layout(drawn.content)
            assert all(drawn.caption)


def test_a_figure_of_one_arm_is_not_too_small_to_be_drawn(baseline):
    for figure in FIGURES.values():
        if figure.applies(baseline):
            assert figure.height(figure.tabulate(baseline, ["early_kill"])) >= SIDE_MIN


def test_many_arms_are_cut_to_those_that_differ_most():
    values = [5.0, *range(20)]
    assert arms.drawn(values, 4) == [0, 18, 19, 20]
    assert arms.drawn(values[:4], 4) == [0, 1, 2, 3]


def test_figures_say_what_is_missing(baseline, monkeypatch):
    import builtins

    real = builtins.__import__

    def without(name, *rest, **more):
        if name.startswith("matplotlib"):
            raise ImportError(name=name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"matplotlib is not installed; pip install 'hwpoison-fleet\[report\]'"):
        render(FIGURES["kills_by_cause"], baseline)
    assert FIGURES["kills_by_cause"].tabulate(baseline, None).num_rows == 20


@pytest.mark.parametrize("wrong", [{"size": (100, 500)}, {"size": (500, 5000)}, {"dpi": 5000}, {"format": "gif"}])
def test_what_cannot_be_drawn_is_refused(baseline, wrong):
    with pytest.raises(ConfigError):
        render(FIGURES["kills_by_cause"], baseline, **wrong)


def test_an_unknown_arm_is_refused(baseline):
    for figure in FIGURES.values():
        if figure.applies(baseline):
            with pytest.raises(ConfigError, match="no_recovry"):
                figure.tabulate(baseline, ["no_recovry"])


def test_arms_are_drawn_in_the_order_asked_for(baseline):
    asked = ["no_recovery", "default"]
    for name in ("kills_by_cause", "what_followed_ues", "concentration_of_ce", "fleet_over_time"):
        assert arms_in(FIGURES[name].tabulate(baseline, asked)) == asked


def test_a_table_is_csv_with_units(baseline):
    table = FIGURES["losses_by_arm"].tabulate(baseline, None)
    lines = table_as_csv(table).decode().split("\r\n")
    assert lines[0].startswith('arm,losses,killed,with_panics,node_years [node-year],"rate [per 1,000 node-years]"')
    assert len(lines) == table.num_rows + 2
    assert is_table(table)(table_as_csv(table))
    assert not is_table(table)(b"arm,losses\r\n")
    read = pa.csv.read_csv(io.BytesIO(table_as_csv(table)))
    assert read["losses"].to_pylist() == table["losses"].to_pylist()


EXAMPLES = [
    test
    for module in [*(figure.draw.__module__ for figure in FIGURES.values()), timeline.__name__]
    for test in doctest.DocTestFinder().find(__import__(module, fromlist=["x"]))
    if test.examples
]


def test_every_figure_has_an_example():
    assert {test.name.rsplit(".", 1)[1] for test in EXAMPLES} >= {*FIGURES, "timeline"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda test: test.name.rsplit(".", 1)[1])
def test_the_example_of_a_figure_works(example, shared_folder):
    name = example.name.rsplit(".", 1)[1]
    kind = {"response_to_sweep": "one_key", "heat_map_of_sweep": "two_keys"}.get(name, "baseline")
    run = make_run(kind, shared_folder)
    tables = {table: run.table(table).slice(0, 0) for table in ("faults", "errors")}
    example.globs = {**example.globs, "run": run, "tables": tables}
    assert doctest.DocTestRunner().run(example).failed == 0


@pytest.fixture(scope="module")
def lives(baseline):
    """The nodes of the run with most rows in the tables that matter, each as a replay gives it."""
    fleet = decode("test", document_of("baseline"))
    nodes = {0}
    for table in ("lifecycle", "signals"):
        column = baseline.table(table)["node_id"].to_pylist()
        nodes.add(max(set(column), key=column.count))
    return {node: replay_node(fleet, 1, node, "default") for node in sorted(nodes)}


def test_the_timeline_of_a_node_has_all_its_rows(lives):
    for tables in lives.values():
        table = timeline.timeline_table(tables)
        expected = sum(rows.num_rows for rows in tables.values())
        assert table.num_rows == expected - (tables["ecs_reports"].num_rows if "ecs_reports" in tables else 0)
        mine = table.filter(pa.compute.equal(table["lane"], "CEs per day"))
        ce = sum(count or 0 for count in tables["errors"]["ce_count"].to_pylist()) if "errors" in tables else 0
        assert sum(mine["amount"].to_pylist()) == ce
        if ce:
            edges, rate = timeline.rate_of_errors(mine, (0.0, 400.0))
            assert float((rate * np.diff(edges)).sum()) == pytest.approx(ce)


def test_the_timeline_of_a_node_can_be_read(lives):
    for (node, tables), width in zip(lives.items(), (390, 900, 390, 900, 390), strict=False):
        drawn = timeline.render_timeline(tables, node, "default", "svg", Sheet((width, 520)))
        check_layout(drawn)
        assert f"Node {node} in default" in drawn.decode()
