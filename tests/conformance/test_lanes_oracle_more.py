"""The second half of the worlds of ``test_lanes_oracle.py``, so that two workers share them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.test_lanes_oracle import CHUNK, HALF, WORLDS, check_world, write_branches


@pytest.mark.parametrize("first", range(HALF, WORLDS, CHUNK))
def test_every_row_equals_that_of_the_event_heap(first: int, shared_folder: Path) -> None:
    for number in range(first, first + CHUNK):
        check_world(number)
        write_branches(number, shared_folder)
