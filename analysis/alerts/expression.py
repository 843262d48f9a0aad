"""What an alert rule looks at, as far as it decides when its answer can change: series, windows, offsets, clocks.

**Models.** Functions of a range that depend only on which samples of different value lie in it, so that between two
changes of what a window holds the answer stays as it is.

**Leaves out.** The value of an expression, which the engine computes. Rules of one host whose alerts name no host, or
that ask for the time of day.

**Assumes.** Text is as Prometheus writes it back: no comments, groupings before what is grouped. A clock is compared
with seconds since a boot that stand in the text as a number, as a chain of products and quotients (``7 * 24 * 3600``),
or as the product of two of these.

**Sources.** Prometheus 2.42, docs/querying (basics, functions, operators) and promql/parser.
"""

from __future__ import annotations

import re
from itertools import combinations_with_replacement
from math import prod
from typing import Final, NamedTuple

from node_sim.units import NS_PER_S

_STRING: Final = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`')
_MATCHERS: Final = re.compile(r"\{[^{}]*\}")
_RANGE: Final = re.compile(r"\[([0-9a-z]+)(:[0-9a-z]*)?\]")
_OFFSET: Final = re.compile(r"\boffset\s+(-?)([0-9a-z]+)")
_GROUPING: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")
_WORD: Final = re.compile(r"(?<![\w.:])[A-Za-z_:][\w:]*")
_NUMBER: Final = re.compile(r"(?<![\w.:])\d+(?:\.\d*)?(?:e[+-]?\d+)?(?![\w.:])")
_CHAIN: Final = re.compile(rf"{_NUMBER.pattern}(?:\s*[*/]\s*{_NUMBER.pattern})*")
_DURATION: Final = re.compile(r"(\d+)(ms|[smhdwy])")
_UNIT_NS: Final = {
    "ms": NS_PER_S // 1000,
    **{unit: s * NS_PER_S for unit, s in zip("smhdwy", (1, 60, 3600, 86_400, 604_800, 31_536_000), strict=True)},
}
_AGGREGATION: Final = re.compile(
    r"\b(?:sum|min|max|avg|count|group|stddev|stdvar|topk|bottomk|quantile|count_values)\s*"
    r"(?:(by|without)\s*\(([^()]*)\))?\s*\("
)
_AGGREGATORS: Final = frozenset(
    ("sum", "min", "max", "avg", "count", "group", "stddev", "stdvar", "topk", "bottomk", "quantile", "count_values")
)
_KEYWORDS: Final = frozenset(
    (
        "and",
        "or",
        "unless",
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "bool",
        "offset",
        "inf",
        "nan",
    )
)
OF_CHANGES: Final = frozenset(
    (
        *("increase", "rate", "delta", "changes", "resets"),
        *("max_over_time", "min_over_time", "last_over_time", "present_over_time"),
        *(
            "abs",
            "ceil",
            "floor",
            "round",
            "clamp",
            "clamp_max",
            "clamp_min",
            "sgn",
            "sqrt",
            "exp",
            "ln",
            "log2",
            "log10",
        ),
        *("label_replace", "label_join", "vector", "time", "sort", "sort_desc"),
    )
)
"""Functions whose value changes only when a sample of another value enters or leaves; all others weigh samples."""
_REFUSED: Final = {
    **dict.fromkeys(("absent", "absent_over_time", "scalar"), "names no instance"),
    **dict.fromkeys(
        ("timestamp", "minute", "hour", "day_of_month", "day_of_week", "day_of_year", "days_in_month", "month", "year"),
        "changes with the time of day",
    ),
}
CLOCK: Final = "node_time_seconds"
"""The series that changes with every sample."""


class Reach(NamedTuple):
    """What an expression looks at.

    Attributes:
        names: Series that it names; empty stands for all, if they are matched by an expression.
        windows_ns: Windows of range selectors [ns].
        offsets_ns: How far back it looks before them [ns]; 0 is one of them.
        clocks_ns: Times since a boot at which a clock may change the answer [ns].
        dense: Whether every sample of a window counts, so that all are needed.
        refused: Why the rule cannot be judged host by host; empty if it can.
    """

    names: frozenset[str]
    windows_ns: tuple[int, ...]
    offsets_ns: tuple[int, ...]
    clocks_ns: tuple[int, ...]
    dense: bool
    refused: str

    @property
    def longest_ns(self) -> int:
        """How far back it looks at most [ns]."""
        return sum(self.windows_ns) + sum(self.offsets_ns)


def duration_ns(text: str) -> int:
    """Return a duration of Prometheus, as ``1h30m`` [ns]."""
    return sum(int(number) * _UNIT_NS[unit] for number, unit in _DURATION.findall(text))


def reach_of(expression: str) -> Reach:
    """Return what an expression looks at.

    Args:
        expression: As Prometheus writes it back.
    """
    text = _STRING.sub('""', expression)
    every_name = "__name__" in text
    text = _MATCHERS.sub("", text)
    ranges = _RANGE.findall(text)
    offsets = _OFFSET.findall(text)
    plain = _GROUPING.sub(" ", _RANGE.sub(" ", _OFFSET.sub(" ", text)))
    functions, names = _words(plain)
    clock = "time" in functions or CLOCK in names
    windows = [duration_ns(window) for window, _ in ranges]
    windows += [duration_ns(step[1:]) for _, step in ranges if len(step) > 1]
    return Reach(
        names=frozenset() if every_name else frozenset(names),
        windows_ns=tuple(sorted(set(windows))),
        offsets_ns=tuple(sorted({0, *(duration_ns(one) for _, one in offsets)})),
        clocks_ns=_clocks(plain) if clock else (),
        dense=any(step for _, step in ranges) or not functions <= OF_CHANGES,
        refused=_refused(text, functions, offsets, clock=clock),
    )


def _words(plain: str) -> tuple[set[str], set[str]]:
    """Return the functions and the series of a text without strings, matchers, windows and groupings."""
    functions, names = set(), set()
    for found in _WORD.finditer(plain):
        word = found[0]
        if word.lower() in _KEYWORDS:
            continue
        if plain[found.end() :].lstrip().startswith("("):
            functions.add(word)
        elif word not in _AGGREGATORS:
            names.add(word)
    return functions - _AGGREGATORS, names


def _clocks(plain: str) -> tuple[int, ...]:
    """Return the times since a boot that numbers of the text may mean [ns]."""
    numbers = {1.0}
    for chain in _CHAIN.findall(plain):
        parts = [float(number) for number in _NUMBER.findall(chain)]
        signs = re.findall(r"[*/]", chain)
        # After a quotient's sign, as in "x / 3600 / 24", a chain divides by the product of all of its numbers.
        numbers |= {*parts, prod(parts), _quotient(parts, signs)}
    products = {a * b for a, b in combinations_with_replacement(sorted(numbers), 2)}
    return tuple(sorted({round(one * NS_PER_S) for one in products if one > 0.0 and one * NS_PER_S < 1 << 62}))


def _quotient(parts: list[float], signs: list[str]) -> float:
    """Return the value of a chain of products and quotients; 0 if it has none."""
    divisor = prod(part for part, sign in zip(parts[1:], signs, strict=True) if sign == "/")
    product = prod(part for part, sign in zip(parts, ("*", *signs), strict=True) if sign == "*")
    return product / divisor if divisor else 0.0


def _refused(text: str, functions: set[str], offsets: list[tuple[str, str]], *, clock: bool) -> str:
    """Say why a rule cannot be judged host by host."""
    for function in sorted(functions & _REFUSED.keys()):
        return f"{function}() {_REFUSED[function]}"
    for kind, labels in _AGGREGATION.findall(text):
        named = "instance" in {label.strip() for label in labels.split(",")}
        if not kind or named != (kind == "by"):
            return "it aggregates over instances"
    if clock and "%" in text:
        return "% of a clock changes with the time of day"
    if "@" in text:
        return "@ looks at a fixed time"
    return "a negative offset looks ahead" if any(sign for sign, _ in offsets) else ""
