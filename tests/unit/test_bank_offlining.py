"""A daemon that counts by bank: a fault whose errors lie in many rows, and brute force on few rows of few banks."""

from __future__ import annotations

import numpy as np
import pytest

from node_sim.codes import ErrorKind, Mode, OfflineResult, OfflineTrigger
from node_sim.corrected.asking import BY_BANK, Ground, OfflineQuestion
from node_sim.corrected.eras import Eras, WindowIndex, spans_of
from node_sim.corrected.live_errors import count_live
from node_sim.corrected.marks import Poisoned
from node_sim.corrected.offlining import find_offlines
from node_sim.corrected.windows import Windows, error_time_ns
from node_sim.dram.device_banks import BankMap
from node_sim.dram.geometry import AddressMap, Place
from node_sim.dram.page_order import PageOrder
from node_sim.draws import Seed
from node_sim.memory.pages import Static
from node_sim.server.hardware import Server
from node_sim.server.page_offline import OfflineScope, PageOffline
from node_sim.units import LINES_PER_PAGE, NS_PER_DAY, NS_PER_HOUR
from tests.handmade import faults_of
from tests.unit.test_row_offlining import ADDRESS_MAP, HORIZON, LATER, LINES, OWNED, SEEDS, WORD, lives

BANK = {"mode": int(Mode.BANK), "beats": 1, "n_lines": LINES, "n_rows": 200}
"""34 errors in nine minutes, each on another page of 1,600 in 200 rows."""
LONE = WORD | {"row": 700, "time_ns": LATER}
"""A word of the same bank, in a row that has had no error, breaks days later."""


@pytest.mark.parametrize("scope", ["page", "row"])
def test_errors_over_the_rows_of_a_bank_take_no_page_and_no_row(scope):
    tables = lives(PageOffline(20, scope), of_node=(BANK, LONE))
    assert tables["page_offlines"] == {} or (tables["page_offlines"]["time_ns"] > LATER).all()
    assert np.unique(tables["signals"]["lane"]).size > 30


def test_the_bank_rule_takes_the_bank_and_nobody_reads_the_word():
    tables = lives(PageOffline(34, "bank"), of_node=(BANK, LONE))
    taken = tables["page_offlines"]
    assert taken["lane"].tolist() == list(range(len(SEEDS)))
    assert (taken["trigger"] == OfflineTrigger.BANK_THRESHOLD).all()
    assert (taken["result"] == OfflineResult.OFFLINED).all()
    assert (taken["time_ns"] < NS_PER_HOUR).all()
    assert (tables["errors"]["kind"] == ErrorKind.CE).all()
    assert (tables["errors"]["ce_count"] == 34).all()
    # No memory is the kernel's or a pool's, so all pages go: those with lines of bank 0 of rank 0, of both channels.
    assert (taken["n_pages"] == ADDRESS_MAP.dimm.rows * LINES * 2 * 2 // LINES_PER_PAGE).all()


def test_a_word_of_another_bank_whose_pages_are_others_is_read_on():
    tables = lives(PageOffline(34, "bank"), of_node=(BANK, LONE | {"bank": 2}))
    assert np.unique(tables["signals"]["lane"]).size > 20  # in others its own errors take its bank, or it panics


# ---- brute force on windows made by hand -------------------------------------------------------------------------

PARTED = AddressMap(Server(part="ddr2_1gb_x4", channels=7, ranks=2, address_map="closed_page"))
"""Pages have lines of 64 of 112 banks, ranks and channels: banks share some of their pages."""
ALIKE = AddressMap(Server(channels=3))
"""Banks 0 and 1 have the same pages."""
SHAPES = [
    (ALIKE, {"n_lines": 30, "n_rows": 2}),
    (ALIKE, {"n_lines": 30, "n_rows": 2, "n_banks": 5}),
    (PARTED, {"n_lines": 9, "n_rows": 3}),
    (PARTED, {"n_lines": 9, "n_rows": 3, "n_banks": 8}),
    (PARTED, {"n_lines": 2, "n_rows": 2, "n_banks": 3, "bank": 4, "n_ranks": 2}),
]
COUNTS = [3, 8, 9, 20, 41, 100, 150]
"""Errors of the windows of each fault, a day each."""


def banks_of_page(address_map: AddressMap, pfn: int) -> set[int]:
    """Name the banks with lines in a page, from the address map alone."""
    place = address_map.place(pfn * LINES_PER_PAGE + np.arange(LINES_PER_PAGE))
    channel = place.socket * address_map.server.channels + place.channel
    slot = channel * address_map.server.dimms_per_channel + place.dimm
    dimm = address_map.dimm
    return set(((slot * dimm.ranks + place.rank) * dimm.banks + place.bank).tolist())


def pages_of_fault(address_map: AddressMap, shape: dict[str, int]) -> list[tuple[int, int]]:
    """Return bank and pfn of the pages of a footprint in its own order."""
    found = []
    for rank in range(shape.get("n_ranks", 1)):
        for bank in range(shape.get("bank", 0), shape.get("bank", 0) + shape.get("n_banks", 1)):
            for row in range(shape["n_rows"]):
                line = np.arange(shape["n_lines"])
                zero = np.zeros_like(line)
                place = Place(zero, zero, zero, zero + rank, zero + bank, zero + row, line)
                pages = sorted(set((address_map.line_number(place) // LINES_PER_PAGE).tolist()))
                found += [(rank * address_map.dimm.banks + bank, pfn) for pfn in pages]
    return found


@pytest.mark.parametrize(("address_map", "shape"), SHAPES)
@pytest.mark.parametrize("threshold", [1, 5, 12, 40])
def test_banks_go_offline_as_when_errors_are_gone_through_one_by_one(address_map, shape, threshold):
    faults = faults_of({"mode": int(Mode.BANK), **shape})
    pages = pages_of_fault(address_map, shape)
    n_pages = len(pages)
    assert n_pages == int(address_map.page_count(faults.box)[0])
    step = next(step for step in range(n_pages // 2 + 1, 2 * n_pages + 2) if np.gcd(step, n_pages) == 1)
    faults = faults._replace(n_pages=np.asarray([n_pages]), order=PageOrder(np.asarray([2]), np.asarray([step])))
    pages = [pages[(2 + k * step) % n_pages] for k in range(n_pages)]
    n, day, errors = len(COUNTS), np.arange(len(COUNTS)) * NS_PER_DAY, np.asarray(COUNTS)
    windows = Windows.even(
        np.zeros(n, np.int64), np.arange(n), day, day + NS_PER_HOUR, errors, np.minimum(errors, n_pages),
        np.full(n, 0.4), np.zeros(n, np.bool_), np.full(n, -1),
    )  # fmt: skip
    zero = np.zeros(1, np.int64)
    scope, answer = zero + int(OfflineScope.BANK), np.zeros((1, len(OfflineQuestion)), np.int64)
    eras = Eras(zero, zero, zero, zero + HORIZON, zero + threshold, scope, zero, zero, answer)
    index, ground = WindowIndex(windows, 1), Ground(Seed.of(1), address_map, Static.of(OWNED))
    spans = spans_of(eras, index)
    counted = find_offlines(eras, spans, index, faults, ground, Poisoned.none())
    asked: dict[int, tuple[int, int]] = {}
    gone: set[int] = set()
    left = []
    for k, total in enumerate(COUNTS):
        count: dict[int, int] = {}
        seen = 0
        for i in range(total):
            bank, pfn = pages[i % min(total, n_pages)]
            if pfn in gone:
                continue
            seen += 1
            count[bank] = count.get(bank, 0) + 1
            if count[bank] == threshold:
                asked[bank] = (k, i + 1)
                gone |= {one for _, one in pages if bank in banks_of_page(address_map, one)}
        left.append(seen)
    offlines = counted.offlines
    by_bank = zip(offlines.span.tolist(), offlines.error.tolist(), strict=True)
    assert dict(zip((offlines.page - BY_BANK).tolist(), by_bank, strict=True)) == asked
    assert offlines.time_ns.tolist() == error_time_ns(windows.take(offlines.span), offlines.error).tolist()
    assert count_live(eras, spans, index, counted).errors.tolist() == left
    if address_map is PARTED and "n_banks" in shape and threshold == 1:
        assert len(asked) > 1  # though they share pages


MAPS = [
    *(Server(part="ddr2_1gb_x4", channels=7, ranks=2, address_map=name) for name in ("open_page", "closed_page")),
    Server(part="ddr3_2gb_x8", channels=3, ranks=2, dimms_per_channel=2, address_map="contiguous"),
    Server(part="ddr5_16gb_x8", channels=3, ranks=2, address_map="closed_page", sockets=2),
    Server(part="ddr4_8gb_x4", channels=6, ranks=2, dimms_per_channel=2, sockets=2),
]


@pytest.mark.parametrize("server", MAPS, ids=lambda server: f"{server.part} {server.address_map}")
def test_pages_of_banks_are_those_with_lines_of_them(server):
    address_map, rng = AddressMap(server), np.random.default_rng(5)
    banks, n_banks = BankMap(address_map), server.dimms * address_map.dimm.ranks * address_map.dimm.banks
    for name in rng.integers(0, n_banks, 3).tolist():
        one = np.asarray([name])
        chunk_set, pattern = int(banks.chunk_set(one)[0]), banks.pattern(one)[0]
        first = int(rng.integers(0, address_map.pages - 2000))
        here = int(address_map.page(banks.boxes(one), np.zeros(1, np.int64))[0]) // 512 * 512
        for start in (first, here):
            pfn = np.arange(start, min(start + 1500, address_map.pages))
            true = np.asarray([name in banks_of_page(address_map, one) for one in pfn.tolist()])
            assert banks.has_page(np.full(pfn.size, name), pfn).tolist() == true.tolist()
            assert banks.in_part(chunk_set, pattern, pfn).tolist() == true.tolist()
            below = banks.pages_below(chunk_set, pattern, pfn)
            assert (below - below[0])[1:].tolist() == np.cumsum(true)[:-1].tolist()
        whole = int(banks.pages_below(chunk_set, pattern, np.asarray([address_map.pages]))[0])
        lines = address_map.dimm.rows * address_map.dimm.lines
        alone = banks.stride >= LINES_PER_PAGE
        assert whole == (lines if alone else lines * banks.stride // LINES_PER_PAGE)
