"""The lanes against the event heap in worlds made for banks of DIMMs that go offline; most of them take minutes."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.conformance.test_lanes_oracle import BANKED, LEAST, banks_met, check_world

FEW = {0: (3, 5), 2: (0, 2), 7: (0,), 17: (3,), 18: (4,), 21: (1, 4), 22: (2,), 29: (0,)}
"""Small ones, and the places of nodes in them, that meet all of it together; the event heap lists every page of their
banks."""
NUMBERS = range(BANKED, BANKED + 30)


@pytest.mark.parametrize("number", FEW)
def test_every_row_equals_that_of_the_event_heap(number: int) -> None:
    check_world(BANKED + number, FEW[number])


def test_these_worlds_have_banks_that_go_offline() -> None:
    met = sum((banks_met(BANKED + number, places) for number, places in FEW.items()), Counter())
    wanted = ("bank", "bank of parts", "bank refused", "banks of one node", "huge pages broken up")
    assert min(met[what] for what in wanted) >= LEAST, dict(met)


@pytest.mark.long
@pytest.mark.parametrize("number", NUMBERS)
def test_every_row_equals_that_of_the_event_heap_in_more_worlds(number: int) -> None:
    check_world(number)


@pytest.mark.long
def test_worlds_for_banks_have_banks_that_go_offline() -> None:
    met = sum((banks_met(number) for number in NUMBERS), Counter())
    wanted = ("bank", "bank of parts", "banks of one fault", "banks of one node", "huge pages broken up")
    assert min(met[what] for what in wanted) >= LEAST, dict(met)
