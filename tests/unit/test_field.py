"""Figures of field studies: every estimator on a table small enough to work out by hand, every figure read again."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from analysis.field.estimators import AVOIDED, ESTIMATORS
from analysis.field.sightings import Observation, Sightings, join_sightings, see_errors
from analysis.field.study import estimate_figure, figure_document, study_lines
from fleet.scenario.decode import decode
from fleet.scenario.document import parse, read_text, scenario_names
from node_sim.catalog.field import STUDIES
from tests.oracle.catalog.tables import read_table

MONTH = 365.25 * 24 * 3600 * 10**9 / 12
HOUR = 3600 * 10**9
WATCHED = Observation(months=12, start_ns=round(12 * MONTH), servers=8, dimms=16, day_cap=100, population=1000)

# server, slot, ordinal of the fault, kind, CEs, months since the start of the simulation, hours on top, path of a UE
ROWS = (
    (0, 0, 0, "CE", 50, 12.0, 0),  # server 0: one DIMM, two months, one full log
    (0, 0, 2, "CE", 100, 14.5, 0),
    (0, 0, 0, "CE", 999, 3.0, 0),  # before the observation
    (1, 0, 0, "CE", 1, 23.9, 0),  # server 1: one CE on each of two DIMMs in one month
    (1, 1, 0, "CE", 1, 23.5, 0),
    (2, 1, 0, "CE", 5, 20.0, 0),  # server 2: CE, and 36 minutes later a UE of another fault of the DIMM
    (2, 1, 1, "UE", None, 20.0, 0.6, "pair"),
    (2, 1, 1, "UE", None, 21.0, 0, "born"),
    (3, 0, 0, "UE", None, 15.0, 0, "command/address"),  # server 3: never a CE before
    (3, 0, 0, "CE", 2, 16.0, 0),
    (4, 0, 0, "CE", 7, 5.0, 0),  # server 4: warned ten months before
    (4, 0, 0, "UE", None, 15.0, 0, "grown"),
    (5, 0, 0, "CE", 40, 22.0, 0),  # server 5: one CE-month
    (5, 0, 0, "SDC", None, 22.0, 1),
    (6, 0, 0, "UE", None, 3.0, 0, "second device"),  # server 6: before the observation
)
PATTERNS = {(0, 2): (1, 3), (1 << 8 | 1, 0): (2, 3), (2 << 8 | 1, 0): (4, 8), (3 << 8, 0): (1, 4), (5 << 8, 0): (3, 1)}
"""Pins and beats by DIMM (server and slot) and ordinal, of faults that are not of one bit."""


def errors_table(rows=ROWS) -> pa.Table:
    return pa.table(
        {
            "fault_id": pa.array([(s << 32) | (slot << 24) | n for s, slot, n, *_ in rows], pa.uint64()),
            "kind": pa.array([row[3] for row in rows]).dictionary_encode(),
            "ce_count": pa.array([row[4] for row in rows], pa.uint32()),
            "first_time_ns": pa.array([round(row[5] * MONTH + row[6] * HOUR) for row in rows], pa.int64()),
            "last_time_ns": pa.array([round(row[5] * MONTH + row[6] * HOUR) + HOUR for row in rows], pa.int64()),
            "path": pa.array([row[7] if len(row) > 7 else None for row in rows], pa.utf8()).dictionary_encode(),
        }
    )


def faults_table(rows=ROWS) -> pa.Table:
    names = sorted({row[:3] for row in rows})
    cells = [PATTERNS.get((s << 8 | slot, n), (1, 1)) for s, slot, n in names]
    return pa.table(
        {
            "fault_id": pa.array([(s << 32) | (slot << 24) | n for s, slot, n in names], pa.uint64()),
            "n_dq": pa.array([n_dq for n_dq, _ in cells], pa.uint8()),
            "n_beats": pa.array([n_beats for _, n_beats in cells], pa.uint8()),
        }
    )


def see(rows=ROWS, watched: Observation = WATCHED) -> Sightings:
    faults = faults_table(rows)
    return see_errors(errors_table(rows), faults, np.asarray(faults.column("n_dq")) > 2, watched)


def test_wrong_commands_belong_to_no_class_of_patterns():
    commands = {"n_dq": pa.nulls(1, pa.uint8()), "n_beats": pa.nulls(1, pa.uint8())}
    rows = [row for row in ROWS if row[3] == "CE"][:1]
    faults = pa.table({"fault_id": faults_table(rows).column("fault_id"), **commands})
    seen = see_errors(errors_table(rows), faults, np.zeros(1, bool), WATCHED)
    assert seen.widest.tolist() == [-1]
    shares = [ESTIMATORS[f"ce_dimms_that_fail{text}"].estimate(seen, WATCHED) for text in ("", "_1_x_1", "_2_dq")]
    assert (shares[0], *map(math.isnan, shares[1:])) == (0.0, True, True)


SEEN = see()
SUMS = [150, 2, 5, 2, 40]
"""CEs of servers 0, 1, 2, 3, 5 within the observation; those of DIMMs differ for server 1 only."""
BY_HAND = {
    "dimms_with_ce_per_year": 6 / 16,
    "ce_per_dimm_year": 199 / 16,
    "servers_with_ce_per_year": 5 / 8,
    "servers_with_ue_per_year": 3 / 8,
    "servers_with_ce_per_month": 6 / (8 * 12),
    "servers_with_ue_per_month": 4 / (8 * 12),
    "dimms_with_ce_per_month_of_population": 7 / (16 * 12) * 1000,
    "ce_per_ce_dimm_month": 199 / 7,
    "ce_of_top_20_percent_dimms": 150 / 199,  # one of six DIMMs
    "ce_of_top_20_percent_servers": 150 / 199,  # one of five servers
    "ce_of_top_1_percent_servers": 150 / 199,  # at least one
    "ce_mean_over_median": (199 / 6) / 22.5,  # server-months 100, 50, 40, 5, 2, 2
    "servers_with_ce_again_in_month": 1.0,
    "servers_with_ce_again_in_year": 1.0,
    "months_active": 7 / (6 * 12),
    "ue_with_ce_in_month_before": 1 / 3,
    "ue_without_ce_before": 1 / 3,
    "ue_within_an_hour_of_first_ce": 1 / 2,
    "warning_hours_median": (0.6 + 10 * MONTH / HOUR) / 2,
    "ue_failures_per_server_year": 3 / 8,
    "ue_failures_per_dimm_year": 3 / 16,
    "failures_per_server_year": 4 / 8,  # servers 2, 3, 4 by UE, server 0 by its log
    "ce_dimms_that_fail": 1 / 6,  # server 4 was warned before there was a log
    "ce_dimms_that_fail_1_x_1": 0 / 1,
    "ce_dimms_that_fail_1_x_more": 0 / 2,
    "ce_dimms_that_fail_2_dq": 0 / 1,
    "ce_dimms_that_fail_3_dq": 0 / 1,
    "ce_dimms_that_fail_4_dq": 1 / 1,
    "fail_30min_after_first_ce": 1 / 1,
    "fail_1h_after_first_ce": 0 / 1,
    "fail_6h_after_first_ce": 0 / 1,
    "fail_1d_after_first_ce": 0 / 1,
    "fail_8d_after_first_ce": 0 / 1,
    "risky_alarms": 2 / 4,  # the DIMMs of servers 2 and 5, not the two of server 1
    "risky_recall": 1 / 1,
    "risky_precision": 1 / 2,
    "first_ue_born": 0 / 3,
    "first_ue_grown": 1 / 3,
    "first_ue_second_device": 0 / 3,
    "first_ue_pair": 1 / 3,
    "first_ue_command_address": 1 / 3,
}


def test_every_estimator_is_worked_out_by_hand():
    assert set(BY_HAND) == set(ESTIMATORS)


@pytest.mark.parametrize("metric", ESTIMATORS)
def test_an_estimator_gives_what_was_worked_out_by_hand(metric):
    assert ESTIMATORS[metric].estimate(SEEN, WATCHED) == pytest.approx(BY_HAND[metric], rel=1e-9)


DAY = 24.0
JUDGED = 20.0
"""A risky CE comes some hours after this month, the UE with it; all in the last four months of twelve."""


@pytest.mark.parametrize(
    ("ce_hours", "ue_hours", "predicted"),
    [
        ((0.0,), 1.2, True),  # the last CE of the window is 12 minutes before, the first one in time
        ((0.0,), 0.2, False),  # no notice
        ((0.0,), 7 * DAY + 1.2, True),  # the last CE
        ((0.0,), 7 * DAY + 1.3, False),  # too long ago
        ((0.0, 7 * DAY), 7 * DAY + 24, True),  # any alarm, not the first
        ((-5 * 31 * DAY, 0.0), 2.0, True),  # an alarm before the test is none, nor does it spoil a later one
    ],
)
def test_a_risky_ce_predicts_failures_after_the_notice_and_within_its_days(ce_hours, ue_hours, predicted):
    ces = [(5, 0, 0, "CE", 1, JUDGED, hours) for hours in ce_hours]
    # A narrow CE long before, so that the DIMM fails in the sense of the study.
    rows = [(5, 0, 1, "CE", 1, 13.0, 0), *ces, (5, 0, 0, "UE", None, JUDGED, ue_hours, "born")]
    seen = see(rows)
    assert ESTIMATORS["risky_alarms"].estimate(seen, WATCHED) == 1.0
    assert ESTIMATORS["risky_recall"].estimate(seen, WATCHED) == float(predicted)
    assert ESTIMATORS["risky_precision"].estimate(seen, WATCHED) == float(predicted)


def test_alarms_and_failures_before_the_last_four_months_are_not_judged():
    rows = [(5, 0, 0, "CE", 1, 15.0, 0), (5, 0, 0, "UE", None, 15.0, 2.0, "born"), (1, 0, 0, "CE", 1, 23.0, 0)]
    seen = see(rows)
    assert ESTIMATORS["risky_alarms"].estimate(seen, WATCHED) == 0.0
    assert math.isnan(ESTIMATORS["risky_recall"].estimate(seen, WATCHED))


def test_a_single_ce_of_a_server_is_not_another():
    rows = [*ROWS, (7, 0, 0, "CE", 1, 23.0, 0)]
    seen = see(rows)
    assert ESTIMATORS["servers_with_ce_again_in_month"].estimate(seen, WATCHED) == pytest.approx(6 / 7)
    assert ESTIMATORS["servers_with_ce_again_in_year"].estimate(seen, WATCHED) == pytest.approx(5 / 6)


@pytest.mark.parametrize("metric", ESTIMATORS)
def test_figures_of_a_fleet_without_errors_are_zero_or_nothing(metric):
    seen = see(())
    value = ESTIMATORS[metric].estimate(seen, WATCHED)
    assert math.isnan(value) or value == 0.0


def test_what_an_arm_avoids_is_counted_against_the_first_arm():
    other = see([row for row in ROWS if row[0] != 0])
    assert estimate_figure("ce_avoided_by_page_offlining", [SEEN, other], WATCHED).value == pytest.approx(150 / 199)
    assert estimate_figure("ue_avoided_by_page_offlining", [SEEN, other], WATCHED).value == 0.0


@pytest.mark.parametrize("metric", ESTIMATORS)
def test_shards_put_together_are_the_whole(metric):
    parts = [see([row for row in ROWS if row[0] % 3 == k]) for k in range(3)]
    joined = ESTIMATORS[metric].estimate(join_sightings(parts), WATCHED)
    assert joined == pytest.approx(ESTIMATORS[metric].estimate(SEEN, WATCHED), rel=1e-12)


def test_the_jackknife_error_of_a_share_is_the_binomial_one():
    rng = np.random.default_rng(5)
    p, n, errors = 0.2, 4000, []
    watched = WATCHED._replace(servers=n)
    for _ in range(40):
        servers = np.flatnonzero(rng.random(n) < p).tolist()
        seen = see([(s, 0, 0, "CE", 1, 20.0, 0) for s in servers], watched)
        errors.append(estimate_figure("servers_with_ce_per_year", [seen], watched).error ** 2)
    # The variance estimate has 29 degrees of freedom; the mean of 40 of them has 1160: five standard errors.
    binomial = p * (1 - p) / n
    assert np.mean(errors) == pytest.approx(binomial, rel=5 * (2 / 1160) ** 0.5)


# ---- second reading of the studies --------------------------------------------------------------------------------


def published(study: str, metric: str):
    (figure,) = (figure for figure in STUDIES[study].figures if figure.metric == metric)
    return figure.published.value, figure.low, figure.high


def table_number(table: str, **where: str) -> str:
    (row,) = (row for row in read_table(table) if all(row[key] == value for key, value in where.items()))
    return row["value"]


def rounding(text: str, scale: float) -> tuple[float, float, float]:
    """A printed number with the interval of its rounding."""
    half = 0.5 * 10.0 ** -len(text.partition(".")[2])
    return float(text) * scale, (float(text) - half) * scale, (float(text) + half) * scale


ROUNDED = [
    ("google-2008", "dimms_with_ce_per_year", "Google", "DIMMs with >=1 CE"),
    ("facebook-2014", "servers_with_ce_per_month", "Facebook", "servers with CE"),
    ("facebook-2014", "servers_with_ue_per_month", "Facebook", "servers with UE"),
]


@pytest.mark.parametrize(("study", "metric", "fleet", "name"), ROUNDED)
def test_a_rounded_figure_has_the_interval_of_its_rounding(study, metric, fleet, name):
    text = table_number("fleet_outcomes", fleet=fleet, metric=name)
    assert published(study, metric) == pytest.approx(rounding(text, 0.01))


def test_the_errors_of_a_google_dimm_have_the_interval_of_the_abstract():
    value, low, high = published("google-2008", "ce_per_dimm_year")
    assert value == float(table_number("fleet_outcomes", fleet="Google", metric="mean CE per DIMM-year over all DIMMs"))
    ends = table_number("fleet_outcomes", fleet="Google", metric="CE rate").split(" to ")
    fleet = decode("google", parse("google", read_text("google-2008")[1]))
    for group in fleet.groups:
        part = group.hardware.server.dram
        mbit = (
            group.hardware.server.ranks * part.data_devices * part.banks * part.rows * part.columns * part.width / 2**20
        )
        assert [low, high] == pytest.approx([float(end) * mbit * 1e-9 * 8766 for end in ends], rel=1e-3)


@pytest.mark.parametrize(
    ("metric", "name"),
    [("ue_failures_per_server_year", "UE-driven server failures"), ("failures_per_server_year", "all memory failures")],
)
def test_failures_at_alibaba_have_the_exact_interval_of_their_count(metric, name):
    years = float(
        table_number("fleet_outcomes", fleet="Alibaba", metric="server-years (sum of monthly populations / 12)")
    )
    (row,) = (r for r in read_table("fleet_outcomes") if r["fleet"] == "Alibaba" and r["metric"] == name)
    count = int(re.search(r"\((\d+)\)", row["unit"])[1])
    interval = stats.chi2.ppf(0.025, 2 * count) / 2 / years, stats.chi2.ppf(0.975, 2 * count + 2) / 2 / years
    assert published("alibaba-2022", metric) == pytest.approx((count / years, *interval), rel=2e-3)
    assert count / years == pytest.approx(float(row["value"]) / 100, abs=0.5e-5)


def test_failures_per_dimm_at_alibaba_are_those_per_server_over_its_dimms():
    per_server = published("alibaba-2022", "ue_failures_per_server_year")
    per_dimm = published("alibaba-2022-dimms", "ue_failures_per_dimm_year")
    assert per_dimm == pytest.approx([value / 14.05 for value in per_server], rel=1e-3)
    text = table_number("fleet_outcomes", fleet="Alibaba", metric="UE-driven failures per DIMM")
    assert per_dimm[0] == pytest.approx(float(text) / 100, abs=0.5e-6)


def test_the_huawei_figures_are_those_of_its_monthly_table():
    months = [row for row in read_table("huawei_monthly") if row["month"].startswith("2024")]
    (all_,) = (row for row in read_table("huawei_monthly") if row["month"] == "all")
    dimms = [int(row["dimms_with_ce"]) for row in months]
    total, failed = int(all_["dimms_with_ce"]), int(all_["faulty_dimms"])
    each = [float(row["ce_per_ce_dimm"]) for row in months]
    ce = sum(int(row["ce"]) for row in months)
    interval = stats.binomtest(failed, total).proportion_ci(0.95)
    expected = {
        "dimms_with_ce_per_month_of_population": (np.mean(dimms), min(dimms), max(dimms)),
        "ce_per_ce_dimm_month": (ce / sum(dimms), min(each), max(each)),
        "months_active": (sum(dimms) / 9 / total, min(dimms) / total, max(dimms) / total),
        "ce_dimms_that_fail": (failed / total, interval.low, interval.high),
    }
    assert len(months) == STUDIES["huawei-2024"].months
    for metric, values in expected.items():
        assert published("huawei-2024", metric) == pytest.approx(values, rel=2e-3)


NINE_MONTHS = 1704 / 836
"""Failures in nine months over those in the five of the tickets."""


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("1_x_1", lambda n_dq, n_beats: n_dq == n_beats == 1),
        ("1_x_more", lambda n_dq, n_beats: n_dq == 1 < n_beats),
        ("2_dq", lambda n_dq, _: n_dq == 2),
        ("3_dq", lambda n_dq, _: n_dq == 3),
        ("4_dq", lambda n_dq, _: n_dq == 4),
    ],
)
def test_the_risks_of_patterns_are_those_of_the_table_for_nine_months(name, chosen):
    rows = [row for row in read_table("pattern_risk") if (row["platform"], row["window"]) == ("purley", "6h")]
    mine = [row for row in rows if (row["dq"] + row["beats"]).isdigit() and chosen(int(row["dq"]), int(row["beats"]))]
    failed, dimms = (sum(int(row[column]) for row in mine if int(row["beats"])) for column in ("failed", "dimms"))
    share = failed / dimms * NINE_MONTHS
    wanted = (share, share / 1.7, share * 1.7)
    assert published("huawei-2024", f"ce_dimms_that_fail_{name}") == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("name", ["30min", "1h", "6h", "1d", "8d"])
def test_the_leads_are_those_of_the_tickets(name):
    (row,) = (
        row
        for row in read_table("first_ce_lead")
        if (row["platform"], row["tickets"], row["first_ce_more_than"])
        == ("purley", "all tickets", name.replace("min", "m"))
    )
    share = int(row["failures"]) / int(row["of"])
    wanted = (share, share / 1.2, min(1.0, share * 1.2))
    assert published("huawei-2024", f"fail_{name}_after_first_ce") == pytest.approx(wanted, rel=1e-9)


def test_the_figures_of_risky_ces_are_those_of_both_platforms_together():
    rows = [row for row in read_table("predictors") if row["rule"].startswith("Risky CE")]
    hits, alarmed, failed = (
        sum(int(row[column]) for row in rows) for column in ("alarmed_and_failed", "alarmed", "failed_dimms_in_test")
    )
    dimms = sum(int(row["alarmed"]) / float(row["share_of_ce_dimms_alarmed"]) for row in rows)
    interval = stats.binomtest(hits, alarmed).proportion_ci(0.95)
    assert len(rows) == 2
    assert published("huawei-2024", "risky_alarms") == pytest.approx((alarmed / dimms, 0.10, 0.18), rel=1e-3)
    assert published("huawei-2024", "risky_recall") == pytest.approx((hits / failed, 0.40, 0.60), rel=1e-9)
    assert published("huawei-2024", "risky_precision") == pytest.approx(
        (hits / alarmed, interval.low, interval.high), rel=2e-3
    )


CONCENTRATION = {
    "ce_of_top_20_percent_dimms": ("top 20 % of DIMMs with errors hold", ">94"),
    "servers_with_ce_again_in_year": ("machines with a CE that have another the same year", ">93"),
    "servers_with_ce_again_in_month": ("machines with a CE in a month that have another in the month", ">85"),
    "ue_with_ce_in_month_before": ("UE preceded by CE in the month before", "70 to 80"),
}


@pytest.mark.parametrize("metric", CONCENTRATION)
def test_concentration_and_persistence_at_google_are_those_of_the_table(metric):
    quantity, text = CONCENTRATION[metric]
    assert table_number("ce_process", quantity=quantity) == text
    ends = [float(end) / 100 for end in text.lstrip(">").split(" to ")]
    _, low, high = published("google-2008", metric)
    assert (low, high) == pytest.approx((ends[0], ends[1] if len(ends) > 1 else 1.0))


def test_the_alibaba_servers_have_the_published_shares_of_slots():
    rows = {
        r["key"]: int(r["value"]) for r in read_table("alibaba_population") if r["quantity"].startswith("servers with")
    }
    groups = parse("alibaba", read_text("alibaba-2022")[1])["group"]
    shares = {name.removeprefix("dimms_"): group["share"] for name, group in groups.items()}
    assert shares == pytest.approx({slots: n / sum(rows.values()) for slots, n in rows.items()}, abs=1e-5)
    fleet = decode("alibaba", parse("alibaba", read_text("alibaba-2022")[1]))
    assert {group.name: group.hardware.server.dimms for group in fleet.groups} == {f"dimms_{n}": int(n) for n in rows}


PRESETS = {"alibaba-2022-dimms": "baseline"}
"""Presets that are not called as their study."""


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_has_a_preset_and_prints_concentration_and_persistence_as_predictions(study):
    preset = PRESETS.get(study, study)
    fleet = decode(preset, parse(preset, read_text(preset)[1]))
    assert preset in scenario_names()
    assert fleet.scenario.field_study == study
    assert set(STUDIES[study].groups) <= {group.name for group in fleet.groups}
    roles = {figure.metric: figure.role for figure in STUDIES[study].figures}
    assert roles["ce_of_top_20_percent_dimms"] == roles["months_active"] == "predicted"
    assert set(roles.values()) <= {"fitted", "calibrates", "predicted"}
    assert all(metric in ESTIMATORS or metric in AVOIDED for metric in roles)


def test_one_figure_of_all_studies_calibrates_the_shared_error_process():
    roles = [(study, f.metric) for study, known in STUDIES.items() for f in known.figures if f.role == "calibrates"]
    assert roles == [("huawei-2024", "ce_per_ce_dimm_month")]


def test_where_no_fold_differs_the_error_is_unknown_and_not_0():
    figure = next(f for f in STUDIES["google-2008"].figures if f.metric == "servers_with_ue_per_year")
    calm = SEEN._replace(ue_fault=SEEN.ue_fault[:0], ue_ns=SEEN.ue_ns[:0], ue_path=SEEN.ue_path[:0])
    found = figure_document(figure, [calm], WATCHED)
    assert (found["value"], found["standard_error"], found["inside"], found["agrees"]) == (0.0, None, False, None)
    document = {"servers": 8, "months": 12, "error_process": "x", "figures": [found]}
    row = study_lines(document)[5]
    assert "0 % +- unknown" in row
    assert row.endswith("-100.0 %, too few to say")
    inside = figure_document(dataclasses.replace(figure, low=0.0), [calm], WATCHED)
    assert (inside["inside"], inside["agrees"]) == (True, True)


def test_a_figure_outside_its_interval_is_called_so_unless_the_sample_is_too_small():
    figure = STUDIES["google-2008"].figures[0]
    assert figure.metric == "dimms_with_ce_per_year"
    found = figure_document(dataclasses.replace(figure, low=0.1, high=0.2), [SEEN], WATCHED)
    assert (found["inside"], found["agrees"]) == (False, True)
    found = figure_document(dataclasses.replace(figure, low=0.9, high=0.95), [SEEN], WATCHED._replace(dimms=1600))
    assert (found["inside"], found["agrees"]) == (False, False)
