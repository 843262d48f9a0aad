"""Gates for batch pipelines: conditions on the figures of a run, or on its effects, that make a command fail.

``[lower:|upper:]METRIC[{arm="a",group="g"}] OP NUMBER``. A gate fails where its condition holds. ``lower:`` and
``upper:`` take the ends of the 95 % interval. Without an arm it is judged in every arm, each with a verdict of its own;
without a group, for the fleet as a whole.

**Assumes.** What is undefined (no events to take a share of; an interval of one node) is not known to be within the
limit, so the gate fails, and says so.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from analysis.comparison.effects import HEAVY_APART, unit_of
from analysis.dataset.run import Run
from analysis.estimators.rates import (
    HEAVY,
    UNDEFINED,
    Estimate,
    Sums,
    ends_of,
    rate,
    recovery_ratio,
    survival_ratio,
)
from fleet.stored.headline import EXPOSURE, INDEX, REGISTRY
from node_sim.errors import ConfigError
from node_sim.guesses import one_of

OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
ENDS: Final = ("value", "lower", "upper")
_EXPRESSION: Final = re.compile(
    r"\s*(?:(?P<end>\w+)\s*:)?\s*(?P<metric>\w+)\s*(?:\{(?P<labels>[^{}]*)\})?\s*(?P<op>[<>=!]+)\s*(?P<limit>\S+)\s*"
)
_LABEL: Final = re.compile(r"""\s*(\w+)\s*=\s*("[^"]*"|'[^']*')\s*""")
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_GRAMMAR: Final = 'expected [lower:|upper:]METRIC[{arm="a",group="g"}] OP NUMBER, as in \'upper:kills > 10\''
_RATIOS: Final = {"recovery_ratio": recovery_ratio, "survival_ratio": survival_ratio}


class Vocabulary(NamedTuple):
    """What gates on a run can be about.

    Attributes:
        units: Unit of each metric.
        without_interval: Metrics that have none.
        arms: Arms.
        groups: Node groups.
    """

    units: Mapping[str, str]
    without_interval: frozenset[str]
    arms: tuple[str, ...]
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Gate:
    """A condition under which a command fails; ``arm`` None is any, ``group`` None is all together."""

    expression: str
    end: str
    metric: str
    arm: str | None
    group: str | None
    operator: str
    limit: float


@dataclass(frozen=True)
class Verdict:
    """What came of a gate in one arm; ``value`` is None where it is undefined."""

    gate: Gate
    arm: str
    unit: str
    value: float | None

    @property
    def passed(self) -> bool:
        """Whether the value is known, and the condition does not hold."""
        return self.value is not None and not OPERATORS[self.gate.operator](self.value, self.gate.limit)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "expression": self.gate.expression,
            "arm": self.arm,
            "group": self.gate.group,
            "value": self.value,
            "limit": self.gate.limit,
            "unit": self.unit,
            "passed": self.passed,
        }

    def line(self) -> str:
        """Say it in a line."""
        where = self.arm if self.gate.group is None else f"{self.arm}, group {self.gate.group}"
        value = "undefined" if self.value is None else f"{self.value:.6g} {self.unit}".rstrip()
        return f"gate {'passed' if self.passed else 'FAILED'}: {self.gate.expression}: {value} in {where}"


FigureOf = Callable[[str, str, "str | None"], Estimate]
"""Returns the estimate of a metric in an arm and a group (None: all)."""


def vocabulary_of_rates(arms: Iterable[str], groups: Iterable[str]) -> Vocabulary:
    """Return what gates on a summary can be about: the figures of its table, and the other rates of its document."""
    rates = {metric.key: unit_of(metric.key) for metric in REGISTRY if metric.unit == "1"}
    byte_years = {metric.key: "byte-years per node-year" for metric in REGISTRY if metric.unit == "byte-year"}
    units = {**rates, **byte_years, **dict.fromkeys(_RATIOS, "%"), EXPOSURE: "node-years"}
    return Vocabulary(units, frozenset((*HEAVY, *byte_years, EXPOSURE)), tuple(arms), tuple(groups))


def vocabulary_of_effects(arms: Iterable[str], groups: Iterable[str]) -> Vocabulary:
    """Return what gates on a comparison can be about: METRIC is the difference, METRIC_ratio the ratio."""
    units = {metric.key: unit_of(metric.key) for metric in REGISTRY}
    ratios = {f"{key}_ratio": "times the baseline" for key in units}
    none = (*HEAVY_APART, *(f"{key}_ratio" for key in HEAVY_APART))
    return Vocabulary({**units, **ratios}, frozenset(none), tuple(arms), tuple(groups))


def parse_gates(expressions: Sequence[str], known: Vocabulary) -> tuple[Gate, ...]:
    """Read gates.

    Raises:
        ConfigError: Some are none, or about what there is not; all mistakes at once.
    """
    read = [_parse(expression) for expression in expressions]
    problems = [
        f"--fail-if {expression!r}: {wrong}"
        for expression, (gate, wrongs) in zip(expressions, read, strict=True)
        for wrong in (*wrongs, *(_unknown(gate, known) if gate else ()))
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    return tuple(gate for gate, _ in read if gate)


def _parse(expression: str) -> tuple[Gate | None, list[str]]:
    """Return a gate, and what is wrong with how it is written."""
    found = _EXPRESSION.fullmatch(expression)
    if found is None:
        return None, [_GRAMMAR]
    labels, problems = _labels(found["labels"])
    end = found["end"] or "value"
    if end not in ENDS[1:] and found["end"]:
        problems.append(f"{end}:, {one_of(end, ENDS[1:])}")
    if found["op"] not in OPERATORS:
        problems.append(f"operator {found['op']}, {one_of(None, OPERATORS)}")
    limit = float(found["limit"]) if _NUMBER.fullmatch(found["limit"]) else math.nan
    if not math.isfinite(limit):
        problems.append(f"limit {found['limit']}, expected a number")
    gate = Gate(expression.strip(), end, found["metric"], labels.get("arm"), labels.get("group"), found["op"], limit)
    return gate, problems


def _labels(text: str | None) -> tuple[dict[str, str], list[str]]:
    """Read what stands between the braces; return labels, and what is wrong with them."""
    labels: dict[str, str] = {}
    problems = []
    for part in text.split(",") if text and text.strip() else ():
        found = _LABEL.fullmatch(part)
        if found is None:
            problems.append(f'{part.strip() or "nothing"} in braces, expected NAME="VALUE"')
        elif found[1] not in ("arm", "group"):
            problems.append(f"label {found[1]}, {one_of(found[1], ('arm', 'group'))}")
        elif found[1] in labels:
            problems.append(f"label {found[1]}, given twice, expected once")
        else:
            labels[found[1]] = found[2][1:-1]
    return labels, problems


def _unknown(gate: Gate, known: Vocabulary) -> Iterator[str]:
    """Say what a gate is about that is not there."""
    if gate.metric not in known.units:
        yield f"metric {gate.metric}, {one_of(gate.metric, known.units)}"
    elif gate.end != "value" and gate.metric in known.without_interval:
        yield f"{gate.end}:{gate.metric}, which has no interval, expected the value alone; leave '{gate.end}:' out"
    if gate.arm is not None and gate.arm not in known.arms:
        yield f"arm {gate.arm}, {one_of(gate.arm, known.arms)}"
    if gate.group is not None and gate.group not in known.groups:
        yield f"group {gate.group}, {one_of(gate.group, known.groups)}"


def judge(gates: Iterable[Gate], known: Vocabulary, figure: FigureOf) -> list[Verdict]:
    """Judge gates by figures, each in the arm that it names or in every one."""
    found = []
    for gate in gates:
        for arm in known.arms if gate.arm is None else (gate.arm,):
            one = figure(gate.metric, arm, gate.group)
            value = {"value": one.value, "lower": one.low, "upper": one.high}[gate.end]
            found.append(Verdict(gate, arm, known.units[gate.metric], value))
    return found


def evaluate(run: Run, expressions: Sequence[str]) -> list[Verdict]:
    """Judge gates on the figures of a run's summary.

    Raises:
        ConfigError: Some are none, or about what the run has not.
    """
    known = vocabulary_of_rates(run.arms, (group.name for group in run.groups))
    return judge(parse_gates(expressions, known), known, lambda *what: figure_of_run(run, *what))


def figure_of_run(run: Run, metric: str, arm: str, group: str | None) -> Estimate:
    """Return a figure of a summary: a rate, a ratio, or an amount over time."""
    which = None if group is None else [[one.name for one in run.groups].index(group)]
    sums = Sums.of(run.tally, run.check_arm(arm), which, ends_of(one.processes for one in run.groups))
    exposure = float(sums.total[INDEX[EXPOSURE]])
    if metric == EXPOSURE:
        return Estimate(exposure, None, None)
    if metric in _RATIOS:
        return _in_percent(_RATIOS[metric](sums))
    if unit_of(metric).startswith("byte"):
        return Estimate(float(sums.total[INDEX[metric]]) / exposure, None, None) if exposure > 0.0 else UNDEFINED
    return rate(sums, metric)


def _in_percent(share: Estimate) -> Estimate:
    """Return a share as the table of a summary has it."""
    return Estimate(*(None if one is None else 100.0 * one for one in (share.value, share.low, share.high)))
