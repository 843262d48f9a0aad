"""The handler against every cell of a second reading of the specification's big table.

The table (``tests/oracle/big_table.py``) is typed from the specification and is not generated from the handler.
Cells the specification marks as inferred have ids that end in ``-inferred``.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from node_sim.one_page.inject import inject
from tests.oracle.big_table import (
    LOST,
    PFN,
    PROFILES,
    RESULTS,
    ROWS,
    Cell,
    Row,
    action_line,
    is_action_line,
)

# Codes that settle who is told during handling; the others are about what comes later.
ABOUT_THE_EVENT = frozenset({"EK", "FK", "LK", "SLK", "CLK", "RF", "SM", "–", "no EK", "AR", "PLAIN", "KILL", "BUS"})


def identity(section: str, state: str, event: str, name: str, profile: str, inferred: bool) -> str:
    parts = [section, state, *([event] if event != "ao" else []), *([name] if name else []), profile]
    return "-".join([*parts, *(["inferred"] if inferred else [])])


def chosen_cells(chosen: Callable[[Cell], object]) -> list[tuple[Row, str, Cell, str]]:
    return [
        (row, profile, cell, identity(row.section, row.state, row.event, row.name, profile, cell.inferred))
        for row in ROWS
        for profile, cell in zip(PROFILES, row.cells, strict=True)
        if cell is not None and chosen(cell)
    ]


def each_cell(chosen: Callable[[Cell], object]):
    """Run a test for every chosen cell, with its row, its profile and what it says."""
    return pytest.mark.parametrize(
        ("row", "profile", "cell"), [pytest.param(*found[:3], id=found[3]) for found in chosen_cells(chosen)]
    )


def each_place(chosen: Callable[[Cell], object]):
    """Run a test for every chosen cell, with its row and its profile."""
    return pytest.mark.parametrize(
        ("row", "profile"), [pytest.param(*found[:2], id=found[3]) for found in chosen_cells(chosen)]
    )


def says(*codes: str) -> Callable[[Cell], object]:
    return lambda cell: cell.codes & set(codes)


def handled(row: Row, profile: str, *processes: str, early_kill: bool = False, then: tuple[str, ...] = ()):
    return inject(
        row.state,
        kernel_name=profile,
        event=row.event,
        processes=processes or ("late:handler",),
        early_kill=early_kill,
        then=then,
    )


def at_once(found) -> list[dict]:
    return [signal for signal in found["signals"] if signal["phase"] == "inject"]


def answers(found) -> list[str]:
    return [access["answer"] for access in found["later"]]


def start_of_huge_page(lsb: int) -> int:
    return -(PFN % (1 << (lsb - 12))) * 4096


def test_every_row_has_its_own_name_and_a_cell_for_every_profile():
    names = [(row.section, row.state, row.event, row.name) for row in ROWS]
    assert len(set(names)) == len(names)
    assert all(len(row.cells) == len(PROFILES) and any(row.cells) for row in ROWS)


@each_cell(lambda cell: not cell.panics)
def test_label_result_and_errno_are_those_of_the_cell(row, profile, cell):
    found = handled(row, profile)
    assert found["panic"] is None
    assert found["page_type"] in (cell.labels or (None,))
    assert found["result"] == (None if cell.result is None else RESULTS[cell.result])
    assert cell.errno is None or found["errno"] == cell.errno


@each_cell(lambda cell: not cell.panics)
def test_the_only_action_line_is_the_one_of_the_cell_in_the_words_of_its_kernel(row, profile, cell):
    dirty = (False, True) if cell.dirty_printed is None else (cell.dirty_printed,)
    allowed = {action_line(profile, label, cell.result, dirty=printed) for label in cell.labels for printed in dirty}
    lines = [line for line in handled(row, profile)["log"] if is_action_line(line)]
    assert len(lines) == (1 if allowed else 0)
    assert set(lines) <= allowed


@each_cell(lambda cell: cell.log)
def test_the_texts_quoted_in_the_cell_are_logged(row, profile, cell):
    log = handled(row, profile)["log"]
    for text in cell.log:
        assert any(text in line for line in log), text


@each_place(lambda cell: cell.panics)
def test_the_kernel_panics_before_the_handler_where_the_cell_says_so(row, profile):
    found = handled(row, profile)
    assert found["panic"].startswith("Kernel panic - not syncing: ")
    assert found["page_type"] is None
    assert found["result"] is None


@each_cell(lambda cell: cell.counter_kb is not None)
def test_hardware_corrupted_changes_as_the_cell_says(row, profile, cell):
    assert handled(row, profile)["hardware_corrupted_kb"] == cell.counter_kb


@each_cell(says(*ABOUT_THE_EVENT))
@pytest.mark.parametrize(
    ("process", "early_kill"), [("early:handler", False), ("unset:handler", True)], ids=["prctl", "sysctl"]
)
def test_a_process_of_the_early_kill_set_is_told_during_handling_only_if_the_cell_says_so(
    row, profile, cell, process, early_kill
):
    told = [
        (signal["task"], signal["signal"], signal["code"] if signal["signal"] == "SIGBUS" else None)
        for signal in at_once(handled(row, profile, process, early_kill=early_kill))
    ]
    if cell.codes & {"EK", "BUS"}:
        assert told == [("app:100", "SIGBUS", "BUS_MCEERR_AO")]
    elif "KILL" in cell.codes:
        assert told == [("app:100", "SIGKILL", None)]
    elif "AR" in cell.codes:
        assert told == [("app:100", "SIGBUS", "BUS_MCEERR_AR")]
    elif "PLAIN" in cell.codes:
        assert told == [("app:100", "SIGBUS", "SI_KERNEL")]
    else:
        assert told == []


@each_cell(lambda cell: cell.lsb is not None)
def test_the_early_signal_names_the_size_and_the_address_of_the_cell(row, profile, cell):
    (signal,) = at_once(handled(row, profile, "early:handler"))
    assert signal["lsb"] == cell.lsb
    assert signal["offset"] == (0 if cell.exact else start_of_huge_page(cell.lsb))


@each_place(lambda cell: cell.codes & ABOUT_THE_EVENT and not cell.codes & {"AR", "PLAIN"})
def test_a_process_with_the_late_policy_is_not_told_during_handling(row, profile):
    assert at_once(handled(row, profile, "late:handler")) == []


@each_place(says("LK", "SLK", "CLK"))
def test_a_late_process_is_killed_at_its_next_access(row, profile):
    (answer,) = answers(handled(row, profile, "late:handler", then=("read",)))
    if row.state == "anonymous-protected":  # PROT_NONE is checked before the entry is looked at
        assert answer.startswith("SIGSEGV")
    else:
        assert answer == "SIGBUS(BUS_MCEERR_AR)"


@each_place(says("RF", "SM"))
def test_a_late_process_reads_on_without_a_signal(row, profile):
    event = "hard_offline" if row.event == "ao" else row.event  # what stays mapped is bad only if the error was real
    found = inject(row.state, kernel_name=profile, event=event, processes=("late:handler",), then=("read",))
    (answer,) = answers(found)
    assert answer.startswith("ok(")
    assert found["signals"] == []


@each_place(says("-EIO"))
def test_read_of_a_page_kept_in_the_page_cache_fails(row, profile):
    assert answers(handled(row, profile, "late:handler", then=("pread",))) == ["EIO"]


@each_place(says("ZEROS"))
def test_read_of_a_page_removed_from_the_page_cache_succeeds(row, profile):
    (answer,) = answers(handled(row, profile, "late:handler", then=("pread",)))
    assert answer.startswith("ok(")


@each_place(says("EIO"))
def test_the_loss_of_dirty_file_data_is_reported_by_one_fsync(row, profile):
    assert answers(handled(row, profile, "late:handler", then=("fsync", "fsync"))) == ["EIO", "0"]


@each_place(says("no EIO"))
def test_data_the_journal_still_held_is_lost_without_an_error(row, profile):
    assert answers(handled(row, profile, "late:handler", then=("fsync",))) == ["0"]


@each_place(says("ADRERR"))
def test_a_poisoned_swap_cache_copy_of_a_shmem_page_cannot_be_read_back(row, profile):
    assert answers(handled(row, profile, "late:handler", then=("read",))) == ["SIGBUS(BUS_ADRERR)"]
    assert answers(handled(row, profile, "late:handler", then=("pread",))) == ["EIO"]


@pytest.mark.parametrize(
    ("state", "profile", "lost"),
    [
        pytest.param(case.state, profile, lost, id=identity("7.9", case.state, "ao", "", profile, case.inferred))
        for case in LOST
        for profile, lost in zip(PROFILES, case.cells, strict=True)
        if lost is not None
    ],
)
def test_the_allocator_loses_as_much_memory_as_the_table_says(state, profile, lost):
    found = inject(state, kernel_name=profile, event="ao", processes=("late:handler",))
    assert found["memory_lost_bytes"] == lost
