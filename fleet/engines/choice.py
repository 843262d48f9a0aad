"""Which engine a run uses, and how much of the machine or cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from fleet.engines import Engine
from node_sim.errors import ConfigError

ACTORS_PER_MACHINE_MAX: Final = 64


@dataclass(frozen=True)
class EngineChoice:
    """Which engine to use, and how much of the machine.

    Attributes:
        name: ``local`` or ``ray``.
        workers: Workers at a time; None is one per core.
        address: Of a Ray cluster; None starts one on this machine.
        nodes_per_actor: Nodes an actor holds at a time; None lets the plan decide.
        aggregators: Aggregators of a Ray cluster; None is one on each node that has hosts.
    """

    name: str = "local"
    workers: int | None = None
    address: str | None = None
    nodes_per_actor: int | None = None
    aggregators: int | None = None

    def cores(self) -> int:
        """Return the workers to use on this machine."""
        return self.workers or len(os.sched_getaffinity(0))


def check_choice(choice: EngineChoice, nodes: int) -> None:
    """Check options that belong together.

    Raises:
        ConfigError: They contradict each other, or ask for too many actors.
    """
    problems: list[str] = []
    if choice.name != "ray":
        problems.extend(
            f"--{key}: only for --engine ray; leave it out or add --engine ray"
            for key, value in (
                ("address", choice.address),
                ("nodes-per-actor", choice.nodes_per_actor),
                ("aggregators", choice.aggregators),
            )
            if value is not None
        )
    elif choice.nodes_per_actor is not None:
        actors = -(-nodes // choice.nodes_per_actor)
        if choice.workers is None and actors > ACTORS_PER_MACHINE_MAX:
            least = -(-nodes // ACTORS_PER_MACHINE_MAX)
            problems.append(
                f"--nodes-per-actor {choice.nodes_per_actor}: {actors} actors, expected at most "
                f"{ACTORS_PER_MACHINE_MAX} live at once; use {least} or more, or cap them with --workers"
            )
        if choice.workers is not None and choice.workers > ACTORS_PER_MACHINE_MAX:
            problems.append(f"--workers {choice.workers}: expected at most {ACTORS_PER_MACHINE_MAX} live actors")
    if problems:
        raise ConfigError("\n".join(problems))


def make_engine(choice: EngineChoice, nodes: int) -> Engine:
    """Make the engine asked for; Ray is imported only for its own."""
    if choice.name == "ray":
        from fleet.engines.ray_engine import RayEngine

        hosts = choice.cores()
        if choice.nodes_per_actor is not None:
            actors = -(-nodes // choice.nodes_per_actor)
            hosts = min(actors, choice.workers or ACTORS_PER_MACHINE_MAX)
        return RayEngine(hosts, choice.address, choice.aggregators)
    from fleet.engines.local import LocalEngine

    return LocalEngine(choice.cores())
