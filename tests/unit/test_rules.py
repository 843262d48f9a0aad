"""Rules that a reader of the kernel would check first, on simulated rows."""

import dataclasses
from functools import cache

import numpy as np
import pytest

from fleet.stored.schema import to_arrow
from node_sim.codes import CheckAction, CpuContext, LifecycleKind, LifecycleReason, Mode, Observer, Severity
from node_sim.dram.geometry import AddressMap, Footprint
from node_sim.draws import Seed
from node_sim.lives.block import simulate_block
from node_sim.memory.pages import Memory, Static, make_frames
from node_sim.server.hardware import Faults, Hardware
from node_sim.server.policy import Cordon, Detection, Ecc, Kernel, Platform, Policy, Repair
from node_sim.server.workload import Process, Use, Workload
from node_sim.units import NS_PER_YEAR, PAGES_PER_HUGE_PAGE

SEED = Seed.of(11)
HARDWARE = Hardware(faults=Faults(fit_factor=30.0, command_address_fit=1000.0))
COMMANDS = Hardware(faults=Faults(fit_factor=30.0, command_address_fit=4000.0))
BASE = Policy(ecc=Ecc("secded"))
UNCORDONED = dataclasses.replace(BASE, repair=Repair(cordon=Cordon(ue=0)))
HORIZON_NS = NS_PER_YEAR // 8
"""Many nodes for a short time: as many rows of as many faults, in fewer steps of the longest life."""


@cache
def simulate_arms(policies, nodes, hardware=HARDWARE, horizon_ns=HORIZON_NS):
    """Faults, and all rows of each arm by table (concatenated over parts)."""
    block = simulate_block(SEED, np.arange(nodes), hardware, policies, horizon_ns)
    found = []
    for arm in range(len(policies)):
        parts = {}
        for part in block.parts:
            if arm in part.arms or not part.arms:
                for name, table in part.tables.items():
                    parts.setdefault(name, []).append(table)
        found.append(
            {name: {key: np.concatenate([one[key] for one in of]) for key in of[0]} for name, of in parts.items()}
        )
    return block.faults, found


def simulate(policy, nodes=1600, hardware=HARDWARE, horizon_ns=HORIZON_NS):
    faults, (tables,) = simulate_arms((policy,), nodes, hardware, horizon_ns)
    return faults, tables


def named(table, column="seq"):
    return (table["node_id"].astype(np.int64) << 32) | table[column].astype(np.int64)


def test_recovery_off_panics_at_every_call_of_memory_failure_and_nowhere_else():
    policy = dataclasses.replace(BASE, kernel=Kernel(memory_failure_recovery=0))
    _, tables = simulate(policy)
    checks, life = tables["machine_checks"], tables["lifecycle"]
    calls = np.isin(checks["action"], (CheckAction.QUEUE, CheckAction.ACTION_REQUIRED))
    off = life["reason"] == LifecycleReason.RECOVERY_OFF
    assert "memory_failures" not in tables
    assert calls.sum() > 100
    late = checks["time_ns"] > HORIZON_NS - 10**10
    assert set(named(life, "cause_seq")[off]) <= set(named(checks)[calls])
    # A call that waits is forgotten if the node goes down before.
    waiting = calls & ~late & ~np.isin(named(checks), named(life, "cause_seq")[off])
    down = life["kind"] != LifecycleKind.CORDON
    for node, time_ns in zip(checks["node_id"][waiting], checks["time_ns"][waiting], strict=True):
        delay = life["time_ns"][down & (life["node_id"] == node)] - time_ns
        assert ((delay >= 0) & (delay < 10**10)).any()
    assert waiting.sum() < 0.2 * calls.sum()


def test_machine_checks_that_do_not_reach_memory_failure_do_not_panic_with_recovery_off():
    policy = dataclasses.replace(
        BASE,
        kernel=Kernel(memory_failure_recovery=0, memory_failure=False),
        repair=Repair(cordon=Cordon(ue=1)),
    )
    _, tables = simulate(policy)
    checks, life = tables["machine_checks"], tables["lifecycle"]
    logged = checks["action"] == CheckAction.LOG
    panics = life["kind"] == LifecycleKind.PANIC
    assert logged.sum() > 50
    assert not set(named(checks)[logged]) & set(named(life, "cause_seq")[panics])


def test_a_kernel_without_memory_failure_panics_on_consumption_and_only_then():
    policy = dataclasses.replace(BASE, kernel=Kernel(memory_failure=False))
    _, tables = simulate(policy)
    checks, life = tables["machine_checks"], tables["lifecycle"]
    consumed = np.isin(checks["cpu_context"], (CpuContext.USER, CpuContext.KERNEL, CpuContext.KERNEL_COPY))
    assert consumed.sum() > 50
    assert (checks["severity"][consumed] == Severity.FATAL).all()
    panics = named(life, "cause_seq")[life["kind"] == LifecycleKind.PANIC]
    assert set(named(checks)[consumed]) <= set(panics)
    assert "memory_failures" not in tables


def test_hardware_without_recovery_panics_on_every_reported_ue():
    policy = dataclasses.replace(BASE, platform=Platform(mca_recovery=False))
    _, tables = simulate(policy)
    assert (tables["machine_checks"]["action"] == CheckAction.PANIC).all()
    assert set(tables["lifecycle"]["reason"].tolist()) >= {LifecycleReason.CONTEXT_CORRUPT}


def test_secded_has_far_more_ues_than_chipkill():
    hardware = Hardware(faults=Faults(fit_factor=5.0, command_address_fit=0.0))
    counts = {}
    for code in ("secded", "chipkill"):
        _, tables = simulate(Policy(ecc=Ecc(code)), nodes=1500, hardware=hardware, horizon_ns=NS_PER_YEAR)
        counts[code] = int((tables["errors"]["kind"] == 1).sum())
    assert counts["secded"] > 20 * max(counts["chipkill"], 1)


def test_perfect_rates_give_no_rows():
    hardware = Hardware(faults=Faults(fit_factor=0.0, command_address_fit=0.0))
    faults, tables = simulate(BASE, hardware=hardware)
    assert faults["time_ns"].size == 0
    assert tables == {}


def test_all_memory_free_kills_nobody():
    workload = Workload(use=Use(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), process=(Process(),))
    faults, tables = simulate(dataclasses.replace(BASE, workload=workload), hardware=COMMANDS)
    assert "signals" not in tables
    errors = tables["errors"]
    uncorrected = errors["kind"] == 1
    of_commands = np.isin(errors["fault_id"], faults["fault_id"][faults["mode"] == Mode.COMMAND_ADDRESS])
    for mine, observer in ((of_commands, Observer.DEMAND), (~of_commands, Observer.SCRUB)):
        assert (uncorrected & mine).sum() > 50
        assert set(errors["observer"][uncorrected & mine].tolist()) == {observer}
    assert (tables["memory_failures"]["page_use"] == 0).all()


def test_a_wrong_command_is_fatal_at_every_read_and_belongs_to_no_page():
    faults, tables = simulate(UNCORDONED, nodes=2400, hardware=COMMANDS)
    errors, checks, life = (tables[name] for name in ("errors", "machine_checks", "lifecycle"))
    mine = faults["fault_id"][(faults["mode"] == Mode.COMMAND_ADDRESS) & (faults["persistence"] > 0)]
    seen = np.isin(errors["fault_id"], mine)
    assert seen.sum() > 100
    assert (errors["kind"][seen] == 1).all()
    assert (errors["observer"][seen] == Observer.DEMAND).all()
    assert (errors["first_pfn"][seen] == -1).all()
    assert (errors["n_pages"][seen] == 0).all()
    read = np.isin(checks["fault_id"], mine)
    assert (checks["severity"][read] == Severity.FATAL).all()
    assert (checks["action"][read] == CheckAction.PANIC).all()
    assert (checks["cpu_context"][read] == CpuContext.NONE).all()
    panics = named(life, "cause_seq")[life["kind"] == LifecycleKind.PANIC]
    assert set(named(checks)[read]) <= set(panics)
    # Each boot makes the next one a first sight again.
    assert read.sum() == seen.sum()


CELLS = ("rank", "device", "bank", "row", "line", "n_banks", "n_rows", "n_lines", "n_dq", "n_beats", "first_pfn")


def test_a_wrong_command_has_no_cells_and_every_other_fault_has():
    faults, _ = simulate(UNCORDONED, nodes=2400, hardware=COMMANDS)
    wires = faults["mode"] == Mode.COMMAND_ADDRESS
    assert min(wires.sum(), (~wires).sum()) > 100
    for name in CELLS:
        assert (faults[name][wires] == -1).all(), name
        assert (faults[name][~wires] >= 0).all(), name
    assert set(faults["n_pages"][wires].tolist()) == {0}
    stored = to_arrow("faults", faults)
    assert {name: stored.column(name).null_count for name in stored.column_names} == {
        name: wires.sum() * (name in CELLS) for name in stored.column_names
    }


def test_a_command_that_is_repeated_is_one_corrected_error_without_a_page_and_one_that_is_not_ends_the_kernel():
    for retry in (False, True):
        policy = dataclasses.replace(UNCORDONED, ecc=Ecc("secded", command_retry=retry))
        faults, tables = simulate(policy, nodes=2400, hardware=COMMANDS)
        errors = tables["errors"]
        soft = (faults["mode"] == Mode.COMMAND_ADDRESS) & (faults["persistence"] == 0)
        start = dict(zip(faults["fault_id"][soft].tolist(), faults["time_ns"][soft].tolist(), strict=True))
        mine = np.isin(errors["fault_id"], faults["fault_id"][soft])
        assert mine.sum() > 0.8 * soft.sum() > 20  # the others start while the node is down
        assert np.unique(errors["fault_id"][mine]).size == mine.sum()
        assert set(errors["kind"][mine].tolist()) == {int(not retry)}
        assert (errors["first_pfn"][mine] == -1).all()
        fault, time_ns = (errors[name][mine].tolist() for name in ("fault_id", "time_ns"))
        assert all(start[one] == at for one, at in zip(fault, time_ns, strict=True))
        of_them = np.isin(tables["machine_checks"]["fault_id"], faults["fault_id"][soft])
        assert of_them.sum() == (0 if retry else mine.sum())
        assert (tables["machine_checks"]["action"][of_them] == CheckAction.PANIC).all()


def test_without_scrub_nothing_is_found_by_the_scrubber():
    policy = dataclasses.replace(BASE, detection=Detection(scrub_hours=0.0))
    _, tables = simulate(policy)
    found = tables["errors"]["observer"][tables["errors"]["kind"] != 0]
    assert found.size > 100
    assert (found != Observer.SCRUB).all()


@pytest.mark.parametrize("early", [0, 1])
def test_a_row_fault_in_one_block_kills_at_most_the_owners_of_that_block(early):
    policies = [
        Policy(
            ecc=Ecc("secded"),
            kernel=Kernel(memory_failure_early_kill=early_kill),
            detection=Detection(hot_share=0.5),
            repair=Repair(cordon=Cordon(ue=8)),
            workload=Workload(tenancy_days=60.0, use=Use(0.05, 0.05, 0.3, 0.3, 0.1, 0.1, 0.1)),
        )
        for early_kill in (0, 1)
    ]
    policy = policies[early]
    faults, arms = simulate_arms(tuple(policies), 4000, Hardware(faults=Faults(fit_factor=20.0)))
    tables, address_map, memory = arms[early], AddressMap(HARDWARE.server), Memory.of(policy)
    rows = np.flatnonzero(faults["mode"] == Mode.ROW)
    names = ("dimm", "rank", "bank", "row", "line", "n_banks", "n_rows", "n_lines")
    slot, rank, bank, row, line, *sizes = (faults[name][rows].astype(np.int64) for name in names)
    box = Footprint(slot, rank, bank, row, line, np.ones_like(slot), *sizes)
    n_pages = faults["n_pages"][rows].astype(np.int64)
    first, last = (address_map.page(box, number) // PAGES_PER_HUGE_PAGE for number in (0 * n_pages, n_pages - 1))
    inside = rows[first == last]
    block_of = dict(zip(faults["fault_id"][inside].tolist(), faults["first_pfn"][inside].tolist(), strict=True))
    signals, life = tables["signals"], tables["lifecycle"]
    # After a kill or a boot memory is filled anew: the first signals of a node say who owned the block till then.
    first = {}
    for table in (signals, life):
        down = table["time_ns"][table["kind"] != LifecycleKind.CORDON] if table is life else table["time_ns"]
        nodes = table["node_id"][table["kind"] != LifecycleKind.CORDON] if table is life else table["node_id"]
        for node, time_ns in zip(nodes.tolist(), down.tolist(), strict=True):
            first[node] = min(time_ns, first.get(node, time_ns))
    early_on = signals["time_ns"] <= np.asarray([first[node] for node in signals["node_id"].tolist()])
    mine = np.flatnonzero(np.isin(signals["fault_id"], list(block_of)) & early_on)
    assert mine.size > 20
    assert address_map.line_stride < 64
    pfn = np.asarray([block_of[fault] for fault in signals["fault_id"][mine].tolist()])
    frames = make_frames(SEED, signals["node_id"][mine], pfn, Static.of(policy.workload))
    owners = memory.tenancy(frames, signals["time_ns"][mine])[0].owners
    first, process = memory.processes.first[owners], signals["process"][mine]
    assert ((first <= process) & (process < first + memory.processes.size[owners])).all()
