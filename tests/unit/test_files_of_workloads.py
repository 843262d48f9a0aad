"""File systems and large folios of workloads: states of pages, draws, and what kernels cannot have."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from node_sim.catalog.file_systems import FILE_SYSTEMS
from node_sim.catalog.kernels import PROFILE_NAMES
from node_sim.codes import KillPolicy, PageType, PageUse, Result
from node_sim.draws import Seed
from node_sim.hwpoison.outcomes import CallKind, Signal, memory_failure
from node_sim.hwpoison.page_states import PAGES, build_page
from node_sim.hwpoison.process import Task
from node_sim.hwpoison.use_states import state_of_use
from node_sim.lives.block import simulate_block
from node_sim.memory.pages import Memory, Static, make_frames
from node_sim.one_page.inject import inject
from node_sim.server.consistency import complaints
from node_sim.server.hardware import Faults, Hardware
from node_sim.server.policy import Detection, Ecc, Kernel, Policy
from node_sim.server.workload import Use, Workload
from node_sim.units import NS_PER_YEAR

FILE_USES = (PageUse.FILE_CLEAN, PageUse.FILE_CLEAN_MAPPED, PageUse.FILE_DIRTY, PageUse.FILE_DIRTY_MAPPED)
CODES = {Signal.EARLY_AO: "BUS_MCEERR_AO", Signal.DIRECT_AR: "BUS_MCEERR_AR", Signal.DIRECT_PLAIN: "SI_KERNEL"}

# First profile with large folios, from mapping_set_large_folios() in the trees of 6.1.158, 6.12 and 7.1.5.
LARGE_SINCE = {"xfs": "6.1", "nfs": "6.12", "cifs": "6.12", "ext4": "7.1", "overlay": "7.1"}
YOUNG = {"ceph": "3.10", "f2fs": "3.10", "overlay": "4.18"}


def place(profile):
    return PROFILE_NAMES.index(profile)


def policy_of(profile, system, share=0.0):
    return Policy(kernel=Kernel(profile=profile), workload=Workload(file_system=system, large_folio_share=share))


def mistakes(profile, system, share=0.0):
    """What is refused of the files of a workload."""
    found = complaints(policy_of(profile, system, share), Hardware())
    return [line for line in found if line.startswith(("workload.file_system", "workload.large_folio_share"))]


@pytest.mark.parametrize("profile", PROFILE_NAMES)
@pytest.mark.parametrize("system", FILE_SYSTEMS)
def test_a_kernel_has_the_file_systems_of_its_time_and_no_large_folios_before(system, profile):
    young = place(profile) < place(YOUNG.get(system, "2.6.32"))
    small = system not in LARGE_SINCE or place(profile) < place(LARGE_SINCE[system])
    wanted = [f"workload.file_system = '{system}', expected another with"] if young else []
    assert [line[: len(text)] for line, text in zip(mistakes(profile, system), wanted, strict=True)] == wanted
    wanted += ["workload.large_folio_share = 0.5, expected 0 with"] if small else []
    assert [line[: len(text)] for line, text in zip(mistakes(profile, system, 0.5), wanted, strict=True)] == wanted


def there_is(system, profile, *, large):
    """Whether a kernel has such pages."""
    first = LARGE_SINCE.get(system) if large else YOUNG.get(system, "2.6.32")
    return first is not None and place(profile) >= place(first)


PAGES_THERE_ARE = [
    (system, large, profile)
    for system in FILE_SYSTEMS
    for large in (False, True)
    for profile in PROFILE_NAMES
    if there_is(system, profile, large=large)
]


@pytest.mark.parametrize(("system", "large", "profile"), PAGES_THERE_ARE)
@pytest.mark.parametrize("use", FILE_USES)
def test_pages_of_files_go_in_a_fleet_as_a_single_page_does(use, system, large, profile):
    state = state_of_use(use, file_system=system, large=large)
    page = build_page(state, [Task("app")])
    wanted = FILE_SYSTEMS[system]
    assert page.file.system.removes == wanted.removes
    assert not page.dirty or not large or page.file.system.private_data == wanted.private_data
    assert (page.order > 0) == large
    assert page.dirty == ("DIRTY" in use.name)
    assert page.mapped == use.name.endswith("MAPPED")
    events = {"ao": CallKind.ACTION_OPTIONAL} | ({"ar": CallKind.ACTION_REQUIRED} if page.mapped else {})
    for (event, call), policy in itertools.product(events.items(), KillPolicy):
        found = inject(state, kernel_name=profile, event=event, processes=(f"{policy.text}:handler",))
        if profile == "2.6.32" and event == "ar":
            assert found["panic"] is not None  # its machine check does not recover
            continue
        outcome = memory_failure(
            use,
            call,
            (policy,),
            early_kill=False,
            recovery=True,
            file_system=system,
            large=large,
            profile=profile,
        )
        texts = tuple(None if part is None else part.text for part in (outcome.page_type, outcome.result))
        assert (*texts, outcome.errno) == (found["page_type"], found["result"], found["errno"])
        told = [(got["code"], got["lsb"]) for got in found["signals"]][:1]
        wanted = None if outcome.signal is Signal.NONE else CODES[outcome.signal]
        assert [code for code, _ in told] == ([] if wanted is None else [wanted])
        assert all(lsb == outcome.lsb for _, lsb in told if lsb is not None)


# mm/memory-failure.c: me_pagecache_clean() and truncate_error_folio() want error_remove_folio() only for what is not
# clean or cannot be invalidated; try_to_split_thp_page() wants filemap_release_folio() of a dirty folio to succeed.
READ_BY_HAND = {
    ("ext4", False): ("dirty LRU page", "Recovered"),
    ("fuse", False): ("dirty LRU page", "Failed"),
    ("nfs", True): ("dirty LRU page", "Recovered"),
    ("cifs", True): ("unsplit thp", "Failed"),
    ("xfs", True): ("unsplit thp", "Failed"),
}


@pytest.mark.parametrize(("system", "large"), READ_BY_HAND)
@pytest.mark.parametrize("use", [PageUse.FILE_DIRTY, PageUse.FILE_DIRTY_MAPPED])
def test_dirty_pages_are_lost_or_kept_as_their_file_system_allows(use, system, large):
    outcome = memory_failure(
        use,
        CallKind.ACTION_OPTIONAL,
        (KillPolicy.UNSET,),
        early_kill=False,
        recovery=True,
        file_system=system,
        large=large,
        profile="6.12",
    )
    page_type, result = READ_BY_HAND[system, large]
    assert (outcome.page_type, outcome.result) == (PageType.of(page_type), Result.of(result))
    assert outcome.withdrawn == (result == "Recovered")


def test_a_large_folio_is_drawn_with_the_share_asked_for_and_moves_no_other_draw():
    n, seed = 20_000, Seed.of(8)
    frames = make_frames(seed, np.arange(n), np.arange(n) * 512, Static(0.1, 0.0, 0.0, 0.5))
    none, some, all_ = (
        Memory.of(policy_of("6.12", "xfs", share)).tenancy(frames, np.full(n, 10**15))[0] for share in (0.0, 0.3, 1.0)
    )
    assert not none.large.any()
    assert all_.large.all()
    # Binomial, alpha 1e-6: 4.9 standard deviations.
    assert abs(some.large.mean() - 0.3) < 4.9 * np.sqrt(0.3 * 0.7 / n)
    for name in set(none._fields) - {"large"}:
        assert (getattr(none, name) == getattr(some, name)).all()
        assert (getattr(none, name) == getattr(all_, name)).all()


def handled(workload, profile="6.12"):
    policy = Policy(ecc=Ecc("secded"), detection=Detection(hot_share=0.5), kernel=Kernel(profile), workload=workload)
    block = simulate_block(
        Seed.of(4), np.arange(400), Hardware(faults=Faults(fit_factor=20.0)), (policy,), NS_PER_YEAR // 3
    )
    parts = [part.tables["memory_failures"] for part in block.parts if "memory_failures" in part.tables]
    return {name: np.concatenate([part[name] for part in parts]) for name in ("page_use", "page_type", "result")}


FILES = Workload(use=Use(0.05, 0.05, 0.0, 0.0, 0.0, 0.9, 0.0))


@pytest.mark.parametrize(
    ("system", "share", "page_type", "result"),
    [("ext4", 0.0, "dirty LRU page", "Recovered"), ("fuse", 0.0, "dirty LRU page", "Failed")],
)
def test_a_fleet_loses_or_keeps_dirty_pages_by_its_file_system(system, share, page_type, result):
    rows = handled(dataclasses.replace(FILES, file_system=system, large_folio_share=share))
    dirty = np.isin(rows["page_use"], (PageUse.FILE_DIRTY, PageUse.FILE_DIRTY_MAPPED))
    first = dirty & (rows["page_type"] != PageType.ALREADY_POISONED)
    assert first.sum() > 30
    assert (rows["page_type"][first] == PageType.of(page_type)).all()
    assert (rows["result"][first] == Result.of(result)).all()


def test_dirty_large_folios_of_a_fleet_are_not_split():
    rows = handled(dataclasses.replace(FILES, file_system="xfs", large_folio_share=1.0))
    dirty = np.isin(rows["page_use"], (PageUse.FILE_DIRTY, PageUse.FILE_DIRTY_MAPPED))
    unsplit = rows["page_type"] == PageType.UNSPLIT_THP
    assert unsplit.sum() > 30
    assert (dirty | ~unsplit).all()
    assert (unsplit | ~dirty | (rows["page_type"] == PageType.ALREADY_POISONED)).all()


def test_new_states_are_listed_with_the_kernel_that_has_them():
    assert {
        name: PAGES[name].since for name in ("nfs-thp", "cifs-thp-dirty", "file-thp-unmapped", "fuse-dirty-unmapped")
    } == {
        "nfs-thp": "6.12",
        "cifs-thp-dirty": "6.12",
        "file-thp-unmapped": "4.18",
        "fuse-dirty-unmapped": "2.6.32",
    }
