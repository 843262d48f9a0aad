"""Tallies: per arm and node group, sums over nodes from which rates and paired effects follow without a scan.

For the vector x of a node's metrics the tally keeps Σx, Σx·xᵀ and, against the same node in the baseline arm (x₀),
Σx·x₀ᵀ. Tallies of shards add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fleet.stored.headline import METRICS
from node_sim.records import Floats, Ints


@dataclass
class Tally:
    """Sums over nodes; arrays of shape ``(arms, groups, …)``.

    Attributes:
        nodes: Nodes of each group, shape ``(groups,)``.
        total: Σx, shape ``(arms, groups, metrics)``.
        square: Σx·xᵀ, shape ``(arms, groups, metrics, metrics)``.
        cross: Σx·x₀ᵀ with x₀ of the first arm, same shape.
        rows: Rows of each arm's view over all tables, shape ``(arms,)``.
    """

    nodes: Ints
    total: Floats
    square: Floats
    cross: Floats
    rows: Ints

    @classmethod
    def zero(cls, arms: int, groups: int) -> Tally:
        """Return the tally of no nodes."""
        m = len(METRICS)
        square = np.zeros((arms, groups, m, m))
        return cls(
            np.zeros(groups, np.int64), np.zeros((arms, groups, m)), square, square.copy(), np.zeros(arms, np.int64)
        )

    def __add__(self, other: Tally) -> Tally:
        """Return the tally of both sets of nodes."""
        return Tally(
            self.nodes + other.nodes,
            self.total + other.total,
            self.square + other.square,
            self.cross + other.cross,
            self.rows + other.rows,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain lists for a manifest."""
        return {name: getattr(self, name).tolist() for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Tally:
        """Read what ``to_json`` wrote.

        Raises:
            ValueError: It counts more or fewer metrics than this version.
        """
        if np.shape(document["total"])[-1:] != (len(METRICS),):
            msg = f"its tally counts other metrics than the {len(METRICS)} of this version"
            raise ValueError(msg)
        return cls(
            np.asarray(document["nodes"], np.int64),
            np.asarray(document["total"], np.float64),
            np.asarray(document["square"], np.float64),
            np.asarray(document["cross"], np.float64),
            np.asarray(document["rows"], np.int64),
        )
