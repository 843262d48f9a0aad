"""Tallies: per arm and node group, sums over nodes from which rates and paired effects follow without a scan.

For the vector x of a node's metrics the tally keeps Σx, Σx·xᵀ and, against the same node in the baseline arm (x₀),
Σx·x₀ᵀ. Few nodes have events, and fewer differ from the baseline, so it also keeps how many those are, what they differ
by, up and down apart, and the largest: what the intervals of rare things need (``analysis/estimators/intervals.py``).
Tallies of shards add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fleet.stored.headline import BY_KEY, EXPOSURE, INDEX, METRICS, POSITION, REGISTRY
from node_sim.records import Floats, Ints

PAIRED: Final = ("nodes_with", "nodes_more", "nodes_less", "more", "less", "more_square", "less_square")
"""Sums over nodes by metric: nodes with any, nodes with more and with less than in the baseline, by how much in all,
and the sums of the squares."""
LARGEST: Final = ("node", "difference")
"""Maxima over nodes by metric: of a node, and of its difference to the baseline."""
SAME: Final = 1e-9
"""Relative differences up to it are of rounding."""


def _with_totals() -> Floats:
    """Return the matrix that turns a row of stored metrics into one of all, shape ``(stored, all)``."""
    matrix = np.zeros((len(METRICS), len(REGISTRY)))
    for key, position in POSITION.items():
        for part in BY_KEY[key].parts or (key,):
            matrix[INDEX[part], position] = 1.0
    return matrix


_WITH_TOTALS: Final = _with_totals()


@dataclass
class Tally:
    """Sums over nodes; arrays of shape ``(arms, groups, …)``.

    Attributes:
        nodes: Nodes of each group, shape ``(groups,)``.
        total: Σx, shape ``(arms, groups, metrics)``.
        square: Σx·xᵀ, shape ``(arms, groups, metrics, metrics)``.
        cross: Σx·x₀ᵀ with x₀ of the first arm, same shape.
        paired: The sums named by ``PAIRED``, shape ``(arms, groups, sums, metrics)``, metrics as in ``REGISTRY``, with
            totals; of the exposure the first is of nodes that were down.
        largest: The maxima named by ``LARGEST``, shape ``(arms, groups, maxima, metrics)``; of the exposure the first
            is the longest time down.
        rows: Rows of each arm's view over all tables, shape ``(arms,)``.
    """

    nodes: Ints
    total: Floats
    square: Floats
    cross: Floats
    paired: Floats
    largest: Floats
    rows: Ints

    @classmethod
    def zero(cls, arms: int, groups: int) -> Tally:
        """Return the tally of no nodes."""
        m = len(METRICS)
        square = np.zeros((arms, groups, m, m))
        return cls(
            nodes=np.zeros(groups, np.int64),
            total=np.zeros((arms, groups, m)),
            square=square,
            cross=square.copy(),
            paired=np.zeros((arms, groups, len(PAIRED), len(REGISTRY))),
            largest=np.zeros((arms, groups, len(LARGEST), len(REGISTRY))),
            rows=np.zeros(arms, np.int64),
        )

    def add(self, arms: Sequence[int], group: int, x: Floats, x0: Floats, horizon_years: float) -> None:
        """Add nodes of a group that have the same metrics in all the given arms.

        Args:
            arms: The arms.
            group: The group.
            x: Their metrics, shape ``(nodes, metrics)``.
            x0: The same nodes' in the first arm, in the same order.
            horizon_years: Simulated time.
        """
        if not x.shape[0]:
            return
        at = list(arms), group
        self.total[at] += x.sum(axis=0)
        self.square[at] += x.T @ x
        self.cross[at] += x.T @ x0
        here, base = x @ _WITH_TOTALS, x0 @ _WITH_TOTALS
        apart = here - base
        apart[np.abs(apart) <= SAME * np.maximum(here, base)] = 0.0
        here[:, POSITION[EXPOSURE]] = horizon_years - here[:, POSITION[EXPOSURE]]
        more, less = np.maximum(apart, 0.0), np.maximum(-apart, 0.0)
        sums = (here > 0.0, more > 0.0, less > 0.0, more, less, more**2, less**2)
        self.paired[at] += np.stack([part.sum(axis=0) for part in sums])
        self.largest[at] = np.maximum(self.largest[at], [here.max(axis=0), np.abs(apart).max(axis=0)])

    def add_idle(self, group: int, nodes: int, horizon_years: float) -> None:
        """Add nodes of a group that were up all the time in all arms and to which nothing happened."""
        up = INDEX[EXPOSURE]
        self.total[:, group, up] += nodes * horizon_years
        self.square[:, group, up, up] += nodes * horizon_years**2
        self.cross[:, group, up, up] += nodes * horizon_years**2

    def __add__(self, other: Tally) -> Tally:
        """Return the tally of both sets of nodes."""
        return Tally(
            self.nodes + other.nodes,
            self.total + other.total,
            self.square + other.square,
            self.cross + other.cross,
            self.paired + other.paired,
            np.maximum(self.largest, other.largest),
            self.rows + other.rows,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain lists for a manifest."""
        return {name: getattr(self, name).tolist() for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, document: Mapping[str, Any], arms: int, groups: int) -> Tally:
        """Read what ``to_json`` wrote of a run with so many arms and groups.

        Raises:
            ValueError: It is not a tally of them, or counts other metrics than this version.
        """
        empty = cls.zero(arms, groups)
        found = {name: np.asarray(document[name], blank.dtype) for name, blank in vars(empty).items()}
        wrong = [name for name, blank in vars(empty).items() if found[name].shape != blank.shape]
        if wrong:
            msg = f"its tally has other {', '.join(wrong)} than those of {arms} arms and the metrics of this version"
            raise ValueError(msg)
        return cls(**found)
