"""Laws of the address map for any server."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from node_sim.catalog.parts import PARTS
from node_sim.dram.geometry import AddressMap, Dimm, Footprint, Place
from node_sim.server.hardware import ADDRESS_MAPS, Server


def is_legal(fields: dict) -> bool:
    """Whether a server can be built: fewer than 257 slots, and rows that share no page."""
    slots = fields["sockets"] * fields["channels"] * fields["dimms_per_channel"]
    pair, halves = 2 if fields["lockstep"] else 1, 2 if fields["part"].startswith("ddr5") else 1
    lines = fields["channels"] * fields["ranks"] // pair * halves * PARTS[fields["part"]].banks
    return slots <= 256 and fields["ranks"] % pair == 0 and (fields["address_map"] != "closed_page" or lines >= 64)


SERVERS = (
    st.builds(
        dict,
        sockets=st.integers(1, 8),
        channels=st.integers(1, 16),
        dimms_per_channel=st.integers(1, 3),
        ranks=st.integers(1, 8),
        part=st.sampled_from(sorted(PARTS)),
        address_map=st.sampled_from(ADDRESS_MAPS),
        lockstep=st.booleans(),
    )
    .filter(is_legal)
    .map(lambda fields: Server(**fields))
)
WORDS = st.lists(st.integers(0, 2**62), min_size=1, max_size=20)


def sizes(server: Server) -> Place:
    dimm = Dimm.of(server)
    return Place(
        server.sockets, server.channels, server.dimms_per_channel, dimm.ranks, dimm.banks, dimm.rows, dimm.lines
    )


def any_place(server: Server, words: list[int]) -> Place:
    """Coordinates made of arbitrary integers."""
    rng = np.random.default_rng(words)
    return Place(*(rng.integers(0, size, 50) for size in sizes(server)))


@given(SERVERS, WORDS)
@settings(deadline=None)
def test_a_line_number_comes_back_from_its_place(server, words):
    address_map = AddressMap(server)
    number = np.asarray([*(word % address_map.lines for word in words), 0, address_map.lines - 1])
    assert np.array_equal(address_map.line_number(address_map.place(number)), number)


@given(SERVERS, WORDS)
@settings(deadline=None)
def test_a_place_comes_back_from_its_line_number(server, words):
    address_map, place = AddressMap(server), any_place(server, words)
    back = address_map.place(address_map.line_number(place))
    assert np.array_equal(np.stack(back), np.stack(place))


@given(SERVERS, WORDS)
@settings(deadline=None)
def test_line_numbers_fill_exactly_the_memory_of_the_server(server, words):
    address_map = AddressMap(server)
    assert address_map.lines == np.prod([int(size) for size in sizes(server)], dtype=object)
    number = address_map.line_number(any_place(server, words))
    assert number.min() >= 0
    assert number.max() < address_map.lines


def any_box(server: Server, words: list[int]) -> Footprint:
    """Boxes at arbitrary coordinates."""
    place, dimm = any_place(server, words), Dimm.of(server)
    rng = np.random.default_rng([*words, 1])
    n_rows = 1 + rng.integers(0, dimm.rows, 50) % (dimm.rows - place.row)
    n_lines = 1 + rng.integers(0, dimm.lines, 50) % (dimm.lines - place.line)
    slot = (place.socket * server.channels + place.channel) * server.dimms_per_channel + place.dimm
    n_ranks, n_banks = 1 + rng.integers(0, dimm.ranks, 50), 1 + rng.integers(0, dimm.banks, 50)
    return Footprint(slot, place.rank, place.bank, place.row, place.line, n_ranks, n_banks, n_rows, n_lines)


@given(SERVERS, WORDS)
@settings(deadline=None)
def test_pages_of_a_fault_lie_in_the_memory_of_the_server(server, words):
    address_map, box = AddressMap(server), any_box(server, words)
    count = address_map.page_count(box)
    for ordinal in (np.zeros_like(count), count // 2, count - 1):
        pfn = address_map.page(box, ordinal)
        assert pfn.min() >= 0
        assert pfn.max() < address_map.pages


@given(SERVERS, WORDS)
@settings(deadline=None)
def test_the_first_page_of_a_fault_holds_its_first_line(server, words):
    address_map, place = AddressMap(server), any_place(server, words)
    slot = (place.socket * server.channels + place.channel) * server.dimms_per_channel + place.dimm
    one = np.ones_like(slot)
    box = Footprint(slot, place.rank, place.bank, place.row, place.line, one, one, one, one)
    assert np.array_equal(address_map.page(box, 0 * one), address_map.line_number(place) // 64)


@given(SERVERS, WORDS)
@settings(deadline=None)
def test_a_box_knows_each_of_its_pages_by_its_numbers_and_no_other_page(server, words):
    address_map, box = AddressMap(server), any_box(server, words)
    rng = np.random.default_rng([*words, 2])
    inside = rng.integers(0, 2, 50) == 1
    number = rng.integers(0, 1 << 62, 50) % address_map.page_count(box)
    pfn = np.where(inside, address_map.page(box, number), rng.integers(0, address_map.pages, 50))
    which, found = address_map.ordinals(box, pfn, np.arange(50))
    assert np.array_equal(address_map.page(box.take(which), found), pfn[which])
    pairs = set(zip(which.tolist(), found.tolist(), strict=True))
    assert len(pairs) == which.size
    assert {(i, number[i]) for i in np.flatnonzero(inside)} <= pairs
    for i in range(20):
        holds = lines_are_inside(address_map, box, i, 64 * int(pfn[i]) + np.arange(64)).any()
        assert (i in which) == holds


def lines_are_inside(address_map: AddressMap, box: Footprint, i: int, numbers: np.ndarray) -> np.ndarray:
    """Whether each of some lines lies in a box, coordinate by coordinate."""
    server, dimm = address_map.server, address_map.dimm
    socket, channel, in_channel, rank, bank, row, line = address_map.place(numbers)
    slot = (socket * server.channels + channel) * server.dimms_per_channel + in_channel
    ranks = [(int(box.rank[i]) + k) % dimm.ranks for k in range(int(box.n_ranks[i]))]
    banks = [(int(box.bank[i]) + k) % dimm.banks for k in range(int(box.n_banks[i]))]
    rows, lines = row - int(box.row[i]), line - int(box.line[i])
    return (
        (slot == box.slot[i])
        & np.isin(rank, ranks)
        & np.isin(bank, banks)
        & (rows >= 0)
        & (rows < box.n_rows[i])
        & (lines >= 0)
        & (lines < box.n_lines[i])
    )
