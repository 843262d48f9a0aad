"""Faults of a run against the law of their arrival: how many, of which kind, when, where, and how they grow.

**Models.** DIMMs that stood in their slots from the start, each watched until the last arm has taken it out: until then
all its faults are rows. What is counted is compared with what ``analysis/theory.py`` expects of that time.

**Leaves out.** DIMMs put in later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.checks.verdict import Finding, count, share, spread
from analysis.dataset.groups import GroupInfo
from analysis.dataset.run import Run
from analysis.theory import WIRES, DimmLaw, dimm_law, expected_growth, expected_hard, growth_shares
from node_sim.codes import LifecycleKind, Mode, Persistence
from node_sim.names import SLOTS_MAX, is_second_device, is_wider, parent_tag, slot_in_fleet
from node_sim.records import Flags, Floats, Ints, take
from node_sim.units import HOURS_PER_YEAR, NS_PER_YEAR

INTERVALS = 12
"""Parts of the time in which faults are counted."""
_TAG = (1 << 32) - 1
_COLUMNS = ("fault_id", "node_id", "time_ns", "dimm", "generation", "mode", "persistence", "n_dq", "n_beats")


class BornFaults(NamedTuple):
    """Faults of the first DIMMs, one element each; ``place`` names node and slot."""

    place: Ints
    slot: Ints
    tag: Ints
    years: Floats
    mode: Ints
    hard: Flags
    resting: Flags
    n_dq: Ints
    n_beats: Ints

    def take(self, which: Flags | Ints) -> BornFaults:
        """Select some."""
        return take(self, which)


class FirstDimms(NamedTuple):
    """First DIMMs of a group.

    Attributes:
        dimms: How many.
        horizon: Simulated time [years].
        place: Those that were taken out in all arms, ascending.
        until: When the last arm did [years].
    """

    dimms: int
    horizon: float
    place: Ints
    until: Floats

    def end_of(self, place: Ints) -> Floats:
        """Return until when DIMMs are watched [years]."""
        if not self.place.size:
            return np.full(place.shape, self.horizon)
        at = np.minimum(np.searchsorted(self.place, place), self.place.size - 1)
        return np.where(self.place[at] == place, self.until[at], self.horizon)

    def years_in(self, begin: float, end: float) -> float:
        """Return the DIMM-years between two times."""
        cut = np.clip(self.until, begin, end) - begin
        return (self.dimms - self.place.size) * (end - begin) + float(cut.sum())


def fault_checks(run: Run, hardware: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Check the faults of each group.

    Args:
        run: The run.
        hardware: Settings of each group's servers and faults, with all defaults filled in.
    """
    table = run.table("faults", columns=_COLUMNS)
    removed = _removed(run)
    horizon = run.horizon_ns / NS_PER_YEAR
    for group, settings in zip(run.groups, hardware, strict=True):
        if not group.nodes:
            continue
        node = table.column("node_id")
        mine = pc.and_(pc.greater_equal(node, group.first_node), pc.less(node, group.first_node + group.nodes))
        watched = _watched(group, settings["server"], removed, horizon)
        yield from _of_group(group, settings, _rows(table.filter(mine)), watched)


def _rows(table: pa.Table) -> BornFaults:
    def ints(name: str) -> Ints:
        found: Ints = table.column(name).fill_null(0).to_numpy().astype(np.int64)
        return found

    def codes(name: str, kind: type[Mode | Persistence]) -> Ints:
        known = list(kind)
        place = pc.index_in(table.column(name).cast(pa.string()), pa.array([code.text for code in known]))
        found: Ints = np.asarray([int(code) for code in known], np.int64)[place.to_numpy()]
        return found

    first = ints("generation") == 0
    stays = codes("persistence", Persistence)
    found = BornFaults(
        place=slot_in_fleet(ints("node_id"), ints("dimm")),
        slot=ints("dimm"),
        tag=(table.column("fault_id").to_numpy() & np.uint64(_TAG)).astype(np.int64),
        years=ints("time_ns") / NS_PER_YEAR,
        mode=codes("mode", Mode),
        hard=stays != Persistence.SOFT,
        resting=stays == Persistence.INTERMITTENT,
        n_dq=ints("n_dq"),
        n_beats=ints("n_beats"),
    ).take(first)
    return found.take(np.lexsort((found.years, found.place)))


def _removed(run: Run) -> tuple[Ints, Ints]:
    """Return the places whose first DIMM was taken out in all arms, ascending, and when the last did [ns]."""
    places, times = [], []
    for arm in run.arms:
        table = run.table("lifecycle", arm, columns=["node_id", "dimm", "kind", "time_ns", "end_ns"])
        out = pc.equal(table.column("kind"), LifecycleKind.MAP_OUT.text)
        some = table.filter(pc.or_(out, pc.equal(table.column("kind"), LifecycleKind.DIMM_REPLACEMENT.text)))
        time_ns = pc.if_else(
            pc.equal(some.column("kind"), LifecycleKind.MAP_OUT.text), some.column("time_ns"), some.column("end_ns")
        )
        node, slot = (some.column(name).to_numpy().astype(np.int64) for name in ("node_id", "dimm"))
        place, when = slot_in_fleet(node, slot), np.asarray(time_ns).astype(np.int64)
        order = np.lexsort((when, place))
        once, first = np.unique(place[order], return_index=True)
        places.append(once)
        times.append(when[order][first])
    place, in_arms = np.unique(np.concatenate(places), return_counts=True)
    place = place[in_arms == len(run.arms)]
    last = np.stack([when[np.searchsorted(once, place)] for once, when in zip(places, times, strict=True)])
    return place, np.asarray(last.max(axis=0, initial=0), np.int64)


def _watched(group: GroupInfo, server: Mapping[str, Any], removed: tuple[Ints, Ints], horizon: float) -> FirstDimms:
    slots = server["sockets"] * server["channels"] * server["dimms_per_channel"]
    place, until_ns = removed
    begin, end = slot_in_fleet(np.asarray([group.first_node, group.first_node + group.nodes]), np.zeros(2, np.int64))
    mine = (place >= begin) & (place < end)
    return FirstDimms(group.nodes * slots, horizon, place[mine], np.minimum(until_ns[mine] / NS_PER_YEAR, horizon))


def _of_group(
    group: GroupInfo, settings: Mapping[str, Any], rows: BornFaults, watched: FirstDimms
) -> Iterator[Finding]:
    law = dimm_law(settings["server"], settings["faults"], watched.horizon)
    grown = is_wider(rows.tag) | is_second_device(rows.tag)
    born = rows.take(~grown)
    soft, hard = born.take(~born.hard), born.take(born.hard)
    expected, with_any = _hard_expected(law, hard, watched)
    slots = watched.dimms // group.nodes
    age_variance = group.nodes * (slots * law.age_spread) ** 2
    years = watched.years_in(0.0, watched.horizon)
    yield from _by_mode(group.name, law, (soft, hard), years, (expected, age_variance))
    yield count(
        f"{group.name}: DIMMs with hard faults", with_any, int(np.unique(hard.place).size), with_any + age_variance
    )
    yield from _where_and_when(group.name, law, soft, watched, slots)
    yield from _soft_share(group.name, law, (soft, hard), years, expected)
    resting = share(
        f"{group.name}: share of intermittent among hard faults",
        settings["faults"]["intermittent_share"],
        int(hard.resting.sum()),
        hard.place.size,
    )
    if resting is not None:
        yield resting
    yield from _growth(group.name, settings["faults"]["growth"], rows, watched)


def _hard_expected(law: DimmLaw, hard: BornFaults, watched: FirstDimms) -> tuple[float, float]:
    """Return how many hard faults were to be expected, and how many first ones."""
    _, first, faults = np.unique(hard.place, return_index=True, return_counts=True)
    ordinal = np.arange(hard.place.size) - np.repeat(first, faults)
    begin = np.where(ordinal == 0, 0.0, np.roll(hard.years, 1))
    between = expected_hard(law, begin, hard.years, ordinal)
    last = first + faults - 1
    after = expected_hard(law, hard.years[last], np.maximum(watched.end_of(hard.place[last]), hard.years[last]), faults)
    idle = watched.until[~np.isin(watched.place, hard.place)]
    others = watched.dimms - first.size - idle.size
    end = np.append(idle, watched.horizon)
    never = expected_hard(law, np.zeros(end.size), end, np.zeros(end.size, np.int64))
    without = float(never[:-1].sum()) + others * float(never[-1])
    return float(between.sum() + after.sum()) + without, float(between[ordinal == 0].sum()) + without


def _by_mode(
    name: str, law: DimmLaw, born: tuple[BornFaults, BornFaults], years: float, hard: tuple[float, float]
) -> Iterator[Finding]:
    """Check the faults of each mode; DIMMs differ in all modes alike, so each has its share of what is hard."""
    expected, age_variance = hard
    total = sum(law.hard.values())
    for mode in Mode:
        for kind, rates, rows in (("soft", law.soft, born[0]), ("hard", law.hard, born[1])):
            rate, seen = rates.get(mode, 0.0), int((rows.mode == mode).sum())
            part = rate / total if total else 0.0
            wanted = rate * years if kind == "soft" else part * expected
            if wanted or seen:
                variance = wanted if kind == "soft" else wanted + part**2 * age_variance
                yield count(f"{name}: {kind} faults, {mode.text}", wanted, seen, variance)


def _where_and_when(name: str, law: DimmLaw, soft: BornFaults, watched: FirstDimms, slots: int) -> Iterator[Finding]:
    """Check that soft faults come at any time and in any slot alike."""
    rate = sum(law.soft.values())
    edges = np.linspace(0.0, watched.horizon, INTERVALS + 1)
    expected = np.asarray([rate * watched.years_in(*pair) for pair in pairwise(edges)])
    when = spread(f"{name}: times of soft faults", expected, np.histogram(soft.years, edges)[0].astype(float))
    lost = np.zeros(slots)
    np.add.at(lost, watched.place % SLOTS_MAX, watched.horizon - watched.until)
    by_slot = rate * (watched.dimms / slots * watched.horizon - lost)
    where = spread(f"{name}: slots of soft faults", by_slot, np.bincount(soft.slot, minlength=slots).astype(float))
    yield from (one for one in (when, where) if one is not None)


def _soft_share(
    name: str, law: DimmLaw, born: tuple[BornFaults, BornFaults], years: float, expected_hard_faults: float
) -> Iterator[Finding]:
    """Check the share of soft faults among those of cells, which rises with the flux of neutrons."""
    total = sum(law.hard.values())
    soft = sum(rate for mode, rate in law.soft.items() if mode not in WIRES) * years
    hard = sum(rate for mode, rate in law.hard.items() if mode not in WIRES)
    hard *= expected_hard_faults / total if total else 0.0
    seen = [int((~np.isin(rows.mode, [int(mode) for mode in WIRES])).sum()) for rows in born]
    if law.age_spread == 0.0 and soft + hard > 0.0:
        found = share(f"{name}: share of soft among faults of cells", soft / (soft + hard), seen[0], sum(seen))
        if found is not None:
            yield found


def _growth(name: str, growth: Mapping[str, Any], rows: BornFaults, watched: FirstDimms) -> Iterator[Finding]:
    """Check how many faults of cells have widened, and how many have reached a second device."""
    started = ~is_wider(rows.tag) & ~is_second_device(rows.tag)
    parents = rows.take(started & rows.hard & ~np.isin(rows.mode, [int(mode) for mode in WIRES]))
    shares = growth_shares(growth, parents.n_dq, parents.n_beats)
    second = np.full(parents.place.size, growth["factor"] * growth["second_device"])
    if not parents.place.size:
        return
    key = (parents.place << 32) | parents.tag
    order = np.argsort(key)
    for what, chance, marked in (
        ("widen", shares, is_wider(rows.tag)),
        ("reach a second device", second, is_second_device(rows.tag)),
    ):
        late = rows.take(marked)
        at = (
            order[np.searchsorted(key[order], (late.place << 32) | parent_tag(late.tag))]
            if late.place.size
            else late.place
        )
        end = np.maximum(watched.end_of(parents.place), parents.years)
        end[at] = late.years
        hours = HOURS_PER_YEAR * np.asarray([growth["hours_low"] / HOURS_PER_YEAR, growth["years_high"]])
        watched_h = HOURS_PER_YEAR * (end - parents.years)
        expected = float(expected_growth(chance, float(hours[0]), float(hours[1]), watched_h).sum())
        yield count(f"{name}: hard faults that {what}", expected, late.place.size)
