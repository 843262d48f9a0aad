"""The address map, the pages of a footprint and the intersection of footprints, against brute force."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from node_sim.catalog.parts import PARTS, Part
from node_sim.codes import Mode
from node_sim.dram.extents import draw_box
from node_sim.dram.geometry import AddressMap, Dimm, Footprint, Place, intersect
from node_sim.draws import Seed
from node_sim.errors import ConfigError
from node_sim.server.hardware import ADDRESS_MAPS, Server
from tests.oracle.catalog.tables import read_table

SIX_CHANNELS = Server(sockets=2, channels=6, ranks=2, part="ddr4_16gb_x4", address_map="open_page")
CLOSED = Server(sockets=2, channels=6, ranks=2, part="ddr4_16gb_x4", address_map="closed_page")
TINY = Part(banks=8, bank_groups=2, rows=6, columns=128, width=4, data_devices=16, check_devices=2, generation=4)
TINY_CLOSED = Part(
    banks=4, bank_groups=1, rows=4096, columns=32, width=4, data_devices=16, check_devices=2, generation=4
)
TINY_LINES = 16


def footprint(*boxes: tuple[int, ...]) -> Footprint:
    """Boxes from tuples (slot, rank, bank, row, line, n_ranks, n_banks, n_rows, n_lines)."""
    return Footprint(*np.asarray(boxes, np.int64).T)


def pages_of(server: Server, *box: int) -> list[int]:
    """All pages of one box as the code numbers them."""
    address_map, one = AddressMap(server), footprint(box)
    ordinal = np.arange(int(address_map.page_count(one)[0]))
    return address_map.page(one.take(np.zeros(ordinal.size, np.int64)), ordinal).tolist()


def oracle_line(server: Server, slot: int, rank: int, bank: int, row: int, line: int) -> int:
    """Line number written out by hand for each of the three maps."""
    part = server.dram
    pair = 2 if server.lockstep else 1
    dimm = slot % server.dimms_per_channel
    channel = slot // server.dimms_per_channel % server.channels
    socket = slot // server.dimms_per_channel // server.channels
    top = dimm + server.dimms_per_channel * socket
    lines = part.columns * part.width * part.data_devices * pair // 512
    halves, ranks = 2 if server.part.startswith("ddr5") else 1, server.ranks // pair
    half, rank = rank // ranks, rank % ranks
    if server.address_map == "contiguous":
        value = rank + ranks * (half + halves * (channel + server.channels * top))
        return line + lines * (bank + part.banks * (row + part.rows * value))
    if server.address_map == "open_page":
        value = bank // 8 + part.banks // 8 * (rank + ranks * top)
        value = bank // 2 % 4 + 4 * (row + part.rows * value)
        return channel + server.channels * (half + halves * (bank % 2 + 2 * (line + lines * value)))
    value = line + lines * (row // 2048 + part.rows // 2048 * top)
    value = bank + part.banks * (rank + ranks * (row % 2048 + 2048 * value))
    return channel + server.channels * (half + halves * value)


def oracle_pages(server: Server, *box: int) -> dict[tuple[int, int], set[int]]:
    """Pages of a box by (rank, bank), from every one of its lines."""
    slot, rank, bank, row, line, n_ranks, n_banks, n_rows, n_lines = box
    found = {}
    for r, b in itertools.product(range(rank, rank + n_ranks), range(bank, bank + n_banks)):
        there = r % Dimm.of(server).ranks, b % server.dram.banks
        cells = itertools.product(range(row, row + n_rows), range(line, line + n_lines))
        found[there] = {oracle_line(server, slot, *there, *cell) // 64 for cell in cells}
    return found


def eight_gbit(channels: int, address_map: str = "open_page") -> Server:
    """A server of the parts the table of pages per fault is about."""
    return Server(sockets=1, channels=channels, ranks=2, part="ddr4_8gb_x4", address_map=address_map)


MAPS = {
    "row contiguous (no interleave under the row)": eight_gbit(6, "contiguous"),
    "2 ways under the row": eight_gbit(1),
    "4 ways": eight_gbit(2),
    "8 ways": eight_gbit(4),
    "12 ways, open page, Intel 6 channels": eight_gbit(6),
    "32 ways": eight_gbit(16),
    "64 or more ways, or closed-page mapping (each line in its own page)": eight_gbit(6, "closed_page"),
}
PAGES = {(row["mapping"], row["fault"]): row["distinct_4k_pages"] for row in read_table("pages_per_fault")}


def test_every_published_map_is_one_of_ours():
    assert set(MAPS) == {mapping for mapping, _ in PAGES}


def whole(server: Server, mode: Mode, node: int = 5) -> Footprint:
    """Footprint of a fault of whole extents."""
    one = np.asarray([node])
    return draw_box(Seed.of(7), one, one - one, one - one + int(mode), Dimm.of(server), "whole")


WHOLE = {
    Mode.BIT: "bit or word",
    Mode.WORD: "bit or word",
    Mode.ROW: "row (8 KiB of data)",
    Mode.COLUMN: "column of a whole bank (131072 rows)",
    Mode.BANK: "bank (131072 rows, 1 GiB of data)",
}


@pytest.mark.parametrize("mode", WHOLE, ids=lambda mode: mode.text)
@pytest.mark.parametrize("mapping", MAPS)
def test_a_fault_of_whole_extents_has_as_many_pages_as_published(mapping, mode):
    address_map = AddressMap(MAPS[mapping])
    assert int(address_map.page_count(whole(MAPS[mapping], mode))[0]) == int(PAGES[mapping, WHOLE[mode]])


@pytest.mark.parametrize("mapping", MAPS)
def test_the_pages_of_a_whole_bank_are_those_of_all_its_lines(mapping):
    server = MAPS[mapping]
    address_map, box = AddressMap(server), whole(server, Mode.BANK)
    pages, some = np.zeros(address_map.pages, np.bool_), 256
    row, line = np.divmod(np.arange(some * server.dram.row_lines), server.dram.row_lines)
    zero = np.zeros(1, np.int64)
    for first in range(0, server.dram.rows, some):
        place = Place(zero, zero, zero, box.rank, box.bank, row + first, line)
        pages[address_map.line_number(place) // 64] = True
    assert pages.sum() == int(PAGES[mapping, "bank (131072 rows, 1 GiB of data)"])


@pytest.mark.parametrize("rows", [512, 1024])
@pytest.mark.parametrize("mapping", MAPS)
def test_a_column_inside_a_subarray_has_one_page_per_row(mapping, rows):
    assert PAGES[mapping, "column inside one subarray (512 to 1024 rows)"] == "512 to 1024"
    assert len(set(pages_of(MAPS[mapping], 0, 1, 5, 1024, 9, 1, 1, rows, 1))) == rows


PARTIAL = {Mode.COLUMN: 0.0325, Mode.ROW: 0.9 * 0.055 + 0.1 * 0.275, Mode.BANK: 0.055 * 0.205}
"""Mean share of rows x lines that a fault of partial extents takes: section 1.4 of the fault reference."""


@pytest.mark.parametrize("mode", PARTIAL, ids=lambda mode: mode.text)
def test_partial_extents_take_the_published_share_of_the_pages(mode):
    server, n = MAPS["64 or more ways, or closed-page mapping (each line in its own page)"], 40_000
    node = np.arange(n)
    box = draw_box(Seed.of(7), node, 0 * node, 0 * node + int(mode), Dimm.of(server), "partial")
    pages = AddressMap(server).page_count(box) / int(PAGES[list(MAPS)[-1], WHOLE[mode]])
    # Extents are rounded up to whole rows and lines: half a line of 128 on average. Five standard errors.
    half_a_line = 0.0 if mode is Mode.COLUMN else 0.5 / 128 * (0.055 if mode is Mode.BANK else 1.0)
    assert pages.mean() == pytest.approx(PARTIAL[mode] + half_a_line, abs=5 * pages.std() / n**0.5 + 1e-5)


def test_the_pages_of_an_open_page_row_are_contiguous():
    pages = pages_of(SIX_CHANNELS, 0, 0, 0, 77, 0, 1, 1, 1, 128)
    assert pages == list(range(pages[0], pages[0] + 24))


def test_the_next_row_of_a_bank_is_96_pages_on():
    first = [pages_of(SIX_CHANNELS, 0, 0, 0, row, 0, 1, 1, 1, 128)[0] for row in (77, 78, 79)]
    assert np.diff(first).tolist() == [96, 96]


def test_a_closed_page_row_is_scattered_over_two_to_three_gib_of_a_channel_pair():
    pages = pages_of(CLOSED, 0, 0, 0, 77, 0, 1, 1, 1, 128)
    gib = (max(pages) - min(pages)) * 4096 / 2**30
    # 6 channels x 16 banks x 2 ranks x 2048 rows of 64 B lie between two lines of a row.
    assert gib == pytest.approx(127 * 6 * 16 * 2 * 2048 * 64 / 2**30)


@pytest.mark.parametrize("name", PARTS)
def test_a_server_has_as_many_lines_as_its_dimms_hold(name):
    server = Server(sockets=2, channels=6, dimms_per_channel=2, ranks=2, part=name)
    gbit, width = (int(number) for number in re.match(r"ddr\d_(\d+)gb_x(\d)", name).groups())
    bytes_of_data = server.dimms * server.ranks * (64 // width) * gbit * 2**30 // 8
    assert AddressMap(server).lines * 64 == bytes_of_data


def test_a_ddr5_rank_is_as_wide_as_one_of_ddr4_in_two_halves():
    dimm = Dimm.of(Server(ranks=2, part="ddr5_16gb_x4"))
    assert (dimm.ranks, dimm.ranks_together, dimm.devices, dimm.beats) == (4, 2, 10, 16)


def test_two_ranks_in_lockstep_are_one_of_36_devices_and_four_beats():
    dimm = Dimm.of(Server(ranks=2, part="ddr2_1gb_x4", lockstep=True))
    assert (dimm.ranks, dimm.devices, dimm.beats, dimm.lines) == (1, 36, 4, 512)


def test_an_odd_number_of_ranks_cannot_run_in_lockstep():
    with pytest.raises(ConfigError, match="ranks = 1, expected an even number"):
        Server(ranks=1, lockstep=True)


def tiny(monkeypatch, address_map: str, **others: int) -> Server:
    """A server so small that every line can be listed."""
    monkeypatch.setitem(PARTS, "ddr4_8gb_x4", TINY_CLOSED if address_map == "closed_page" else TINY)
    return Server(**{"sockets": 2, "channels": 3, "ranks": 2, **others}, part="ddr4_8gb_x4", address_map=address_map)


SMALL = [
    ("open_page", {"channels": 3, "dimms_per_channel": 2}),
    ("open_page", {"channels": 1, "ranks": 4, "sockets": 1}),
    ("closed_page", {"channels": 16, "sockets": 1, "dimms_per_channel": 1}),
    ("contiguous", {"channels": 3, "dimms_per_channel": 2}),
    ("contiguous", {"channels": 1, "ranks": 4, "sockets": 1, "lockstep": True}),
    ("open_page", {"channels": 2, "ranks": 2, "lockstep": True}),
]


@pytest.mark.parametrize(("address_map", "others"), SMALL)
def test_every_line_of_a_small_server_has_its_own_place_and_back(monkeypatch, address_map, others):
    address_map = AddressMap(tiny(monkeypatch, address_map, **others))
    number = np.arange(address_map.lines)
    place = address_map.place(number)
    name = np.ravel_multi_index(tuple(place), [int(part.max()) + 1 for part in place])
    assert np.bincount(name).max() == 1
    assert np.array_equal(address_map.line_number(place), number)


@pytest.mark.parametrize(("address_map", "others"), SMALL)
def test_line_numbers_are_those_of_the_written_out_map(monkeypatch, address_map, others):
    server = tiny(monkeypatch, address_map, **others)
    address_map = AddressMap(server)
    number = np.random.default_rng(3).integers(0, address_map.lines, 500)
    place = address_map.place(number)
    slot = (place.socket * server.channels + place.channel) * server.dimms_per_channel + place.dimm
    cells = np.stack([slot, place.rank, place.bank, place.row, place.line]).T.tolist()
    assert [oracle_line(server, *cell) for cell in cells] == number.tolist()


def test_the_channel_of_a_slot_is_that_of_its_lines():
    server = Server(sockets=2, channels=6, dimms_per_channel=2)
    address_map = AddressMap(server)
    slot = np.arange(server.dimms)
    zero = np.zeros_like(slot)
    one = zero + 1
    pfn = address_map.page(Footprint(slot, zero, zero, zero + 100, zero, one, one, one, zero + 128), zero)
    first_line = address_map.line_number(
        Place(slot // 12, slot // 2 % 6, slot % 2, zero, zero, zero + 100, zero),
    )
    assert np.array_equal(pfn, first_line // 64)
    assert address_map.slot_channel(slot).tolist() == [s // 2 for s in range(24)]


def random_run(rng: np.random.Generator, size: int, longest: int) -> tuple[int, int]:
    """A run on a circle: start and length."""
    return int(rng.integers(size)), int(rng.integers(1, longest + 1))


def random_stretch(rng: np.random.Generator, size: int, longest: int) -> tuple[int, int]:
    """A run on a line: start and length."""
    length = int(rng.integers(1, min(size, longest) + 1))
    return int(rng.integers(size - length + 1)), length


def random_box(rng: np.random.Generator, server: Server, longest: tuple[int, int, int, int]) -> tuple[int, ...]:
    """A box like those the simulator draws; ranks and banks may wrap around."""
    dimm, (ranks, banks, rows, lines) = Dimm.of(server), longest
    rank, n_ranks = random_run(rng, dimm.ranks, ranks)
    bank, n_banks = random_run(rng, dimm.banks, banks)
    row, n_rows = random_stretch(rng, dimm.rows, rows)
    line, n_lines = random_stretch(rng, dimm.lines, lines)
    return int(rng.integers(server.dimms)), rank, bank, row, line, n_ranks, n_banks, n_rows, n_lines


BOX_SERVERS = [
    SIX_CHANNELS,
    CLOSED,
    Server(sockets=1, channels=8, dimms_per_channel=2, ranks=1, part="ddr4_8gb_x4"),
    Server(sockets=1, channels=5, ranks=4, address_map="closed_page"),
    Server(sockets=2, channels=1, ranks=2),
    Server(sockets=1, channels=2, ranks=2, address_map="closed_page"),
    Server(sockets=1, channels=3, ranks=2, address_map="contiguous"),
    Server(sockets=2, channels=2, ranks=2, part="ddr5_16gb_x4"),
    Server(sockets=1, channels=4, ranks=1, part="ddr5_16gb_x8", address_map="closed_page"),
    Server(sockets=1, channels=3, ranks=2, part="ddr2_1gb_x4", lockstep=True),
]


@pytest.mark.parametrize("server", BOX_SERVERS, ids=lambda s: f"{s.part}-{s.address_map}-{s.channels}ch-{s.ranks}r")
def test_the_pages_of_a_box_in_one_bank_are_those_of_all_its_lines(server):
    rng = np.random.default_rng(11)
    for _ in range(60):
        box = random_box(rng, server, (1, 1, 12, 128))
        (expected,) = oracle_pages(server, *box).values()
        found = pages_of(server, *box)
        assert set(found) == expected
        assert len(found) == len(expected)


def check_boxes_over_banks_and_ranks(server: Server, n_boxes: int) -> None:
    """Compare pages and count of boxes over several banks and ranks; all but closed-page boxes are whole rows."""
    rng = np.random.default_rng(12)
    for _ in range(n_boxes):
        box = random_box(rng, server, (min(2, Dimm.of(server).ranks), 8, 3, 30))
        if server.address_map != "closed_page":
            box = (*box[:4], 0, *box[5:8], Dimm.of(server).lines)
        expected = oracle_pages(server, *box)
        found = pages_of(server, *box)
        assert set(found) == set.union(*expected.values())
        assert len(found) == sum(len(pages) for pages in expected.values())


@pytest.mark.parametrize("server", BOX_SERVERS, ids=lambda s: f"{s.part}-{s.address_map}-{s.channels}ch-{s.ranks}r")
def test_the_pages_of_a_box_over_banks_and_ranks_are_counted_once_for_each(server):
    check_boxes_over_banks_and_ranks(server, 30)


def test_the_pages_of_part_of_a_row_over_two_open_page_banks_are_those_of_all_its_lines():
    # Lines 1 … 5 of bank 0 end at line number 60 (one page), those of bank 1 at 66 (two pages).
    box = (0, 0, 0, 0, 1, 1, 2, 1, 5)
    assert set(pages_of(SIX_CHANNELS, *box)) == set.union(*oracle_pages(SIX_CHANNELS, *box).values())


@pytest.mark.parametrize("channels", [1, 3])
def test_a_closed_page_map_whose_rows_would_share_a_page_is_refused(channels):
    with pytest.raises(ConfigError, match="expected >= 4 for closed_page"):
        Server(sockets=1, channels=channels, ranks=1, address_map="closed_page")


def coordinates(server: Server, box: tuple[int, ...]) -> set[tuple[int, ...]]:
    """All lines of a box."""
    slot, rank, bank, row, line, n_ranks, n_banks, n_rows, n_lines = box
    ranks = [r % Dimm.of(server).ranks for r in range(rank, rank + n_ranks)]
    banks = [b % server.dram.banks for b in range(bank, bank + n_banks)]
    return set(itertools.product([slot], ranks, banks, range(row, row + n_rows), range(line, line + n_lines)))


def intersections(server: Server, longest: tuple[int, int, int, int], n: int):
    """Random pairs of boxes, mostly in one DIMM: (common by brute force, found by the code or None)."""
    rng = np.random.default_rng(13)
    pairs = [(random_box(rng, server, longest), random_box(rng, server, longest)) for _ in range(n)]
    pairs = [(a, b if i % 10 == 0 else (a[0], *b[1:])) for i, (a, b) in enumerate(pairs)]
    box, some = intersect(footprint(*(a for a, _ in pairs)), footprint(*(b for _, b in pairs)), Dimm.of(server))
    boxes = np.stack(box).T.tolist()
    for (a, b), found, there in zip(pairs, boxes, some.tolist(), strict=True):
        yield coordinates(server, a) & coordinates(server, b), coordinates(server, tuple(found)) if there else None


def test_boxes_that_cannot_meet_twice_intersect_in_exactly_their_common_lines(monkeypatch):
    server = tiny(monkeypatch, "open_page", ranks=2)
    met = 0
    for common, found in intersections(server, (2, 4, 6, TINY_LINES), 2000):
        assert (found or set()) == common
        met += bool(common)
    assert met > 200


def test_boxes_that_wrap_around_intersect_in_some_of_their_common_lines(monkeypatch):
    server = tiny(monkeypatch, "open_page", ranks=4, sockets=1)
    partly = 0
    for common, found in intersections(server, (4, 8, 4, 8), 1000):
        assert (found is None) == (not common)
        assert (found or set()) <= common
        partly += bool(common) and found != common
    assert partly > 0


@pytest.mark.parametrize("address_map", ADDRESS_MAPS)
def test_no_footprint_has_more_pages_than_the_node(address_map):
    server = Server(part="ddr5_32gb_x4", channels=16, ranks=8, address_map=address_map)
    dimm, zero, one = Dimm.of(server), np.zeros(1, np.int64), np.ones(1, np.int64)
    everything = (one * n for n in (dimm.ranks_together, dimm.banks, dimm.rows, dimm.lines))
    found = AddressMap(server).page_count(Footprint(zero, zero, zero, zero, zero, *everything))[0]
    assert AddressMap(server).pages // (server.dimms * dimm.subchannels) <= found <= AddressMap(server).pages
