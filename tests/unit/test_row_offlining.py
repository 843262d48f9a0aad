"""A daemon that counts by row: Intel's case of a row in which a page rule acts too late, and brute force on few rows.

The case is that of Intel's memory resilience technology: 34 corrected errors in nine minutes over the columns of one
row, then an uncorrected one. No page has ten of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from node_sim.catalog.parts import PARTS
from node_sim.codes import ErrorKind, Mode, OfflineResult, OfflineTrigger
from node_sim.corrected.asking import Ground, OfflineQuestion, Offlines
from node_sim.corrected.eras import Eras, WindowIndex, spans_of
from node_sim.corrected.marked_windows import Leaving, count_marked
from node_sim.corrected.marks import Marks, Poisoned, name_page
from node_sim.corrected.offlining import Counted, find_offlines
from node_sim.corrected.windows import Windows, error_time_ns
from node_sim.dram.geometry import AddressMap, Dimm, Place
from node_sim.dram.page_order import PageOrder
from node_sim.draws import Seed
from node_sim.memory.pages import Static
from node_sim.server.hardware import ADDRESS_MAPS, Server
from node_sim.server.page_offline import OfflineScope, PageOffline
from node_sim.server.policy import Cordon, Detection, Ecc, ErrorProcess, Policy, Repair
from node_sim.server.workload import Process, Use, Workload
from node_sim.units import LINES_PER_PAGE, NS_PER_DAY, NS_PER_HOUR
from tests.handmade import faults_of, lives_by_hand, tables_of

SERVER = Server(channels=2)
LINES = Dimm.of(SERVER).lines
ADDRESS_MAP = AddressMap(SERVER)
ODD_MAP = AddressMap(Server(channels=3))
"""Rows begin and end within a page, which has lines of the row of another bank, too."""
LATER, HORIZON = 2 * NS_PER_DAY, 60 * NS_PER_DAY
SEEDS = range(40)
OWNED = Workload(use=Use(0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0), process=(Process(),), tenancy_days=10_000.0)
RECOVERING = replace(OWNED, process=(Process(on_sigbus="recover"),))
ERRORS = ErrorProcess(
    burst_interval_days=3650.0,
    burst_days=0.01,
    burst_spread=0.0,
    median_ce_per_window=22.0,
    sigma_fault=0.0,
    sigma_window=0.0,
    scrub_share=0.0,
)  # fmt: skip - a row fault makes 1 + 1.5 x 22 errors in its window
NINE_MINUTES = 9 / 14.4
"""In mean lengths of a burst, of 0.01 days."""


ROW = {"mode": int(Mode.ROW), "beats": 1, "n_lines": LINES}
WORD = {"mode": int(Mode.WORD), "beats": 1, "n_dq": 2}
"""SECDED corrects the row, and not the word."""


def lives(daemon: PageOffline, *, of_node: tuple[dict[str, int], ...], workload: Workload = OWNED):
    """Tables of nodes with the same faults in one row, a lane per seed."""
    policy = Policy(
        errors=ERRORS,
        ecc=Ecc("secded"),
        detection=Detection(scrub_hours=0.0, hot_share=1.0, hot_interval_s=3600.0),
        workload=workload,
        page_offline=daemon,
        repair=Repair(cordon=Cordon(ue=0)),
    ).on(SERVER)
    return tables_of(lives_by_hand(policy, SERVER, HORIZON, SEEDS, of_node, first_burst=NINE_MINUTES))


INTEL = (ROW, WORD | {"line": LINES // 2, "time_ns": LATER})


def test_the_page_rule_takes_no_page_of_intels_row_in_time_and_the_process_is_killed():
    tables = lives(PageOffline(10), of_node=INTEL)
    first = tables["errors"]["kind"] == ErrorKind.CE
    assert (tables["errors"]["ce_count"][first & (tables["errors"]["time_ns"] < NS_PER_HOUR)] == 34).all()
    assert (tables["page_offlines"]["time_ns"] > LATER).all()  # some by errors of the word itself, which come too late
    assert np.unique(tables["signals"]["lane"]).size > 30  # others panic first: the kernel or a device reads it


@pytest.mark.parametrize(
    ("daemon", "trigger"),
    [
        (PageOffline(34, "row"), OfflineTrigger.ROW_THRESHOLD),
        (PageOffline(0, "row", 8), OfflineTrigger.ROW_COLUMNS),
        (PageOffline(34, "row", 8), OfflineTrigger.ROW_COLUMNS),
        (PageOffline(8, "row", 8), OfflineTrigger.ROW_THRESHOLD),
    ],
)
def test_the_row_rule_takes_all_eight_pages_and_nobody_reads_the_word(daemon, trigger):
    tables = lives(daemon, of_node=INTEL)
    taken = tables["page_offlines"]
    assert np.bincount(taken["lane"]).tolist() == [8] * len(SEEDS)
    assert (taken["trigger"] == trigger).all()
    assert (taken["result"] == OfflineResult.OFFLINED).all()
    assert (taken["time_ns"] < NS_PER_HOUR).all()
    assert (tables["errors"]["kind"] == ErrorKind.CE).all()
    for name in ("signals", "machine_checks", "memory_failures"):
        assert tables[name] == {}
    seen = tables["errors"]["ce_count"]
    assert (seen == (34 if trigger == OfflineTrigger.ROW_THRESHOLD and daemon.row_columns == 0 else 8)).all()


def test_a_page_that_the_handler_took_keeps_a_row_from_its_limit_and_its_other_pages_in_use():
    """Without the four errors of one page 34 are not 32 any more, so a word that breaks later is read."""
    middle, end = LINES // 2, LINES - 1
    pages = lines_to_pages(ADDRESS_MAP, 0, 0, range(LINES))
    faults = (WORD | {"line": middle}, ROW | {"time_ns": NS_PER_DAY}, WORD | {"line": end, "time_ns": LATER})
    tables = lives(PageOffline(32, "row"), of_node=faults, workload=RECOVERING)
    handled, taken = tables["memory_failures"], tables["page_offlines"]
    before = handled["lane"][(handled["time_ns"] < NS_PER_DAY) & (handled["pfn"] == pages[4])]
    stayed_up = np.setdiff1d(before, tables["lifecycle"]["lane"])
    assert stayed_up.size > 10
    assert not np.isin(stayed_up, taken["lane"][taken["trigger"] == OfflineTrigger.ROW_THRESHOLD]).any()
    read = np.isin(stayed_up, handled["lane"][handled["pfn"] == pages[-1]])
    assert read.sum() > 10  # in the others no read of the word fails


def test_the_kernel_says_of_a_page_of_the_row_that_the_handler_has_marked_it_and_takes_the_others():
    # Two days later a row fault makes 34 errors, fewer of which are seen: the word's page is out of use by then.
    faults = (WORD | {"line": LINES // 2}, ROW | {"time_ns": LATER})
    pages = np.sort(ADDRESS_MAP.page(faults_of(*[ROW] * 8).box, np.arange(8)))
    tables = lives(PageOffline(20, "row"), of_node=faults, workload=RECOVERING)
    handled, taken = tables["memory_failures"], tables["page_offlines"]
    marked = handled["lane"][(handled["time_ns"] < LATER) & (handled["pfn"] == pages[4])]
    for lane in np.setdiff1d(marked, tables["lifecycle"]["lane"]).tolist():
        mine = np.flatnonzero((taken["lane"] == lane) & (taken["trigger"] == OfflineTrigger.ROW_THRESHOLD))
        result = dict(zip(taken["pfn"][mine].tolist(), taken["result"][mine].tolist(), strict=True))
        usual = dict.fromkeys(pages.tolist(), OfflineResult.OFFLINED)
        assert result == usual | {int(pages[4]): OfflineResult.ALREADY_POISONED}
    assert np.setdiff1d(marked, tables["lifecycle"]["lane"]).size > 10


# ---- brute force on windows made by hand -------------------------------------------------------------------------

SHAPES = [
    (ADDRESS_MAP, {"n_lines": LINES}),
    (ADDRESS_MAP, {"n_lines": LINES, "n_rows": 3}),
    (ADDRESS_MAP, {"n_lines": LINES // 4, "line": 5, "n_rows": 2}),
    (ADDRESS_MAP, {"n_lines": LINES, "n_rows": 2, "n_banks": 2}),
    (ADDRESS_MAP, {"n_lines": 7, "n_rows": 5, "n_banks": 3, "bank": 1}),
    (ODD_MAP, {"n_lines": LINES, "n_rows": 1, "n_banks": 4}),
    (ODD_MAP, {"n_lines": LINES, "n_rows": 2, "n_banks": 6, "bank": 1}),
]
COUNTS = [3, 8, 9, 20, 41, 100]
"""Errors of the windows of each fault, a day each."""
KINDS = [(1, 0), (5, 0), (12, 0), (40, 0), (0, 2), (0, 8), (30, 3), (4, 4)]


def counted(
    address_map: AddressMap, shape: dict[str, int], threshold: int, columns: int
) -> tuple[Counted, Windows, list[tuple[int, int, int]]]:
    """Count the errors of one fault; return also bank, row and pfn of its pages in its order."""
    faults = faults_of({"mode": int(Mode.BANK), **shape})
    n_pages = int(address_map.page_count(faults.box)[0])
    step = next(step for step in range(n_pages // 2 + 1, 2 * n_pages + 2) if np.gcd(step, n_pages) == 1)
    faults = faults._replace(n_pages=np.asarray([n_pages]), order=PageOrder(np.asarray([2]), np.asarray([step])))
    n, day = len(COUNTS), np.arange(len(COUNTS)) * NS_PER_DAY
    errors = np.asarray(COUNTS)
    windows = Windows.even(
        np.zeros(n, np.int64), np.arange(n), day, day + NS_PER_HOUR, errors, np.minimum(errors, n_pages),
        np.full(n, 0.4), np.zeros(n, np.bool_), np.full(n, -1),
    )  # fmt: skip
    zero = np.zeros(1, np.int64)
    answer = np.zeros((1, len(OfflineQuestion)), np.int64)
    eras = Eras(
        zero, zero, zero, zero + HORIZON, zero + threshold, zero + OfflineScope.ROW, zero + columns, zero, answer
    )
    index, ground = WindowIndex(windows, 1), Ground(Seed.of(1), address_map, Static.of(OWNED))
    found = find_offlines(eras, spans_of(eras, index), index, faults, ground, Poisoned.none())
    rows = list(every_page(address_map, shape))
    return found, windows, [rows[(2 + k * step) % n_pages] for k in range(n_pages)]


def lines_to_pages(address_map: AddressMap, bank: int, row: int, lines: range) -> list[int]:
    """Return the pages that lines of a row of the first DIMM touch, from the address map alone."""
    line = np.asarray(lines)
    zero = np.zeros_like(line)
    place = Place(zero, zero, zero, zero, zero + bank, zero + row, line)
    return sorted(set((address_map.line_number(place) // LINES_PER_PAGE).tolist()))


def every_page(address_map: AddressMap, shape: dict[str, int]):
    """Yield bank, row and pfn of the pages of a footprint in its own order."""
    first = shape.get("line", 0)
    for bank in range(shape.get("bank", 0), shape.get("bank", 0) + shape.get("n_banks", 1)):
        for row in range(shape.get("n_rows", 1)):
            for pfn in lines_to_pages(address_map, bank, row, range(first, first + shape["n_lines"])):
                yield bank, row, pfn


@pytest.mark.parametrize(("address_map", "shape"), SHAPES)
@pytest.mark.parametrize(("threshold", "columns"), KINDS)
def test_pages_go_offline_as_when_errors_are_gone_through_one_by_one(address_map, shape, threshold, columns):
    found, windows, pages = counted(address_map, shape, threshold, columns)
    asked: dict[int, tuple[int, int]] = {}
    for k, n in enumerate(COUNTS):
        seen: dict[tuple[int, int], list[int]] = {}
        shown = min(n, len(pages))
        for i in range(n):
            bank, row, pfn = pages[i % shown]
            if pfn in asked:
                continue
            mine = seen.setdefault((bank, row), [])
            mine.append(pfn)
            fresh = mine.count(pfn) == 1
            if len(mine) == threshold or (fresh and len(set(mine)) == columns):
                for one in lines_to_pages(address_map, bank, row, range(LINES)):
                    asked.setdefault(one, (k, i + 1))
    offlines = found.offlines
    got = dict(
        zip(offlines.pfn.tolist(), zip(offlines.span.tolist(), offlines.error.tolist(), strict=True), strict=True)
    )
    assert len(got) == offlines.pfn.size
    assert got == asked
    assert offlines.offlined.all()
    expected = error_time_ns(windows.take(offlines.span), offlines.error)
    assert offlines.time_ns.tolist() == expected.tolist()


@pytest.mark.parametrize(("address_map", "shape"), SHAPES)
@pytest.mark.parametrize(("threshold", "columns"), KINDS)
def test_every_page_of_a_row_is_asked_for_at_one_time(address_map, shape, threshold, columns):
    offlines = counted(address_map, shape, threshold, columns)[0].offlines
    by_time: dict[int, list[int]] = {}
    for time_ns, pfn in zip(offlines.time_ns.tolist(), offlines.pfn.tolist(), strict=True):
        by_time.setdefault(time_ns, []).append(pfn)
    before: set[int] = set()
    for _, mine in sorted(by_time.items()):
        assert mine == sorted(mine)
        rows = [lines_to_pages(address_map, bank, row, range(LINES)) for bank, row, _ in every_page(address_map, shape)]
        assert any(set(row) - before == set(mine) for row in rows)
        before |= set(mine)


@pytest.mark.parametrize("address_map", ADDRESS_MAPS)
@pytest.mark.parametrize("part", sorted(PARTS))
def test_rows_share_all_their_pages_or_none(part, address_map):
    """So a row that goes offline leaves nothing to ask for to the rows that share pages with it."""
    rng = np.random.default_rng(3)
    for channels in range(2, 13):
        server = Server(part=part, address_map=address_map, channels=channels, ranks=4)
        mapped, dimm = AddressMap(server), Dimm.of(server)
        line = np.arange(dimm.lines)
        size = server.sockets, channels, server.dimms_per_channel, dimm.ranks, dimm.banks, dimm.rows
        place = Place(*(np.full(dimm.lines, int(rng.integers(n))) for n in size), line)
        pages = np.unique(mapped.line_number(place) // LINES_PER_PAGE)
        others = mapped.place((pages[:, None] * LINES_PER_PAGE + np.arange(LINES_PER_PAGE)).ravel())
        rows = np.ravel_multi_index(others[:-1], size).reshape(pages.size, LINES_PER_PAGE)
        assert len({tuple(sorted(set(row.tolist()))) for row in rows}) == 1


@pytest.mark.parametrize("seed", range(30))
def test_what_is_left_of_windows_is_as_when_their_errors_are_listed(seed):
    rng = np.random.default_rng(seed)
    n, zero = 20, np.zeros(20, np.int64)
    errors, day = rng.integers(1, 60, n), np.arange(n) * NS_PER_DAY
    shown = np.minimum(errors, int(rng.integers(1, 12)))
    windows = Windows.even(
        zero, np.arange(n), day, day + NS_PER_HOUR, errors, shown, rng.random(n), rng.random(n) < 0.2, zero - 1
    )
    index = WindowIndex(windows, 1)
    from_ns = int(rng.integers(0, 2 * NS_PER_HOUR))
    eras = Eras(
        *(np.asarray([part]) for part in (0, 0, from_ns, HORIZON, 1, OfflineScope.ROW)),
        zero[:1],
        zero[:1],
        zero[:1, None],
    )
    spans, gone = spans_of(eras, index), np.flatnonzero(rng.random(12) < rng.random())
    out_ns = rng.integers(0, n, gone.size) * NS_PER_DAY + rng.integers(0, NS_PER_HOUR, gone.size)
    never = np.full(gone.size, HORIZON)
    marks = Marks(name_page(np.zeros_like(gone), gone), never, never, out_ns, never)
    some = np.arange(spans.era.size)
    own = np.flatnonzero(rng.random(12) < rng.random())
    at = rng.integers(0, some.size, own.size)
    error = rng.integers(spans.first[at], spans.last[at]) + 1
    cells = (np.zeros_like(own), at, own, error)
    rest = (np.zeros_like(own),) * 3
    yes = np.ones(own.size, np.bool_)
    leaving = Leaving.of(marks, Offlines(*cells, *rest, ~yes, np.zeros_like(own), rest[0]))
    counts = count_marked(spans, some, index, leaving)
    out = dict(zip(gone.tolist(), out_ns.tolist(), strict=True))
    taken = dict(zip(own.tolist(), zip(at.tolist(), error.tolist(), strict=True), strict=True))
    expected = []
    for i in some.tolist():
        window = windows.take(spans.window[i : i + 1])
        seen = [
            k
            for k in range(int(spans.first[i]) + 1, int(spans.last[i]) + 1)
            if window.scrub[0]
            or (
                error_time_ns(window, np.asarray([k]))[0] < out.get((k - 1) % int(window.n_pages[0]), HORIZON)
                and (i, k) <= taken.get((k - 1) % int(window.n_pages[0]), (n, 0))
            )
        ]
        on = {(k - 1) % int(window.n_pages[0]) for k in seen}
        expected.append((len(seen), len(on), seen[0] if seen else 0, seen[-1] if seen else 0))
    assert list(zip(*(part.tolist() for part in counts), strict=True)) == expected
