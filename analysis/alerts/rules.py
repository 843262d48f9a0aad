"""Alerting rules as Prometheus reads them from a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from analysis.alerts.engine import Programs, QueryServer, check_rules, serving
from analysis.alerts.expression import Reach, reach_of
from node_sim.errors import ConfigError
from node_sim.units import NS_PER_S

_LOADED_S_MAX: Final = 30.0


class AlertRule(NamedTuple):
    """A rule.

    Attributes:
        name: Of the alert.
        expression: As Prometheus writes it back.
        hold_ns: ``for`` [ns].
        keep_ns: ``keep_firing_for`` [ns].
        step_ns: Time between evaluations [ns].
        reach: What the expression looks at.
    """

    name: str
    expression: str
    hold_ns: int
    keep_ns: int
    step_ns: int
    reach: Reach

    def in_steps(self, time_ns: int) -> int:
        """Return a time in steps, rounded up."""
        return -(-time_ns // self.step_ns)


def read_rules(programs: Programs, path: Path, folder: Path, step_ns: int) -> list[AlertRule]:
    """Read the alerting rules of a file.

    Args:
        programs: Prometheus and promtool.
        path: The file.
        folder: For files of Prometheus.
        step_ns: Time between evaluations of groups that do not say it [ns].

    Raises:
        ConfigError: It is no file of rules, or no rule in it alerts.
    """
    check_rules(programs.promtool, path)
    folder.mkdir()
    with serving(programs.prometheus, folder, path, step_ns / NS_PER_S) as server:
        groups = _loaded(server)
    found = [
        AlertRule(
            rule["name"],
            rule["query"],
            round(rule["duration"] * NS_PER_S),
            round(rule.get("keepFiringFor", 0) * NS_PER_S),
            round(group["interval"] * NS_PER_S),
            reach_of(rule["query"]),
        )
        for group in groups
        for rule in group["rules"]
        if rule["type"] == "alerting"
    ]
    if not found:
        msg = f"{path}: no alerting rule, expected one with 'alert:' at least; choose another file"
        raise ConfigError(msg)
    return found


def _loaded(server: QueryServer) -> list[dict[str, Any]]:
    """Return the groups of rules once they are loaded; a file without any has none for ever."""
    until = time.monotonic() + _LOADED_S_MAX
    while True:
        groups: list[dict[str, Any]] = server.get("/api/v1/rules")["groups"]
        if groups or time.monotonic() > until:
            return groups
        time.sleep(0.02)
