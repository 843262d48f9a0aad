"""Orders of one's own policies name errors of their own fault, also where arms put in DIMMs at other times."""

import contextlib

from fleet.engines.shard import run_shard
from fleet.scenario.overrides import load_fleet
from fleet.stored.plan import Shard

NODE = 199
"""Its faults come again in a DIMM that one policy replaces early, and another late."""
POLICIES = """
import numpy as np

from node_sim.orders import OfflinePage, ReplaceDimm, looks_at


def replaces(node):
    if node.cordoned:
        return None
    new = node.errors[node.new :]
    return [ReplaceDimm(int(dimm)) for dimm in np.unique(new["dimm"][new["in_window"] >= 10])]


@looks_at(lambda errors: errors["in_window"] >= 50)
def offlines(node):
    return [OfflinePage(int(pfn)) for pfn in np.unique(node.errors["pfn"][node.new :])]
"""


def test_an_offlining_names_a_row_of_errors_of_its_fault_in_its_arm(tmp_path):
    (tmp_path / "mine.py").write_text(POLICIES)
    policies = ("mine:replaces", "mine:offlines")
    with contextlib.chdir(tmp_path):
        fleet = load_fleet("baseline", {"nodes": 200}, ("faults.fit_factor=20",), ("default",), (), policies)
        blocks = list(run_shard(fleet, fleet.scenario.seed, Shard(0, NODE, 1)))
    arm = fleet.arms.index("offlines")
    errors, ordered = (
        [
            row
            for block in blocks
            for arms, name, table in block.tables
            if arm in arms and name == wanted
            for row in table.select(["seq", "cause_seq", "fault_id"]).to_pylist()
        ]
        for wanted in ("errors", "page_offlines")
    )
    fault_of = {row["seq"]: row["fault_id"] for row in errors}
    assert len(ordered) > 40
    assert [row for row in ordered if fault_of.get(row["cause_seq"]) != row["fault_id"]] == []
