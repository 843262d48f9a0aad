"""The hosts that are watched: which of a run, what each shows at a time, and when a fleet begins to live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import pyarrow.compute as pc

from analysis.dataset.run import Run
from analysis.hosts.changes import Change, HostCounter, changes
from analysis.hosts.counters import HostState
from analysis.hosts.kinds import HostKind, Hosts
from analysis.hosts.lives import UNSEEN, Life, lives
from analysis.living.clock import ClockTime
from analysis.living.compact import CompactChanges
from analysis.living.times import time_in_run
from analysis.living.totals import FleetTotals
from fleet.stored.views import start_us
from node_sim.columns import TABLES
from node_sim.errors import ConfigError
from node_sim.units import NS_PER_S

TARGETS_MAX: Final = 5000
"""Hosts that are served without being asked for by number."""
BEFORE_NS: Final = 600 * NS_PER_S
"""Time that is shown before the first event of a kind."""
FIRSTS: Final = {"first:ue": "uncorrected_errors", "first:panic": "panics", "first:kill": "kills"}
_UNCORRECTED: Final = ("machine_checks", "memory_failures", "signals", "io_errors", "lifecycle")


class LivingHost:
    """A host, which is asked what it shows time and again."""

    def __init__(self, node: int, name: str, kind: HostKind, its_changes: Sequence[Change]) -> None:
        """Start at the beginning of its time."""
        self.node = node
        self.name = name
        self.kind = kind
        self._changes = its_changes
        self._state = HostState(its_changes)
        self._seen = ClockTime(0, 0)

    def at(self, moment: ClockTime) -> HostState:
        """Return its state at a time; one that is before the last is reached from the beginning."""
        if moment.lap != self._seen.lap or moment.now_ns < self._seen.now_ns:
            self._state = HostState(self._changes)
        self._seen = moment
        self._state.advance(moment.now_ns)
        return self._state


class LivingFleet(NamedTuple):
    """Hosts of a run in one arm, and what befalls them.

    Attributes:
        arm: The arm.
        hosts: What hosts of the run are.
        served: Those that are watched, by number.
        totals: What befalls those.
        start_s: When the time of the run is 0 [s since 1970].
        horizon_ns: When it is over.
    """

    arm: str
    hosts: Hosts
    served: dict[int, LivingHost]
    totals: FleetTotals
    start_s: float
    horizon_ns: int


def check_targets(nodes: int, *, chosen: bool) -> None:
    """Check that no more hosts are served than somebody has asked for.

    Raises:
        ConfigError: There are many, and nobody has.
    """
    if nodes > TARGETS_MAX and not chosen:
        msg = (
            f"serve: {nodes:,} nodes, expected at most {TARGETS_MAX:,} targets unless you say how many; add --sample "
            "1000 (nodes with errors first) or --nodes 1000"
        )
        raise ConfigError(msg)


def chosen_nodes(run: Run, arm: str, nodes: int | None, sample: int | None) -> list[int]:
    """Return the nodes to serve, in order.

    Args:
        run: The run.
        arm: Arm.
        nodes: The first of the run only; None is all.
        sample: How many of them: first those with uncorrected errors, then those with others; None is all.

    Raises:
        ConfigError: The run has fewer, or too many.
    """
    there = int(run.plan["nodes"])
    check_targets(there, chosen=nodes is not None or sample is not None)
    for option, number, most in (("--nodes", nodes, there), ("--sample", sample, nodes or there)):
        if number is not None and number > most:
            msg = f"{option} {number:,}: there are {most:,} nodes, expected at most so many; ask for fewer"
            raise ConfigError(msg)
    first = range(there if nodes is None else nodes)
    if sample is None:
        return list(first)
    worst, others = _with_rows(run, arm, _UNCORRECTED), _with_rows(run, arm, set(TABLES) - {*UNSEEN})
    ranked = sorted(first, key=lambda node: (node not in worst, node not in others, node))
    return sorted(ranked[:sample])


def _with_rows(run: Run, arm: str, tables: Sequence[str] | set[str]) -> set[int]:
    """Return the nodes that have rows in some of some tables."""
    found: set[int] = set()
    for table in tables:
        found |= set(pc.unique(run.table(table, arm, ["node_id"])["node_id"]).to_pylist())
    return found


def living_fleet(
    run: Run, hosts: Hosts, arm: str, nodes: Sequence[int], tell: Callable[[int, Life], None] | None = None
) -> LivingFleet:
    """Read hosts of a run.

    Args:
        run: The run.
        hosts: What its hosts are in that arm.
        arm: The arm.
        nodes: Which.
        tell: Is told the life of each that has rows.
    """
    totals, known = FleetTotals(), dict[HostCounter, HostCounter]()
    served = {node: LivingHost(node, hosts.name(node), hosts.kind(node), ()) for node in nodes}
    for node, life in lives(run, arm, nodes):
        if tell is not None:
            tell(node, life)
        found = changes(life, hosts.kind(node), run.plan["seed"])
        totals.add(life, found)
        served[node] = LivingHost(node, hosts.name(node), hosts.kind(node), CompactChanges(found, known))
    totals.close()
    return LivingFleet(arm, hosts, served, totals, start_us(run.plan) / 1e6, run.horizon_ns)


def start_ns(fleet: LivingFleet, text: str | None) -> int:
    """Return when the clock of a fleet begins [ns since the start of the run].

    Args:
        fleet: The fleet.
        text: A key of ``FIRSTS``, a time (RFC 3339), or days since the start (``12d``); None is the start.

    Raises:
        ConfigError: It is none of these, no such thing happens, or it is not within the time of the run.
    """
    if text is None:
        return 0
    if text in FIRSTS:
        first_ns = fleet.totals.first_ns(FIRSTS[text])
        if first_ns is None:
            msg = f"--start {text}: there is none on the nodes served, expected one; serve more of them, or another run"
            raise ConfigError(msg)
        return max(0, first_ns - BEFORE_NS)
    return time_in_run("--start", text, fleet.start_s, fleet.horizon_ns, f"{', '.join(FIRSTS)}, ")
