"""Whether a fleet has more faults than a shard can hold, before anything is written for it."""

from __future__ import annotations

from collections.abc import Iterable

from fleet.scenario.fleet import Fleet
from node_sim.dram.faults import check_load
from node_sim.errors import ModelError


def check_loads(fleet: Fleet, nodes_by_group: Iterable[int]) -> None:
    """Check the expected faults of each group.

    Args:
        fleet: The scenario.
        nodes_by_group: Most nodes of each group in one shard.

    Raises:
        ModelError: There are too many in some groups; all of them are named.
    """
    problems = []
    for group, nodes in zip(fleet.groups, nodes_by_group, strict=True):
        try:
            check_load(group.hardware, nodes, fleet.horizon_ns)
        except ModelError as error:
            problems.append(f"group.{group.name}.{error}")
    if problems:
        raise ModelError("\n".join(problems))
