"""The dashboards: built by their script, whole, and of what the exporters have. No Grafana runs here to say so."""

import json
import re
import sys
from itertools import combinations

import promql_parser
import pytest
import yaml

from analysis.hosts.node_exporter import FAMILIES as HOST_FAMILIES
from fleet.stored.exported import GAUGES, IN_FLIGHT, INFO, PREFIX, RETRIES, ROWS
from fleet.stored.headline import FAMILIES
from tests.deployed import DEPLOY

GRAFANA = DEPLOY / "grafana"
sys.path.insert(0, str(GRAFANA))
import build  # noqa: E402 - it lies in a folder that is no package
import draw  # noqa: E402

NAMES = sorted(path.name for path in (GRAFANA / "dashboards").iterdir())
BOARDS = {name: json.loads((GRAFANA / "dashboards" / name).read_text(encoding="utf-8")) for name in NAMES}
BUILT_IN = {"__range", "__rate_interval"}
VALUES = {"run": ".*", "instance": ".*", "arm": ".*", "group": ".*"}
UNITS = {"short", "percentunit", "bytes", "s"}
EXPORTED = {
    "run.json": {
        PREFIX + name
        for name in (
            *GAUGES,
            *IN_FLIGHT,
            f"{INFO}_info",
            f"{RETRIES}_total",
            f"{ROWS}_total",
            *(f"{one}_total" for one in FAMILIES),
        )
    },
    "hosts.json": {name for name in HOST_FAMILIES if name.startswith("node_")},
}
PANELS = [
    pytest.param(name, panel, id=f"{name}-{panel['title']}-{panel['id']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]


def expressions(panel):
    return [target["expr"] for target in panel["targets"]]


def test_files_are_what_the_script_builds():
    assert sorted(build.DASHBOARDS) == NAMES
    for name in NAMES:
        assert (GRAFANA / "dashboards" / name).read_text(encoding="utf-8") == build.text_of(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_is_of_the_classic_model_with_a_short_fixed_name(name):
    board = BOARDS[name]
    assert board["schemaVersion"] == 39
    assert re.fullmatch(r"[a-z-]{1,40}", board["uid"])
    assert board["graphTooltip"] == 1
    assert board["title"]
    assert board["description"]
    assert len({one["uid"] for one in BOARDS.values()}) == len(BOARDS)
    assert "id" not in board


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_places_of_their_own_within_24_columns(name):
    panels = BOARDS[name]["panels"]
    assert sorted(one["id"] for one in panels) == list(range(1, len(panels) + 1))
    cells = []
    for one in panels:
        place = one["gridPos"]
        assert set(place) == {"x", "y", "w", "h"}
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        assert place["h"] > 0
        cells.append(
            {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
        )
    assert all(not a & b for a, b in combinations(cells, 2))
    assert panels[0]["type"] == "row"


def test_rows_of_a_run_go_from_the_overview_to_the_simulator():
    titles = [one["title"] for one in BOARDS["run.json"]["panels"] if one["type"] == "row"]
    assert titles == ["Overview", "Outcomes", "Kills", "Capacity", "Policies compared", "Simulator"]


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_a_panel_says_what_it_shows_in_which_unit(name, panel):
    assert panel["title"]
    assert panel["description"].endswith((".", "compare."))
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    references = [target["refId"] for target in panel["targets"]]
    assert references
    assert len(set(references)) == len(references)
    assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
    assert all(target["range"] != target["instant"] for target in panel["targets"])
    if panel["type"] == "timeseries":
        assert panel["options"]["legend"]["showLegend"]
        assert panel["options"]["tooltip"]["mode"] == "multi"
        assert all(target["legendFormat"] for target in panel["targets"])
    assert name


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_is_defined_and_used(name):
    board = BOARDS[name]
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert next(iter(variables)) == "datasource"
    wanted = {"run.json": {"datasource", "run", "arm", "group", "instance"}, "hosts.json": {"datasource", "instance"}}
    assert set(variables) == wanted[name]
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(board["panels"])))
    asked = [one["query"]["query"] for one in variables.values() if one["type"] == "query"]
    used |= set(re.findall(r"\$\{?(\w+)\}?", " ".join(asked)))
    assert used - BUILT_IN == set(variables)
    assert all(one["description"] for one in variables.values())
    for n, one in enumerate(board["templating"]["list"]):  # a variable may ask for those before it only
        needs = set(re.findall(r"\$(\w+)", one["query"]["query"])) if one["type"] == "query" else set()
        assert needs <= set(list(variables)[:n])


@pytest.mark.parametrize("name", NAMES)
def test_a_variable_is_a_pattern_if_it_may_have_several_values(name):
    """Grafana escapes the values of those only: a run in the folder ``a+b`` is not what the pattern ``a+b`` finds."""
    many = {one["name"]: one.get("multi", False) for one in BOARDS[name]["templating"]["list"]}
    for operator, variable in re.findall(r'(=~?)\\"\$(\w+)', json.dumps(BOARDS[name])):
        assert operator == ("=~" if many[variable] else "="), variable


@pytest.mark.parametrize("name", NAMES)
def test_variables_are_labels_of_series_that_are_exported(name):
    for one in BOARDS[name]["templating"]["list"]:
        if one["type"] == "query":
            series, label = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", one["query"]["query"]).groups()
            assert series in EXPORTED[name]
            assert label == one["name"]
            assert one["definition"] == one["query"]["query"]


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_expressions_parse_and_are_of_exported_series_only(name, panel):
    for expression in expressions(panel):
        text = draw.filled(expression, VALUES | draw.built_in(86_400 * 365, 86_400, 86_400))
        assert "$" not in text
        promql_parser.parse(text)
        names = set(re.findall(r"\b(?:hwpoison|node)_\w+", re.sub(r'"[^"]*"|\([a-z_, ]+\) ', "", text)))
        assert names
        assert names <= EXPORTED[name]


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_windows_are_those_that_grafana_chooses(name, panel):
    for expression in expressions(panel):
        windows = set(re.findall(r"\[(.*?)\]", expression))
        assert windows <= {"$__rate_interval", "$__range"}
        assert ("rate(" not in expression) or windows == {"$__rate_interval"}
        assert panel["type"] != "timeseries" or "$__range" not in windows, name


def test_counters_are_never_added_up_over_arms():
    """Arms are the same servers under other policies."""
    for panel in BOARDS["run.json"]["panels"]:
        for target in panel.get("targets", ()):
            assert all("arm" in by.split(", ") for by in re.findall(r"sum by \(([a-z, ]+)\)", target["expr"]))
            assert "sum(" not in target["expr"]


def test_tables_name_each_of_their_queries():
    for name in NAMES:
        for panel in BOARDS[name]["panels"]:
            if panel["type"] == "table":
                renamed = panel["transformations"][1]["options"]["renameByName"]
                assert len(renamed) == len(set(renamed.values())) == len(panel["targets"])


def test_grafana_finds_two_data_sources_and_the_dashboards():
    folder = GRAFANA / "provisioning"
    (sources,) = [yaml.safe_load(path.read_text()) for path in (folder / "datasources").glob("*.yaml")]
    (boards,) = [yaml.safe_load(path.read_text()) for path in (folder / "dashboards").glob("*.yaml")]
    assert sources["apiVersion"] == boards["apiVersion"] == 1
    assert [one["type"] for one in sources["datasources"]] == ["prometheus"] * 2
    assert (
        len({one["uid"] for one in sources["datasources"]}) == len({one["url"] for one in sources["datasources"]}) == 2
    )
    assert sources["datasources"][1]["jsonData"]["timeInterval"] == "1d"
    (provider,) = boards["providers"]
    assert provider["type"] == "file"


@pytest.mark.parametrize("name", ["run", "hosts"])
def test_what_was_drawn_is_small_and_says_by_what(name):
    text = (GRAFANA / f"{name}.svg").read_text(encoding="utf-8")
    assert len(text.encode()) < 300_000
    assert "drawn by deploy/grafana/draw.py from a real Prometheus, not by Grafana" in text
    for panel in BOARDS[f"{name}.json"]["panels"]:
        assert f">{panel['title']}</text>" in text


def test_shortening_a_picture_changes_no_number_that_is_read():
    svg = '<text x="1.23456" style="font-family: A, sans-serif">0.000317</text>\n   <path d="M 1.99999 2"/>'
    assert draw._shortened(svg) == (
        '<text x="1.2" style="font-family: DejaVu Sans, sans-serif">0.000317</text>\n<path d="M 1.9 2"/>'
    )
