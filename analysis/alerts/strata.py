"""Which hosts are judged: all with a truth event, a sample of the others, and for how many each stands.

**Models.** Hosts with a truth event are all taken, so recall and warning times need no weights. Of the others with rows
some are drawn, and of those without rows a few of each node group, on which rules are to be silent: each stands for the
hosts of its stratum divided by those drawn.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

import numpy as np

from analysis.hosts.kinds import Hosts
from node_sim.records import Floats, Ints

SILENT: Final = 50
"""Hosts without rows that are judged."""
WITH_TRUTH, WITH_ROWS, WITHOUT_ROWS = range(3)
NAMES: Final = ("with a truth event", "with other events only", "without events")


class Stratum(NamedTuple):
    """Hosts of which some are judged.

    Attributes:
        kind: Place in ``NAMES``.
        group: Name of the node group; empty stands for all.
        nodes: How many there are.
        judged: How many of them are judged.
    """

    kind: int
    group: str
    nodes: int
    judged: int

    @property
    def weight(self) -> float:
        """For how many hosts each that is judged stands."""
        return self.nodes / self.judged if self.judged else 0.0


class JudgedHosts(NamedTuple):
    """Hosts that are judged.

    Attributes:
        strata: All strata that have hosts.
        nodes: Host numbers, ascending.
        stratum: Of each.
    """

    strata: tuple[Stratum, ...]
    nodes: Ints
    stratum: Ints

    @property
    def weight(self) -> Floats:
        """For how many hosts each stands."""
        return np.asarray([one.weight for one in self.strata])[self.stratum]

    @property
    def silent(self) -> Ints:
        """Whether each has no rows, as 0 or 1."""
        return np.asarray([one.kind == WITHOUT_ROWS for one in self.strata], np.int64)[self.stratum]


def choose(hosts: Hosts, truth: Collection[int], with_rows: Ints, sample: int, seed: int) -> JudgedHosts:
    """Choose the hosts that are judged.

    Args:
        hosts: All hosts.
        truth: Those with a truth event.
        with_rows: Those with rows, ascending.
        sample: How many to draw of those with rows that have no truth event.
        seed: Of the run.
    """
    draws = np.random.Generator(np.random.Philox(key=[seed, hosts.nodes]))
    all_of = np.asarray(sorted(truth), np.int64)
    others = np.setdiff1d(with_rows, all_of)
    chosen = [(WITH_TRUTH, "", all_of, all_of.size), (WITH_ROWS, "", others, min(sample, others.size))]
    edges = (*hosts.first_nodes, hosts.nodes)
    for group, name in enumerate(hosts.groups):
        silent = np.setdiff1d(np.arange(edges[group], edges[group + 1]), np.union1d(with_rows, all_of))
        share = round(SILENT * (edges[group + 1] - edges[group]) / hosts.nodes)
        chosen.append((WITHOUT_ROWS, name, silent, min(max(1, share), silent.size)))
    strata: list[Stratum] = []
    nodes, stratum = [], []
    for kind, name, members, number in chosen:
        if members.size and number:
            nodes.append(np.sort(draws.choice(members, number, replace=False)) if number < members.size else members)
            stratum.append(np.full(number, len(strata)))
            strata.append(Stratum(kind, name, members.size, number))
    order = np.argsort(np.concatenate(nodes), kind="stable")
    return JudgedHosts(tuple(strata), np.concatenate(nodes)[order], np.concatenate(stratum)[order])
