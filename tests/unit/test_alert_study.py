"""The table of alert rules in the README of deploy is what the stored study says."""

import json

from deploy import alert_study
from tests.deployed import DEPLOY


def test_the_table_is_that_of_the_stored_study():
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    shown = text.split("<!-- alert_study -->")[1].split("<!-- end of alert_study -->")[0]
    stored = json.loads(alert_study.RESULT.read_text())
    assert [line for line in shown.splitlines() if line] == list(alert_study.table(stored))
    assert {one["scenario"]: (one["nodes"], one["years"]) for one in stored} == alert_study.FLEETS
    assert all(one["truth_events"] >= 30 for one in stored)
