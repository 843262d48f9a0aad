"""Settings as fields of frozen dataclasses: default, unit, sentence, range and origin, checked on construction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from node_sim.catalog.values import Assumed, Number, Published
from node_sim.errors import ConfigError
from node_sim.guesses import one_of

FORBID: dict[str, Any] = {"extra": "forbid"}
"""Read by the scenario decoder: unknown keys are mistakes."""
GROUPED_FROM = 10_000
"""Bounds from here on are written in groups of three digits."""
COUNT_MAX = 10_000_000
"""Limits of counts: as many as the log may hold."""


@dataclass(frozen=True)
class Setting:
    """What is known about one field of a configuration.

    Attributes:
        sentence: What the field means.
        unit: Unit, or ``-``.
        low: Smallest allowed value.
        high: Largest allowed value.
        choices: Allowed values, empty if any.
        number: The catalogue number the default is, if it is one.
        role: What a number is that is neither published nor assumed: a definition, a policy or a sysctl.
        advice: Adds to the complaint about a word that is not among the choices what comes near it.
        whose: Says of a choice whose rule it is, and nothing of one that is nobody's.
        least: Smallest value beside ``low``, where those in between mean the same and cannot be computed with.
    """

    sentence: str
    unit: str = "-"
    low: float | None = None
    high: float | None = None
    choices: tuple[str | int, ...] = ()
    number: Number | None = None
    role: str = "definition"
    advice: Callable[[str], str] | None = None
    whose: Callable[[str], str] | None = None
    least: float | None = None

    def complaint(self, value: object) -> str | None:
        """Say what is wrong with a value, or nothing."""
        if self.choices and value not in self.choices:
            advice = self.advice(value) if self.advice and isinstance(value, str) else ""
            return f"{value!r}, {one_of(value, self.choices, advice=advice)}"
        if isinstance(value, int | float) and not isinstance(value, bool):
            low_ok = self.low is None or value >= self.low
            gap = self.least is not None and value != self.low and value < self.least
            if gap or not (low_ok and (self.high is None or value <= self.high)):
                return f"{value!r}, expected {self.expectation()}"
        return None

    def expectation(self) -> str:
        """Describe the allowed range."""
        low, least, high = (_bound(end) for end in (self.low, self.least, self.high))
        if self.high is None:
            return f"a number >= {low}"
        if self.least is not None:
            return f"{low} or a number from {least} to {high}, as less is no more than {low}"
        return f"a number from {low} to {high}"


def _bound(end: float | None) -> str:
    """Write the end of a range; a whole number as one, whatever its size."""
    if end is None:
        return "none"
    return f"{int(end):,}" if abs(end) >= GROUPED_FROM and end == int(end) else f"{end:g}"


def setting(  # noqa: PLR0913, PLR0917 - each is a fact about the setting
    default: Any,
    sentence: str,
    unit: str = "-",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str | int, ...] = (),
    role: str = "definition",
    advice: Callable[[str], str] | None = None,
    whose: Callable[[str], str] | None = None,
    least: float | None = None,
) -> Any:
    """Declare a field whose default is a plain value or a catalogue number."""
    number = default if isinstance(default, Published | Assumed) else None
    value = default.value if isinstance(default, Published | Assumed) else default
    if number is not None and unit == "-":
        unit = number.unit
    known = Setting(sentence, unit, low, high, choices, number, role, advice, whose, least)
    return field(default=value, metadata={"setting": known})


def check_settings(config: Any) -> None:
    """Raise one ConfigError that lists every field of a dataclass that is out of its range."""
    problems = []
    for item in fields(config):
        known = item.metadata.get("setting")
        complaint = known.complaint(getattr(config, item.name)) if known else None
        if complaint:
            problems.append(f"{item.name} = {complaint}")
    if problems:
        raise ConfigError("; ".join(problems))


@dataclass(frozen=True)
class Checked:
    """Base of all configuration records."""

    __pydantic_config__ = FORBID

    def __post_init__(self) -> None:
        """Check the ranges of all fields."""
        check_settings(self)
