"""What lanes have in common: the block of nodes, and the settings that decide the physics.

**Models.** Which settings two arms must agree on to share faults and memory (a call), corrected errors, or a lane.

**Leaves out.** What happens in a call; ``block.py`` has it.

**Assumes.** Nothing.

**Sources.** None.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from node_sim.corrected.asking import Ground
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import AddressMap
from node_sim.draws import Seed
from node_sim.memory.pages import Memory, Static
from node_sim.records import Flags, Ints, join
from node_sim.server.hardware import Hardware
from node_sim.server.policy import Policy

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class World:
    """What all lanes of one call share.

    Attributes:
        seed: Of the run.
        hardware: Of the nodes.
        policy: Settings common to all arms of the call: code, error process, detection (settled on the server),
            workload.
        memory: Lookup tables of that workload.
        address_map: Of the nodes.
        horizon_ns: End of simulated time [ns].
    """

    seed: Seed
    hardware: Hardware
    policy: Policy
    memory: Memory
    address_map: AddressMap
    horizon_ns: int

    def ground(self) -> Ground:
        """Return what decides which page an error is on, and what the kernel answers about it."""
        return Ground(self.seed, self.address_map, Static.of(self.policy.workload))


@dataclass(frozen=True)
class Block:
    """Nodes of one group, their faults of generation 0, and the arms.

    Attributes:
        seed: Of the run.
        hardware: Of the group.
        policies: Settings of the group in each arm, settled on the server.
        node_id: Ascending node numbers, shape ``(n_nodes,)``.
        horizon_ns: End of simulated time [ns].
        faults: Faults of generation 0, ordered by (node, time, tag).
        node_of_fault: Position of the node of each fault, shape ``(n_faults,)``.
    """

    seed: Seed
    hardware: Hardware
    policies: tuple[Policy, ...]
    node_id: Ints
    horizon_ns: int
    faults: FaultTable
    node_of_fault: Ints

    @classmethod
    def of(
        cls,
        seed: Seed,
        hardware: Hardware,
        policies: tuple[Policy, ...],
        node_id: Ints,
        horizon_ns: int,
        faults: FaultTable,
    ) -> Block:
        """Return a block of nodes with their faults."""
        where = np.searchsorted(node_id, faults.node_id)
        return cls(seed, hardware, policies, node_id, horizon_ns, faults, where)

    def take(self, nodes: Ints) -> tuple[Block, Ints]:
        """Return the block of some nodes, by ascending position, and the positions of their faults."""
        inside = np.zeros(self.node_id.size, np.bool_)
        inside[nodes] = True
        mine = np.flatnonzero(inside[self.node_of_fault])
        some = replace(
            self,
            node_id=self.node_id[nodes],
            faults=self.faults.take(mine),
            node_of_fault=(np.cumsum(inside) - 1)[self.node_of_fault[mine]],
        )
        return some, mine

    def mark_nodes(self, faults: Flags) -> Flags:
        """Return which nodes have at least one of the marked faults, shape ``(n_nodes,)``."""
        found = np.zeros(self.node_id.size, np.bool_)
        found[self.node_of_fault[faults]] = True
        return found

    def fault_seq(self) -> Ints:
        """Return the number of each fault among those of its node."""
        first = np.searchsorted(self.node_of_fault, self.node_of_fault)
        return np.arange(self.node_of_fault.size) - first


def join_blocks(blocks: Sequence[Block]) -> Block:
    """Put blocks of one group together, whose nodes follow each other."""
    node_id = np.concatenate([block.node_id for block in blocks])
    faults, one = join([block.faults for block in blocks]), blocks[0]
    return Block.of(one.seed, one.hardware, one.policies, node_id, one.horizon_ns, faults)


def shared_settings(policy: Policy) -> Policy:
    """Return the settings that decide the physics and the users of memory; arms that agree on them share a call."""
    return Policy(errors=policy.errors, ecc=policy.ecc, detection=policy.detection, workload=policy.workload)


def corrected_settings(policy: Policy) -> tuple[object, ...]:
    """Return the settings that decide which corrected errors there are, before anything is taken offline."""
    return policy.errors, policy.ecc, policy.detection, policy.workload.use.free, Static.of(policy.workload)


def world_of(seed: Seed, hardware: Hardware, policy: Policy, horizon_ns: int) -> World:
    """Return what lanes under a policy's shared settings have in common."""
    shared = shared_settings(policy)
    return World(seed, hardware, shared, Memory.of(shared), AddressMap(hardware.server), horizon_ns)


def arms_by(key: Callable[[int], K], arms: Iterable[int]) -> dict[K, tuple[int, ...]]:
    """Group arms by equal keys, in the order of first appearance."""
    found: dict[K, tuple[int, ...]] = {}
    for arm in arms:
        found[key(arm)] = (*found.get(key(arm), ()), arm)
    return found
