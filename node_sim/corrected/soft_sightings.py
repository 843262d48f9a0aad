"""Who first touches each page of a soft fault that the code corrects, and when.

**Models.** A wrong word of a soft fault stays until it is written: by whoever owns it, or, corrected, by the patrol
scrubber and by the memory controller after a read. So each page is seen once at most. Its own next access and the
scrubber compete; an access that overwrites the word hides it. A command that arrives wrong is seen at once.

**Leaves out.** Pages beyond the first ``FRAMES_PER_FAULT_MAX`` in the fault's order; the lines of a page one by one;
changes of use, and what ``memory/pages.py`` draws about the frame; boots, which rewrite memory.

**Assumes.** Pages of one 2 MiB block are all in use or all free, as its first page in the fault's order says; each is
hot or cold by itself. The scrubber goes through the pages of a node by address; where it is when a fault starts is
drawn for each fault.

**Sources.** Shares of hot pages and of writes are assumptions (``catalog/numbers.py``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.catalog.numbers import SOFT_WRITE_SHARE
from node_sim.codes import Mode
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import AddressMap
from node_sim.dram.page_order import FRAMES_PER_FAULT_MAX
from node_sim.draws import Purpose, Seed, unit32, words
from node_sim.elementary import log
from node_sim.records import Flags, Index, Ints, expand_counts, take
from node_sim.server.policy import Policy
from node_sim.units import FOREVER, PAGES_PER_HUGE_PAGE, hours_to_ns, seconds_to_ns


class SoftSightings(NamedTuple):
    """First reads of pages of soft faults, ordered by (fault, page); arrays of shape ``(n,)``.

    Attributes:
        fault: Index into the fault table.
        page: Number of the page in the order in which the fault shows its pages.
        time_ns: When [ns].
        scrub: Whether the patrol scrubber reads.
    """

    fault: Ints
    page: Ints
    time_ns: Ints
    scrub: Flags

    def take(self, index: Index) -> SoftSightings:
        """Select some."""
        return take(self, index)


def simulate_soft_sightings(
    seed: Seed, faults: FaultTable, soft: Ints, policy: Policy, address_map: AddressMap, horizon_ns: int
) -> SoftSightings:
    """Draw when, and by whom, each page of soft faults is first seen; overwritten ones are left out.

    Args:
        seed: Of the run.
        faults: Faults.
        soft: Which of them, ascending.
        policy: The arm's settings, settled on the server.
        address_map: Of the nodes.
        horizon_ns: End of simulated time [ns].
    """
    detection, used_share = policy.detection, 1.0 - policy.workload.use.free
    at_once = faults.mode[soft] == Mode.COMMAND_ADDRESS
    owner, page = expand_counts(np.where(at_once, 1, np.minimum(faults.n_pages[soft], FRAMES_PER_FAULT_MAX)))
    fault, at_once = soft[owner], at_once[owner]
    w0, w1, w2, w3 = words(seed.key(Purpose.SEEN), faults.node_id[fault], faults.tag[fault], page)
    first, leader = np.flatnonzero(page == 0), np.arange(page.size)
    scrub_ns = (unit32(w0[first]) * detection.scrub_ns).astype(np.int64)[owner]
    some = np.flatnonzero((faults.n_pages[fault] > 1) & ~at_once)
    if some.size:
        pfn = faults.pages(address_map, fault[some], page[some])
        leader[some] = some[_first_of_block(fault[some], pfn)]
        scrub_ns[some] = _by_address(scrub_ns[some], pfn, page[some], address_map.pages, detection.scrub_ns)
    if not detection.scrub_ns:
        scrub_ns[:] = FOREVER
    place = unit32(w1)
    used = place[leader] < used_share
    # The uniform of a page that leads its block says both: in use or free, and hot if in use.
    hot_share = np.where(leader == np.arange(page.size), used_share * detection.hot_share, detection.hot_share)
    mean_ns = np.where(
        place < hot_share, seconds_to_ns(detection.hot_interval_s), hours_to_ns(detection.cold_interval_hours)
    )
    access_ns = np.where(used, np.minimum(-log(unit32(w2)) * mean_ns, FOREVER), FOREVER).astype(np.int64)
    scrub = (scrub_ns <= access_ns) & (scrub_ns < FOREVER) & ~at_once
    time_ns = faults.time_ns[fault] + np.where(at_once, 0, np.minimum(scrub_ns, access_ns))
    seen = (time_ns < horizon_ns) & (scrub | at_once | (unit32(w3) >= SOFT_WRITE_SHARE.value))
    return SoftSightings(fault, page, time_ns, scrub).take(np.flatnonzero(seen))


def _first_of_block(fault: Ints, pfn: Ints) -> Ints:
    """Return for each page the first one of its fault, as they are listed, in the same 2 MiB block."""
    block = pfn // PAGES_PER_HUGE_PAGE
    order = np.lexsort((block, fault))  # stable, so the first of a block stays first
    new = (np.diff(fault[order], prepend=-1) != 0) | (np.diff(block[order], prepend=-1) != 0)
    found = np.empty_like(order)
    found[order] = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
    return found


def _by_address(first_ns: Ints, pfn: Ints, page: Ints, pages: int, period_ns: int) -> Ints:
    """Return how long after the start of a fault the scrubber passes its pages [ns].

    Args:
        first_ns: The same of the first page of the fault [ns], shape ``(n,)``.
        pfn: Pages, those of a fault one after the other from its first on, shape ``(n,)``.
        page: Number of each in its fault, shape ``(n,)``.
        pages: Pages of the node.
        period_ns: Length of a round [ns]; 0 if there is no scrubber.
    """
    offset_ns = (pfn / pages * period_ns).astype(np.int64)
    first = np.arange(page.size) - page
    later_ns: Ints = first_ns + offset_ns - offset_ns[first]
    return later_ns % period_ns if period_ns else later_ns
