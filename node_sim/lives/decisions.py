"""What a policy of one's own orders: lives are run, it is shown what is known, and they are run again with its orders.

**Models.** A life follows from faults, settings and orders, and nothing that is ordered later changes what was known
before. So a lane is run to the horizon with the orders so far, the policy is asked at the end of each epoch with news
until it gives an order, and the lane is run again, with all others that have acted. A lane that goes on to take pages
offline is not run again for each (``thinned.py``).

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
from node_sim.lives.known import Known, ToldErrors
from node_sim.lives.ordered import OrderKind, Orders
from node_sim.lives.physics import Physics, take_physics
from node_sim.lives.thinned import Thinned
from node_sim.lives.world import Block, World
from node_sim.orders import KnownNode, Layout, Order, Others, PolicyFunction, RecordArray, apart_of, interest_of
from node_sim.records import Flags, Ints, take
from node_sim.server.policy import Policy
from node_sim.units import hours_to_ns

TURNS_ANEW = 4
"""Nodes are run again after each order so often, many at a time; for those that go on, pages are left out singly."""
_NO_PAGES = np.empty(0, np.int64)
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
    """When lanes have news, ordered by (lane, time); arrays of shape ``(n,)``.

    Attributes:
        lane: Lane.
        now_ns: End of the epoch [ns].
        told: How many errors of all lanes that may matter are known by then, with all of earlier lanes.
        every: The same of the errors of all windows that may matter.
        more: There are other news than corrected errors.
        matter: There are corrected errors that may matter to the policy.
    """

    lane: Ints
    now_ns: Ints
    told: Ints
    every: Ints
    more: Flags
    matter: Flags


class _Arm(NamedTuple):
    """Nodes under an arm with a policy of one's own.

    Attributes:
        block: The nodes.
        world: What the lanes share.
        physics: Of all nodes of the block.
        policy: Settings of the arm, settled on the server.
        function: Decides.
        diaries: What it has ordered, by node number.
    """

    block: Block
    world: World
    physics: Physics
    policy: Policy
    function: PolicyFunction
    diaries: dict[int, _Diary]


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
    arm = _Arm(block, world, physics, policy, function, {})
    return apart_of(function)(lambda: _decide(arm))


def _decide(arm: _Arm) -> Orders:
    """Ask the policy of an arm about the nodes of its block until it orders nothing more."""
    block, physics, n = arm.block, arm.physics, arm.block.node_id.size
    size = np.bincount(block.node_of_fault[physics.windows.fault], minlength=n)
    size += np.bincount(block.node_of_fault[physics.pages.fault], minlength=n)
    nodes = np.flatnonzero(size)
    chunk = np.cumsum(size[nodes]) // WINDOWS_AT_ONCE
    parts, turn = [nodes[chunk == one] for one in np.unique(chunk)], 0
    while parts:
        left = np.concatenate([_ask(arm, part, thins=turn >= TURNS_ANEW) for part in parts])
        parts, turn = [left] if left.size else [], turn + 1
    return Orders.of([row for diary in arm.diaries.values() for row in diary.rows])


def _ask(arm: _Arm, nodes: Ints, *, thins: bool) -> Ints:
    """Run nodes with the orders so far, and ask the policy until it gives new ones; return those to be run again.

    Args:
        arm: The arm; its diaries are written on.
        nodes: Positions of the nodes in the block, ascending.
        thins: Whether pages are left out of what is known where that is enough, instead of living anew.
    """
    block, diaries = arm.block, arm.diaries
    so_far = [diaries[node].rows for node in block.node_id[nodes].tolist() if node in diaries]
    ordered = {arm.policy: Orders.of([row for rows in so_far for row in rows])}
    some, faults = block.take(nodes)
    state = finish_lives(some, arm.world, take_physics(arm.physics, faults), {arm.policy: (0,)}, ordered).state
    epoch_ns = hours_to_ns(arm.policy.own_policy.epoch_hours)
    known = Known(state, epoch_ns, interest_of(arm.function))
    audience = _Audience(arm, nodes, known, thins=thins)
    return nodes[audience.play(_calls(known, epoch_ns, block.horizon_ns))]


def _calls(known: Known, epoch_ns: int, horizon_ns: int) -> _Calls:
    """Return when lanes have news: corrected errors, records of uncorrected ones, boots, repairs."""
    boots, (repaired, repairs) = known.boots(), known.repairs()
    failed, _, failures = known.failures()
    lane = np.concatenate((known.every.lane, failed, boots[0], repaired))
    times = (failures["time_ns"], boots[1]["up_ns"], repairs["time_ns"])
    now_ns = np.concatenate((known.every.told_ns, *((time // epoch_ns + 1) * epoch_ns for time in times)))
    for down_lane, boot in zip(boots[0].tolist(), boots[1], strict=True):  # few, in the order of time
        waits = (lane == down_lane) & (now_ns > boot["down_ns"]) & (now_ns < boot["up_ns"])
        now_ns[waits] = -(-int(boot["up_ns"]) // epoch_ns) * epoch_ns
    epochs, errors = horizon_ns // epoch_ns + 1, known.every.lane.size
    name = lane * epochs + now_ns // epoch_ns
    names = np.unique(name[now_ns < horizon_ns])
    lane, epoch = np.divmod(names, epochs)
    told, every = (_known_at(lane, epoch * epoch_ns, one) for one in (known.told, known.every))
    more, matter = np.isin(names, name[errors:]), np.isin(names, name[:errors][known.index])
    return _Calls(lane, epoch * epoch_ns, told, every, more, matter)


class _Audience:
    """Nodes that a policy is shown, one after the other."""

    def __init__(self, arm: _Arm, nodes: Ints, known: Known, *, thins: bool) -> None:
        """Prepare to show what is known of nodes; arguments as of ``_ask``."""
        self.known, self.diaries, self.node_id = known, arm.diaries, arm.block.node_id[nodes]
        self.address_map, self.function, repair = arm.world.address_map, arm.function, arm.policy.repair
        self.layout = _layout(self.address_map, hours_to_ns(arm.policy.errors.window_hours))
        self.name = arm.policy.own_policy.function
        self.lives_anew = not thins or repair.replace_ce > 0 or repair.replace_risky
        self.failed, self.failed_fault, self.failures = known.failures()
        self.boots, self.repairs, self.offlines = known.boots(), known.repairs(), known.offlines()
        self.cordons = known.cordons()

    def play(self, calls: _Calls) -> Ints:
        """Call the policy in each lane until it orders what needs a life anew; return the lanes in which it does."""
        begin = np.flatnonzero(np.diff(calls.lane, prepend=-1))
        end = np.append(begin[1:], calls.lane.size)[: begin.size]
        lanes = calls.lane[begin]
        first = np.searchsorted(self.known.told.lane, lanes)
        again = [
            lane
            for lane, start, a, b in zip(*(part.tolist() for part in (lanes, first, begin, end)), strict=True)
            if self._play(lane, start, take(calls, slice(a, b)))
        ]
        return np.asarray(again, np.int64)

    def _play(self, lane: int, first: int, calls: _Calls) -> bool:
        """Call the policy on one lane until it orders what needs a life anew; return whether it does.

        Args:
            lane: The lane.
            first: Its first error.
            calls: When it has news.
        """
        node = int(self.node_id[lane])
        diary = self.diaries.get(node) or _Diary()
        known, others, thinned = self.known, self._others(lane, first, diary), None
        new, done, left = 0, 0, [0]
        for call, (now_ns, end, every, more, matter) in enumerate(
            zip(*(part.tolist() for part in calls[1:]), strict=True)
        ):
            news = more or matter
            if thinned is not None:
                news = more
                if left[call]:
                    news, done = thinned.add(done, every) or more, every
            if not news:
                continue
            errors = known.told.errors[first:end] if thinned is None else thinned.errors
            if now_ns <= diary.asked_ns:
                _check_unchanged(diary, node, now_ns, len(errors))
                new = len(errors)
                continue
            shown = KnownNode(node, now_ns, self.layout, errors, new, others)
            found, new = self.function(shown), len(errors)
            if found is None or not len(found):
                continue
            of = known.index[first:end] if thinned is None else thinned.of
            asked = self._accept(diary, shown, found, of, lane)
            self.diaries[node] = diary
            if asked is None:
                return True
            thinned = thinned or Thinned(known, lane, of)
            told = thinned.take_offline(asked, now_ns, _last_boot(shown))
            if told is None:
                return True
            done, left = every, thinned.counts(calls.every)
            others = others._replace(offlines=_in_order(others.offlines, told), pages=thinned.pages)
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
            pages=lambda which: self.known.pages(int(self.known.index[first + which]), _NO_PAGES),
        )

    def _accept(self, diary: _Diary, shown: KnownNode, found: Sequence[Order], of: Ints, lane: int) -> Ints | None:
        """Check the orders of one call and write them down.

        Args:
            diary: Of the node; changed.
            shown: What the policy has been shown.
            found: What it returned.
            of: Positions of the errors in ``Known.every``.
            lane: The lane.

        Returns:
            Pages that are to go offline now, each once, if that is all that is ordered and no limits look at errors.

        Raises:
            PolicyError: One of them is none, or cannot be carried out.
        """
        rows: list[tuple[int, ...]] = []
        for order in found:
            wrong = complaint(order, shown)
            if wrong:
                raise PolicyError(self.name, shown.node_id, f"at {shown.now_ns} ns it returned {order!r}: {wrong}")
            time_ns = shown.now_ns if order.time_ns is None else int(order.time_ns)
            cause = self._cause(order, shown, of, lane)
            diary.orders.append((shown.now_ns, order))
            about = targets(order, self.address_map)
            rows += [(shown.node_id, time_ns, int(kind), target, *cause) for kind, target in about]
        diary.rows = each_once(diary.rows + rows)
        diary.asked_ns, diary.known = shown.now_ns, len(shown.errors)
        later = any(row[1] > shown.now_ns for row in diary.rows)  # what they find depends on what goes offline now
        simple = all(row[2] == OrderKind.OFFLINE for row in rows) and not (later or self.lives_anew)
        return np.asarray(list(dict.fromkeys(row[3] for row in rows)), np.int64) if simple else None

    def _cause(self, order: Order, shown: KnownNode, of: Ints, lane: int) -> tuple[int, int]:
        """Return the fault whose error led to an order, and the time of the error.

        It is the newest error that shows the page, the row or the DIMM, or the newest of all; if there are no corrected
        ones, the newest that a log shows.
        """
        faults, errors = self.known.store.faults.fault_id.astype(np.int64), shown.errors
        if len(errors):
            fits = np.flatnonzero(shows(order, errors))
            which = int(fits[-1]) if fits.size else len(errors) - 1
            return int(faults[self.known.every.fault[of[which]]]), int(errors["last_ns"][which])
        n = len(shown.failures)
        if not n:
            return -1, -1
        which = int(np.searchsorted(self.failed, lane)) + n - 1
        return int(faults[self.failed_fault[which]]), int(self.failures["time_ns"][which])


def _check_unchanged(diary: _Diary, node: int, now_ns: int, known: int) -> None:
    """Raise if a lane that was run again knows less or more at the time of the last order than it did then."""
    if now_ns == diary.asked_ns and known != diary.known:
        msg = f"node {node}: an order changed what was known before; please report this with the scenario"
        raise ModelError(msg)


def _in_order(offlines: RecordArray, more: RecordArray) -> RecordArray:
    """Put answers of the kernel (``OFFLINES``) in the order of time and page."""
    every = np.concatenate((offlines, more))
    return every[np.lexsort((every["pfn"], every["time_ns"]))]


def _last_boot(shown: KnownNode) -> int:
    """Return when a node has booted for the last time [ns], 0 if it has not."""
    boots = shown.boots
    return int(boots["up_ns"][-1]) if len(boots) else 0


def _known_at(lane: Ints, now_ns: Ints, told: ToldErrors) -> Ints:
    """Return how many errors, those of earlier lanes among them, are known to lanes at given times."""
    n, m = lane.size, told.lane.size
    is_call = np.repeat([True, False], [n, m])
    lane, time_ns = np.concatenate((lane, told.lane)), np.concatenate((now_ns, told.told_ns))
    order = np.lexsort((is_call, time_ns, lane))  # the errors of an epoch stand before the call at its end
    place = np.empty(n + m, np.int64)
    place[order] = np.arange(n + m)
    return place[:n] - np.arange(n)


def _layout(address_map: AddressMap, window_ns: int) -> Layout:
    """Return what the operating system knows of the memory of nodes."""
    dimm, slots = address_map.dimm, address_map.server.dimms
    return Layout(slots, dimm.ranks, dimm.devices, dimm.banks, dimm.rows, dimm.lines, address_map.pages, window_ns)
