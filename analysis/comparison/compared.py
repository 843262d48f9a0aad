"""What one comparison is about: arms, each with its baseline, and their effects, also within groups or by cause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import pyarrow as pa

from analysis.comparison.breakdown import BY, BY_ROWS, Leveled, effects_by_group, effects_on_losses, losses_by
from analysis.comparison.effects import Effect, effects_of, unit_of
from analysis.comparison.recount import tally_against
from analysis.comparison.two_runs import pairs_of_arms, tally_of_pair, unpaired_effects
from analysis.dataset.run import Run
from analysis.estimators.rates import Estimate, Sums, ends_of
from fleet.stored.headline import BY_KEY
from fleet.stored.tally import Tally
from node_sim.errors import ConfigError
from node_sim.guesses import one_of

ALL: Final = "all"
"""Level of an effect as a whole."""


class InTally(NamedTuple):
    """A tally in which an arm has a position, and its baseline is the first."""

    tally: Tally
    position: int


class Line(NamedTuple):
    """One effect."""

    arm: str
    base: str
    level: str
    metric: str
    effect: Effect


@dataclass(frozen=True)
class Comparison:
    """Arms of a run, each against an arm of the same run or of another.

    Attributes:
        base_run: The run of the baselines.
        run: The run of the arms.
        pairs: Each arm with its baseline.
        counted: What is known of each arm; nothing where nodes cannot be paired.
        apart: In what two runs differ so that they cannot.
    """

    base_run: Run
    run: Run
    pairs: dict[str, str]
    counted: dict[str, InTally]
    apart: tuple[str, ...] = ()

    @property
    def of_one_run(self) -> bool:
        """Whether arms and baselines are of one run."""
        return self.base_run is self.run

    @property
    def groups(self) -> tuple[str, ...]:
        """Node groups; of runs that cannot be paired, those that both have."""
        other = {group.name for group in self.run.groups}
        names = (group.name for group in self.base_run.groups)
        return tuple(name for name in names if self.counted or name in other)

    def effects(self, arm: str, group: str | None = None) -> dict[str, Effect]:
        """Return the effect of an arm on each metric, in all nodes or within a group."""
        if arm not in self.counted:
            return unpaired_effects(self.base_run, self.run, (arm, self.pairs[arm]), group)
        which = None if group is None else [[one.name for one in self.base_run.groups].index(group)]
        return effects_of(self._sums(arm, which))

    def _sums(self, arm: str, which: list[int] | None = None) -> Sums:
        ends = ends_of(group.processes for run in (self.base_run, self.run) for group in run.groups)
        return Sums.of(*self.counted[arm], which, ends)

    def by(self, by: str, arm: str) -> Leveled:
        """Return the effects of an arm by one of ``BY``.

        Raises:
            ConfigError: It takes nodes that are paired.
        """
        if arm not in self.counted:
            if by != "group":
                msg = (
                    f"--by {by}: the runs have other faults, expected runs whose nodes can be paired; use '--by group'"
                )
                raise ConfigError(msg)
            return {name: self.effects(arm, name) for name in self.groups}
        if by == "group":
            return effects_by_group(*self.counted[arm], self.base_run.groups)
        lost, base = losses_by(self.run, arm, by), losses_by(self.base_run, self.pairs[arm], by)
        return effects_on_losses(lost, base, self._sums(arm))

    def lines(self, metrics: Sequence[str], by: str | None = None) -> Iterator[Line]:
        """Yield the effects of all arms on some metrics, as a whole or at each level."""
        for arm, base in self.pairs.items():
            levels = {ALL: self.effects(arm)} if by is None else self.by(by, arm)
            for level, effects in levels.items():
                for metric in metrics:
                    if metric in effects:
                        yield Line(arm, base, level, metric, effects[metric])

    def figure(self, metric: str, arm: str, group: str | None) -> Estimate:
        """Return the difference of an arm, or its ratio (``METRIC_ratio``), for gates."""
        found = self.effects(arm, group)
        if metric in found:
            return found[metric].difference
        return found[metric.removesuffix("_ratio")].ratio


def compare_arms(run: Run, baseline: str | None = None) -> Comparison:
    """Compare every arm of a run with one of them, by default the first.

    Raises:
        ConfigError: The run has no such arm.
    """
    base = baseline or run.arms[0]
    tally, order = tally_against(run, base)
    counted = {arm: InTally(tally, order.index(arm)) for arm in order[1:]}
    return Comparison(run, run, dict.fromkeys(counted, base), counted)


def compare_runs(base: Run, run: Run, apart: tuple[str, ...] = (), baseline: str | None = None) -> Comparison:
    """Compare the arms of a run with those of another (``two_runs.pairs_of_arms``).

    Args:
        base: The run of the baselines.
        run: The other.
        apart: In what their faults differ (``fleet.scenario.same_faults``); if in nothing, nodes are paired.
        baseline: Arm of the first run to compare with.

    Raises:
        ConfigError: The first run has no such arm.
    """
    pairs = pairs_of_arms(base, run, baseline)
    counted = {pair[0]: InTally(tally_of_pair(base, run, pair), 1) for pair in pairs if not apart}
    return Comparison(base, run, dict(pairs), counted, apart)


def check_metrics(names: Sequence[str], by: str | None = None) -> tuple[str, ...]:
    """Return metrics by name, each once.

    Raises:
        ConfigError: There is none of a name, or it is not counted by what is asked for; or effects are not given by it.
    """
    known = BY_KEY if by in {None, "group"} else dict.fromkeys(BY_ROWS)
    wrong = [f"--by {by}: {one_of(by, BY)}"] if by is not None and by not in BY else []
    wrong += [f"--metric {name}: {one_of(name, known)}" for name in names if name not in known]
    if wrong:
        raise ConfigError("\n".join(wrong))
    return tuple(dict.fromkeys(names))


def effects_table(lines: Sequence[Line], by: str = "") -> pa.Table:
    """Return effects as a tidy table, one row each; intervals are of 95 %."""
    ends = ("value", "low", "high")
    columns: dict[str, list[object]] = {
        "arm": [line.arm for line in lines],
        "baseline": [line.base for line in lines],
        "by": [by or ALL for _ in lines],
        "level": [line.level for line in lines],
        "metric": [line.metric for line in lines],
        "unit": [unit_of(line.metric) for line in lines],
    }
    for name in ("difference", "ratio"):
        for end in ends:
            column = name if end == "value" else f"{name}_{end}"
            columns[column] = [getattr(getattr(line.effect, name), end) for line in lines]
    columns["nodes_differing"] = [line.effect.differing for line in lines]
    text, number = pa.string(), pa.float64()
    types = [text] * 6 + [number] * 6 + [pa.int64()]
    return pa.table({name: pa.array(values, kind) for (name, values), kind in zip(columns.items(), types, strict=True)})
