"""The handler against a real kernel: every recorded scenario is predicted from its input columns alone.

The tables in ``fleet/recordings`` were observed on unmodified Debian kernels 6.1.192 and 5.10.262 in a virtual machine;
``tests/oracle/recorded/inputs*.csv`` hold the inputs of all scenarios of the three lists, also of those whose outcome
is kept back.
"""

from __future__ import annotations

import ast
import csv
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from fleet.cli import main
from fleet.conform import conform, read_rows, write_predictions
from fleet.recorded import INPUTS
from node_sim.catalog.kernels import PROFILE_NAMES, PROFILES
from node_sim.errors import ConfigError
from node_sim.hwpoison.filters import KPF, stable_flags
from node_sim.one_page.page_types import UnknownScene
from node_sim.one_page.player import predict
from node_sim.one_page.scene import build_scene

ROOT = Path(__file__).parents[2]
RECORDED, INPUT_LISTS = ROOT / "fleet/recordings", ROOT / "tests/oracle/recorded"
TABLE, ALL_INPUTS = RECORDED / "6.1.192.csv", INPUT_LISTS / "inputs.csv"
ROWS = read_rows(TABLE)
SCENARIOS = read_rows(ALL_INPUTS)
KERNEL = PROFILES["6.1"]


def test_every_recorded_row_is_predicted_but_two_whose_data_is_not_an_input():
    found = conform(TABLE, "6.1")
    assert found.mismatched == []
    assert found.rows == len(found.matched) + len(found.not_modelled) == 439
    assert {entry["reason"].split(" is ")[0] for entry in found.not_modelled} == {"the byte read from the raw disk"}
    assert len(found.not_modelled) == 2


def test_every_row_of_the_second_list_is_predicted():
    found = conform(RECORDED / "6.1.192-list2.csv", "6.1")
    assert (found.rows, len(found.matched)) == (77, 77)


def test_every_row_of_the_third_list_is_predicted():
    found = conform(RECORDED / "6.1.192-list3.csv", "6.1")
    assert (found.rows, len(found.matched)) == (120, 120)


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ("4.18", "madvise(POPULATE_READ)=EINVAL;madvise(COLD)=EINVAL;madvise(PAGEOUT)=EINVAL;madvise(WILLNEED)=0;"),
        ("5.10", "madvise(POPULATE_READ)=EINVAL;madvise(COLD)=0;madvise(PAGEOUT)=0;madvise(WILLNEED)=0;"),
        ("6.12", "madvise(POPULATE_READ)=EHWPOISON;madvise(COLD)=0;madvise(PAGEOUT)=0;madvise(WILLNEED)=0;"),
    ],
)
def test_advice_that_a_kernel_does_not_know_is_refused(kernel, expected):
    row = next(row for row in SCENARIOS if row["id"] == "anon-dirty-1p-pfn")
    assert expected in predict({**row, "plan": "!Plkqu"}, PROFILES[kernel])["later_syscalls"]


def test_a_page_of_64k_is_split_by_the_handler_and_its_owner_is_told_by_the_access_only():
    row = next(row for row in SCENARIOS if row["id"] == "thp-1p-pfn")
    mthp = {
        **row,
        "state_details": "64K huge page (mTHP), sub page 5, mapped by 1",
        "early_kill": "1",
        "plan": "!PRkqu",
    }
    assert "@inject" in predict({**row, "early_kill": "1"}, PROFILES["6.12"])["signals"]
    assert predict(mthp, PROFILES["6.12"])["signals"] == "P0@read:SIGBUS/BUS_MCEERR_AR lsb=12 addr=page+0;"
    pinned = {**mthp, "state_details": mthp["state_details"] + ", extra reference on sub page 9 (cannot be split)"}
    assert "lsb=16" in predict(pinned, PROFILES["6.12"])["signals"]


def test_every_anonymous_page_of_6_12_shows_the_flag_of_merged_ones_and_is_none():
    row = next(row for row in SCENARIOS if row["id"] == "anon-dirty-1p-pfn")
    flagged = {**row, "kpageflags_before": row["kpageflags_before"] + "+KSM"}
    assert predict(flagged, PROFILES["6.1"])["result"] == "Recovered"


def test_every_row_of_5_10_262_is_predicted_but_two_whose_data_is_not_an_input():
    found = conform(RECORDED / "5.10.262.csv", "5.10")
    assert found.mismatched == []
    reasons = {entry["reason"].partition(" is ")[0] for entry in found.not_modelled}
    assert reasons == {"which neighbour read-ahead brought in"}
    assert (found.rows, len(found.matched)) == (253, 251)


COMPARABLE = [row for row in ROWS if row["result"] != "PANIC" and not row["injection"].startswith("mce")]
# The recordings print page flags and numbers of other pages and threads, which are not inputs.
NOISE = ((r", type 0x[^/]*\)", ""), (r"0x[0-9a-f]{4,}", "OTHER"), (r"hwp-P0:c|P0", "P0"))


def plain(log):
    for pattern, text in NOISE:
        log = re.sub(pattern, text, log)
    return log


def test_the_kernel_log_is_the_recorded_one_line_by_line():
    assert len(COMPARABLE) > 370
    for row in COMPARABLE:
        assert (row["id"], plain(predict(row, KERNEL)["kernel_log"])) == (row["id"], plain(row["kernel_log"]))


UNPOISONED = [("6.1", row) for row in COMPARABLE] + [
    ("5.10", row) for row in read_rows(RECORDED / "5.10.262.csv") if not row["injection"].startswith("mce")
]


def test_unpoison_answers_as_recorded():
    for kernel, row in UNPOISONED:
        got = predict(row, PROFILES[kernel])
        for column in ("unpoison", "hw_corrupted_kb_after_unpoison"):
            assert (row["id"], got[column]) == (row["id"], row[column])


def test_unpoison_says_what_was_recorded():
    lines = 0
    for kernel, row in UNPOISONED:
        if row["unpoison_log"] and "suppressed" not in row["unpoison_log"]:
            got = predict(row, PROFILES[kernel])["unpoison_log"]
            assert (row["id"], got.startswith(row["unpoison_log"])) == (row["id"], True)  # the second may be suppressed
            lines += got == row["unpoison_log"]
    assert lines >= 383


def test_a_prediction_reads_neither_the_name_nor_the_group_nor_an_outcome():
    for row in ROWS:
        inputs = {name: row[name] for name in INPUTS if name not in ("id", "group")}
        assert predict(inputs, KERNEL) == predict(row, KERNEL)


@pytest.mark.parametrize("module", ["scene", "page_types", "player", "operations", "buffers", "calls", "checks"])
def test_no_rule_names_a_recorded_row(module):
    text = (ROOT / f"node_sim/one_page/{module}.py").read_text()
    names = {row["id"] for row in read_rows(ALL_INPUTS)}
    strings = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
    assert not strings & names
    assert '"id"' not in text
    assert '"group"' not in text


@pytest.mark.parametrize("kernel", PROFILE_NAMES)
def test_every_scenario_is_predicted_for_every_kernel(kernel, tmp_path):
    out = tmp_path / "out.csv"
    assert write_predictions(ALL_INPUTS, out, kernel) == []
    with out.open(newline="") as stream:
        reader = csv.DictReader(stream)
        rows = list(reader)
    assert list(reader.fieldnames or ()) == list(ROWS[0])
    assert [row["id"] for row in rows] == [row["id"] for row in read_rows(ALL_INPUTS)]
    assert all(row["result"] for row in rows)


# The rows of the second and third list that a kernel cannot have: beginning of the name -> first profile that has it.
NEWER = {"secretmem": "6.1", "mce-srar-user-secretmem": "6.1", "uffd-poison": "6.12"}
PAGED_OUT = {"calls-fileclean-pfn", "calls-hugefile-pfn", "remote-hugefile-pfn", "remote-huge-pfn"}
"""Rows that call MADV_PAGEOUT on a page that is healthy, which a hugetlb page is on 2.6.32 only."""


@pytest.mark.parametrize("kernel", PROFILE_NAMES)
def test_rows_of_the_later_lists_are_written_for_every_kernel_and_blank_only_where_it_lacks_the_word(kernel, tmp_path):
    for number in (2, 3):
        path, out = INPUT_LISTS / f"inputs_list{number}.csv", tmp_path / f"out{number}.csv"
        left = {entry["id"] for entry in write_predictions(path, out, kernel)}
        lacking = {
            row["id"]
            for row in read_rows(path)
            for word, since in NEWER.items()
            if row["id"].startswith(word) and PROFILE_NAMES.index(kernel) < PROFILE_NAMES.index(since)
        }
        assert left - PAGED_OUT == lacking
        assert len(read_rows(out)) == len(read_rows(path))


def test_what_other_words_of_the_third_list_show():
    def shown(name, column, kernel, **changes):
        row = next(row for row in read_rows(INPUT_LISTS / "inputs_list3.csv") if row["id"] == name)
        return predict({**row, **changes}, PROFILES[kernel])[column]

    # A guard replaces the hwpoison entry: the process is wrong then, not the memory (madvise_guard_install(), 6.13).
    assert shown("op-guard-anon-pfn", "later_access", "6.12").endswith(
        "P0.read=SIGBUS(BUS_MCEERR_AR);P0.write=SIGBUS(BUS_MCEERR_AR);"
    )
    assert shown("op-guard-anon-pfn", "later_access", "7.1").endswith(
        "P0.read=SIGSEGV(SEGV_MAPERR);P0.write=SIGSEGV(SEGV_MAPERR);"
    )
    # Compaction leaves hwpoison entries and pinned pages alone.
    assert shown("op-compact-anon-pfn", "later_access", "6.1").count("P0.pfn=special-swap-entry;") == 2
    assert shown("op-compact-thppin-pfn", "later_access", "6.1").count("P0.pfn=same;") == 2
    # The pipe holds the bad page itself, which the mapping has lost.
    assert shown("pipe-anon-pfn", "later_syscalls", "6.1") == "pipe.read=ok('A');"
    assert "P0.read=SIGBUS(BUS_MCEERR_AR);" in shown("pipe-anon-pfn", "later_access", "6.1")
    # UFFDIO_POISON lets the access fail as an error would, and counts no page.
    assert shown("uffd-poison", "later_access", "6.12") == (
        "P0.pfn=special-swap-entry;P0.read=SIGBUS(BUS_MCEERR_AR);P0.write=SIGBUS(BUS_MCEERR_AR);"
    )
    assert shown("uffd-poison", "hw_corrupted_kb_delta", "6.12") == "0"
    # A thread without a policy of its own follows the sysctl, whatever the main thread asked for.
    assert "@inject" in shown("thr-mainL-threadunset-ek1", "signals", "6.1")
    assert "@inject" not in shown("thr-mainL-threadunset-ek0", "signals", "6.1")
    # Of a huge page madvise() hits one page, and all of them up to 3.19.
    assert shown("range4-thp-mad", "result", "6.1") == "Recovered"
    assert shown("range4-thp-mad", "result", "3.10") == ";".join(["Recovered"] * 4)


DECIDED = frozenset(KPF) - {
    *("LOCKED", "ERROR", "REFERENCED", "UPTODATE", "ACTIVE", "WRITEBACK", "RECLAIM", "MAPPEDTODISK", "PRIVATE"),
    *("OWNER_PRIVATE", "NOPAGE", "OFFLINE", "IDLE", "HWPOISON"),
}


def test_page_flags_of_a_state_are_the_recorded_ones():
    for row in ROWS:
        flags = frozenset(row["kpageflags_before"].split("+")) & DECIDED
        page = build_scene(row).page
        found = stable_flags(page)
        if "SLAB" in flags:
            flags -= {"COMPOUND_HEAD", "COMPOUND_TAIL"}
        if "HUGE" in flags:
            flags -= {"DIRTY"}
            found -= {"DIRTY"}
        if page.kind.name in ("RESERVED", "HUGE_ZERO"):
            flags -= {"MMAP", "THP", "COMPOUND_TAIL"}
            found -= {"MMAP", "THP", "COMPOUND_TAIL"}
        if "truncated" in row["state_details"] or "extra reference" in row["state_details"]:
            flags -= {"DIRTY"}
            found -= {"DIRTY"}
        assert (row["id"], found & DECIDED) == (row["id"], flags)


# What a recording of 6.12.100 showed, as the behaviour specification quotes it: id of the same scenario -> outcome.
SEEN_ON_6_12 = {
    "anon-twice-pfn": {"action_log": "dirty LRU page;already poisoned page", "hw_corrupted_kb_delta": "4"},
    "huge-file-next-subpage-pfn": {"action_log": "huge page;huge page", "result": "Recovered;Failed"},
    "huge-anon-1p-pfn-ek1": {"signals": "P0@inject:SIGBUS/BUS_MCEERR_AO lsb=21 addr=page+0;"},
    "thp-pinned-pfn-ek1": {
        "call_errno": "EHWPOISON",
        "action_log": "unsplit thp",
        "result": "Failed",
        "signals": "P0@inject:SIGBUS/BUS_MCEERR_AO lsb=21 addr=page+0;",
    },
    "ksm-2map-pfn": {"call_errno": "0", "action_log": "dirty LRU page", "result": "Recovered"},
    "k-slab-head-pfn": {"action_log": "get hwpoison page", "result": "Ignored", "call_errno": "EBUSY"},
    "k-reserved-pfn": {"action_log": "get hwpoison page", "result": "Ignored"},
    "zero-rw-mad": {"action_log": "reserved kernel page", "result": "Ignored", "call_errno": "EBUSY"},
    "thp-zero-mad": {"action_log": "unsplit thp", "result": "Failed", "call_errno": "EHWPOISON"},
    "thp-zero-pfn": {"action_log": "get hwpoison page", "result": "Ignored"},
    "huge1g-anon-1p-pfn": {"action_log": "huge page", "result": "Recovered", "call_errno": "0"},
    "ek0-unset-D-mad": {"call_errno": "no-return(process died)", "process_outcome": "P0 killed SIGBUS at inject;"},
    "ek0-late-B-mad": {"call_errno": "no-return(process died)", "process_outcome": "P0 killed SIGBUS at inject;"},
    "ek1-late-I-mad": {"call_errno": "no-return(process died)", "process_outcome": "P0 killed SIGBUS at inject;"},
    "ek0-unset-H-mad": {"call_errno": "0", "signals": "P0@inject:SIGBUS/BUS_MCEERR_AR lsb=12 addr=page+0;"},
}


@pytest.mark.parametrize("name", SEEN_ON_6_12)
def test_what_was_seen_on_6_12_is_predicted_for_it(name):
    row = next(row for row in read_rows(ALL_INPUTS) if row["id"] == name)
    got = predict(row, PROFILES["6.12"])
    for column, expected in SEEN_ON_6_12[name].items():
        assert got[column].startswith(expected) if column == "signals" else got[column] == expected


def edited(tmp_path, **changes):
    rows = [dict(row) for row in ROWS[:3]]
    rows[1].update(changes)
    path = tmp_path / "table.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_row_that_differs_is_shown_and_the_gate_is_not_met(tmp_path):
    done = run("conform", edited(tmp_path, result="Failed", call_errno="EIO"), "--kernel", "6.1", "--json")
    assert done.exit_code == 3
    found = json.loads(done.stdout)
    assert (found["rows"], found["matched"], found["not_modelled"]) == (3, 2, [])
    assert {(entry["column"], entry["expected"]) for entry in found["mismatched"]} == {
        ("result", "Failed"),
        ("call_errno", "EIO"),
    }
    assert "MISMATCHED" in run("conform", edited(tmp_path, result="Failed"), "--kernel", "6.1", "-v").stdout


def test_a_page_type_that_is_not_known_is_not_modelled(tmp_path):
    done = run("conform", edited(tmp_path, page_type="zsmalloc"), "--kernel", "6.1", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["not_modelled"][0]["reason"].startswith("page_type 'zsmalloc': expected one of")


def test_a_malformed_row_is_not_modelled_with_all_its_reasons_and_refuses_no_other(tmp_path):
    path = edited(tmp_path, early_kill="2", injection="beam", filter="1 x")
    done = run("conform", path, "--kernel", "6.1", "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["matched"]) == (0, 2)
    [entry] = found["not_modelled"]
    assert entry["id"] == ROWS[1]["id"]
    assert [reason.split(" = ")[0] for reason in entry["reason"].split("; ")] == ["filter", "injection", "early_kill"]


def test_a_row_that_is_too_short_and_a_column_that_is_missing_are_named(tmp_path):
    lines = TABLE.read_text().splitlines()
    path = tmp_path / "table.csv"
    path.write_text(
        "\n".join((lines[0].replace(",result,", ",outcome,"), lines[1], ",".join(lines[2].split(",")[:9]))) + "\n"
    )
    found = conform(path, "6.1")
    assert found.not_compared == ["result"]
    assert [entry["reason"].partition(" ")[2] for entry in found.not_modelled] == ["fewer fields than input columns"]
    assert "not compared   no column result" in run("conform", path, "--kernel", "6.1").stdout


def test_rows_whose_names_are_blank_or_equal_are_predicted_and_named_by_their_line(tmp_path):
    rows = [{**row, "id": ""} for row in ROWS[:2]] + [{**ROWS[2], "id": "", "result": "Failed"}]
    path = tmp_path / "table.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    found = conform(path, "6.1")
    assert (found.matched, {entry["id"] for entry in found.mismatched}) == (["line 2", "line 3"], {"line 4"})


def test_predicting_needs_no_outcome_columns_and_leaves_nothing_half_written(tmp_path):
    out = tmp_path / "out.csv"
    assert run("conform", "--predict", ALL_INPUTS, "-o", out, "--kernel", "6.1").exit_code == 0
    assert run("conform", out, "--kernel", "6.1").exit_code == 0
    assert list(tmp_path.iterdir()) == [out]
    done = run("conform", "--predict", ALL_INPUTS, "-o", tmp_path / "no" / "out.csv", "--kernel", "6.1")
    assert (done.exit_code, done.stdout) == (2, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--kernel", "6.1"),
        (TABLE, "--predict", ALL_INPUTS, "--kernel", "6.1"),
        (TABLE, "--kernel", "5.4"),
        ("no-such-file.csv", "--kernel", "6.1"),
        (ALL_INPUTS, "--kernel", "6.1"),
    ],
)
def test_mistakes_on_the_command_line_are_explained(arguments):
    done = run("conform", *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")


# Operations that other recordings use; each is followed by what must be seen.
OTHER_PLANS = [
    ("anonymous", "!FRkqu", "later_syscalls", "forked_child.read=SIGBUS(BUS_MCEERR_AR);"),
    ("anonymous", "!MRkqu", "later_syscalls", "mremap=0;"),
    ("anonymous", "!MRkqu", "later_access", "P0.read=SIGBUS(BUS_MCEERR_AR);"),
    ("anonymous", "!DRkqu", "later_access", "P0.read=ok(0x00);"),
    ("anonymous", "!RoRkqu", "call_errno", "0;madvise=EFAULT"),
    ("anonymous", "!PXPRkqu", "later_access", "P0.pfn=special-swap-entry;P0.pfn=none;P0.read=n/a;"),
    (
        "anonymous",
        "!RrWkqu",
        "later_access",
        "P0.read=SIGBUS(BUS_MCEERR_AR);P0.reread=SIGBUS(BUS_MCEERR_AR);P0.write=SIGBUS(BUS_MCEERR_AR);",
    ),
    ("shmem tmpfs", "!DRkqu", "later_access", "P0.read=SIGBUS(BUS_MCEERR_AR);"),
    ("shmem tmpfs", "!XRkqu", "later_access", "P0.read=new_mmap_read=SIGBUS(BUS_MCEERR_AR);"),
]


@pytest.mark.parametrize(("page_type", "plan", "column", "expected"), OTHER_PLANS)
def test_operations_of_other_recordings_are_played(page_type, plan, column, expected):
    row = next(
        r
        for r in ROWS
        if r["page_type"] == page_type
        and r["plan"].startswith("!")
        and r["mapcount"] == "1"
        and r["injection"] == "corrupt-pfn"
        and r["sigbus_disposition"] == "handler"
        and r["early_kill"] == "0"
    )
    assert predict({**row, "plan": plan}, KERNEL)[column] == expected


def test_a_page_mapped_twice_is_lost_in_both_places_and_its_second_signal_merges():
    row = next(r for r in ROWS if r["page_type"] == "shmem tmpfs" and r["early_kill"] == "1" and r["processes"] == "1")
    got = predict({**row, "state_details": "dirty, mapped twice in 1 process", "plan": "!PYkqu"}, KERNEL)
    assert got["signals"].count("@inject") == 1
    assert "second_mapping.read=SIGBUS(BUS_MCEERR_AR);" in got["later_syscalls"]
    assert got["kernel_log"].count("Sending SIGBUS") == 2


def played(row_id: str, **other: str) -> dict[str, str]:
    """Predict a scenario with some inputs changed."""
    return predict({**next(row for row in SCENARIOS if row["id"] == row_id), **other}, KERNEL)


@pytest.mark.parametrize(
    ("row_id", "changes", "column", "expected"),
    [
        # What a plan does before the injection comes first.
        ("anon-dirty-1p-pfn", {"plan": "X!PRkqu"}, "later_access", "P0.pfn=none;P0.read=n/a;"),
        ("anon-dirty-1p-pfn", {"plan": "X!PRkqu"}, "signals", ""),
        # madvise hits the page that is mapped now, not the one that was.
        ("file-clean-map-mad", {"plan": "!PRoRkqu"}, "action_log", "clean LRU page;clean LRU page"),
        ("file-clean-map-mad", {"plan": "!PRoRkqu"}, "hw_corrupted_kb_delta", "8"),
        ("anon-dirty-1p-mad", {"plan": "!PDWoRkqu"}, "action_log", "dirty LRU page;dirty LRU page"),
        ("anon-dirty-1p-mad", {"plan": "!PDoRkqu"}, "call_errno", "0;madvise=EBUSY"),
        ("anon-dirty-1p-mad", {"injection": "soft_offline", "plan": "!PoRkqu"}, "result", "Recovered"),
        ("swap-clean-map-pfn", {"plan": "!RoRkqu"}, "action_log", "clean swapcache page;clean swapcache page"),
        ("swap-clean-map-pfn", {"plan": "!RWoRkqu"}, "action_log", "clean swapcache page;dirty LRU page"),
        # fork copies no page tables of a mapping that can be faulted in again.
        ("file-dirty-map-pfn", {"plan": "!PFRkqu"}, "later_syscalls", "forked_child.read=ok('D');"),
        # Unblocking a signal that is not blocked installs no handler.
        ("ek0-unset-D-pfn", {"plan": "!VURkqu"}, "process_outcome", "P0 killed SIGBUS at read;"),
        # Answers of a process that dies among its calls never arrive.
        ("tmpfs-map-pfn", {"plan": "!PYkqu", "sigbus_disposition": "default"}, "later_syscalls", "P0 died;"),
        # The mark is per 4 KiB page of a huge page that stays whole.
        ("thp-pinned-pfn", {"plan": "!nkqu"}, "action_log", "unsplit thp;unsplit thp"),
        ("thp-shmem-pfn-ek1", {"plan": "!nkqu"}, "signals", ""),
        (
            "thp-next-subpage-pfn",
            {"early_kill": "1", "sigbus_disposition": "default"},
            "action_log",
            "dirty LRU page;free buddy page",
        ),
        # A page that was given back can be taken out again.
        ("soft-anon-sys", {"plan": "!PuSkqu"}, "call_errno", "0;soft_offline=0"),
        # What is unmapped stays unmapped; a write to a shared page goes to a copy.
        ("ksm-2map-pfn", {"plan": "!XPRWkqu"}, "later_access", "P0.pfn=none;P0.read=n/a;P0.write=n/a;"),
        ("ksm-2map-pfn", {"plan": "!WPkqu"}, "later_access", "P0.write=ok;P0.pfn=moved;"),
        ("zero-rw-pfn", {"plan": "!WPkqu"}, "later_access", "P0.write=ok;P0.pfn=moved;"),
        # The filter asks about the first page of a huge page, and about a page that was split.
        ("thp-1p-pfn", {"filter": "1 - - 0x20 0x20 -"}, "result", "Recovered"),
        ("thp-1p-mad", {"filter": "1 - - 0x400000 0x400000 -"}, "result", "none"),
        ("soft-k-buddy", {"filter": "1 - - 0x1000 0x1000 -"}, "call_errno", "EOPNOTSUPP"),
    ],
)
def test_variations_of_given_rows_go_as_the_kernel_source_says(row_id, changes, column, expected):
    assert played(row_id, **changes)[column] == expected


@pytest.mark.parametrize(
    ("row_id", "changes", "why"),
    [
        ("k-buddy-pfn", {"plan": "!nkqu"}, "not an input"),
        ("anon-dirty-1p-pfn", {"plan": "!vkqu"}, "'v' is not known"),
        ("anon-dirty-1p-pfn", {"plan": "z!kqu"}, "where it lies"),
        ("anon-dirty-1p-pfn", {"plan": "mkqu"}, "has not been recorded"),
        ("anon-dirty-1p-pfn", {"plan": "jkqu", "state_details": "no page; userfaultfd"}, "for ever"),
        ("anon-dirty-1p-pfn", {"plan": "l!kqu"}, "PAGEOUT"),
    ],
)
def test_what_cannot_follow_from_the_inputs_is_refused_with_the_reason(row_id, changes, why):
    with pytest.raises(UnknownScene, match=why):
        played(row_id, **changes)


def test_a_table_without_rows_is_refused(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(TABLE.read_text().splitlines()[0] + "\n")
    with pytest.raises(ConfigError, match="no rows"):
        conform(path, "6.1")


def test_a_table_of_which_nothing_can_be_compared_does_not_pass(tmp_path):
    path = edited(tmp_path, plan="!vkqu")
    lines = path.read_text().splitlines()
    path.write_text("\n".join((lines[0], lines[2])) + "\n")
    answer = CliRunner().invoke(main, ["conform", str(path), "--kernel", "6.1"])
    assert answer.exit_code == 3
    assert "1 rows: 0 matched (0.0%), 0 mismatched, 1 not modelled" in answer.output


@pytest.mark.parametrize("out", [".", "/", "x" * 300])
def test_predictions_that_cannot_be_written_are_a_usage_error(tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(main, ["conform", "--predict", str(ALL_INPUTS), "-o", out, "--kernel", "6.1"])
    assert answer.exit_code == 2
    assert re.search(r"^(error: |Error: Invalid value for '-o')", answer.stderr, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []
