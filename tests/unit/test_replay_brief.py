"""A node's life in brief: windows of corrected errors of a fault are one line, all else stays as it is."""

from __future__ import annotations

import re

import pytest

from fleet.replay import replay_node, timeline_lines, timeline_rows
from tests.fleets import busy_fleet


def row(seq, cause, kind, count=None):
    """A row of ``errors`` at the second of its number."""
    return {
        "time_ns": seq * 10**9, "last_time_ns": seq * 10**9 + 10**8, "seq": seq, "cause_seq": cause, "fault_id": cause,
        "kind": kind, "ce_count": count, "n_pages": 1, "first_pfn": 16, "observer": "scrub", "path": "born",
        "n_ce_before": 0,
    }  # fmt: skip


class Table:
    """As much of a table as is asked for."""

    def __init__(self, *rows):
        self.rows = rows

    def to_pylist(self):
        """Return its rows."""
        return list(self.rows)


def test_windows_of_a_fault_are_one_line_up_to_the_next_other_row():
    lives = [(2, 0, 5), (3, 1, 7), (4, 0, 11), (6, 0, 1), (7, 0, 2), (8, 1, 4)]
    errors = Table(*(row(seq, cause, "CE", count) for seq, cause, count in lives), row(5, 0, "UE"))
    lines = list(timeline_lines({"errors": errors}, brief=True))
    assert [int(line.split()[0]) for line in lines] == [2, 3, 5, 6, 8]
    assert re.search(r"16 CE in 2 windows, until 0 d 00:00:04.100 <- 0$", lines[0])
    assert "7 CE on 1 page" in lines[1]
    assert "UE on pfn 0x10" in lines[2]
    assert re.search(r"3 CE in 2 windows, until 0 d 00:00:07.100 <- 0$", lines[3])
    assert "4 CE on 1 page" in lines[4]


@pytest.mark.parametrize("arm", ["default", "page_offline_2_per_24h"])
def test_nothing_but_windows_is_left_out_and_no_error_is_lost(arm):
    fleet = busy_fleet(nodes=40)
    shorter = 0
    for node in range(12):
        tables = replay_node(fleet, 1, node, arm)
        every, brief = list(timeline_lines(tables)), list(timeline_lines(tables, brief=True))
        other = [line for line, (name, one) in zip(every, timeline_rows(tables), strict=True)
                 if name != "errors" or one["kind"] != "CE"]  # fmt: skip
        assert [line for line in brief if line in set(other)] == other
        counted = [
            int(found[1].replace(",", "")) for line in brief if (found := re.search(r"error +([\d,]+) CE ", line))
        ]
        assert sum(counted) == sum(one["ce_count"] for _, one in timeline_rows(tables) if one.get("kind") == "CE")
        numbers = [int(line.split()[0]) for line in brief]
        assert len(set(numbers)) == len(numbers)
        shorter += len(brief) < len(every)
    assert shorter > 3
