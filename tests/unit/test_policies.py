"""What policies on corrected errors are worth: a run made by hand, and a recount of a simulated one by plain loops."""

import statistics
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from analysis import open_run
from analysis.comparison.policies import FIGURES, compare_policies, policies_json
from analysis.dataset.run import GroupInfo, Run
from analysis.estimators.rates import Estimate
from analysis.text.ce_policies import BASELINE_ROWS, POLICY_ROWS, policy_lines
from fleet.scenario.decode import decode
from fleet.stored.manifest import PartFile
from fleet.stored.schema import to_arrow
from fleet.stored.store import open_store
from node_sim.codes import LifecycleKind, LifecycleReason, OfflineResult
from node_sim.columns import TABLES
from tests.fleets import counting_document, run_fleet

HOUR_NS = 3_600_000_000_000
YEAR_HOURS = 8766
SLOT = 1 << 24
GENERATION = 1 << 16


def ue(node, hour, place=0, ce_before=5):
    return {"table": "errors", "node": node, "place": place, "hour": hour, "kind": 1, "n_ce_before": ce_before}


def ce(node, hour=1, place=0):
    return {"table": "errors", "node": node, "place": place, "hour": hour, "kind": 0, "n_ce_before": -1}


def offline(node, hour, result=OfflineResult.OFFLINED, n_pages=1):
    n_pages = n_pages if result is OfflineResult.OFFLINED else 0
    return {"table": "page_offlines", "node": node, "place": 0, "hour": hour, "result": int(result), "n_pages": n_pages}


def down(node, hours, kind, reason, place=0, dimm=-1):
    """An interval of the life of a node, from and to [h]."""
    row = {"table": "lifecycle", "node": node, "place": place, "hour": hours[0], "end_ns": hours[1] * HOUR_NS}
    return row | {"kind": int(kind), "reason": int(reason), "dimm": dimm}


CORDON, REPLACED, PANIC = LifecycleKind.CORDON, LifecycleKind.DIMM_REPLACEMENT, LifecycleKind.PANIC
CE_LIMIT, ECS_LIMIT = LifecycleReason.CE_LIMIT, LifecycleReason.ECS_LIMIT
HAD_UE, UE_LIMIT = LifecycleReason.DIMM_HAD_UE, LifecycleReason.UE_LIMIT

COMMON = [ce(4, place=SLOT), ce(5), ce(5, 2)]
BASE = [
    *(ce(node) for node in (0, 1, 2, 7)),
    *(ue(0, 10), ue(0, 20)),
    *(ue(1, 10), ue(1, 30)),
    ue(2, 2, place=3 * SLOT),
    down(2, (3, 4), REPLACED, HAD_UE, 3 * SLOT, dimm=3),
    ue(3, 7, ce_before=0),
    *(ce(6, 90), ue(6, 100)),
    ue(7, 50),
]
ARM = [
    *(ce(node) for node in (0, 1, 2, 7)),
    # Alarm six hours before the first UE; both are avoided. The pages come back when the node boots.
    *(offline(0, 4), offline(0, 5, n_pages=1000), down(0, (104, 105), PANIC, LifecycleReason.KERNEL_CONTEXT)),
    # The first UE comes before the alarm, the second one after it; the page stays.
    *(ue(1, 10), offline(1, 12, OfflineResult.UNHANDLABLE), ue(1, 30)),
    # A DIMM at the limit and its successor for nothing; one that is due because of a UE, in the same repair.
    down(2, (5, 6), CORDON, CE_LIMIT),
    down(2, (6, 8), REPLACED, CE_LIMIT, dimm=0),
    down(2, (6, 8), REPLACED, HAD_UE, dimm=3),
    ue(2, 2, place=3 * SLOT),
    ce(2, 20, place=GENERATION),
    down(2, (30, 31), CORDON, CE_LIMIT, place=GENERATION),
    down(2, (31, 33), REPLACED, CE_LIMIT, place=GENERATION, dimm=0),
    ue(3, 7, ce_before=0),
    *(ce(6, 90), down(6, (98, 99), CORDON, ECS_LIMIT), down(6, (99, 101), REPLACED, ECS_LIMIT, dimm=0)),
    *(ue(7, 50), offline(7, 50)),  # at the same time: too late
    down(7, (51, 52), CORDON, UE_LIMIT),  # no alarm, it is due to UEs; the node stays up, and its page offline
]
QUIET = [*COMMON, ce(0), ue(0, 10), ue(0, 20)]


def table_of(rows, name):
    """One event table of rows made by hand; what nobody reads is 0."""
    mine = [row for row in rows if row["table"] == name]
    columns = {column.name: np.zeros(len(mine), np.int64) for column in TABLES[name]}
    for at, row in enumerate(mine):
        known = {
            "node_id": row["node"],
            "fault_id": (row["node"] << 32) | row["place"],
            "time_ns": row["hour"] * HOUR_NS,
        }
        for column, value in (known | row).items():
            if column in columns:
                columns[column][at] = value
    return to_arrow(name, columns)


def run_by_hand(root, arms, common=()):
    """A run of ten nodes for a year in two shards, of given rows by arm."""
    receipts = []
    for shard, inside in enumerate((range(5), range(5, 10))):
        parts = []
        for arm, rows in {**arms, "_common": common}.items():
            mine = [row for row in rows if row["node"] in inside]
            for table in {row["table"] for row in mine}:
                path = f"{table}-{arm}-{shard}.parquet"
                made = table_of(mine, table)
                pq.write_table(made, root / path)
                parts.append(PartFile(path, table, arm, made.num_rows, 0, ""))
        receipts.append(SimpleNamespace(parts=tuple(parts)))
    plan = {
        "arms": list(arms),
        "groups": [vars(GroupInfo("g", 0, 10, 1 << 35, {"web": 10}))],
        "horizon_ns": YEAR_HOURS * HOUR_NS,
    }
    return Run(open_store(root), plan, {}, tuple(receipts), None)


def plain(figures):
    return {name: item.value if isinstance(item, Estimate) else item for name, item in figures.items()}


def test_the_run_made_by_hand_has_the_figures_of_its_story(tmp_path):
    found = compare_policies(run_by_hand(tmp_path, {"base": BASE, "arm": ARM}, COMMON))
    gib = 4096 / 2**30
    assert plain(found.arms["arm"]) == pytest.approx(
        {
            "ue": 5,
            "ue_avoided": 3,
            "ue_avoided_share": 3 / 8,
            "dimms_spared": 2,  # of nodes 0 and 6
            "dimms_spared_share": 2 / 6,
            "dimms_replaced": 4,
            "dimms_replaced_for_nothing": 2,
            "more_dimms_replaced_per_ue_avoided": (4 - 1) / 3,
            "more_dimms_replaced_for_nothing_per_ue_avoided": 2 / 3,
            "memory_offlined_gib_per_ue_avoided": (1 + 1000 + 1) * gib / 3,
            "memory_offlined_gib_years_per_ue_avoided": gib * (100 + 1000 * 99 + YEAR_HOURS - 50) / YEAR_HOURS / 3,
            "dimms_alarmed": 6,  # nodes 0, 1, 2 twice, 6, 7
            "dimms_with_ce_alarmed_share": 6 / 8,
            "precision": 3 / 6,  # nodes 0, 1, 6
            "recall": 2 / 6,  # nodes 0, 6
            "lead_median_hours": 4.0,
            "lead_above_15_min_share": 1.0,
            "lead_above_1_h_share": 1.0,
            "lead_above_1_day_share": 0.0,
        },
        rel=1e-12,
    )
    assert plain(found.baseline) == pytest.approx(
        {
            "dimms_with_ce": 7,
            "dimms_with_ce_that_have_ue_share": 4 / 7,
            "dimms_with_ue": 6,
            "ue": 8,
            "ue_without_ce_before_share": 1 / 8,
            "dimms_replaced": 1,
            "dimms_alarmed": 0,
        }
    )


def test_the_interval_of_the_run_made_by_hand_is_paired_and_clustered_by_node(tmp_path):
    rows = [row for row in ARM if row != ue(1, 30)]
    found = compare_policies(run_by_hand(tmp_path, {"base": BASE, "arm": rows}, COMMON))
    base, arm = np.asarray([2, 2, 1, 1, 1, 1]), np.asarray([0, 1, 1, 1, 0, 1])  # UEs of nodes 0, 1, 2, 3, 6, 7
    share = found.arms["arm"]["ue_avoided_share"]
    assert share.value == 0.5
    trials = 8**2 / (base**2).sum()
    low, _ = wilson(0.5, trials)
    most = 2 * (2 + 4 / 6)
    with_most = (8 + most) ** 2 / ((base**2).sum() + most**2)
    student = stats.t.ppf(0.975, trials - 1)
    _, high = wilson(0.5, min(trials, with_most) * 3.841458820694124 / student**2)
    assert (arm > base).sum() == 0
    added = wilson(0.0, 8 / 2)[1]  # of clusters of two, the most that a node has
    assert share.high == pytest.approx(high)
    assert share.low == pytest.approx(0.5 - np.hypot(added / (1 - added), 0.5 - low))


def wilson(share, trials):
    """Ends p that solve (p - share)² = 1.96² p (1 - p) / trials."""
    square = 3.841458820694124 / trials
    return sorted(np.roots([1 + square, -2 * share - square, share**2]))


def test_without_a_row_of_a_policy_on_corrected_errors_there_is_no_table(tmp_path):
    rows = [row for row in ARM if row["table"] == "errors"] + [down(7, (51, 52), CORDON, UE_LIMIT)]
    found = compare_policies(run_by_hand(tmp_path, {"base": BASE, "arm": rows}, COMMON))
    assert found is None
    assert policies_json(found) is None


def test_what_has_no_denominator_is_undefined(tmp_path):
    """No UE in the baseline, no alarm in one of the arms."""
    arms = {"base": [ce(0)], "idle": [ce(0)], "acts": [ce(0), offline(0, 4)]}
    found = compare_policies(run_by_hand(tmp_path, arms, COMMON))
    undefined = {"value": None, "ci95": None}
    figures = policies_json(found)["arms"]
    for name in ("ue_avoided_share", "dimms_spared_share", "recall", "lead_median_hours", "lead_above_1_h_share"):
        assert figures["idle"][name] == figures["acts"][name] == undefined
    assert figures["idle"]["precision"] == undefined
    assert figures["acts"]["precision"]["value"] == 0.0
    assert all(figures["acts"][name] == undefined for name in FIGURES if name.endswith("per_ue_avoided"))
    lines = policy_lines(found, "base")
    assert next(line for line in lines if line.startswith("  share avoided")).split()[2:] == ["undefined"] * 2
    assert "nan" not in "\n".join(lines)


def test_an_interval_is_never_a_point(tmp_path):
    arms = {"base": [*BASE, *COMMON], "same": [*BASE, *COMMON], "none": QUIET, "arm": [*ARM, *COMMON]}
    found = policies_json(compare_policies(run_by_hand(tmp_path, arms)))
    seen = 0
    for figures in (found["baseline"], *found["arms"].values()):
        for item in figures.values():
            if isinstance(item, dict) and item["ci95"] is not None:
                assert item["ci95"][0] < item["ci95"][1]
                assert item["ci95"][0] <= item["value"] <= item["ci95"][1]
                seen += 1
    assert seen > 15
    assert found["arms"]["same"]["ue_avoided_share"]["value"] == 0.0


def test_the_text_shows_every_figure_and_says_when_the_baseline_acts_itself(tmp_path):
    assert set(POLICY_ROWS) - {""} == set(FIGURES)
    run = run_by_hand(tmp_path, {"base": BASE, "arm": ARM}, COMMON)
    found = compare_policies(run)
    assert set(BASELINE_ROWS) == set(found.baseline)
    lines = policy_lines(found, "base")
    assert all(any(line.startswith(title) for line in lines) for title in POLICY_ROWS.values())
    assert not any("acts on CEs itself" in line for line in lines)
    assert any("acts on CEs itself" in line for line in policy_lines(compare_policies(run, "arm"), "arm"))


SIZES = [
    pytest.param((160, 15.0, 0.35), id="160 nodes"),
    pytest.param((500, 40.0, 0.15), id="500 nodes", marks=pytest.mark.long),
]
"""Nodes, factor of their faults, share of them that has DDR5."""


@pytest.fixture(scope="module", params=SIZES)
def simulated(request, tmp_path_factory):
    """A fleet whose arms offline pages, and replace DIMMs at limits of CE and of error check and scrub."""
    nodes, fit_factor, share = request.param
    document = counting_document(nodes, fit_factor)
    document["group"]["sddc"]["share"], document["group"]["ddr5"]["share"] = 0.75 - share, share
    document["group"]["ddr5"]["faults"]["fit_factor"] = max(fit_factor, 25.0)
    document["arm"] = {
        "default": {},
        "pages": {"set": {"page_offline.ce_threshold": 2}},
        "dimms": {"set": {"repair.replace_ce": 5}},
        "banks": {"set": {"page_offline.scope": "bank", "page_offline.ce_threshold": 200}, "groups": ["ddr5"]},
        "counted": {"set": {"repair.replace_ecs": True}, "groups": ["ddr5"]},
    }
    root = tmp_path_factory.mktemp("policies") / "run"
    run_fleet(decode("test", document), root, shard_nodes=90)
    return open_run(root)


def story(run, arm):
    """Everything about one arm by plain loops over rows: UEs, CEs, alarms, replacements, pages."""
    rows = {name: run.table(name, arm).to_pylist() for name in ("errors", "page_offlines", "lifecycle")}
    found = SimpleNamespace(ues={}, sudden=0, ces=set(), alarms={}, replaced=[], pages=[])

    def dimm(row):
        return row["fault_id"] // 65536

    for row in rows["errors"]:
        if row["kind"] == "UE":
            found.ues.setdefault(dimm(row), []).append(row["time_ns"])
            found.sudden += row["n_ce_before"] == 0
        if row["kind"] == "CE":
            found.ces.add(dimm(row))
    acts = rows["page_offlines"] + [
        row
        for row in rows["lifecycle"]
        if row["reason"]
        in (
            "corrected errors reached the replacement limit",
            "error check and scrub reached its threshold",
        )
    ]
    for row in acts:
        found.alarms[dimm(row)] = min(row["time_ns"], found.alarms.get(dimm(row), row["time_ns"]))
    swaps = {}
    for row in sorted(rows["lifecycle"], key=lambda row: row["end_ns"]):
        if row["kind"] == "dimm_replacement":
            place = (row["node_id"], row["dimm"])
            found.replaced.append((row["node_id"] << 16) + (row["dimm"] << 8) + swaps.get(place, 0))
            swaps[place] = swaps.get(place, 0) + 1
    for row in rows["page_offlines"]:
        if row["result"] == "offlined":
            boots = [
                other["time_ns"]
                for other in rows["lifecycle"]
                if other["node_id"] == row["node_id"]
                and other["kind"] != "cordon"
                and other["time_ns"] >= row["time_ns"]
            ]
            found.pages.append((row["n_pages"], min([*boots, run.horizon_ns]) - row["time_ns"]))
    return found


@pytest.mark.parametrize("baseline", ["default", "pages"])
def test_figures_are_those_of_a_recount_by_plain_loops(simulated, baseline):
    found = compare_policies(simulated, baseline)
    base = story(simulated, baseline)
    n_base = sum(map(len, base.ues.values()))
    assert found.baseline["ue"] == n_base
    assert found.baseline["ue_without_ce_before_share"].value == pytest.approx(base.sudden / n_base)
    assert set(found.arms) == set(simulated.arms) - {baseline}
    for arm, figures in found.arms.items():
        mine = story(simulated, arm)
        n = sum(map(len, mine.ues.values()))
        lead = {d: min(times) - mine.alarms[d] for d, times in base.ues.items() if d in mine.alarms}
        lead = [ns for ns in lead.values() if ns > 0]
        nothing = [sum(d not in base.ues and d not in one.ues for d in one.replaced) for one in (mine, base)]
        gib = [sum(n for n, _ in one.pages) * 4096 / 2**30 for one in (mine, base)]
        assert arm != "banks" or max(n for n, _ in mine.pages) > 10_000
        years = [sum(n * ns for n, ns in one.pages) * 4096 / 2**30 / (8766 * HOUR_NS) for one in (mine, base)]

        def per_ue(value, other, avoided=n_base - n):
            return (value - other) / avoided if avoided > 0 else None

        expected = {
            "ue": n,
            "ue_avoided": n_base - n,
            "ue_avoided_share": 1 - n / n_base,
            "dimms_spared": sum(d not in mine.ues for d in base.ues),
            "dimms_spared_share": sum(d not in mine.ues for d in base.ues) / len(base.ues),
            "dimms_replaced": len(mine.replaced),
            "dimms_replaced_for_nothing": nothing[0],
            "more_dimms_replaced_per_ue_avoided": per_ue(len(mine.replaced), len(base.replaced)),
            "more_dimms_replaced_for_nothing_per_ue_avoided": per_ue(*nothing),
            "memory_offlined_gib_per_ue_avoided": per_ue(*gib),
            "memory_offlined_gib_years_per_ue_avoided": per_ue(*years),
            "dimms_alarmed": len(mine.alarms),
            "dimms_with_ce_alarmed_share": sum(d in mine.alarms for d in mine.ces) / len(mine.ces),
            "precision": sum(max(base.ues.get(d, [0])) > ns for d, ns in mine.alarms.items()) / len(mine.alarms)
            if mine.alarms
            else None,
            "recall": len(lead) / len(base.ues),
            "lead_median_hours": statistics.median(lead) / HOUR_NS if lead else None,
            "lead_above_15_min_share": sum(ns > HOUR_NS / 4 for ns in lead) / len(lead) if lead else None,
            "lead_above_1_h_share": sum(ns > HOUR_NS for ns in lead) / len(lead) if lead else None,
            "lead_above_1_day_share": sum(ns > 24 * HOUR_NS for ns in lead) / len(lead) if lead else None,
        }
        got = plain(figures)
        assert {name for name, value in got.items() if value is None} == {
            name for name, value in expected.items() if value is None
        }
        for name, value in expected.items():
            assert got[name] == (value if value is None else pytest.approx(value, rel=1e-9)), (arm, name)


def test_the_simulated_fleet_has_what_the_recount_is_about(simulated):
    found = compare_policies(simulated)
    for arm in ("pages", "dimms"):
        figures = found.arms[arm]
        assert figures["dimms_alarmed"] > 20
        assert figures["ue_avoided"] > 5
        assert figures["lead_median_hours"].value > 0
        assert 0 < figures["precision"].value < 1
    assert found.arms["dimms"]["dimms_replaced_for_nothing"] > 10
    assert found.arms["banks"]["memory_offlined_gib_per_ue_avoided"].value > 1
    assert found.arms["pages"]["memory_offlined_gib_years_per_ue_avoided"].value > 0
