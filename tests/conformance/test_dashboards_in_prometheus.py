"""Every query of every panel finds something in a real Prometheus that has the past of a run in it."""

from __future__ import annotations

import json
import re
import sys

import pytest

from analysis import open_run
from analysis.text.document import summary_document
from fleet.scenario.decode import decode
from tests.back_filled import back_filled, export, fill
from tests.deployed import DEPLOY
from tests.fleets import busy_document, run_fleet
from tests.living import living_run

GRAFANA = DEPLOY / "grafana"
sys.path.insert(0, str(GRAFANA))
import draw  # noqa: E402 - it lies in a folder that is no package

BOARDS = ("run", "hosts")
SAMPLE_S = 86_400


def board(name):
    return json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boards")
    run_fleet(decode("test", busy_document(100)), folder / "run")
    fleet = export(folder / "run", folder / "x.om")
    hosts = export(folder / "run", folder / "n.om", "--series", "nodes", "--nodes", "0-39")
    living_run(folder / "mixed", 48)
    silent = export(folder / "mixed", folder / "s.om", "--series", "nodes", "--nodes", "40-47")
    data = fill(fleet)
    fill(hosts, data)
    fill(silent, data)
    with back_filled([hosts, silent, fleet], data) as found:
        found.end_s = int(re.findall(r" (\d+)\n# EOF", (folder / "x.om").read_text())[-1])
        found.run = open_run(folder / "run")
        found.span_s = found.run.horizon_ns // 10**9
        yield found


def source(server, **values):
    chosen = {"run": "run", "instance": ".*", "arm": ".*", "group": ".*"} | values
    return draw.Source(server.url, server.end_s, server.span_s, chosen, SAMPLE_S)


@pytest.mark.parametrize("name", BOARDS)
def test_every_query_of_every_panel_finds_something(name, server):
    empty = []
    for panel in board(name)["panels"]:
        if panel["type"] != "row":
            found = source(server).series(panel)
            empty += [(panel["title"], reference) for reference, _, series in found if not series]
            assert all(points for _, _, series in found for _, points in series)
    assert empty == []


def test_variables_have_values(server):
    for name in BOARDS:
        for one in board(name)["templating"]["list"]:
            if one["type"] == "query":
                inside = re.fullmatch(r"label_values\((.*), (\w+)\)", one["query"]["query"])
                match = re.sub(r"\$\w+", ".*", inside[1].replace("$run", "run"))
                values = server.api(f"label/{inside[2]}/values", **{"match[]": match})
                assert values, one["name"]


def test_panels_are_of_the_chosen_run_arms_and_groups(server):
    panel = next(one for one in board("run")["panels"] if one["title"] == "Node-years")
    ((_, _, everything),) = source(server).series(panel)
    ((_, _, one_arm),) = source(server, arm="early_kill").series(panel)
    ((_, _, one_group),) = source(server, group="secded").series(panel)
    assert len(everything) == 4
    assert [labels for labels, _ in one_arm] == [{"arm": "early_kill"}]
    assert one_group[0][1][0][1] < everything[0][1][0][1] / 2
    ((_, _, of_another_run),) = source(server, run="another").series(panel)
    assert of_another_run == []


def test_the_overview_says_what_the_summary_says(server):
    for title, key in (("Losses", "losses"), ("Kills", "kills"), ("Panics", "panics"), ("Uncorrected errors", "ue")):
        panel = next(one for one in board("run")["panels"] if one["title"] == title)
        ((_, _, series),) = source(server).series(panel)
        rates = {labels["arm"]: points[0][1] for labels, points in series}
        for arm, document in summary_document(server.run)["arms"].items():
            assert rates[arm] == pytest.approx(document["rates_per_1000_node_years"][f"{key}_rate"]["value"])


def test_hosts_whose_firmware_comes_first_tell_of_no_errors(server):
    panel = next(one for one in board("hosts")["panels"] if one["title"] == "Hosts that tell of errors")
    found = source(server).series(panel)
    counted = {reference: max(value for _, value in series[0][1]) for reference, _, series in found}
    assert counted == {"A": 40, "B": 8}


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_is_drawn(name, server, tmp_path):
    draw.draw(board(name), source(server), tmp_path / "x.svg")
    text = (tmp_path / "x.svg").read_text()
    assert text.count("<text") > 100
