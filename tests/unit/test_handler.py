"""``memory_failure()`` of kernel 6.1 against a second reading of its source and against recorded rows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from node_sim.catalog.file_systems import FILE_SYSTEMS
from node_sim.catalog.kernels import PROFILE_NAMES, PROFILES
from node_sim.codes import KillPolicy, PageUse, Result, SignalCode, SignalName, Timing
from node_sim.hwpoison.error_states import ERROR_STATES, Flag, find_state
from node_sim.hwpoison.handler_table import HandlerTable, signal_rows
from node_sim.hwpoison.kill import early_thread
from node_sim.hwpoison.outcomes import (
    NO_LINE,
    CallKind,
    Earlier,
    Heard,
    Outcome,
    Signal,
    handle_state,
    memory_failure,
)
from node_sim.hwpoison.use_states import STATES, state_codes, state_of_use
from node_sim.one_page.inject import inject
from tests.oracle.catalog.tables import read_table, rows_by

EBUSY, EHWPOISON = -16, -133

# Second reading: use -> (page type, result, errno, mapped, what unmapping leaves, loses file data).
# "entry": a hwpoison or swap entry, the owner gets SIGBUS; "refault": nothing, clean data is read again;
# "kept": the mapping stays; "none": no process maps the page.
CELLS = {
    PageUse.FREE: ("free buddy page", "Recovered", 0, "none", False),
    PageUse.RESERVED: ("unknown page", "Ignored", EBUSY, "none", False),
    PageUse.SLAB: ("unknown page", "Ignored", EBUSY, "none", False),
    PageUse.PAGE_TABLE: ("unknown page", "Ignored", EBUSY, "none", False),
    PageUse.ANONYMOUS: ("dirty LRU page", "Recovered", 0, "entry", False),
    PageUse.THP: ("dirty LRU page", "Recovered", 0, "entry", False),
    PageUse.HUGETLB: ("huge page", "Recovered", 0, "entry", False),
    PageUse.FILE_CLEAN: ("clean LRU page", "Recovered", 0, "none", False),
    PageUse.FILE_CLEAN_MAPPED: ("clean LRU page", "Recovered", 0, "refault", False),
    PageUse.FILE_DIRTY: ("dirty LRU page", "Recovered", 0, "none", True),
    PageUse.FILE_DIRTY_MAPPED: ("dirty LRU page", "Recovered", 0, "entry", True),
    PageUse.TMPFS: ("dirty LRU page", "Recovered", 0, "entry", False),
    PageUse.MLOCKED: ("dirty LRU page", "Recovered", 0, "entry", False),
    PageUse.KSM: ("unmapping failed page", "Ignored", EBUSY, "kept", False),
    PageUse.SWAPCACHE_DIRTY: ("dirty swapcache page", "Delayed", 0, "entry", False),
    PageUse.SWAPCACHE_CLEAN: ("clean swapcache page", "Recovered", 0, "refault", False),
    PageUse.HUGETLB_FREE: ("free huge page", "Recovered", 0, "none", False),
    # Broken up, but the bad 4 KiB of a 1 GiB page are not taken off the free lists: Failed.
    PageUse.HUGETLB_1G: ("huge page", "Failed", EBUSY, "entry", False),
    PageUse.HUGETLB_1G_FREE: ("free huge page", "Failed", EBUSY, "none", False),
}
GIGANTIC = (PageUse.HUGETLB_1G, PageUse.HUGETLB_1G_FREE)
HUGETLB = (PageUse.HUGETLB, PageUse.HUGETLB_FREE, *GIGANTIC)
UNSPLIT = ("unsplit thp", "Ignored", EBUSY, "kept", False)
MAPPED = [use for use, cell in CELLS.items() if cell[3] != "none"]
UNMAPPED = [use for use, cell in CELLS.items() if cell[3] == "none"]
SINGLE = (CallKind.ACTION_OPTIONAL, CallKind.ACTION_REQUIRED, CallKind.KERNEL_COPY)
ASYNCHRONOUS = (CallKind.ACTION_OPTIONAL, CallKind.KERNEL_COPY)
BOOLEANS = (False, True)


def handle(use: PageUse, event: CallKind = CallKind.ACTION_OPTIONAL, policy: KillPolicy = KillPolicy.UNSET, **flags):
    return memory_failure(use, event, (policy,), **{"early_kill": False, "recovery": True, **flags})


def cells(outcome: Outcome) -> list[int]:
    """The outcome of the first owner as the table stores it."""
    return [NO_LINE if part is None else int(part) for part in outcome[:-1]]


def line(outcome: Outcome) -> tuple[str | None, str | None, int]:
    """Action line and errno."""
    page_type, result = outcome.page_type, outcome.result
    return (
        None if page_type is None else page_type.text,
        None if result is None else result.text,
        outcome.errno,
    )


def cell_of(use: PageUse, *, split_ok: bool) -> tuple:
    return UNSPLIT if use is PageUse.THP and not split_ok else CELLS[use]


def test_there_is_a_second_reading_of_every_page_use():
    assert set(CELLS) == set(PageUse)


@pytest.mark.parametrize("split_ok", BOOLEANS)
@pytest.mark.parametrize("use", PageUse)
def test_the_action_line_depends_on_the_page_only(use, split_ok):
    found = {
        line(handle(use, event, policy, early_kill=early, split_ok=split_ok))
        for event, policy, early in itertools.product(SINGLE, KillPolicy, BOOLEANS)
    }
    assert found == {cell_of(use, split_ok=split_ok)[:3]}


@pytest.mark.parametrize("split_ok", BOOLEANS)
@pytest.mark.parametrize("event", ASYNCHRONOUS)
@pytest.mark.parametrize("use", PageUse)
def test_an_early_process_is_told_at_once_only_if_its_data_is_lost(use, event, split_ok):
    outcome = handle(use, event, KillPolicy.EARLY, split_ok=split_ok)
    lost = cell_of(use, split_ok=split_ok)[3] == "entry"
    assert (outcome.signal, outcome.late) == (Signal.EARLY_AO if lost else Signal.NONE, False)


@pytest.mark.parametrize("split_ok", BOOLEANS)
@pytest.mark.parametrize("event", ASYNCHRONOUS)
@pytest.mark.parametrize("use", PageUse)
def test_a_late_process_is_left_to_its_next_access_only_if_its_data_is_lost(use, event, split_ok):
    outcome = handle(use, event, KillPolicy.LATE, split_ok=split_ok)
    lost = cell_of(use, split_ok=split_ok)[3] == "entry"
    assert (outcome.signal, outcome.late) == (Signal.NONE, lost)


AR_SIGNALS = {"entry": Signal.DIRECT_AR, "refault": Signal.NONE, "kept": Signal.DIRECT_PLAIN}


@pytest.mark.parametrize("split_ok", BOOLEANS)
@pytest.mark.parametrize("use", PageUse)
def test_a_consumer_gets_its_forced_signal_whatever_its_policy(use, split_ok):
    _, _, errno, mapping, _ = cell_of(use, split_ok=split_ok)
    told = use is PageUse.HUGETLB_1G  # while it was unmapped, before the handling failed
    expected = Signal.DIRECT_PLAIN if errno and not told else AR_SIGNALS.get(mapping, Signal.NONE)
    for policy, early in itertools.product(KillPolicy, BOOLEANS):
        outcome = handle(use, CallKind.ACTION_REQUIRED, policy, early_kill=early, split_ok=split_ok)
        assert (outcome.signal, outcome.late) == (expected, False)


@pytest.mark.parametrize("use", PageUse)
def test_an_error_on_a_poisoned_page_prints_no_line_and_returns_ehwpoison(use):
    found = {line(handle(use, event, earlier=Earlier.PAGE)) for event in ASYNCHRONOUS}
    assert found == {(None, None, EHWPOISON)}


@pytest.mark.parametrize("use", PageUse)
def test_an_asynchronous_error_on_a_poisoned_page_signals_nobody(use):
    for event, policy, early in itertools.product(ASYNCHRONOUS, KillPolicy, BOOLEANS):
        outcome = handle(use, event, policy, earlier=Earlier.PAGE, early_kill=early)
        assert (outcome.signal, outcome.late) == (Signal.NONE, False)


@pytest.mark.parametrize("use", MAPPED)
def test_a_consumer_of_a_poisoned_page_it_maps_gets_an_action_required_signal(use):
    for policy in KillPolicy:
        outcome = handle(use, CallKind.ACTION_REQUIRED, policy, earlier=Earlier.PAGE)
        assert (outcome.signal, outcome.late) == (Signal.DIRECT_AR, False)


@pytest.mark.parametrize("use", UNMAPPED)
def test_a_consumer_of_a_poisoned_page_it_no_longer_maps_is_not_signalled(use):
    # Answer 0 of kill_accessing_process() since 6.1.158: the load is retried.
    outcome = handle(use, CallKind.ACTION_REQUIRED, earlier=Earlier.PAGE)
    assert (outcome.signal, outcome.errno) == (Signal.NONE, 0)


@pytest.mark.parametrize("use", PageUse)
def test_without_recovery_every_error_panics_before_anything_else_happens(use):
    domain = itertools.product(CallKind, KillPolicy, BOOLEANS, Earlier, BOOLEANS)
    for event, policy, early, earlier, split_ok in domain:
        outcome = handle(use, event, policy, early_kill=early, earlier=earlier, split_ok=split_ok, recovery=False)
        assert outcome.panic
        assert line(outcome) == (None, None, 0)
        assert (outcome.signal, outcome.late, outcome.eio, outcome.withdrawn) == (Signal.NONE, False, False, False)


@pytest.mark.parametrize("use", PageUse)
def test_with_recovery_nothing_panics(use):
    domain = itertools.product(CallKind, KillPolicy, BOOLEANS, Earlier, BOOLEANS)
    assert not any(
        handle(use, event, policy, early_kill=early, earlier=earlier, split_ok=split_ok).panic
        for event, policy, early, earlier, split_ok in domain
    )


@pytest.mark.parametrize("use", PageUse)
def test_the_next_fsync_fails_only_after_the_loss_of_a_dirty_file_page(use):
    for event in SINGLE:
        assert handle(use, event).eio is CELLS[use][4]
        assert handle(use, event, earlier=Earlier.PAGE).eio is False


@pytest.mark.parametrize("use", PageUse)
def test_a_page_is_withdrawn_if_and_only_if_it_was_handled(use):
    assert handle(use).withdrawn is (CELLS[use][2] == 0 or use in GIGANTIC)
    assert handle(use, earlier=Earlier.PAGE).withdrawn is False


@pytest.mark.parametrize("use", PageUse)
def test_signals_report_the_huge_page_of_hugetlb_and_4_kib_of_all_others(use):
    extent = {PageUse.HUGETLB: 21, PageUse.HUGETLB_1G: 30}
    if use in MAPPED:
        assert handle(use, CallKind.ACTION_REQUIRED).lsb == extent.get(use, 12)


@pytest.mark.parametrize("profile", PROFILE_NAMES)
@pytest.mark.parametrize("use", [use for use in PageUse if use not in HUGETLB])
def test_only_huge_pages_of_a_pool_know_neighbours(use, profile):
    for call in CallKind:
        same, beside = (handle(use, call, earlier=one, profile=profile) for one in (Earlier.PAGE, Earlier.NEIGHBOUR))
        assert same == beside


# dissolve_free_huge_page() gives the good 4 KiB pages back; what stays in its file, or in the pool of 3.10, does not.
@pytest.mark.parametrize(
    ("use", "shared", "lost"),
    [
        (PageUse.HUGETLB, False, {"3.10": 1 << 21, "4.18": 4096, "5.10": 4096, "6.1": 4096, "6.12": 4096, "7.1": 4096}),
        (PageUse.HUGETLB, True, dict.fromkeys(PROFILE_NAMES[1:], 1 << 21)),
        (PageUse.HUGETLB_FREE, False, {"3.10": 1 << 21, "4.18": 0, "5.10": 0, "6.1": 4096, "6.12": 4096, "7.1": 4096}),
        (PageUse.HUGETLB_1G, False, {"3.10": 1 << 30, "4.18": 0, "5.10": 0, "6.1": 4096, "6.12": 4096, "7.1": 4096}),
        (PageUse.HUGETLB_1G, True, {"3.10": 1 << 30, "4.18": 0, "5.10": 0, "6.1": 1 << 30, "6.12": 1 << 30}),
        (PageUse.ANONYMOUS, False, dict.fromkeys(PROFILE_NAMES, 4096)),
        (PageUse.SLAB, False, dict.fromkeys(PROFILE_NAMES, 0)),
    ],
)
def test_what_the_allocator_loses_is_4_kib_of_a_huge_page_broken_up_and_all_of_one_kept(use, shared, lost):
    assert {name: handle(use, shared=shared, profile=name).lost_bytes for name in lost} == lost


@pytest.mark.parametrize(
    ("policy", "sysctl", "early"),
    [
        (KillPolicy.UNSET, False, False),
        (KillPolicy.UNSET, True, True),
        (KillPolicy.EARLY, False, True),
        (KillPolicy.EARLY, True, True),
        (KillPolicy.LATE, False, False),
        (KillPolicy.LATE, True, False),
    ],
)
def test_the_policy_of_a_process_wins_over_the_sysctl(policy, sysctl, early):
    assert (early_thread((policy,), "K4", early_kill=sysctl) is not None) is early


@pytest.mark.parametrize("sysctl", BOOLEANS)
def test_a_process_without_policy_follows_the_sysctl(sysctl):
    same = KillPolicy.EARLY if sysctl else KillPolicy.LATE
    for use, event in itertools.product(PageUse, CallKind):
        assert handle(use, event, early_kill=sysctl) == handle(use, event, same, early_kill=sysctl)


DOMAIN = list(itertools.product(STATES, CallKind, BOOLEANS, BOOLEANS, Earlier))
THREADS = list(itertools.product(KillPolicy, repeat=2))


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_the_table_equals_the_scalar_definition_on_its_whole_domain(profile):
    expected = []
    for state, event, early, recovery, earlier in DOMAIN:
        owner = (KillPolicy.EARLY if early else KillPolicy.LATE,)
        outcome = handle_state(
            state, event, owner, early_kill=False, recovery=recovery, earlier=earlier, profile=profile
        )
        expected.append(cells(outcome))
    inputs = np.asarray([(STATES.index(state), *rest) for state, *rest in DOMAIN]).T
    shuffled = np.random.default_rng(1).permutation(len(DOMAIN))
    # The profile asked for is not the first of the table.
    table = HandlerTable(("4.18" if profile != "4.18" else "6.1", profile))
    found = table.look_up(1, *(column[shuffled] for column in inputs))
    print(f"handler table of {profile}: {len(DOMAIN)} inputs, {len(DOMAIN) * len(PROFILE_NAMES)} over all kernels")
    assert table.size == 2 * len(DOMAIN)
    assert np.stack([found[name] for name in Outcome._fields[:-1]], axis=1).tolist() == [expected[i] for i in shuffled]


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_what_each_owner_hears_is_in_the_table_whoever_the_others_are(profile):
    """The table has one column for the consumer and one for each kind of other owner: sets of owners factorize."""
    rng, table, kill_set = np.random.default_rng(7), HandlerTable((profile,)), PROFILES[profile].kill_set
    for _ in range(1500):
        state, call = STATES[rng.integers(len(STATES))], CallKind(int(rng.integers(len(CallKind))))
        sysctl, earlier = bool(rng.integers(2)), Earlier(int(rng.integers(3)))
        owners = [THREADS[rng.integers(len(THREADS))] for _ in range(rng.integers(1, 7))]
        outcome = handle_state(
            state,
            call,
            owners[0],
            early_kill=sysctl,
            recovery=True,
            earlier=earlier,
            others=owners[1:],
            profile=profile,
        )
        early = [early_thread(threads, kill_set, early_kill=sysctl) is not None for threads in owners]
        asked = STATES.index(state), call, early[0], 1, earlier
        row = table.look_up(0, *(np.asarray([part]) for part in asked))[0]
        assert cells(outcome) == [row[name] for name in Outcome._fields[:-1]]
        for other, is_early in zip(outcome.others, early[1:], strict=True):
            end = "early" if is_early else "not_early"
            assert tuple(other) == tuple(row[f"{name}_{end}"] for name in Heard._fields)
        if call is CallKind.ACTION_OPTIONAL:  # nobody is the consumer: the first is one like the others
            end = "early" if early[0] else "not_early"
            told = outcome.signal, outcome.late, outcome.lsb
            assert told == tuple(row[f"{name}_{end}"] for name in Heard._fields)


# task_early_kill(), by version: 2.6.32 asks the leader, 3.10 tells all who map, 5.10 the consumer only, 6.1 who asked.
@pytest.mark.parametrize(
    ("profile", "late_ones", "early_ones"),
    [
        ("2.6.32", Signal.NONE, Signal.EARLY_AO),
        ("3.10", Signal.EARLY_AO, Signal.EARLY_AO),
        ("4.18", Signal.EARLY_AO, Signal.EARLY_AO),
        ("5.10", Signal.NONE, Signal.NONE),
        ("6.1", Signal.NONE, Signal.EARLY_AO),
        ("7.1", Signal.NONE, Signal.EARLY_AO),
    ],
)
def test_a_read_by_one_owner_tells_the_others_as_their_kernel_does(profile, late_ones, early_ones):
    policies = [(KillPolicy.LATE,), (KillPolicy.EARLY,)]
    outcome = handle(PageUse.ANONYMOUS, CallKind.ACTION_REQUIRED, others=policies, profile=profile)
    assert outcome.signal is Signal.DIRECT_AR
    assert [other.signal for other in outcome.others] == [late_ones, early_ones]
    assert [other.late for other in outcome.others] == [late_ones is Signal.NONE, early_ones is Signal.NONE]


# PF_MCE_* are per thread: the leader's counts up to 3.3, any early one's from 3.16, each one's since 5.8.
@pytest.mark.parametrize(
    ("profile", "early"), [("2.6.32", False), ("3.10", False), ("4.18", True), ("5.10", True), ("6.1", True)]
)
def test_a_thread_that_asks_for_early_signals_is_heard_by_some_kernels(profile, early):
    threads = (KillPolicy.LATE, KillPolicy.EARLY)
    outcome = memory_failure(
        PageUse.ANONYMOUS, CallKind.ACTION_OPTIONAL, threads, early_kill=False, recovery=True, profile=profile
    )
    assert (outcome.signal is Signal.EARLY_AO, outcome.late) == (early, not early)


# The two reports of one load, as inject plays them: the same second action line, and the consumer told once.
@pytest.mark.parametrize("profile", ["5.10", "6.1", "6.12", "7.1"])
@pytest.mark.parametrize("policy", [KillPolicy.LATE, KillPolicy.EARLY])
@pytest.mark.parametrize("use", MAPPED)
def test_two_reports_of_a_load_go_as_one_page_does(use, policy, profile):
    page = state_of_use(use)
    process = (f"{policy.text}:handler",)
    for order, first, second in (
        ("ucna-ar", CallKind.ACTION_OPTIONAL, CallKind.REQUIRED_AFTER_REPORT),
        ("ar-ucna", CallKind.ACTION_REQUIRED, CallKind.REPORT_AFTER_REQUIRED),
    ):
        found = inject(page, kernel_name=profile, event=order, processes=process)
        parts = [handle(use, kind, policy, profile=profile) for kind in (first, second)]
        signals = [part.signal for part in parts if part.signal is not Signal.NONE]
        codes = {Signal.EARLY_AO: "BUS_MCEERR_AO", Signal.DIRECT_AR: "BUS_MCEERR_AR", Signal.DIRECT_PLAIN: "SI_KERNEL"}
        assert [codes[signal] for signal in signals] == [got["code"] for got in found["signals"]]
        lines = [text for text in found["log"] if "recovery action for" in text]
        told = [part for part in parts if part.page_type is not None]
        for part, text in zip(told, lines, strict=True):
            assert f"{part.page_type.text}: {part.result.text}" in text
        assert parts[1].late is False


def test_page_uses_of_the_fleet_are_states_of_the_table():
    for system, use, *flags in itertools.product(FILE_SYSTEMS, PageUse, BOOLEANS, BOOLEANS, BOOLEANS):
        split_ok, large, shared = flags
        named = state_of_use(use, split_ok=split_ok, file_system=system, large=large, shared=shared)
        assert STATES[state_codes(system)[use, int(split_ok), int(large), int(shared)]] == named


def ladder(flags: Flag) -> tuple[str, str]:
    """``error_states[]`` of 6.1 written out as the decision it makes."""
    dirty = Flag.DIRTY in flags
    if Flag.RESERVED in flags:
        return "reserved kernel page", "kernel"
    if Flag.SLAB in flags:
        return "kernel slab page", "kernel"
    if Flag.HEAD in flags:
        return "huge page", "huge"
    if Flag.SWAPCACHE in flags:
        return ("dirty swapcache page", "swap dirty") if dirty else ("clean swapcache page", "swap clean")
    for flag, name in ((Flag.MLOCKED, "mlocked LRU"), (Flag.UNEVICTABLE, "unevictable LRU"), (Flag.LRU, "LRU")):
        if flag in flags:
            state = "dirty" if dirty else "clean"
            return f"{state} {name} page", f"cache {state}"
    return "unknown page", "unknown"


def all_flags() -> list[Flag]:
    single = [Flag[name] for name in Flag.__members__ if Flag[name]]
    return [
        Flag(sum(flag for flag, on in zip(single, bits, strict=True) if on))
        for bits in itertools.product(BOOLEANS, repeat=len(single))
    ]


def test_the_first_matching_row_is_the_kernels_for_every_combination_of_flags():
    flags = all_flags()
    assert len(flags) == len(set(flags)) == 256
    assert [(find_state(f).texts[2], find_state(f).handler) for f in flags] == [ladder(f) for f in flags]


def test_every_row_of_the_state_table_can_be_reached():
    assert {find_state(flags) for flags in all_flags()} == set(ERROR_STATES)


def test_the_last_row_of_the_state_table_catches_everything():
    assert ERROR_STATES[-1].mask == ERROR_STATES[-1].match == Flag.NONE


KERNEL_ROWS = rows_by("kernel_6_1_rows", "id")
USE_OF_ROW = {
    "k-buddy": PageUse.FREE,
    "k-reserved": PageUse.RESERVED,
    "k-slab": PageUse.SLAB,
    "k-pgtable": PageUse.PAGE_TABLE,
    "anon-dirty": PageUse.ANONYMOUS,
    "thp-": PageUse.THP,
    "huge-anon": PageUse.HUGETLB,
    "file-clean-unm": PageUse.FILE_CLEAN,
    "file-clean-map": PageUse.FILE_CLEAN_MAPPED,
    "file-dirty-unm": PageUse.FILE_DIRTY,
    "file-dirty-map": PageUse.FILE_DIRTY_MAPPED,
    "tmpfs-map": PageUse.TMPFS,
    "anon-mlock": PageUse.MLOCKED,
    "ksm-": PageUse.KSM,
    "swap-dirty": PageUse.SWAPCACHE_DIRTY,
    "swap-clean": PageUse.SWAPCACHE_CLEAN,
    "ek0-early-H-fileclean": PageUse.FILE_CLEAN_MAPPED,
    "ek0-early-H-filedirty": PageUse.FILE_DIRTY_MAPPED,
    "ek": PageUse.ANONYMOUS,
    "mce-srar-user-fileclean": PageUse.FILE_CLEAN_MAPPED,
    "mce-srar-user-filedirty": PageUse.FILE_DIRTY_MAPPED,
    "mce-srar-user-huge": PageUse.HUGETLB,
    "mce-srar-user-thp": PageUse.THP,
    "mce-srar-user-tmpfs": PageUse.TMPFS,
    "mce-srar-user": PageUse.ANONYMOUS,
    "mce-srao-slab": PageUse.SLAB,
    "rec0-anon": PageUse.ANONYMOUS,
    "rec0-fileclean": PageUse.FILE_CLEAN,
    "rec0-buddy": PageUse.FREE,
    "rec0-slab": PageUse.SLAB,
    "rec0-huge": PageUse.HUGETLB,
}
"""Page use of the recorded rows by the start of their names; the first that fits."""
SIGNALS_AT_INJECTION = {
    "BUS_MCEERR_AO": Signal.EARLY_AO,
    "BUS_MCEERR_AR": Signal.DIRECT_AR,
    "code128": Signal.DIRECT_PLAIN,
}


def replay(row: dict[str, str]) -> Outcome:
    """Ask the handler what it does about a recorded scenario."""
    use = next(use for start, use in USE_OF_ROW.items() if row["id"].startswith(start))
    return handle(
        use,
        CallKind.ACTION_REQUIRED if "srar" in row["id"] else CallKind.ACTION_OPTIONAL,
        KillPolicy[row["proc_policy"].upper()] if row["proc_policy"] != "n/a" else KillPolicy.UNSET,
        early_kill=row["early_kill"] == "1",
        recovery=row["recovery"] == "1",
        split_ok="cannot be split" not in row["state_details"],
    )


def signal_at_injection(row: dict[str, str]) -> Signal:
    for entry in row["signals"].split(";"):
        if entry.startswith("P0@inject:SIGBUS/"):
            return SIGNALS_AT_INJECTION[entry.split("/")[1].split(" ")[0]]
    return Signal.NONE


HANDLED = [row["id"] for row in read_table("kernel_6_1_rows") if row["result"] != "PANIC"]
PANICS = [row["id"] for row in read_table("kernel_6_1_rows") if row["result"] == "PANIC"]


def test_every_page_use_has_a_recorded_row():
    # Free and 1 GiB pages of a pool are states of the recordings of tests/conformance/test_recorded_kernel.py.
    recorded = set(PageUse) - {PageUse.HUGETLB_FREE, *GIGANTIC}
    assert set(USE_OF_ROW.values()) == recorded
    uses = {next(u for start, u in USE_OF_ROW.items() if name.startswith(start)) for name in HANDLED}
    assert uses == recorded


@pytest.mark.parametrize("name", HANDLED)
def test_the_action_line_is_the_recorded_one(name):
    row = KERNEL_ROWS[name]
    assert line(replay(row))[:2] == (row["action_log"], row["result"])


@pytest.mark.parametrize("name", [name for name in HANDLED if not name.startswith("mce")])
def test_the_errno_is_the_recorded_one(name):
    assert {0: "0", EBUSY: "EBUSY"}[replay(KERNEL_ROWS[name]).errno] == KERNEL_ROWS[name]["call_errno"]


@pytest.mark.parametrize("name", HANDLED)
def test_the_signal_during_handling_is_the_recorded_one(name):
    assert replay(KERNEL_ROWS[name]).signal is signal_at_injection(KERNEL_ROWS[name])


@pytest.mark.parametrize("name", HANDLED)
def test_the_owner_is_left_to_its_next_access_exactly_if_that_was_recorded(name):
    row = KERNEL_ROWS[name]
    at_access = "P0@read:SIGBUS/BUS_MCEERR_AR" in row["signals"]
    assert replay(row).late is (at_access and signal_at_injection(row) is Signal.NONE)


@pytest.mark.parametrize("profile", PROFILE_NAMES)
@pytest.mark.parametrize("use", PageUse)
def test_a_signal_names_the_extent_of_the_page_that_is_still_mapped(use, profile):
    # add_to_kill(): tk->size_shift = page_shift(compound_head(p)). 2.6.32 has no huge pages but hugetlb; what the
    # machine-check code of 5.10 sends for a copy, or where the handler failed, is always about 4 KiB.
    for event, policy, early, split_ok in itertools.product(SINGLE, KillPolicy, BOOLEANS, BOOLEANS):
        outcome = handle(use, event, policy, early_kill=early, split_ok=split_ok, profile=profile)
        failed = event is CallKind.ACTION_REQUIRED and outcome.errno != 0
        if profile == "5.10" and (event is CallKind.KERNEL_COPY or failed):
            assert not failed or outcome.lsb == 12
            continue
        whole = use is PageUse.THP and not split_ok and profile != "2.6.32"
        extent = {PageUse.HUGETLB: 21, PageUse.HUGETLB_1G: 30}.get(use, 21 if whole else 12)
        if outcome.signal in (Signal.EARLY_AO, Signal.DIRECT_AR) or outcome.late:
            assert outcome.lsb == extent


@pytest.mark.parametrize("signal", [Signal.EARLY_AO, Signal.DIRECT_AR, Signal.DIRECT_PLAIN, Signal.KILL])
def test_a_signal_of_the_handler_is_stored_with_its_name_code_and_timing(signal):
    rows = signal_rows(np.asarray([int(signal)]))
    stored = (SignalName(rows.signal[0]).text, SignalCode(rows.code[0]).text, Timing(rows.timing[0]).text)
    assert (
        stored
        == {
            Signal.EARLY_AO: ("SIGBUS", "BUS_MCEERR_AO", "early"),
            Signal.DIRECT_AR: ("SIGBUS", "BUS_MCEERR_AR", "direct"),
            Signal.DIRECT_PLAIN: ("SIGBUS", "SI_KERNEL", "direct"),
            Signal.KILL: ("SIGKILL", "SI_KERNEL", "early"),
        }[signal]
    )


@pytest.mark.parametrize("name", [name for name in HANDLED if "lsb=" in KERNEL_ROWS[name]["signals"]])
def test_the_extent_of_a_signal_is_the_recorded_one(name):
    assert f"lsb={replay(KERNEL_ROWS[name]).lsb} " in KERNEL_ROWS[name]["signals"]


@pytest.mark.parametrize("name", [name for name in HANDLED if "sync(" in KERNEL_ROWS[name]["later_syscalls"]])
def test_a_later_sync_fails_exactly_if_that_was_recorded(name):
    row = KERNEL_ROWS[name]
    failed = any(
        call.endswith("=EIO") and call.startswith(("fsync", "msync")) for call in row["later_syscalls"].split(";")
    )
    assert replay(row).eio is failed


@pytest.mark.parametrize("name", PANICS)
def test_a_recorded_panic_is_a_panic(name):
    assert replay(KERNEL_ROWS[name]).panic


def test_results_have_the_kernels_order():
    assert Result.vocabulary() == ("Ignored", "Failed", "Delayed", "Recovered")
