"""Notices about a scenario: settings that somebody wrote down and that change nothing, or not what they say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from fleet.scenario.document import items, tables
from fleet.scenario.fleet import Document, Fleet
from node_sim.server.remarks import remarks


class Notice(NamedTuple):
    """A setting with its value, where it stands, and why that is worth a word."""

    key: str
    value: Any
    groups: tuple[str, ...]
    arms: tuple[str, ...]
    why: str

    def line(self) -> str:
        """Say it in one line."""
        value = repr(self.value) if isinstance(self.value, str) else str(self.value).lower()
        return f"{self.key} = {value} ({_some('group', self.groups)}; {_some('arm', self.arms)}): {self.why}"


def _some(noun: str, names: Sequence[str]) -> str:
    return f"{noun}{'s' * (len(names) > 1)} {', '.join(names)}"


def _written(section: Document, path: str = "") -> Iterator[str]:
    """Yield the dotted keys of the settings that a table gives."""
    for key, value in section.items():
        yield path + key
        if isinstance(value, dict):
            yield from _written(value, f"{path}{key}.")


def _keys(document: Document, group: str, arm: str) -> set[str]:
    """Return the settings written down for a group under an arm."""
    arms = dict(tables(document.get("arm")))
    listed = arms.get(arm, {}).get("groups") or (group,)
    changed = dict(items(arms.get(arm, {}).get("set"))) if group in listed else {}
    return {*_written(document["group"][group]), *_written(changed)}


def notices(fleet: Fleet) -> list[Notice]:
    """Return what is worth a word about a scenario; groups of the same remark in the same arms are together."""
    arms: dict[tuple[str, Any, str, str], list[str]] = {}
    for group in fleet.groups:
        for arm, policy in zip(fleet.arms, group.policies, strict=True):
            written = _keys(fleet.document, group.name, arm)
            for key, value, why in remarks(policy, group.hardware):
                if key in written:
                    arms.setdefault((key, value, why, group.name), []).append(arm)
    groups: dict[tuple[str, Any, str, tuple[str, ...]], list[str]] = {}
    for (key, value, why, name), there in arms.items():
        groups.setdefault((key, value, why, tuple(there)), []).append(name)
    return [Notice(key, value, tuple(names), there, why) for (key, value, why, there), names in groups.items()]
