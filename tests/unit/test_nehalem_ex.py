"""The first system with hwpoison as shipped: what its hardware reports, what 2.6.32 makes of it, who is told when."""

from __future__ import annotations

from collections import Counter

import pytest

from analysis import open_run
from fleet.scenario.decode import decode
from fleet.scenario.document import parse, read_text
from node_sim.codes import Observer, PageUse
from node_sim.one_page.inject import inject
from tests.fleets import run_fleet

NAME = "nehalem-ex-2010"
NODES = 4480
ARMS = ("late_kill", "early_kill", "no_recovery")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Rows of every table by arm, of many nodes with many uncorrectable errors, for a short time: lives of few steps.

    Many faults, under a code that does not correct all of a device: single ranks instead of lockstep pairs.
    """
    document = parse(NAME, read_text(NAME)[1])
    document |= {"nodes": NODES, "years": document["years"] / 32}
    for group in document["group"].values():
        group["faults"]["fit_factor"] *= 40
        group["faults"]["command_address_fit"] *= 4
        group["ecc"]["code"] = "secded"
        group["server"]["lockstep"] = False
    root = tmp_path_factory.mktemp("run") / NAME
    run_fleet(decode(NAME, document), root, shard_nodes=NODES)
    run = open_run(root)
    names = ("errors", "machine_checks", "memory_failures", "signals", "lifecycle")
    return {arm: {name: run.table(name, arm=arm).to_pylist() for name in names} for arm in ARMS}


def reported(of_arm):
    """Machine checks with the observer of the error behind each that is its first."""
    observers = {(row["node_id"], row["seq"]): (row["observer"], row["time_ns"]) for row in of_arm["errors"]}
    for row in of_arm["machine_checks"]:
        observer, time_ns = observers[row["node_id"], row["cause_seq"]]
        if row["time_ns"] == time_ns:
            yield observer, row


def test_the_scrubber_and_the_cache_report_srao_and_every_load_is_fatal(tables):
    kinds = Counter(
        (observer, row["severity"], row["cpu_context"])
        for observer, row in reported(tables["late_kill"])
        if observer != Observer.DEVICE.text
    )
    assert kinds.keys() == {
        ("demand", "FATAL", "none"),
        ("scrub", "SRAO", "none"),
        ("write-back", "SRAO", "none"),
        ("user", "FATAL", "user"),
        ("kernel", "FATAL", "kernel"),
        ("kernel", "FATAL", "kernel recoverable copy"),
    }
    assert min(kinds.values()) > 20
    reasons = {row["reason"] for row in tables["late_kill"]["lifecycle"] if row["kind"] == "panic"}
    assert reasons == {"Processor context corrupt", "poisoned data reached a device"}


def test_pages_are_ignored_delayed_failed_and_recovered_as_the_first_handler_says(tables):
    found = Counter(
        (row["page_type"], row["result"], row["errno"])
        for row in tables["late_kill"]["memory_failures"]
        if row["page_type"] != "already hardware poisoned"
    )
    assert found.keys() >= {
        ("free or high order kernel", "Ignored", -16),
        ("non LRU", "Ignored", -16),
        ("swapcache", "Delayed", -16),
        ("LRU", "Recovered", 0),
        ("clean LRU", "Recovered", 0),
        ("LRU", "Failed", -16),
    }
    assert {(row["page_use"], row["page_type"]) for row in tables["late_kill"]["memory_failures"]} >= {
        ("hugetlb", "non LRU"),
        ("slab", "non LRU"),
    }


def test_the_first_handler_fails_where_a_file_system_cannot_give_a_page_up():
    found = inject("fuse-dirty", kernel_name="2.6.32", event="ao")
    assert (found["page_type"], found["result"]) == ("LRU", "Failed")


def test_late_kill_waits_for_the_access_and_early_kill_does_not(tables):
    told = {arm: {(row["code"], row["timing"]) for row in tables[arm]["signals"]} for arm in ARMS}
    assert told == {
        "late_kill": {("BUS_MCEERR_AR", "late")},
        "early_kill": {("BUS_MCEERR_AO", "early")},
        "no_recovery": set(),
    }
    assert len(tables["early_kill"]["signals"]) > len(tables["late_kill"]["signals"]) > 20


def test_without_recovery_the_handler_panics_instead(tables):
    assert tables["no_recovery"]["memory_failures"] == []
    panics = Counter(row["reason"] for row in tables["no_recovery"]["lifecycle"] if row["kind"] == "panic")
    assert panics["Memory failure on page"] > 100
    for arm in ("late_kill", "early_kill"):
        assert all(row["reason"] != "Memory failure on page" for row in tables[arm]["lifecycle"])


def test_no_page_is_one_that_its_kernel_does_not_know(tables):
    uses = {row["page_use"] for arm in ARMS for row in tables[arm]["memory_failures"]}
    assert PageUse.THP.text not in uses
