"""Sweeps: runs whose arms are all combinations of the values of one or two settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from analysis.dataset.run import Run


class SweptKey(NamedTuple):
    """A setting that arms differ in.

    Attributes:
        key: The setting.
        values: Its values in the order of the arms.
    """

    key: str
    values: tuple[Any, ...]

    @property
    def texts(self) -> list[str]:
        """Values as text."""
        return [str(value) for value in self.values]


def _settings(document: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings of an arm, written with dots."""
    if isinstance(document, Mapping) and document:
        for key, value in document.items():
            yield from _settings(value, f"{above}.{key}" if above else str(key))
    else:
        yield above, document


def _section(document: Any, key: str) -> Mapping[str, Any]:
    """Return a section of a document; nothing where there is none."""
    found = document.get(key) if isinstance(document, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def settings_of_arms(run: Run) -> dict[str, dict[str, Any]]:
    """Return what each arm sets, by key."""
    arms = _section(run.plan.get("scenario"), "arm")
    return {arm: dict(_settings(_section(_section(arms, arm), "set"))) for arm in run.arms}


def swept_keys(run: Run) -> tuple[SweptKey, ...]:
    """Return the settings whose values the arms are all combinations of; none if the run is no sweep."""
    found = settings_of_arms(run)
    keys = list(found[run.arms[0]])
    arms = _section(run.plan.get("scenario"), "arm")
    if any("groups" in _section(arms, arm) for arm in run.arms):
        return ()
    if len(run.arms) < 2 or not all(keys and set(one) == set(keys) and "" not in one for one in found.values()):
        return ()
    swept = []
    for key in keys:
        values: list[Any] = []
        for one in found.values():
            if one[key] not in values:
                values.append(one[key])
        if len(values) > 1:
            swept.append(SweptKey(key, tuple(values)))
    combinations = {tuple(repr(one[axis.key]) for axis in swept) for one in found.values()}
    size = 1
    for axis in swept:
        size *= len(axis.values)
    return tuple(swept) if len(combinations) == size == len(run.arms) else ()
