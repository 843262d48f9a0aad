"""The lanes against the event heap in worlds made for rows of DIMMs that go offline; they take minutes."""

from __future__ import annotations

from collections import Counter

import pytest

from node_sim.codes import OfflineTrigger
from tests.conformance.test_lanes_oracle import LEAST, ROWED, check_world, rows_met

NUMBERS = range(ROWED, ROWED + 20)


@pytest.mark.long
@pytest.mark.parametrize("number", NUMBERS)
def test_every_row_equals_that_of_the_event_heap(number: int) -> None:
    check_world(number)


@pytest.mark.long
def test_worlds_for_rows_have_rows_that_go_offline_in_part() -> None:
    met = sum((rows_met(number) for number in NUMBERS), Counter())
    wanted = (OfflineTrigger.ROW_THRESHOLD.text, OfflineTrigger.ROW_COLUMNS.text, "row refused in part")
    assert min(met[what] for what in wanted) >= LEAST, dict(met)
