"""Names of faults and DIMMs: node, slot, DIMM generation and ordinal packed into integers, and taken apart again.

A fault's *tag* (32 bits) names it within its node; its *fault_id* (64 bits), which tables store, names it in the fleet:

    fault_id = node (32 bits) | slot (8) | generation (8) | ordinal (16)
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from node_sim.records import Ints

_ORDINAL_BITS, _GENERATION_BITS, _SLOT_BITS = 16, 8, 8
_GENERATION_SHIFT: Final = _ORDINAL_BITS
_SLOT_SHIFT: Final = _GENERATION_SHIFT + _GENERATION_BITS
_NODE_SHIFT: Final = _SLOT_SHIFT + _SLOT_BITS
SLOTS_MAX: Final = 1 << _SLOT_BITS
"""DIMM slots of a server that a name can tell apart."""
ORDINALS: Final = 1 << _ORDINAL_BITS
"""Faults of a DIMM that a name can tell apart."""
WIDER: Final = 1 << 15
"""Marks the ordinal of a fault that another one grew to: with those of its parent it makes its name."""
SECOND_DEVICE: Final = 1 << 14
"""The same of the fault of a second device; faults that start as such have lower ordinals."""
GENERATIONS_MAX: Final = (1 << _GENERATION_BITS) - 1
"""Last DIMM generation of a slot that a name can hold."""

N = TypeVar("N", Ints, npt.NDArray[np.uint64])


def fault_tag(slot: Ints, generation: Ints, ordinal: Ints) -> Ints:
    """Name a fault within its node."""
    return (slot << _SLOT_SHIFT) | (generation << _GENERATION_SHIFT) | ordinal


def slot_of(tag: Ints) -> Ints:
    """Return the slot in a tag."""
    return tag >> _SLOT_SHIFT


def slot_of_fault(fault_id: int) -> int:
    """Return the slot in the name of one fault in the fleet."""
    return fault_id >> _SLOT_SHIFT & (SLOTS_MAX - 1)


def generation_of(tag: Ints) -> Ints:
    """Return the DIMM generation in a tag."""
    return (tag >> _GENERATION_SHIFT) & GENERATIONS_MAX


def is_wider(tag: Ints) -> npt.NDArray[np.bool_]:
    """Return which faults are wider ones that others grew to."""
    found: npt.NDArray[np.bool_] = (tag & WIDER) > 0
    return found


def is_second_device(tag: Ints) -> npt.NDArray[np.bool_]:
    """Return which faults are those of second devices that others reached."""
    found: npt.NDArray[np.bool_] = (tag & SECOND_DEVICE) > 0
    return found


def parent_tag(tag: Ints) -> Ints:
    """Return the name of the fault that one grew out of, or its own."""
    return tag & ~(WIDER | SECOND_DEVICE)


def dimm_tag(tag: Ints) -> Ints:
    """Name the DIMM of a fault within its node: slot and generation, below 2**16."""
    return tag >> _GENERATION_SHIFT


def fault_ids(node_id: Ints, tag: Ints) -> npt.NDArray[np.uint64]:
    """Name faults in the fleet."""
    return (node_id.astype(np.uint64) << np.uint64(_NODE_SHIFT)) | tag.astype(np.uint64)


def dimm_of_fault(fault_id: N) -> N:
    """Name the DIMM of a fault in the fleet: node, slot and generation."""
    return fault_id >> fault_id.dtype.type(_GENERATION_SHIFT)


def node_of_fault(fault_id: N) -> N:
    """Return the node of a fault."""
    return fault_id >> fault_id.dtype.type(_NODE_SHIFT)


def tag_of_fault(fault_id: N) -> N:
    """Return the name of a fault within its node."""
    return fault_id & fault_id.dtype.type((1 << _NODE_SHIFT) - 1)


def node_of_dimm(dimm: Ints) -> Ints:
    """Return the node of a DIMM named in the fleet."""
    return dimm >> (_NODE_SHIFT - _GENERATION_SHIFT)


def slot_in_fleet(node_id: Ints, slot: Ints) -> Ints:
    """Name a slot in the fleet."""
    return (node_id << _SLOT_BITS) | slot


def dimm_draw(generation: Ints | int, slot: Ints | int) -> Ints | int:
    """Name a DIMM within its node for its draws: generation before slot, which published digests rest on."""
    return (generation << _ORDINAL_BITS) | slot
