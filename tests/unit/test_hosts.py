"""What hosts show: places of DIMMs, records of windows, counters and boots."""

import numpy as np
import pytest

from analysis.hosts.changes import CounterRise, Down, HostCounter, changes
from analysis.hosts.corrected import COUNT_MAX, corrected_records
from analysis.hosts.counters import state_at
from analysis.hosts.kinds import HostKind
from node_sim.catalog.kernels import switches_of
from node_sim.names import fault_ids, fault_tag, slot_of_fault
from node_sim.units import NS_PER_DAY, NS_PER_S

KIND = HostKind("6.12", switches_of("6.12"), "intel", 2, 6, 1, 1 << 34, 900 * NS_PER_S)
DAY = NS_PER_DAY


def window(slot, errors, first_ns=0, last_ns=DAY, pfn=5, n_pages=1):
    return "errors", {
        "time_ns": first_ns, "seq": 1, "kind": "CE", "ce_count": errors, "first_time_ns": first_ns,
        "last_time_ns": last_ns, "first_pfn": pfn, "n_pages": n_pages, "fault_id": slot << 24, "node_id": 0,
    }  # fmt: skip


def check(slot, time_ns, action="logged", bank=0, pfn=7):
    row = {"time_ns": time_ns, "seq": 2, "bank": bank, "action": action, "pfn": pfn, "fault_id": slot << 24}
    return "machine_checks", row


def handled(slot, time_ns, pfn, result="Recovered", page_type="dirty LRU page"):
    return "memory_failures", {
        "time_ns": time_ns, "seq": 3, "pfn": pfn, "page_type": page_type, "result": result, "fault_id": slot << 24,
        "page_use": "anonymous", "lost_bytes": 0,
    }  # fmt: skip


def spell(kind, time_ns, end_ns):
    return "lifecycle", {"time_ns": time_ns, "end_ns": end_ns, "kind": kind, "seq": 9}


def test_dimm_slots_are_counted_in_the_order_of_the_address_map():
    places = [KIND.place(slot) for slot in range(KIND.dimms)]
    assert [(one.socket, one.controller, one.channel) for one in places[:7]] == [
        (0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 0), (0, 1, 1), (0, 1, 2), (1, 2, 0),
    ]  # fmt: skip
    assert places[10].label == "CPU_SrcID#1_MC#1_Chan#1_DIMM#0"
    assert len({one.label for one in places}) == KIND.dimms
    two = KIND._replace(channels=8, dimms_per_channel=2)
    assert (two.place(3).channel, two.place(3).csrow) == (1, 1)
    assert two.controllers == 8
    assert KIND._replace(reporting="amd").controllers == 2


def test_the_slot_is_the_one_that_the_name_of_the_fault_was_made_of():
    slots = np.array([0, 1, 11, 255])
    ids = fault_ids(np.full(4, 9_999), fault_tag(slots, np.full(4, 255), np.full(4, 65_535)))
    assert [slot_of_fault(int(one)) for one in ids] == slots.tolist()


@pytest.mark.parametrize("errors", [1, 2, 59, 60, 61, 65_535, 10 * COUNT_MAX, 100 * COUNT_MAX + 1])
@pytest.mark.parametrize("at_most", [1, 2, 60])
def test_records_of_a_window_hold_all_of_its_errors_between_the_first_and_the_last(errors, at_most):
    _, row = window(3, errors, 5, DAY)
    records = corrected_records(row, 1, at_most)
    assert sum(one.errors for one in records) == errors
    assert all(1 <= one.errors <= COUNT_MAX for one in records)
    assert len(records) == min(errors, max(at_most, -(-errors // COUNT_MAX)))
    times = [one.time_ns for one in records]
    assert times == sorted(times)
    assert times[0] == 5
    assert times[-1] == (DAY if len(times) > 1 else 5)
    assert corrected_records(row, 1, at_most) == records
    assert errors < 59 or at_most < 3 or corrected_records(row, 2, at_most) != records


def test_errors_without_a_page_are_of_no_dimm():
    _, row = window(3, 1, pfn=None, n_pages=0)
    assert corrected_records(row, 1) == [(0, 1, None, None)]
    (rise,) = changes([("errors", row)], KIND, 1)
    assert rise == CounterRise(0, HostCounter("ce", 1), 1)


def test_only_the_first_record_of_a_window_of_many_pages_tells_its_page():
    _, row = window(3, 5, n_pages=4)
    assert [one.pfn for one in corrected_records(row, 1)] == [5, None, None, None, None]


def test_memory_controllers_count_and_cores_and_panics_do_not():
    life = [check(0, 1), check(1, 2, bank=11), check(2, 3, bank=12), check(3, 4, action="panic"), check(4, 5, pfn=None)]
    assert [one.counter for one in changes(life, KIND, 1)] == [
        HostCounter("ue", 0, 0, 0), HostCounter("ue", 0, 1, 0), HostCounter("ue", 0),
    ]  # fmt: skip


def test_a_boot_sets_all_counters_to_zero_and_the_same_page_counts_again():
    again = handled(0, 2, 7, "Failed", "already poisoned page")
    life = [handled(0, 1, 7), again, spell("panic", 10, 20), handled(6, 30, 7, "Failed")]
    found = changes(life, KIND, 1)
    before, down, after = (state_at(found, now_ns) for now_ns in (9, 15, 40))
    assert before.counts == {HostCounter("pages"): 1, HostCounter("handled", 0, result="recovered"): 1}
    assert not down.counts
    assert not down.is_up(15)
    assert after.is_up(40)
    assert (after.boot_ns, after.counts) == (
        20,
        {HostCounter("pages"): 1, HostCounter("handled", 1, result="failed"): 1},
    )


def test_kernels_without_counters_per_numa_node_have_none():
    old = KIND._replace(kernel="6.1", rules=switches_of("6.1"))
    assert state_at(changes([handled(0, 1, 7)], old, 1), 2).counts == {HostCounter("pages"): 1}


def test_pages_of_huge_pages_count_as_the_kernel_counts_them():
    table, row = handled(0, 1, 7)
    old = KIND._replace(kernel="3.10", rules=switches_of("3.10"))
    life = [(table, {**row, "page_use": "hugetlb"})]
    assert state_at(changes(life, old, 1), 2).counts == {HostCounter("pages"): 512}


def test_a_drained_node_that_needs_no_repair_boots_all_the_same():
    life = [spell("cordon", 5, 10)]
    assert changes(life, KIND, 1) == [Down(10, 10 + KIND.reboot_ns)]
    assert changes([*life, spell("dimm_replacement", 10, 99)], KIND, 1) == [Down(10, 99)]
    assert changes([spell("map_out", 3, 99)], KIND, 1) == []
