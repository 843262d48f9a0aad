"""Intervals of sums over nodes of which few have anything: events come in clusters, a node's, of very unequal sizes.

**Models.** Nodes are independent, and few of many have an event, so a sum over nodes is a compound Poisson count: a sum
of Poisson counts of clusters of each size, weighted by the size. What an arm has more than the baseline and what it has
less are two such sums, of different nodes, and hence independent. The upper limit of each allows for one more cluster
of a size that is named, so that zero clusters have a bound, too.

**Leaves out.** Clusters larger than the size named; nothing in the data tells of them.

**Assumes.** Where nothing bounds a cluster, the next may be twice the largest of k nodes, and more if k is small
(``unseen_size``); sizes with a tail like the square of a lognormal's with deviation 1 are covered less often.

**Sources.** Garwood 1936 for a Poisson count; Fay and Feuer 1997 (Statistics in Medicine 16, 791) for a weighted sum of
Poisson counts, whose upper limit is conservative; Zou and Donner 2008 (ibid. 27, 1693) for the difference of two
estimates from the limits of each, Donner and Zou 2012 (Statistical Methods in Medical Research 21, 347) for the ratio;
Wilson 1927 for a share, Kish 1965 for its effective number of trials, Korn and Graubard 1998 (Survey Methodology 24,
193) for the loss by few clusters.
"""

from __future__ import annotations

import math
from typing import Final

from scipy import special

LEVEL: Final = 0.95
TAIL: Final = (1.0 - LEVEL) / 2.0
Z: Final = float(special.ndtri(1.0 - TAIL))
Interval = tuple[float, float]
ValueAndLimits = tuple[float, float, float]
"""Value, low and high."""


def unseen_size(largest: float, nodes: float) -> float:
    """Return how large the next cluster may be if the largest of so many nodes, > 0, was this large."""
    return largest * (2.0 + 4.0 / nodes)


def count_interval(total: float, variance: float, size: float, tail: float = TAIL) -> Interval:
    """Return the interval of the mean of a compound Poisson count.

    Args:
        total: The count, >= 0.
        variance: Its estimated variance, the sum of the squares of clusters; > 0 if the count is.
        size: Of one more cluster, > 0.
        tail: Probability to be missed on each side.
    """
    low = variance / total * float(special.gammaincinv(total**2 / variance, tail)) if total > 0.0 else 0.0
    mean, spread = total + size, variance + size**2
    return low, spread / mean * float(special.gammainccinv(mean**2 / spread, tail))


def difference_interval(
    more: float, less: float, variances: tuple[float, float], sizes: tuple[float, float], tail: float = TAIL
) -> Interval:
    """Return the interval of ``more - less``, two independent compound Poisson counts.

    Args:
        more: The first, >= 0.
        less: The second, >= 0.
        variances: Theirs, > 0 where the counts are.
        sizes: Of one more cluster of each, > 0.
        tail: Probability to be missed on each side.
    """
    (more_low, more_high), (less_low, less_high) = (
        count_interval(*one, tail) for one in zip((more, less), variances, sizes, strict=True)
    )
    return apart_interval((more, more_low, more_high), (less, less_low, less_high))


def apart_interval(one: ValueAndLimits, other: ValueAndLimits) -> Interval:
    """Return the interval of the difference of two independent estimates, given as value, low and high."""
    (a, a_low, a_high), (b, b_low, b_high) = one, other
    return a - b - math.hypot(a - a_low, b_high - b), a - b + math.hypot(a_high - a, b - b_low)


def quotient_interval(one: ValueAndLimits, other: ValueAndLimits) -> Interval:
    """Return the interval of the ratio of two independent estimates >= 0; the other and its low limit are above 0.

    It holds the ratios r for which ``apart_interval`` of the first and r times the other holds 0.
    """
    (a, a_low, a_high), (b, b_low, b_high) = one, other
    small, large = a_low * (2 * a - a_low), a_high * (2 * a - a_high)
    above, below = b_high * (2 * b - b_high), b_low * (2 * b - b_low)
    low = small / (a * b + math.sqrt((a * b) ** 2 - small * above)) if a > 0.0 else 0.0
    return low, (a * b + math.sqrt((a * b) ** 2 - large * below)) / below


def share_interval(p: float, trials: float) -> Interval:
    """Return Wilson's interval of a share of so many trials, any number > 0."""
    centre = (p + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z * math.sqrt(p * (1 - p) / trials + Z**2 / (4 * trials**2)) / (1 + Z**2 / trials)
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


def trials_of_clusters(trials: float, clusters: float) -> float:
    """Return how many trials are worth so many, whose variance was estimated from so many clusters."""
    freedom = max(1.0, clusters - 1.0)
    return trials * (Z / float(special.stdtrit(freedom, 1.0 - TAIL))) ** 2
