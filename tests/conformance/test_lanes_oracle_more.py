"""The second half of the worlds of ``test_lanes_oracle.py``, so that two workers share them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.test_lanes_oracle import FEW, check_and_count


@pytest.mark.parametrize("number", FEW[1::2])
def test_every_row_equals_that_of_the_event_heap(number: int, shared_folder: Path) -> None:
    check_and_count(number, shared_folder)
