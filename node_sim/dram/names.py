"""Names of faults: slot, DIMM generation and ordinal in one 32-bit word, unique within a node."""

from __future__ import annotations

from node_sim.records import Ints

SLOT_SHIFT, GENERATION_SHIFT, ORDINAL_BITS = 24, 16, 16
GENERATIONS_MAX = 255


def fault_tag(slot: Ints, generation: Ints, ordinal: Ints) -> Ints:
    """Name a fault within its node."""
    return (slot << SLOT_SHIFT) | (generation << GENERATION_SHIFT) | ordinal
