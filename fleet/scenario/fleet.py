"""A fleet as a scenario describes it: groups of servers, arms, and where each group stands among the node numbers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from fleet.scenario.policy_source import PolicySource
from fleet.scenario.start import start_utc
from node_sim.catalog import numbers
from node_sim.catalog.field import STUDIES
from node_sim.dram.geometry import Dimm
from node_sim.ecc.verdicts import misfit
from node_sim.errors import ConfigError
from node_sim.server.consistency import complaints
from node_sim.server.hardware import Faults, Hardware, Server
from node_sim.server.policy import Policy
from node_sim.server.settings import FORBID, Checked, setting
from node_sim.units import NS_PER_YEAR, START

Document = dict[str, Any]
"""A scenario as TOML holds it."""
NODES_MAX = 1 << 32
ARMS_MAX = 256
GROUPS_MAX = 256
FIXED_SECTIONS = ("server", "faults", "share")
"""Sections of a group that no arm may change: the faults are the same in every arm."""


@dataclass(frozen=True)
class Group(Policy):
    """Servers of one kind, with the settings of the arm that changes nothing."""

    share: float = setting(numbers.GROUP_SHARE, "Share of the fleet's nodes.", low=0.0, high=1.0)
    server: Server = field(default_factory=Server)
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        """Check that the servers can do what the settings ask of them, and that the code fits the part."""
        problems = []
        try:
            super().__post_init__()
        except ConfigError as error:
            problems.append(str(error))
        wrong = misfit(self.ecc.code, Dimm.of(self.server))
        if wrong:
            problems.append(
                f"ecc.code = {self.ecc.code} on server.part = {self.server.part}: {wrong}, choose one that fits"
            )
        problems.extend(complaints(self, self.hardware))
        if problems:
            raise ConfigError("; ".join(problems))
        self.on(self.server)

    @property
    def hardware(self) -> Hardware:
        """What no arm may change."""
        return Hardware(self.server, self.faults)

    @property
    def policy(self) -> Policy:
        """What an arm may change."""
        return Policy(**{item.name: getattr(self, item.name) for item in dataclasses.fields(Policy)})


@dataclass(frozen=True)
class Arm:
    """One policy: settings changed in all groups, or in some."""

    __pydantic_config__ = FORBID
    set: dict[str, Any] = field(default_factory=dict)
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scenario(Checked):
    """Everything that determines the rows of a run, except the seed."""

    name: str = "unnamed"
    description: str = ""
    nodes: int = setting(10_000, "Nodes of the fleet.", "1", low=1, high=NODES_MAX)
    years: float = setting(1.0, "Simulated time.", "year", low=1e-6, high=100.0)
    seed: int = setting(1, "Default seed.", "1", low=0, high=2**64 - 1)
    start: str = setting(
        START, "When the time of the rows is 0, as 2025-01-01T00:00:00Z; it dates them and changes none.", "UTC"
    )
    field_study: str = setting(
        "none", "Field study whose figures are shown beside the simulated ones.", choices=("none", *STUDIES)
    )
    group: dict[str, Group] = field(default_factory=dict)
    arm: dict[str, Arm] = field(default_factory=dict)


@dataclass(frozen=True)
class GroupPlan:
    """A group with its place among the node numbers and its policy in each arm."""

    name: str
    first_node: int
    nodes: int
    hardware: Hardware
    policies: tuple[Policy, ...]

    @property
    def part(self) -> str:
        """DRAM part."""
        return self.hardware.server.part

    @property
    def code(self) -> str:
        """ECC code, in the first arm."""
        return self.policies[0].ecc.code

    @property
    def site(self) -> str:
        """Where it stands."""
        return self.hardware.faults.site

    @property
    def dimms(self) -> int:
        """DIMM slots of a node."""
        return self.hardware.server.dimms

    @property
    def dimm_bytes(self) -> int:
        """Memory of one DIMM."""
        return self.hardware.server.dimm_bytes

    @property
    def processes(self) -> dict[str, int]:
        """Processes of a node by kind, in the first arm; a panic takes all of them along."""
        found: dict[str, int] = {}
        for process in self.policies[0].workload.process:
            found[process.kind] = found.get(process.kind, 0) + process.count
        return found


@dataclass(frozen=True)
class Fleet:
    """A decoded scenario, ready to run."""

    scenario: Scenario
    document: Document
    groups: tuple[GroupPlan, ...]
    arms: tuple[str, ...]
    sources: tuple[PolicySource, ...] = ()
    """Texts of the policies of one's own that its arms name, once ``own_policies.with_sources`` has found them."""
    changes: tuple[str, ...] = ()
    """What the command line has changed in the scenario, as it was typed."""

    @property
    def horizon_ns(self) -> int:
        """End of simulated time [ns]."""
        return round(self.scenario.years * NS_PER_YEAR)

    @property
    def start(self) -> str:
        """When the time of the rows is 0, in UTC."""
        return start_utc(self.scenario.start)

    @property
    def nodes(self) -> int:
        """Nodes of the fleet."""
        return self.scenario.nodes

    def workload_of(self, group: str) -> str:
        """Return the workload that a group names or starts from, ``default`` if it names none."""
        workload = self.document["group"][group].get("workload", {})
        return str(workload if isinstance(workload, str) else workload.get("base", "default"))

    def arm_of_policy(self, function: str) -> str:
        """Return the first arm in which a policy of one's own decides."""
        for position, arm in enumerate(self.arms):
            if any(group.policies[position].own_policy.function == function for group in self.groups):
                return arm
        return self.arms[0]

    def sha256(self) -> str:
        """Hash of everything that determines the rows, except the seed and the texts; its start dates them only."""
        content = {
            "nodes": self.scenario.nodes,
            "years": self.scenario.years,
            "arms": self.arms,
            "groups": [dataclasses.asdict(group) for group in self.groups],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
