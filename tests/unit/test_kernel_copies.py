"""Hardware is not injection: poison that the kernel reads, that is read again, and that two reporters see."""

from __future__ import annotations

import pytest

from node_sim.errors import ConfigError
from node_sim.one_page.copies import COPIES as MODELLED
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
    [("ar-hugetlb-cow", "anonymous"), ("ar-read", "anonymous"), ("ar-cow", "poisoned"), ("ar-ksm", "thp")],
)
def test_a_page_that_no_such_copy_reads_is_refused(event, page):
    with pytest.raises(ConfigError, match=f"--event {event}: page {page} is not "):
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
    assert [entry["answer"] for entry in found["later"]] == ([] if answer is None else [answer])
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
