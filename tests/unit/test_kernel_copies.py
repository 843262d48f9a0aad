"""Hardware is not injection: poison that the kernel reads, that is read again, and that two reporters see."""

from __future__ import annotations

import pytest

from node_sim.errors import ConfigError
from node_sim.hwpoison.copies import COPIES as MODELLED
from node_sim.one_page.events import MachineFacts
from node_sim.one_page.inject import inject
from tests.oracle import kernel_copies as oracle

CELLS = [
    pytest.param(event, page, kernel, cell, id=f"{event}-{kernel}")
    for event, (page, cells) in oracle.COPIES.items()
    for kernel, cell in zip(oracle.PROFILES, cells, strict=True)
]
TASK = ("early:handler",)


def told(found, phase="inject"):
    return [(got["signal"], got["code"], got["lsb"]) for got in found["signals"] if got["phase"] == phase]


def rules(found):
    return [step["rule"] for step in found["steps"]]


def test_every_copy_has_a_second_reading():
    assert {f"ar-{name}" for name in MODELLED} == set(oracle.COPIES)


@pytest.mark.parametrize(("event", "page", "kernel", "cell"), CELLS)
def test_a_copy_by_the_kernel_ends_as_the_second_reading_says(event, page, kernel, cell):
    found = inject(page, kernel_name=kernel, event=event, processes=TASK)
    assert (found["panic"] is not None) == (cell == oracle.PANIC)
    queued = cell.endswith("error queued")
    assert ("memory_failure_queue" in rules(found)) == queued
    assert (found["result"] is not None) == queued
    if cell == oracle.FAULT:
        assert told(found) == [("SIGBUS", "BUS_MCEERR_AR", 21 if page == "hugetlb" else 12)]
        assert any("fault at" in line for line in found["log"])
    elif queued:
        assert found["call_errno"] == {oracle.FORK: -12, oracle.STAYS: -16, oracle.ROLLED_BACK: 0}[cell]
        assert told(found) == [("SIGBUS", "BUS_MCEERR_AO", 12)]  # the worker tells those who asked to be told
    elif cell == oracle.CUT_SHORT:
        assert [got["signal"] for got in found["signals"]] == ["SIGABRT"]
    else:
        assert found["signals"] == []


@pytest.mark.parametrize("event", [name for name, (_, cells) in oracle.COPIES.items() if cells[6] != oracle.PANIC])
def test_without_what_safe_copies_need_every_copy_panics(event):
    page, _ = oracle.COPIES[event]
    assert inject(page, kernel_name="7.1", event=event, facts=MachineFacts(safe_copies=False))["panic"] is not None
    assert inject(page, kernel_name="7.1", event=event, facts=MachineFacts(memory_failure=False))["panic"] is not None


def test_a_survivor_of_a_copy_is_not_told_again_by_the_worker_and_finds_the_page_gone():
    found = inject("anonymous", event="ar-cow", processes=TASK, then=("read",))
    assert told(found) == [("SIGBUS", "BUS_MCEERR_AR", 12)]
    assert found["later"] == [{"what": "read", "answer": "SIGBUS(BUS_MCEERR_AR)"}]


@pytest.mark.parametrize(
    ("event", "page"),
    [
        ("ar-hugetlb-cow", "anonymous"),
        ("ar-read", "anonymous"),
        ("ar-read", "dax"),
        ("ar-cow", "poisoned"),
        ("ar-cow", "tmpfs"),
        ("ar-fork", "anonymous"),
        ("ar-ksm", "swap-dirty"),
        ("ar-migration", "anonymous-pinned"),
        ("ar-migration", "secretmem"),
        ("ar-coredump", "file-clean"),
    ],
)
def test_a_page_that_no_such_copy_reads_is_refused(event, page):
    with pytest.raises(ConfigError, match=f"--event {event}: page {page} does not fit, expected "):
        inject(page, event=event)


def test_the_split_of_a_huge_page_of_zeros_reads_the_poison_in_6_12_0_only():
    switched = {"split_reads_zeros": "True"}
    for kernel in oracle.PROFILES[1:]:
        assert inject("thp-zeros", kernel_name=kernel, event="srao")["panic"] is None
    assert inject("thp-zeros", kernel_name="6.12", event="ao", switches=switched)["panic"] is not None
    assert inject("thp", kernel_name="6.12", event="ao", switches=switched)["panic"] is None
    simulated = inject("thp-zeros", kernel_name="6.12", event="hard_offline", switches=switched)
    assert (simulated["panic"], simulated["result"]) == (None, "Recovered")


LOADS = [
    pytest.param(page, kernel, cell, id=f"{page}-{kernel}")
    for page, cells in oracle.LOADS.items()
    for kernel, cell in zip(oracle.PROFILES, cells, strict=True)
    if cell is not None
]


@pytest.mark.parametrize(("page", "kernel", "cell"), LOADS)
def test_a_page_that_stays_mapped_meets_its_consumer_again(page, kernel, cell):
    found = inject(page, kernel_name=kernel, event="ar", processes=("late:handler",), then=("read", "read"))
    if cell == oracle.PANIC:
        assert found["panic"] is not None
        return
    first, again = cell
    code, offset = (found["signals"][0][key] for key in ("code", "offset"))
    assert code == first.split(" ")[0]
    assert (offset is None) == (first != oracle.AR)
    if again == oracle.LOOP:
        assert [entry["answer"] for entry in found["later"]] == [again, "process loops"]
        assert len(found["signals"]) == 1
    else:
        assert [entry["answer"] for entry in found["later"]] == [f"SIGBUS({again})"] * 2
    not_recovered = "mce: Memory error not recovered" in found["log"]
    assert not_recovered == (oracle.PLAIN in cell)


@pytest.mark.parametrize("page", sorted(oracle.LOADS))
def test_an_injected_error_leaves_the_memory_good(page):
    found = inject(page, kernel_name="6.1", event="hard_offline", processes=("late:handler",), then=("read", "copy"))
    assert [entry["answer"][:2] for entry in found["later"]] == ["ok", "1"]


@pytest.mark.parametrize(
    ("kernel", "answer", "codes"),
    [
        ("4.18", None, []),
        ("5.10", "SIGBUS(BUS_MCEERR_AR)", ["BUS_MCEERR_AR"]),
        ("6.1", "EFAULT", []),
        ("7.1", "EFAULT", []),
    ],
)
def test_the_kernel_copies_from_a_page_that_stays_mapped(kernel, answer, codes):
    found = inject("thp-unsplittable", kernel_name=kernel, event="ao", processes=("late:handler",), then=("copy",))
    assert (found["panic"] is not None) == (answer is None)
    assert [got["code"] for got in found["signals"]] == codes
    assert [entry["answer"] for entry in found["later"]] == ["panic" if answer is None else answer]
    accessed = any(line.startswith("mce: Kernel accessed poison in user space at") for line in found["log"])
    assert accessed == (kernel in ("6.1", "7.1"))


def test_read_of_a_bad_page_left_in_its_file_panics():
    for page in ("fuse-dirty", "file-thp-dirty"):
        assert inject(page, event="ao", then=("pread",))["panic"] == "Kernel panic - not syncing: Fatal machine check"
        assert inject(page, event="hard_offline", then=("pread",))["later"][0]["answer"] == "ok('N')"
    assert inject("file-dirty", event="ao", then=("pread",))["panic"] is None


RACES = [
    pytest.param(order, page, kernel, cell, id=f"{order}-{page}-{kernel}")
    for order in ("ucna-ar", "ar-ucna")
    for page, cells in oracle.TWO_REPORTS.items()
    for kernel, cell in zip(oracle.PROFILES, cells, strict=True)
    if cell is not None
]


@pytest.mark.parametrize(("order", "page", "kernel", "cell"), RACES)
def test_a_demand_load_is_reported_twice_and_kills_once(order, page, kernel, cell):
    found = inject(page, kernel_name=kernel, event=order, processes=("late:handler",))
    code, lines = cell
    assert [got["code"] for got in found["signals"]] == ([] if code == oracle.SILENT else [code])
    actions = [line.partition("recovery action for ")[2].partition(":")[0] for line in found["log"]]
    assert tuple(filter(None, actions)) == lines
    assert sum("already hardware poisoned" in line for line in found["log"]) == (kernel in ("5.10", "6.1"))


def test_a_clean_page_costs_a_plain_sigbus_where_its_absence_is_an_error():
    found = inject("file-clean", event="ucna-ar", processes=("late:handler",), switches={"kap_notfound": "-14"})
    assert told(found) == [("SIGBUS", "SI_KERNEL", None)]
    core_first = inject("file-clean", event="ar-ucna", processes=("late:handler",), switches={"kap_notfound": "-14"})
    assert core_first["signals"] == []


@pytest.mark.parametrize("kernel", ["3.10", "4.18"])
def test_kernels_that_only_log_ucna_handle_the_load_once(kernel):
    found = inject("anonymous", kernel_name=kernel, event="ucna-ar", processes=("late:handler",))
    assert not any("already" in line for line in found["log"])
    assert told(found) == [("SIGBUS", "BUS_MCEERR_AR", 12)]


def test_firmware_first_hides_the_record_of_the_memory_controller():
    found = inject("anonymous", event="ucna-ar", processes=("late:handler",), facts=MachineFacts(firmware_first=True))
    assert not any("already" in line for line in found["log"])


@pytest.mark.parametrize(("kernel", "twice"), [("6.1", False), ("6.12", False), ("7.1", True)])
def test_the_deferred_error_interrupt_of_amd_reaches_the_handler_since_6_19(kernel, twice):
    found = inject("anonymous", kernel_name=kernel, event="amd-deferred-ar", processes=("late:handler",))
    assert any("already" in line for line in found["log"]) == twice
    assert told(found) == [("SIGBUS", "BUS_MCEERR_AR", 12)]


# What an attack on the handler found: each was wrong once.


@pytest.mark.parametrize("disposition", ["default", "blocked", "ignored"])
def test_a_consumer_dies_of_the_signal_that_names_the_page(disposition):
    found = inject("fuse-dirty", event="ar", processes=(f"unset:{disposition}",))
    assert [(got["code"], got["lsb"], got["killed"]) for got in found["signals"]] == [("BUS_MCEERR_AR", 12, True)]


def test_reclaim_is_no_error():
    for page, answer in (("anonymous", "ok('A')"), ("file-clean", "ok('D')")):
        found = inject(page, kernel_name="6.12", event="reclaim", processes=TASK, then=("read",))
        assert (found["signals"], found["later"][0]["answer"], found["result"]) == ([], answer, None)


def test_device_memory_that_is_bad_is_met_again_when_it_is_mapped_again():
    found = inject("dax", kernel_name="6.12", event="ar", processes=TASK, then=("read", "pread", "read"))
    assert [entry["answer"] for entry in found["later"]] == ["SIGBUS(BUS_MCEERR_AR)", "EIO", "SIGBUS(BUS_MCEERR_AR)"]
    punched = inject("dax-bad-block", kernel_name="6.12", event="srao", processes=TASK, then=("punch", "pread"))
    assert punched["later"][0]["answer"] == "0"


@pytest.mark.parametrize("kernel", ["6.12", "7.1"])
def test_the_consumer_is_signalled_before_the_line_about_its_poisoned_page(kernel):
    log = inject("anonymous", kernel_name=kernel, event="ucna-ar", processes=("late:handler",))["log"]
    assert [line.partition(": ")[2].partition(" ")[0] for line in log[-2:]] == ["0x1234:"] * 2
    assert "Sending SIGBUS" in log[-2]
    assert "already poisoned page" in log[-1]


def test_every_copy_from_user_of_5_10_signals_with_the_address():
    found = inject("thp-unsplittable", kernel_name="5.10", event="ar-copy", processes=("late:handler",), then=("copy",))
    assert [(got["code"], got["offset"]) for got in found["signals"]] == [("BUS_MCEERR_AR", 0)] * 2
    handled = inject("anonymous", kernel_name="5.10", event="ar-copy", processes=("late:handler",))
    assert "set_mce_nospec" not in rules(handled)


def test_a_load_that_cannot_be_restarted_is_a_bare_sigbus_without_the_handler():
    found = inject("anonymous", kernel_name="5.10", event="ar-not-restartable", processes=TASK)
    assert told(found) == [("SIGBUS", "SI_KERNEL", None)]
    assert "mce: Memory error not recovered" not in found["log"]
    assert "kill_me_now" in rules(found)


def test_a_forked_child_meets_poison_that_its_parent_still_maps():
    found = inject("thp-unsplittable", kernel_name="6.12", event="ao", processes=("late:handler",), then=("fork",))
    assert found["later"][0]["answer"] == "SIGBUS(BUS_MCEERR_AR)"


def test_a_writer_that_never_had_the_page_reads_the_file_anew():
    found = inject("file-dirty", kernel_name="6.12", event="ar-do-cow", processes=TASK, then=("read",))
    assert found["later"][0]["answer"] == "ok('D')"


def test_a_copy_does_not_read_a_page_again_that_was_handled():
    found = inject("anonymous", kernel_name="6.12", event="ar-cow", processes=TASK, then=("again",))
    assert rules(found).count("fixup_exception") == 1


@pytest.mark.parametrize(
    ("event", "switch", "value"),
    [
        ("ucna", "handles_ucna", "False"),
        ("ar-copy", "copy_recovery", "panic"),
        ("ar-not-restartable", "not_restartable", "must kill"),
    ],
)
def test_switches_of_the_machine_check_code_are_heeded(event, switch, value):
    plain = inject("anonymous", event=event)
    switched = inject("anonymous", event=event, switches={switch: value})
    assert (plain["result"], plain["panic"]) != (switched["result"], switched["panic"])


def test_an_advice_that_a_kernel_does_not_know_is_refused_without_a_word():
    found = inject("anonymous", kernel_name="2.6.32", event="madvise_soft")
    assert (found["call_errno"], found["log"]) == (-22, [])


def test_unpoison_of_3_10_counts_all_pages_of_a_huge_one_back():
    assert (
        inject("hugetlb-free", kernel_name="3.10", event="hard_offline", then=("unpoison",))["hardware_corrupted_kb"]
        == 0
    )


def test_a_fault_on_a_flagged_page_of_a_file_takes_it_from_everybody():
    def seen(kernel):
        found = inject(
            "file-thp-dirty",
            kernel_name=kernel,
            event="hard_offline",
            processes=("late:handler",),
            then=("fork", "read"),
        )
        return [entry["answer"] for entry in found["later"]]

    assert seen("6.1") == ["SIGBUS(BUS_MCEERR_AR)"] * 2


def test_what_came_before_a_panic_is_told():
    found = inject("fuse-dirty", processes=TASK, then=("read", "pread", "fsync"))
    assert [entry["answer"] for entry in found["later"]] == ["SIGBUS(BUS_MCEERR_AR)", "panic"]


def test_the_answer_told_of_two_reports_is_that_of_the_first():
    for kernel in ("6.1", "6.12"):
        found = inject("anonymous", kernel_name=kernel, event="ucna-ar", processes=TASK)
        assert (found["page_type"], found["result"], found["errno"]) == ("dirty LRU page", "Recovered", 0)
        assert [got["code"] for got in found["signals"]] == ["BUS_MCEERR_AO"]
        assert any("which swallows the second" in step["decision"] for step in found["steps"])


def test_a_kernel_told_to_tolerate_everything_goes_on_with_what_it_read():
    for event, (page, _) in oracle.COPIES.items():
        found = inject(page, kernel_name="5.10", event=event, facts=MachineFacts(tolerant=3))
        assert (found["panic"], found["signals"], found["result"]) == (None, [], None)
