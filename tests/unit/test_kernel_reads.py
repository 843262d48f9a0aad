"""Reads of poison by the kernel: their kinds, and that a fleet and a single page under the same kernel end alike."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fleet.replay import timeline_lines
from fleet.stored.schema import to_arrow
from node_sim.catalog.kernels import PROFILE_NAMES
from node_sim.catalog.workloads import FROM_USER, PAGE_COPIES
from node_sim.codes import CheckAction, CpuContext, KernelRead, KillPolicy, LifecycleKind, Observer, PageUse
from node_sim.draws import Seed
from node_sim.hwpoison.copies import COPIES, begin
from node_sim.hwpoison.outcomes import Signal, call_of_read, handle_state
from node_sim.hwpoison.page_states import build_page
from node_sim.hwpoison.process import Task
from node_sim.hwpoison.use_states import state_of_use
from node_sim.lives.block import simulate_block
from node_sim.machine_check.grades import Reporting, grade
from node_sim.memory.kernel_reads import kernel_read_cdf, kernel_read_shares
from node_sim.one_page.inject import inject
from node_sim.server.hardware import Faults, Hardware
from node_sim.server.policy import Detection, Ecc, Kernel, Platform, Policy
from node_sim.units import NS_PER_YEAR
from tests.oracle import kernel_copies

BY_TEXT = {use.text: use for use in PageUse}
DRAWN = [(BY_TEXT[text], KernelRead.of(kind)) for text, kinds in PAGE_COPIES.items() for kind in kinds]
FROM = [(BY_TEXT[text], KernelRead.COPY) for text in sorted(FROM_USER)]
OTHERS = [(use, KernelRead.OTHER) for use in PageUse if use is not PageUse.FREE]
CODES = {Signal.EARLY_AO: "BUS_MCEERR_AO", Signal.DIRECT_AR: "BUS_MCEERR_AR", Signal.DIRECT_PLAIN: "SI_KERNEL"}


def page_of(use: PageUse, kind: KernelRead) -> str | None:
    """Page state at which ``inject`` plays a kind; None where it has no such state."""
    if kind is KernelRead.FORK:
        return {PageUse.ANONYMOUS: "anonymous-pinned"}.get(use)
    if kind is KernelRead.KSM:
        return {PageUse.SWAPCACHE_DIRTY: "swap-dirty-unmapped", PageUse.SWAPCACHE_CLEAN: "swap-clean-unmapped"}[use]
    return state_of_use(use)


def test_shares_of_page_copies_add_up_and_lie_in_their_ranges():
    for kinds in PAGE_COPIES.values():
        assert sum(share.value for share in kinds.values()) == pytest.approx(1.0, abs=1e-9)
        assert all(share.low <= share.value <= share.high and share.why for share in kinds.values())


def test_every_kind_of_copy_is_drawn_for_some_use_but_core_dumps():
    assert {kind.text for _, kind in DRAWN} == set(COPIES) - {"coredump"}
    assert {kind.text for kind in KernelRead} == (set(COPIES) - {"coredump"}) | {"copy", "other"}


@pytest.mark.parametrize(("use", "kind"), DRAWN)
def test_a_page_is_read_only_by_copies_that_suit_it(use, kind):
    page = build_page(state_of_use(use), [Task("app")])
    begin(page, f"ar-{kind.text}")
    assert COPIES[kind.text].suits(page)


def test_shares_of_kinds_are_those_asked_for():
    shares = kernel_read_shares(PageUse.ANONYMOUS, 0.5, 0.6)
    assert shares[KernelRead.COPY] == 0.5
    assert shares[KernelRead.MIGRATION] == pytest.approx(0.5 * 0.6 * 0.40)
    assert shares[KernelRead.OTHER] == pytest.approx(0.2)
    assert kernel_read_shares(PageUse.SLAB, 0.5, 0.6)[KernelRead.OTHER] == 1.0
    assert kernel_read_shares(PageUse.FILE_CLEAN, 0.5, 0.6)[KernelRead.READ] == pytest.approx(0.54)
    for use, copy, page_copy in itertools.product(PageUse, (0.0, 0.5, 1.0), (0.0, 0.6, 1.0)):
        assert sum(kernel_read_shares(use, copy, page_copy).values()) == pytest.approx(1.0)
    table = kernel_read_cdf(0.5, 0.6)
    assert table.shape == (len(PageUse), len(KernelRead) - 1)
    assert (np.diff(table, axis=1) >= 0).all()


PLAYED = [
    (use, kind, profile)
    for use, kind in (*DRAWN, *FROM, *OTHERS)
    for profile in PROFILE_NAMES
    if page_of(use, kind) is not None and not (use is PageUse.THP and profile == "2.6.32")
]
"""Reads of pages that ``inject`` has."""


@pytest.mark.parametrize(("use", "kind", "profile"), PLAYED)
def test_a_fleet_ends_a_read_by_the_kernel_as_a_single_page_does(use, kind, profile):
    page, event = page_of(use, kind), "ar-kernel" if kind is KernelRead.OTHER else f"ar-{kind.text}"
    check = grade(Observer.KERNEL, Reporting(profile), kernel_read=kind, device_fatal=False, overflow=False)
    for policy in KillPolicy:
        processes = (f"{policy.text}:handler",)
        found = inject(page, kernel_name=profile, event=event, processes=processes)
        absent = check.kernel_read is KernelRead.OTHER is not kind
        assert (found["panic"] is not None) == (check.action is CheckAction.PANIC and not absent)
        if found["panic"] is not None or absent:
            continue
        outcome = handle_state(
            state_of_use(use), call_of_read(kind), (policy,), early_kill=False, recovery=True, profile=profile
        )
        texts = tuple(None if part is None else part.text for part in (outcome.page_type, outcome.result))
        assert (*texts, outcome.errno) == (found["page_type"], found["result"], found["errno"])
        during = [got["code"] for got in found["signals"] if got["phase"] == "inject"]
        assert during == ([] if outcome.signal is Signal.NONE else [CODES[outcome.signal]])
        told = [got["lsb"] for got in found["signals"] if got["phase"] == "inject"]
        assert all(lsb == outcome.lsb for lsb in told)
        again = inject(page, kernel_name=profile, event=event, processes=processes, then=("read",))
        unmapped = [step["rule"] for step in again["steps"]].count("mce_severity") == 1
        assert outcome.late == (not during and unmapped and again["later"][0]["answer"] == "SIGBUS(BUS_MCEERR_AR)")


HARDWARE = Hardware(faults=Faults(fit_factor=30.0))


SWEEPS = [
    pytest.param((4000, NS_PER_YEAR // 10), id="a tenth of a year"),
    pytest.param((3000, NS_PER_YEAR // 2), id="half a year", marks=pytest.mark.long),
]


@pytest.fixture(scope="module", params=SWEEPS)
def sweep(request):
    nodes, horizon_ns = request.param
    policy = Policy(ecc=Ecc("secded"), detection=Detection(scrub_hours=0.0, hot_share=1.0))
    arms = tuple(
        Policy(ecc=policy.ecc, detection=policy.detection, kernel=Kernel(profile=profile), platform=Platform())
        for profile in PROFILE_NAMES[2:]
    )
    block = simulate_block(Seed.of(5), np.arange(nodes), HARDWARE, arms, horizon_ns)
    return {
        profile: [part.tables for part in block.parts if arm in part.arms]
        for arm, profile in enumerate(PROFILE_NAMES[2:])
    }


def column(tables, table, name):
    found = [part[table][name] for part in tables if table in part]
    return np.concatenate(found) if found else np.empty(0, np.int64)


def first_checks(tables):
    """Kind of the first machine check of each node by time and page, where the kernel read."""
    parts = [column(tables, "machine_checks", name) for name in ("node_id", "time_ns", "pfn", "kernel_read")]
    order = np.lexsort((-parts[3], parts[1], parts[0]))
    node, time, pfn, kind = (part[order] for part in parts)
    _, first = np.unique(node, return_index=True)
    return {(int(node[i]), int(time[i]), int(pfn[i])): int(kind[i]) for i in first if kind[i] >= 0}


def test_newer_kernels_panic_less_where_their_copies_are_safe(sweep):
    panics = {p: int((column(t, "lifecycle", "kind") == LifecycleKind.PANIC).sum()) for p, t in sweep.items()}
    assert panics["4.18"] > panics["5.10"] > panics["6.1"] > panics["6.12"] > 100
    assert abs(panics["7.1"] - panics["6.12"]) < 0.2 * (panics["6.1"] - panics["6.12"])


def test_the_first_read_of_a_node_is_the_same_under_every_kernel_but_for_copies_it_does_not_know(sweep):
    newest = first_checks(sweep["7.1"])
    assert len(newest) > 200
    often = {KernelRead.COPY, KernelRead.COW, KernelRead.KHUGEPAGED, KernelRead.MIGRATION, KernelRead.READ}
    assert {KernelRead(kind) for kind in newest.values()} >= often | {KernelRead.OTHER}
    for profile, tables in sweep.items():
        found = first_checks(tables)
        assert found.keys() == newest.keys()
        for where, kind in found.items():
            lacks = kernel_copies.COPIES.get(f"ar-{KernelRead(newest[where]).text}")
            absent = lacks is not None and lacks[1][PROFILE_NAMES.index(profile)] == kernel_copies.ABSENT
            assert kind == (KernelRead.OTHER if absent else newest[where])


def test_a_replay_names_the_code_that_read(sweep):
    checks = next(part["machine_checks"] for part in sweep["6.12"] if "machine_checks" in part)
    one = np.flatnonzero(checks["kernel_read"] == KernelRead.MIGRATION)[:1]
    table = to_arrow("machine_checks", {name: cells[one] for name, cells in checks.items()})
    (line,) = timeline_lines({"machine_checks": table})
    assert "in kernel recoverable copy context (migration)" in line


@pytest.mark.parametrize("profile", PROFILE_NAMES[2:])
def test_reads_that_a_kernel_survives_are_those_of_the_second_reading(sweep, profile):
    kind, action, context = (
        column(sweep[profile], "machine_checks", n) for n in ("kernel_read", "action", "cpu_context")
    )
    place = PROFILE_NAMES.index(profile)
    alive = {KernelRead(k) for k in kind[(kind >= 0) & (action != CheckAction.PANIC)].tolist()}
    safe = {name.removeprefix("ar-") for name, (_, cells) in kernel_copies.COPIES.items() if "queued" in cells[place]}
    known = {read.text for read in map(KernelRead, np.unique(kind[kind >= 0]).tolist())}
    assert {read.text for read in alive} == ((safe | ({"copy"} if place >= 3 else set())) & known) - {"coredump"}
    assert ((kind >= 0) == np.isin(context, (CpuContext.KERNEL, CpuContext.KERNEL_COPY))).all()
