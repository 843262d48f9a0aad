"""Orders of one's own policies name errors of their own fault, also where arms put in DIMMs at other times."""

import contextlib

import pytest

from fleet.engines.shard import run_shard
from fleet.scenario.overrides import load_fleet
from fleet.stored.plan import Shard
from tests.fleets import OWN_POLICIES

NODE = 199
"""Its faults come again in a DIMM that one policy replaces early, and the other late."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Rows of the node by arm and table; those that are common to all arms under ``all``."""
    here = tmp_path_factory.mktemp("policies")
    (here / "mine.py").write_text(OWN_POLICIES)
    with contextlib.chdir(here):
        policies = ("mine:tenth", "mine:pages")
        fleet = load_fleet("baseline", {"nodes": 200}, ("faults.fit_factor=20",), ("default",), (), policies)
        blocks = list(run_shard(fleet, fleet.scenario.seed, Shard(0, NODE, 1)))
    found = {arm: {} for arm in (*fleet.arms, "all")}
    for arms, name, table in (one for block in blocks for one in block.tables):
        for arm in [fleet.arms[arm] for arm in arms] or ["all"]:
            found[arm].setdefault(name, []).extend(table.to_pylist())
    return found


def test_an_offlining_names_a_row_of_errors_of_its_fault_in_its_arm(rows):
    fault_of = {row["seq"]: row["fault_id"] for row in rows["pages"]["errors"]}
    ordered = rows["pages"]["page_offlines"]
    assert len(ordered) > 40
    assert {row["trigger"] for row in ordered} == {"own policy"}
    assert [row for row in ordered if fault_of.get(row["cause_seq"]) != row["fault_id"]] == []


def test_such_a_fault_is_of_a_dimm_that_each_arm_put_in_at_another_time(rows):
    ordered = {row["fault_id"] for row in rows["pages"]["page_offlines"]}
    later = [row for row in rows["all"]["faults"] if row["fault_id"] in ordered and row["generation"] > 0]
    assert later
    for fault in later:
        put_in = [
            [row["time_ns"] for row in rows[arm]["lifecycle"] if row["dimm"] == fault["dimm"]]
            for arm in ("tenth", "pages")
        ]
        assert all(put_in)
        assert not set(put_in[0]) & set(put_in[1])
