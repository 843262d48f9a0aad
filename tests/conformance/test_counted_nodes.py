"""The fleets whose counts are stored (``tests/golden``), judged: some of their nodes against the event heap."""

import numpy as np
import pytest

from fleet.scenario.decode import decode
from node_sim.columns import TABLE_NAMES
from node_sim.draws import Seed
from node_sim.lives.block import simulate_block
from tests.conformance.test_lanes_oracle import difference, view_of
from tests.golden.test_counts import SEED, documents
from tests.oracle import event_heap

NODES = {"baseline": 6, "busy": 1, "closed page, no scrub": 1, "counting": 1}


def warned(view):
    """Nodes with an uncorrected error that corrected ones preceded: there the order of reads shows."""
    return [node for node, tables in view.items() if any(row["n_ce_before"] for row in tables["errors"])]


@pytest.mark.parametrize("name", NODES)
def test_nodes_whose_errors_were_announced_are_those_of_the_event_heap(name):
    fleet, seed = decode("golden", documents()[name]), Seed.of(SEED)
    judged = 0
    for group in fleet.groups:
        nodes = np.arange(group.first_node, group.first_node + group.nodes)
        block = simulate_block(seed, nodes, group.hardware, group.policies, fleet.horizon_ns)
        views = [view_of(block, arm) for arm in range(len(group.policies))]
        for node in sorted(warned(views[0]))[: NODES[name] - judged]:
            policies = [policy.on(group.hardware.server) for policy in group.policies]
            lives = {
                policy: event_heap.simulate_node(seed, node, group.hardware, policy, fleet.horizon_ns)
                for policy in set(policies)
            }
            faults = {key: fault for life in lives.values() for key, fault in life.faults.items()}
            for policy, view in zip(policies, views, strict=True):
                expected = event_heap.number_rows(node, faults, lives[policy].rows)
                found = difference(expected, view.get(node, {table: [] for table in TABLE_NAMES}))
                assert found is None, f"node {node}: {policy}\n{found}"
            judged += 1
    assert judged == NODES[name]
