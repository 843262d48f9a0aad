"""When each logged error of windows comes, found by walking through their reads one by one.

Only the quantile of a read's number is computed for many at once, so that equal numbers give equal nanoseconds.
"""

from __future__ import annotations

from collections import defaultdict
from math import exp

import numpy as np
from scipy import special

from node_sim.corrected.read_order import LostReads
from node_sim.corrected.windows import Reads, Windows
from node_sim.server.policy import ErrorProcess
from tests.oracle.wrong_reads import accepted, shown_reads


def error_times(windows: Windows, reads: Reads, lost: LostReads, process: ErrorProcess) -> list[list[int]]:
    """Return the times of the errors of each window [ns].

    Args:
        windows: Logged errors; only how many there are, and where each window lies, is looked at.
        reads: Erroneous reads of the hard faults among theirs.
        lost: Which of those are not corrected.
        process: How errors are logged.
    """
    failing: dict[int, set[int]] = defaultdict(set)
    for at, read in zip(lost.window.tolist(), lost.read.tolist(), strict=True):
        failing[at].add(read)
    active = reads.active
    names = list(zip(active.fault.tolist(), active.window.tolist(), strict=True))
    known = {names[at]: at for at in failing}
    number, size, owner = [], [], []
    for i, name in enumerate(zip(windows.fault.tolist(), windows.window.tolist(), strict=True)):
        of_all = count = int(windows.errors[i])
        places = list(range(1, count + 1))
        if name in known:
            at = known[name]
            of_all, gone = int(reads.wrong[at]), int(lost.n_lost[at])
            room = accepted(float(reads.wrong[at]) - gone, int(active.active_ns[at]), process)
            places = shown_reads(of_all, failing[at], gone, room, process.firmware_threshold)
            assert len(places) == count
        number += places
        size += [of_all] * count
        owner += [i] * count
    k, n, of = np.asarray(number, np.int64), np.asarray(size, np.int64), np.asarray(owner, np.int64)
    u, low = windows.u[of], windows.low_ns[of]
    last = np.asarray([exp(v) for v in (special.xlogy(1.0 / n, u)).tolist()])
    share = np.where(k == n, np.where(n == 1, u, last), -special.expm1(special.log1p(-u) / n))
    inner = (k > 1) & (k < n)
    share[inner] = special.betaincinv(k[inner], n[inner] - k[inner] + 1, u[inner])
    times = (low + (share * (windows.high_ns[of] - low)).astype(np.int64)).tolist()
    found: list[list[int]] = [[] for _ in range(windows.errors.size)]
    for i, time in zip(owner, times, strict=True):
        found[i].append(time)
    return found
