"""The second half of the worlds of ``test_lanes_oracle.py``, so that two workers share them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.test_lanes_oracle import CHUNK, HALF, WORLDS, check_chunk


@pytest.mark.parametrize("first", range(HALF, WORLDS, CHUNK))
def test_every_row_equals_that_of_the_event_heap(first: int, shared_folder: Path) -> None:
    check_chunk(first, shared_folder)
