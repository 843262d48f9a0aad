"""One page, two faults, made by hand: what counting one of them does to the errors of the other.

A column of single bits is corrected and takes the page offline; twenty days later two pins of another line fail, which
SECDED cannot correct. A process that owns the page must not be killed by a page that nobody uses any more.
"""

from __future__ import annotations

import numpy as np
import pytest

from node_sim.codes import CheckAction, ErrorKind, Mode, Observer, OfflineResult
from node_sim.dram.geometry import AddressMap
from node_sim.server.hardware import Hardware
from node_sim.server.policy import Cordon, Detection, Ecc, ErrorProcess, Kernel, PageOffline, Policy, Repair
from node_sim.server.workload import Process, Use, Workload
from node_sim.units import NS_PER_DAY
from tests.handmade import faults_of, lives_by_hand, tables_of

HARDWARE = Hardware()
LATER = 20 * NS_PER_DAY
HORIZON = 60 * NS_PER_DAY
SEEDS = range(40)
OWNED = Workload(use=Use(0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0), process=(Process(),), tenancy_days=10_000.0)


def lives(threshold, *, scrub_hours, profile="6.1", scrub_share=0.0):
    """Tables of nodes with both faults on one page, all in one, one lane per seed."""
    policy = Policy(
        errors=ErrorProcess(
            burst_interval_days=1.0, burst_days=1.0, median_ce_per_window=50.0, scrub_share=scrub_share
        ),
        ecc=Ecc("secded"),
        detection=Detection(scrub_hours=scrub_hours, hot_share=1.0, hot_interval_s=3600.0),
        workload=OWNED,
        kernel=Kernel(profile),
        page_offline=PageOffline(threshold),
        repair=Repair(cordon=Cordon(ue=0)),
    ).on(HARDWARE.server)
    pair = [
        {"mode": int(Mode.BIT), "beats": 1},
        {"mode": int(Mode.WORD), "beats": 1, "line": 1, "n_dq": 2, "time_ns": LATER},
    ]
    box = faults_of(*pair).box
    assert np.unique(AddressMap(HARDWARE.server).page(box, np.zeros(2, np.int64))).size == 1
    state = lives_by_hand(policy, HARDWARE.server, HORIZON, SEEDS, pair, first_burst=1.0)
    return tables_of(state), state


def test_without_offlining_the_process_is_killed():
    tables, _ = lives(0, scrub_hours=0.0)
    assert np.unique(tables["signals"]["lane"]).size > 30  # others panic first: the kernel or a device reads it
    assert (tables["signals"]["time_ns"] > LATER).all()


def test_a_page_that_counting_took_offline_kills_nobody_and_is_not_consumed():
    tables, _ = lives(2, scrub_hours=0.0)
    taken = tables["page_offlines"]
    assert np.unique(taken["lane"]).size == len(SEEDS)
    assert (taken["result"] == OfflineResult.OFFLINED).all()
    assert (taken["time_ns"] < LATER).all()
    for name in ("signals", "machine_checks", "memory_failures", "io_errors"):
        assert tables[name] == {}
    assert (tables["errors"]["kind"] == ErrorKind.CE).all()
    first_out = np.zeros(len(SEEDS), np.int64)
    first_out[taken["lane"]] = taken["time_ns"]
    assert (tables["errors"]["last_time_ns"] <= first_out[tables["errors"]["lane"]]).all()


@pytest.mark.parametrize("profile", ["4.18", "6.1", "7.1"])
def test_the_scrubber_still_reports_it_and_the_kernel_finds_it_poisoned_already(profile):
    tables, _ = lives(2, scrub_hours=24.0, profile=profile, scrub_share=1.0)
    assert (
        tables["page_offlines"]["time_ns"][tables["page_offlines"]["result"] == OfflineResult.OFFLINED] < LATER
    ).all()
    errors, checks = tables["errors"], tables["machine_checks"]
    uncorrected = errors["kind"] == ErrorKind.UE
    assert uncorrected.sum() == len(SEEDS)
    assert (errors["observer"][uncorrected] == Observer.SCRUB).all()
    assert (checks["action"] == CheckAction.ALREADY_POISONED).all()
    assert tables["memory_failures"] == {}
    assert tables["signals"] == {}


def test_what_the_handler_took_out_shows_no_corrected_errors_but_to_the_scrubber():
    for scrub_share, seen in ((0.0, False), (1.0, True)):
        tables, state = lives(0, scrub_hours=24.0, scrub_share=scrub_share)
        out = {}
        for poisoned in state.poisoned:
            out.update(zip(poisoned.lane.tolist(), poisoned.out_ns.tolist(), strict=True))
        assert len(out) == len(SEEDS)
        errors = tables["errors"]
        corrected = errors["kind"] == ErrorKind.CE
        last = np.zeros(len(SEEDS), np.int64)
        np.maximum.at(last, errors["lane"][corrected], errors["last_time_ns"][corrected])
        assert ((last > np.asarray([out[lane] for lane in range(len(SEEDS))])) == seen).all()


def test_counting_after_the_handler_is_told_that_the_page_is_poisoned():
    tables, _ = lives(10**6, scrub_hours=24.0, scrub_share=1.0)
    assert tables["page_offlines"] == {}
    tables, state = lives(5, scrub_hours=24.0, scrub_share=1.0)
    asked = tables["page_offlines"]
    marked = {}
    for poisoned in state.poisoned:
        marked.update(zip(poisoned.lane.tolist(), poisoned.poisoned_ns.tolist(), strict=True))
    after = np.asarray(
        [time > marked.get(lane, HORIZON) for lane, time in zip(asked["lane"], asked["time_ns"], strict=True)]
    )
    assert ((asked["result"] == OfflineResult.ALREADY_POISONED) == after).all()
