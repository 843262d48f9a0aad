"""Running a fleet again at both ends of each assumption: which settings, with which value, and what came of it.

A composition, as only commands are: ``fleet.run`` simulates, ``analysis`` reads.
"""

from __future__ import annotations

import copy
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fleet.commands.printing import say
from node_sim.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from analysis.comparison.effects import Effect
    from analysis.comparison.sensitivity import Sensitivity
    from fleet.scenario.fleet import Fleet
    from fleet.stored.store import RunStore

_ENDS: Final = ("low", "high")


def vary_assumptions(folder: RunStore, baseline: str | None, nodes: int | None) -> Sensitivity:
    """Simulate the fleet of a run at both ends of each of its headline assumptions, and compare its arms there.

    Args:
        folder: The run.
        baseline: Arm to compare with.
        nodes: Nodes of each run; None is as many as the run has.

    Raises:
        ConfigError: There is nothing to compare or to vary, or the run has fewer nodes.
    """
    from analysis.comparison.sensitivity import BothEnds, Sensitivity
    from analysis.dataset.run import open_run
    from fleet.run import open_plan

    run = open_run(folder)
    fleet, plan = open_plan(folder)
    if len(run.arms) == 1:
        msg = f"{folder}: one arm, expected at least two whose effects can be compared; add arms and run it anew"
        raise ConfigError(msg)
    if baseline is not None:
        run.check_arm(baseline)
    if nodes is not None and nodes > fleet.nodes:
        msg = f"--nodes {nodes}: expected at most {fleet.nodes}, those of the run"
        raise ConfigError(msg)
    n = nodes or fleet.nodes
    varied, left_out = _varied(fleet, plan["headline_assumptions"], n)
    if not varied:
        reasons = "; ".join(f"{setting}: {why}" for setting, why in left_out.items())
        msg = f"{folder}: no assumption that could be varied ({reasons})"
        raise ConfigError(msg)
    runs = 2 * len(varied) + 1
    about_s = runs * run.manifest["seconds"] * n / fleet.nodes
    say(f"sensitivity: {runs} runs of {n:,} nodes, about {max(1.0, about_s):,.0f} s; fewer with --nodes", err=True)
    seed = plan["seed"]
    base = _effects(_with(fleet, n, None), seed, baseline)
    found = []
    for at, (item, fleets) in enumerate(varied, start=1):
        low, high = (_effects(one, seed, baseline) for one in fleets)
        found.append(BothEnds(item["setting"], item["unit"], (item["low"], item["high"]), low, high))
        say(f"sensitivity: {at} of {len(varied)} assumptions ({item['setting']})", err=True)
    return Sensitivity(n, base, tuple(found), left_out)


def _varied(
    fleet: Fleet, assumptions: list[dict[str, Any]], nodes: int
) -> tuple[list[tuple[dict[str, Any], tuple[Fleet, ...]]], dict[str, str]]:
    """Return the assumptions that can be varied, with the fleets at both ends, and why the others cannot."""
    varied, left_out = [], {}
    for item in assumptions:
        if "values" not in item:
            left_out[item["setting"]] = "no number with a range"
        elif item["by"] == "arm":
            left_out[item["setting"]] = "the arms vary it"
        else:
            try:
                fleets = tuple(_with(fleet, nodes, (item["setting"], item[end])) for end in _ENDS)
            except (ConfigError, ModelError) as error:
                left_out[item["setting"]] = str(error).split("\n", maxsplit=1)[0]
            else:
                varied.append((item, fleets))
    return varied, left_out


def _with(fleet: Fleet, nodes: int, setting: tuple[str, Any] | None) -> Fleet:
    """Return a fleet with other nodes, and one setting changed in all groups.

    Raises:
        ConfigError: It does not go with the others.
    """
    from fleet.scenario.decode import decode
    from fleet.scenario.document import apply_setting

    document = copy.deepcopy(fleet.document) | {"nodes": nodes}
    if setting is not None:
        apply_setting(document, *setting)
    return replace(decode(setting[0] if setting else "sensitivity", document), sources=fleet.sources)


def _effects(fleet: Fleet, seed: int, baseline: str | None) -> dict[str, dict[str, Effect]]:
    """Simulate a fleet and compare its arms; nothing of it is kept."""
    from analysis.comparison.effects import compare_run
    from analysis.dataset.run import open_run
    from fleet.engines.choice import EngineChoice
    from fleet.run import start_run

    with tempfile.TemporaryDirectory(prefix="hwpoison-sensitivity-") as scratch:
        folder = Path(scratch) / "run"
        start_run(fleet, seed, folder, EngineChoice(), None, lambda _event: None)
        return compare_run(open_run(folder), baseline)
