"""Firmware maps out a DIMM at the boot after a panic: what the node goes on without, until when, and what stays."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
from scipy import stats

from node_sim.codes import ErrorKind, LifecycleKind, LifecycleReason, Mode
from node_sim.columns import Columns
from node_sim.dram.geometry import Dimm
from node_sim.server.hardware import Server
from node_sim.server.policy import Cordon, Detection, Ecc, ErrorProcess, Policy, Repair
from node_sim.server.workload import Process, Use, Workload
from node_sim.units import NS_PER_DAY, NS_PER_HOUR, NS_PER_YEAR
from tests.handmade import lives_by_hand, tables_of

SERVER = Server(sockets=1, channels=2, dimms_per_channel=1)
LINES = Dimm.of(SERVER).lines
ROWS = {"mode": int(Mode.BANK), "n_dq": 4, "n_lines": LINES, "n_rows": 4}
"""Of four rows, so of many pages, and no spare row repairs it."""
OTHER = ROWS | {"dimm": 1}
NODES = range(150)
ERRORS = ErrorProcess(burst_interval_days=20.0, burst_days=2.0, median_ce_per_window=2.0, sigma_window=0.1)
MIXED = Workload(use=Use(0.0, 0.3, 0.7, 0.0, 0.0, 0.0, 0.0), process=(Process(on_sigbus="recover"),))
REPAIR = Repair(map_out=True, technician_days=20.0, technician_sigma=0.0, replace_hours=48.0, cordon=Cordon(ue=0))
POLICY = Policy(
    errors=ERRORS,
    ecc=Ecc("secded"),
    detection=Detection(scrub_hours=0.0, hot_share=1.0, hot_interval_s=3600.0),
    workload=MIXED,
    repair=REPAIR,
)


@cache
def lives(policy: Policy, *of_node: tuple[tuple[str, int], ...], server: Server = SERVER, nodes: range = NODES):
    """Rows of nodes with the same faults by table."""
    faults = [dict(fault) for fault in of_node]
    return tables_of(lives_by_hand(policy, server, NS_PER_YEAR, nodes, faults, first_burst=1.0))


def told(policy: Policy, *of_node: dict[str, int], server: Server = SERVER, nodes: range = NODES) -> dict[str, Columns]:
    """Rows of nodes with the same faults by table, in order of time."""
    tables = lives(policy, *(tuple(sorted(fault.items())) for fault in of_node), server=server, nodes=nodes)
    found = {}
    for name, table in tables.items():
        order = np.argsort(table["time_ns"], kind="stable") if table else []
        found[name] = {column: cells[order] for column, cells in table.items()}
    return found


def change(**settings: object) -> Policy:
    """The policy with some settings of repair changed."""
    return replace(POLICY, repair=replace(REPAIR, **settings))


def of_lane(tables: dict[str, Columns], lane: int, name: str = "lifecycle", kind: int | None = None) -> Columns:
    """Rows of one node, of one kind."""
    table = tables[name]
    mine = table["lane"] == lane
    if kind is not None:
        mine &= table["kind"] == kind
    return {column: cells[mine] for column, cells in table.items()}


PANIC, REPLACED, MAP_OUT = LifecycleKind.PANIC, LifecycleKind.DIMM_REPLACEMENT, LifecycleKind.MAP_OUT
SPAN = ("time_ns", "end_ns", "kind")
WAIT_NS, DOWN_NS, BOOT_NS = 20 * NS_PER_DAY, 48 * NS_PER_HOUR, NS_PER_HOUR // 4


# ---------------------------------------------------------------------------------------- the story


def test_a_node_that_panics_again_and_again_panics_once_goes_on_without_the_dimm_and_gets_a_new_one():
    before, after = told(change(map_out=False), ROWS), told(POLICY, ROWS)
    met = 0
    for lane in NODES:
        panics = of_lane(before, lane, kind=PANIC)["time_ns"]
        ue_ns = of_lane(before, lane, "errors", ErrorKind.UE)["time_ns"]
        if panics.size < 3 or ue_ns[1] != panics[0]:  # it survives the first one, and no more
            continue
        met += 1
        life = of_lane(after, lane)
        assert life["kind"].tolist() == [PANIC, MAP_OUT, REPLACED]
        panic, boot, visit = life["time_ns"].tolist()
        assert (panic, boot, visit) == (panics[0], panic + BOOT_NS, boot + WAIT_NS)
        assert life["end_ns"].tolist() == [boot, visit + DOWN_NS, visit + DOWN_NS]
        assert life["dimm"].tolist() == [-1, 0, 0]
        assert life["reason"].tolist()[1:] == [LifecycleReason.DIMM_HAD_UE] * 2
        assert life["cause"].tolist()[1:] == life["name"].tolist()[:2]
        assert of_lane(after, lane, "errors", ErrorKind.UE)["time_ns"].tolist() == ue_ns[:2].tolist()
        assert (of_lane(after, lane, "errors")["last_time_ns"] < boot).all()
        assert (of_lane(before, lane, "errors")["last_time_ns"] > boot).any()
    assert met > 3


# ---------------------------------------------------------------------------------------- what stays


def test_the_only_dimm_of_a_node_stays():
    alone = Server(sockets=1, channels=1, dimms_per_channel=1)
    with_, without = (told(change(map_out=on), ROWS, server=alone) for on in (True, False))
    assert with_["lifecycle"]["kind"].size > 100
    for name, table in without.items():
        assert all((cells == with_[name][column]).all() for column, cells in table.items())


def test_the_last_dimm_left_stays_whatever_its_errors_and_the_technician_replaces_it_too():
    tables, both = told(POLICY, ROWS, OTHER), 0
    for lane in NODES:
        life = of_lane(tables, lane)
        out = life["dimm"][life["kind"] == MAP_OUT].tolist()
        if not out:  # no kernel page was read
            continue
        assert len(out) == 1
        panics = life["time_ns"][life["kind"] == PANIC]
        since, visit = (life["time_ns"][life["kind"] == kind].min() for kind in (MAP_OUT, REPLACED))
        if ((since < panics) & (panics < visit)).sum() > 1:
            both += 1
            swaps = of_lane(tables, lane, kind=REPLACED)
            assert swaps["dimm"].tolist() == [0, 1]
            assert (swaps["cause"] == life["name"][life["kind"] == MAP_OUT]).all()
    assert both > 50


def test_one_boot_maps_out_all_dimms_that_had_errors_before_the_panic():
    life = told(POLICY, ROWS, OTHER, server=replace(SERVER, channels=3))["lifecycle"]
    out = {column: cells[life["kind"] == MAP_OUT] for column, cells in life.items()}
    several = [cause for cause in np.unique(out["cause"]) if (out["cause"] == cause).sum() == 2]
    assert len(several) > 20
    for cause in several:
        both = out["cause"] == cause
        assert sorted(out["dimm"][both].tolist()) == [0, 1]
        assert np.unique(out["time_ns"][both]).size == np.unique(out["end_ns"][both]).size == 1


def test_a_row_that_firmware_repairs_is_no_reason_to_map_out():
    row = {"n_dq": 4, "n_lines": LINES}
    life = told(change(ppr="hard"), row)["lifecycle"]
    assert set(life["kind"].tolist()) == {PANIC, LifecycleKind.POST_PACKAGE_REPAIR}
    assert set(told(POLICY, row)["lifecycle"]["kind"].tolist()) == {PANIC, MAP_OUT, REPLACED}


def test_a_cordon_for_uncorrected_errors_replaces_the_dimm_at_once_as_without():
    at_once = {"cordon": Cordon(ue=1, drain_hours=1.0)}
    life, without = (told(change(map_out=on, **at_once), ROWS)["lifecycle"] for on in (True, False))
    out = life["kind"] == MAP_OUT
    for name in ("lane", "time_ns", "end_ns", "kind", "dimm"):
        assert (life[name][~out] == without[name]).all()
    assert 5 < out.sum() < len(NODES)  # after panics only: a node that goes on until it is drained maps nothing out
    assert (life["time_ns"][out] + DOWN_NS == life["end_ns"][out]).all()


def test_what_is_mapped_out_ends_with_a_cordon_that_comes_before_the_technician():
    life = told(change(cordon=Cordon(ue=3, drain_hours=1.0)), ROWS, OTHER)["lifecycle"]
    out, cordons = life["kind"] == MAP_OUT, life["kind"] == LifecycleKind.CORDON
    early = out & (life["end_ns"] < life["time_ns"] + WAIT_NS)
    assert early.sum() > 20
    ends = set(zip(life["lane"][cordons].tolist(), (life["end_ns"][cordons] + DOWN_NS).tolist(), strict=True))
    assert set(zip(life["lane"][early].tolist(), life["end_ns"][early].tolist(), strict=True)) <= ends


def test_a_technician_who_never_comes_leaves_the_node_without_the_dimm_to_the_horizon():
    life = told(change(technician_days=3653.0), ROWS)["lifecycle"]
    assert set(life["kind"].tolist()) == {PANIC, MAP_OUT}
    assert set(life["end_ns"][life["kind"] == MAP_OUT].tolist()) == {NS_PER_YEAR}


# ---------------------------------------------------------------------------------------- the technician


def test_a_technician_waits_for_a_reboot_to_end():
    life = told(change(technician_days=0.3, reboot_minutes=600.0), ROWS, OTHER, server=replace(SERVER, channels=3))[
        "lifecycle"
    ]
    waited = 0
    for lane in NODES:
        mine = life["lane"] == lane
        rows = zip(*(life[name][mine].tolist() for name in SPAN), strict=True)
        spans = sorted({(begin, end) for begin, end, kind in rows if kind != MAP_OUT})
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))
        boots = life["end_ns"][mine & (life["kind"] == PANIC)]
        waited += bool(np.isin(life["time_ns"][mine & (life["kind"] == REPLACED)], boots).any())
    assert waited > 5


def test_a_technician_stays_away_from_a_node_that_drains():
    # Drains of ten days, and every technician is due before the cordon's repair of the node.
    slow = change(technician_days=5.0, cordon=Cordon(ue=3, drain_hours=240.0))
    life = told(slow, ROWS, OTHER, server=replace(SERVER, channels=3), nodes=range(400))["lifecycle"]
    drains = [
        [life[name][at] for name in ("lane", "time_ns", "end_ns")]
        for at in np.flatnonzero(life["kind"] == LifecycleKind.CORDON)
    ]
    visits = life["kind"] == REPLACED
    due_meanwhile = 0
    for lane, begin, end in drains:
        mine = life["lane"] == lane
        assert not (mine & visits & (begin <= life["time_ns"]) & (life["time_ns"] < end)).any()
        out = mine & (life["kind"] == MAP_OUT) & (life["time_ns"] < end) & (life["end_ns"] > end)
        due_ns = life["time_ns"][out] + WAIT_NS // 4
        due_meanwhile += bool(((begin < due_ns) & (due_ns < end)).any())
    assert due_meanwhile > 5


def waits(days: float, sigma: float) -> np.ndarray:
    """Return how long each node goes on without its DIMM [days]; none waits to the horizon."""
    life = told(change(technician_days=days, technician_sigma=sigma), ROWS, nodes=range(400))["lifecycle"]
    out = life["kind"] == MAP_OUT
    assert (life["end_ns"][out] < NS_PER_YEAR).all()
    return (life["end_ns"][out] - life["time_ns"][out] - DOWN_NS) / NS_PER_DAY


def test_the_time_to_the_technician_is_lognormal():
    sigma = 0.8
    z = np.log(waits(10.0, sigma) / 10.0) / sigma
    assert z.size > 300
    assert stats.kstest(z, "norm").pvalue > 1e-6


def test_arms_share_the_place_of_each_dimm_among_all_others():
    one, other = waits(10.0, 0.8), waits(5.0, 0.4)
    np.testing.assert_allclose((one / 10.0) ** 0.5, other / 5.0, rtol=1e-9)
