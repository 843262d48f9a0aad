"""Arms of one run against arms of another: node by node where the faults are the same, else as two samples.

**Models.** Runs of the same faults (seed, nodes, years, hardware and faults of every group) are as good as arms of one
run: their rows are counted again by node and paired. Of other runs only the rates can be compared; both are independent
estimates, so the interval of their difference and ratio follows from those of the two rates.

**Leaves out.** Whether two runs have the same faults: that follows from their scenarios, which only ``fleet`` decodes.

**Sources.** ``intervals.apart_interval`` and ``quotient_interval``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from analysis.comparison.effects import HEAVY_APART, Effect
from analysis.dataset.run import Run
from analysis.estimators.intervals import apart_interval, quotient_interval
from analysis.estimators.rates import PER_NODE_YEARS, UNDEFINED, Estimate, Sums, ends_of, rate
from fleet.stored.counting import tally_pair
from fleet.stored.headline import EXPOSURE, INDEX, REGISTRY
from fleet.stored.manifest import COMMON_ARM, Receipt
from fleet.stored.plan import Shard, groups_in
from fleet.stored.tally import Tally

Pair = tuple[str, str]
"""An arm of the second run, and the arm of the first that it is compared with."""


def pairs_of_arms(base: Run, run: Run, baseline: str | None = None) -> tuple[Pair, ...]:
    """Return which arm of a run is compared with which of another.

    Arms of one name are compared with each other; if a baseline is named, or no name is in both, each is compared with
    that one arm, by default the first.

    Raises:
        ConfigError: The first run has no such arm.
    """
    if baseline is not None:
        base.check_arm(baseline)
    common = [(arm, arm) for arm in run.arms if arm in base.arms] if baseline is None else []
    return tuple(common) or tuple((arm, baseline or base.arms[0]) for arm in run.arms)


def tally_of_pair(base: Run, run: Run, pair: Pair) -> Tally:
    """Count two arms, of two runs of the same faults, as two of one run; that of the first is the baseline."""
    arm, base_arm = pair
    total = Tally.zero(2, len(base.groups))
    for receipt in base.receipts:
        views = (_view(base, base_arm, [receipt], receipt.shard), _view(run, arm, run.receipts, receipt.shard))
        inside = groups_in(receipt.shard, base.groups)
        total += tally_pair(*views, inside, [group.dimm_bytes for group in base.groups], base.horizon_ns)
    return total


def _view(run: Run, arm: str, receipts: Sequence[Receipt], nodes: Shard) -> dict[str, pa.Table]:
    """Read the rows of some nodes in one arm, from those of some receipts that hold any of them."""
    end = nodes.first_node + nodes.nodes
    found: dict[str, list[pa.Table]] = {}
    for receipt in receipts:
        first, last = receipt.shard.first_node, receipt.shard.first_node + receipt.shard.nodes
        if last <= nodes.first_node or first >= end:
            continue
        for part in receipt.parts:
            if part.arm in (COMMON_ARM, arm):
                rows = run.read_part(part)
                if first < nodes.first_node or last > end:
                    node = rows.column("node_id")
                    rows = rows.filter(pc.and_(pc.greater_equal(node, nodes.first_node), pc.less(node, end)))
                found.setdefault(part.table, []).append(rows)
    return {name: pa.concat_tables(tables) for name, tables in found.items()}


def tallies_of_pairs(base: Run, run: Run, pairs: Sequence[Pair]) -> Iterator[tuple[Pair, Tally]]:
    """Yield each pair of arms with its tally."""
    for pair in pairs:
        yield pair, tally_of_pair(base, run, pair)


def unpaired_effects(base: Run, run: Run, pair: Pair, group: str | None = None) -> dict[str, Effect]:
    """Compare the rates of two arms of runs whose nodes have nothing to do with each other, in every metric.

    Args:
        base: The run of the baseline.
        run: The other.
        pair: Their arms.
        group: Of which the rates are, in both; None is all.
    """
    sums = _sums(run, pair[0], group), _sums(base, pair[1], group)
    return {metric.key: _unpaired(*sums, metric.key) for metric in REGISTRY}


def _sums(run: Run, arm: str, group: str | None) -> Sums:
    names = [one.name for one in run.groups]
    which = None if group is None else [names.index(group)]
    return Sums.of(run.tally, run.check_arm(arm), which, ends_of(one.processes for one in run.groups))


def _unpaired(sums: Sums, base: Sums, metric: str) -> Effect:
    if metric == EXPOSURE:
        up, up_base = (PER_NODE_YEARS * float(one.total[INDEX[EXPOSURE]]) / max(1, one.nodes) for one in (sums, base))
        times = Estimate(up / up_base, None, None) if up_base > 0.0 else UNDEFINED
        return Effect(Estimate(up - up_base, None, None), times, None)
    here, there = rate(sums, metric), rate(base, metric)
    if here.value is None or there.value is None:
        return Effect(UNDEFINED, UNDEFINED, None)
    difference = here.value - there.value
    quotient = here.value / there.value if there.value > 0.0 else None
    limits = (here.value, here.low, here.high), (there.value, there.low, there.high)
    known = [(value, low, high) for value, low, high in limits if low is not None and high is not None]
    if len(known) < len(limits) or metric in HEAVY_APART:
        ratio = UNDEFINED if quotient is None else Estimate(quotient, None, None)
        return Effect(Estimate(difference, None, None), ratio, None)
    one, other = known
    ratio = UNDEFINED if quotient is None else Estimate(quotient, *quotient_interval(one, other))
    return Effect(Estimate(difference, *apart_interval(one, other)), ratio, None)
