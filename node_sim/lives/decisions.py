"""What a policy of one's own orders: lives are run, it is shown what is known, and they are run again with its orders.

**Models.** A life follows from faults, settings and orders, and nothing that is ordered later changes what was known
before. So a lane is run to the horizon with the orders so far, the policy is asked at the end of each epoch with news
until it gives an order, and the lane is run again. Only lanes that have acted are run again.

**Leaves out.** How a policy is found and what it may cost; the caller hands in a function.

**Assumes.** The policy runs on the node: while that is down it is not asked, and hears the news after the boot.

**Sources.** None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from node_sim.dram.geometry import AddressMap
from node_sim.errors import ModelError, PolicyError
from node_sim.lives.accepted import complaint, each_once, shows, targets
from node_sim.lives.busy_nodes import finish_lives
from node_sim.lives.known import Known
from node_sim.lives.ordered import Orders
from node_sim.lives.physics import Physics
from node_sim.lives.world import Block, World
from node_sim.orders import KnownNode, Layout, Order, Others, PolicyFunction, RecordArray, interest_of
from node_sim.records import Ints
from node_sim.server.policy import Policy
from node_sim.units import hours_to_ns

WINDOWS_AT_ONCE = 1 << 18
"""Windows of nodes that are looked at together, so that memory stays small."""


@dataclass
class _Diary:
    """What a policy has ordered on one node.

    Attributes:
        asked_ns: End of the last epoch after which it has given orders [ns], -1 if none.
        known: How many errors it knew then.
        orders: What it has ordered, and when it said so.
        rows: The same as rows of ``Orders``.
    """

    asked_ns: int = -1
    known: int = 0
    orders: list[tuple[int, Order]] = field(default_factory=list)
    rows: list[tuple[int, ...]] = field(default_factory=list)


class _Calls(NamedTuple):
    """When lanes have news, ordered by (lane, time); arrays of shape ``(n,)``: lane, end of the epoch [ns]."""

    lane: Ints
    now_ns: Ints


def decide(block: Block, world: World, physics: Physics, policy: Policy, function: PolicyFunction) -> Orders:
    """Return what a policy orders on the nodes of a block.

    Args:
        block: The nodes.
        world: What the lanes share.
        physics: Of all nodes of the block.
        policy: Settings of the arm, settled on the server.
        function: Decides.

    Raises:
        PolicyError: It has returned something that is no order, or one that cannot be carried out.
    """
    n = block.node_id.size
    size = np.bincount(block.node_of_fault[physics.windows.fault], minlength=n)
    size += np.bincount(block.node_of_fault[physics.pages.fault], minlength=n)
    nodes = np.flatnonzero(size)
    chunk = np.cumsum(size[nodes]) // WINDOWS_AT_ONCE
    diaries: dict[int, _Diary] = {}
    acted = [np.empty(0, np.int64)]
    acted += [_ask(block, world, physics, policy, function, nodes[chunk == one], diaries) for one in np.unique(chunk)]
    left = np.concatenate(acted)
    while left.size:
        left = _ask(block, world, physics, policy, function, left, diaries)
    return Orders.of([row for diary in diaries.values() for row in diary.rows])


def _ask(
    block: Block,
    world: World,
    physics: Physics,
    policy: Policy,
    function: PolicyFunction,
    nodes: Ints,
    diaries: dict[int, _Diary],
) -> Ints:
    """Run nodes with the orders so far, and ask the policy until it gives new ones; return where it does.

    Args:
        block: As of ``decide``.
        world: As of ``decide``.
        physics: As of ``decide``.
        policy: As of ``decide``.
        function: As of ``decide``.
        nodes: Positions of the nodes in the block, ascending.
        diaries: By node number; changed.
    """
    so_far = [diaries[node].rows for node in block.node_id[nodes].tolist() if node in diaries]
    ordered = {policy: Orders.of([row for rows in so_far for row in rows])}
    state = finish_lives(block, world, physics, nodes, {policy: (0,)}, ordered).state
    epoch_ns = hours_to_ns(policy.own_policy.epoch_hours)
    known = Known(state, epoch_ns, interest_of(function))
    calls = _calls(known, epoch_ns, block.horizon_ns)
    audience = _Audience(block, world, policy, nodes, known, diaries)
    return nodes[audience.play(calls, function)]


def _calls(known: Known, epoch_ns: int, horizon_ns: int) -> _Calls:
    """Return when lanes have news that matter: errors, records of uncorrected ones, boots, repairs."""
    boots, (repaired, repairs) = known.boots(), known.repairs()
    failed, _, failures = known.failures()
    lane = np.concatenate((known.lane[known.matters], failed, boots[0], repaired))
    ends = (boots[1]["up_ns"], repairs["time_ns"])
    times = (failures["time_ns"], *ends)
    now_ns = np.concatenate((known.told_ns[known.matters], *((time // epoch_ns + 1) * epoch_ns for time in times)))
    for down_lane, boot in zip(boots[0].tolist(), boots[1], strict=True):  # few, in the order of time
        waits = (lane == down_lane) & (now_ns > boot["down_ns"]) & (now_ns < boot["up_ns"])
        now_ns[waits] = -(-int(boot["up_ns"]) // epoch_ns) * epoch_ns
    some = now_ns < horizon_ns
    names = np.unique(lane[some] * (horizon_ns // epoch_ns + 1) + now_ns[some] // epoch_ns)
    lane, epoch = np.divmod(names, horizon_ns // epoch_ns + 1)
    return _Calls(lane, epoch * epoch_ns)


class _Audience:
    """Nodes that a policy is shown, one after the other."""

    def __init__(
        self, block: Block, world: World, policy: Policy, nodes: Ints, known: Known, diaries: dict[int, _Diary]
    ) -> None:
        """Prepare to show what is known of nodes; arguments as of ``_ask``."""
        self.block, self.world, self.known, self.diaries = block, world, known, diaries
        self.nodes, self.horizon_ns = nodes, block.horizon_ns
        self.layout = _layout(world.address_map, hours_to_ns(policy.errors.window_hours))
        self.name = policy.own_policy.function
        self.failed, self.failed_fault, self.failures = known.failures()
        self.boots, self.repairs, self.offlines = known.boots(), known.repairs(), known.offlines()
        self.cordons = known.cordons()

    def play(self, calls: _Calls, function: PolicyFunction) -> Ints:
        """Call the policy until it orders something in each lane; return the lanes in which it does."""
        begin = np.flatnonzero(np.diff(calls.lane, prepend=-1))
        end = np.append(begin[1:], calls.lane.size)[: begin.size]
        known_end = _known_at(calls, self.known)
        lanes = calls.lane[begin]
        first = np.searchsorted(self.known.lane, lanes)
        acted = [
            lane
            for lane, start, a, b in zip(*(part.tolist() for part in (lanes, first, begin, end)), strict=True)
            if self._play(lane, start, calls.now_ns[a:b].tolist(), known_end[a:b].tolist(), function)
        ]
        return np.asarray(acted, np.int64)

    def _play(self, lane: int, first: int, times: list[int], ends: list[int], function: PolicyFunction) -> bool:
        """Call the policy on one lane until it orders something; return whether it does.

        Args:
            lane: The lane.
            first: Its first error.
            times: When it has news [ns], ascending.
            ends: How many errors of all lanes stand before those that it knows by then.
            function: Decides.
        """
        node = int(self.block.node_id[self.nodes[lane]])
        diary = self.diaries.get(node) or _Diary()
        others, errors, layout = self._others(lane, first, diary), self.known.errors, self.layout
        new = first
        for now_ns, end in zip(times, ends, strict=True):
            if now_ns > diary.asked_ns:
                shown = KnownNode(node, now_ns, layout, errors[first:end], new - first, others)
                found = function(shown)
                if found is not None and len(found):
                    self._accept(diary, shown, found, first, lane)
                    self.diaries[node] = diary
                    return True
            elif now_ns == diary.asked_ns and end - first != diary.known:
                msg = f"node {node}: an order changed what was known before; please report this with the scenario"
                raise ModelError(msg)
            new = end
        return False

    def _others(self, lane: int, first: int, diary: _Diary) -> Others:
        """Return the other records of a lane, whose first error is given."""

        def mine(lanes: Ints, records: RecordArray) -> RecordArray:
            begin, end = np.searchsorted(lanes, (lane, lane + 1)).tolist()
            return records[begin:end]

        cordoned, begin_ns, end_ns = self.cordons
        some = np.flatnonzero(cordoned == lane)
        return Others(
            failures=mine(self.failed, self.failures),
            offlines=mine(*self.offlines),
            boots=mine(*self.boots),
            repairs=mine(*self.repairs),
            cordons=list(zip(begin_ns[some].tolist(), end_ns[some].tolist(), strict=True)),
            orders=diary.orders,
            pages=lambda which: self.known.pages(first + which),
        )

    def _accept(self, diary: _Diary, shown: KnownNode, found: Sequence[Order], first: int, lane: int) -> None:
        """Check the orders of one call and write them down.

        Raises:
            PolicyError: One of them is none, or cannot be carried out.
        """
        for order in found:
            wrong = complaint(order, shown)
            if wrong:
                raise PolicyError(self.name, shown.node_id, f"at {shown.now_ns} ns it returned {order!r}: {wrong}")
            time_ns = shown.now_ns if order.time_ns is None else int(order.time_ns)
            fault_id, cause_ns = self._cause(order, shown, first, lane)
            diary.orders.append((shown.now_ns, order))
            about = targets(order, self.world.address_map)
            diary.rows += [(shown.node_id, time_ns, int(kind), target, fault_id, cause_ns) for kind, target in about]
        diary.rows = each_once(diary.rows)
        diary.asked_ns, diary.known = shown.now_ns, len(shown.errors)

    def _cause(self, order: Order, shown: KnownNode, first: int, lane: int) -> tuple[int, int]:
        """Return the fault whose error led to an order, and the time of the error.

        It is the newest error that shows the page, the row or the DIMM, or the newest of all; if there are no corrected
        ones, the newest that a log shows.
        """
        faults, errors = self.known.store.faults.fault_id.astype(np.int64), shown.errors
        if len(errors):
            fits = np.flatnonzero(shows(order, errors))
            which = int(fits[-1]) if fits.size else len(errors) - 1
            return int(faults[self.known.fault[first + which]]), int(errors["last_ns"][which])
        n = len(shown.failures)
        if not n:
            return -1, -1
        which = int(np.searchsorted(self.failed, lane)) + n - 1
        return int(faults[self.failed_fault[which]]), int(self.failures["time_ns"][which])


def _known_at(calls: _Calls, known: Known) -> Ints:
    """Return how many errors, those of earlier lanes among them, are known at the time of each call."""
    n, m = calls.lane.size, known.lane.size
    is_call = np.repeat([True, False], [n, m])
    lane, time_ns = np.concatenate((calls.lane, known.lane)), np.concatenate((calls.now_ns, known.told_ns))
    order = np.lexsort((is_call, time_ns, lane))  # the errors of an epoch stand before the call at its end
    place = np.empty(n + m, np.int64)
    place[order] = np.arange(n + m)
    return place[:n] - np.arange(n)


def _layout(address_map: AddressMap, window_ns: int) -> Layout:
    """Return what the operating system knows of the memory of nodes."""
    dimm, slots = address_map.dimm, address_map.server.dimms
    return Layout(slots, dimm.ranks, dimm.devices, dimm.banks, dimm.rows, dimm.lines, address_map.pages, window_ns)
