"""The simulator against the scalar event heap: every row of every table, on random nodes under random policies."""

from __future__ import annotations

import os
import pickle
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest

from node_sim.catalog.file_systems import FILE_SYSTEMS
from node_sim.catalog.fit import RATE_TABLES
from node_sim.catalog.kernels import CHOICES, PROFILE_NAMES, SWITCHES
from node_sim.catalog.workloads import WORKLOADS
from node_sim.codes import (
    CheckAction,
    EcsUnit,
    ErrorKind,
    Fate,
    KernelRead,
    LifecycleKind,
    LifecycleReason,
    Observer,
    OfflineResult,
    OfflineTrigger,
    Path,
    Severity,
    SignalCode,
    Timing,
)
from node_sim.columns import TABLE_NAMES, TABLE_RANK, TABLES
from node_sim.dram.device_banks import BankMap
from node_sim.dram.faults import simulate_faults
from node_sim.dram.geometry import AddressMap, Dimm
from node_sim.dram.rates import expected_per_dimm
from node_sim.draws import Seed
from node_sim.ecc.verdicts import misfit
from node_sim.lives.block import BlockRows, simulate_block
from node_sim.lives.physics import simulate_physics
from node_sim.lives.rows import COMMON
from node_sim.lives.world import World as LaneWorld
from node_sim.memory.pages import Memory, Static, Tenancy, make_frames
from node_sim.memory.processes import members_of
from node_sim.server import policy as config
from node_sim.server import workload
from node_sim.server.hardware import ADDRESS_MAPS, Faults, Growth, Hardware, Server
from node_sim.server.risk import Risk
from node_sim.units import DEVICE_HOURS_PER_FIT, HOURS_PER_YEAR, NS_PER_YEAR
from tests.oracle import event_heap
from tests.oracle.page_uses import Access, PageUses, Use

Row = dict[str, int | None]
Tables = dict[str, list[Row]]

SINGLE_WORLDS, SINGLE_NODES = 150, 6
SHARED_WORLDS, SHARED_NODES, ARMS = 25, 4, 4
"""150 x 6 + 25 x 4 = 1,000 nodes, in 150 x 6 + 25 x 4 x 4 = 1,300 pairs of a node and a policy."""
WORLDS = SINGLE_WORLDS + SHARED_WORLDS
CHUNK = 5
FLOODED, RETURNING, CROWDED, CLASHING, SPARED, COUNTED = 0, 3, 5, 7, 8, 9
"""Last digits of worlds made for rare meetings."""
SWITCHED = (FLOODED, 1, 2, 4, 6)
"""Last digits of worlds of kernels between the profiles."""
CROWDED_NODES = 2
"""Nodes of a crowded world that the event heap lives in ``make test``; its other nodes are much like them, and slow."""
LONG_WORLDS = 400
ROWED = 2000
"""Worlds from this one on are made for rows that go offline; ``test_lanes_oracle_rows.py`` looks at them."""
BANKED = 3000
"""Worlds from this one on are made for banks that go offline; ``test_lanes_oracle_banks.py`` looks at them."""
ROW_SHARE = 0.35
"""Of the daemons that count."""
MAP_OUT_SHARE = 0.5
"""Of the policies of worlds before that one."""
AGED_SHARE = 0.3
"""Of policies of worlds: a daemon counts otherwise than by window."""


@dataclass(frozen=True)
class World:
    """Some nodes under one policy or several; ``draw_world(number)`` gives it back."""

    number: int
    seed: int
    nodes: tuple[int, ...]
    hardware: Hardware
    policies: tuple[config.Policy, ...]
    horizon_ns: int


def log_uniform(rng: random.Random, low: float, high: float) -> float:
    return float(low * (high / low) ** rng.random())


def draw_workload(rng: random.Random) -> workload.Workload:
    table: dict[str, Any] = WORKLOADS[rng.choice(sorted(WORKLOADS))]
    change: dict[str, Any] = {}
    if rng.random() < 0.5:
        change = {"kill_policy": rng.choice(("unset", "late")), "on_sigbus": rng.choice(("die", "recover"))}
    return workload.Workload(
        tenancy_days=log_uniform(rng, 1.0, 40.0),
        refill_minutes=rng.choice((0.0, 10.0, 240.0, 100_000.0)),
        use=workload.Use(**table["use"]),
        process=tuple(workload.Process(**process | change) for process in table["process"]),
    )


def share(number: int, policies: list[config.Policy]) -> list[config.Policy]:
    """Let processes share much of their memory, ask their threads, and put more of it into pools of huge pages.

    What is changed is drawn apart from the rest, so that no other draw moves.
    """
    rng = random.Random(f"sharing {number}")
    high = rng.choice((0.0, 0.5, 1.0))
    library = rng.choice((0.0, 0.3))
    shared = workload.Shared(high, high * (1 - library), library, high, high, high)
    threads = rng.choice(("leader", "leader", "early", "late"))
    pools = rng.choice(((0.0, 0.0), (0.5, 0.0), (0.2, 0.5), (0.0, 0.6)))
    spare = rng.choice((0.0, 0.5, 1.0))

    def change(one: workload.Workload) -> workload.Workload:
        left = 1.0 - sum(pools)
        use = {name: getattr(one.use, name) * left for name in vars(one.use)} if sum(pools) else dict(vars(one.use))
        if sum(pools):
            use["hugetlb"] += pools[0]
            use["hugetlb_1g"] += pools[1]
        process = tuple(replace(process, thread_policy=threads) for process in one.process)
        return replace(one, shared=shared, use=workload.Use(**use), process=process, spare_huge_page_share=spare)

    return [replace(one, workload=change(one.workload)) for one in policies]


def draw_errors(rng: random.Random) -> config.ErrorProcess:
    return config.ErrorProcess(
        window_hours=rng.choice((6.0, 24.0, 48.0)),
        burst_interval_days=rng.uniform(10.0, 60.0),
        burst_days=rng.uniform(0.5, 5.0),
        median_ce_per_window=rng.uniform(0.5, 6.0),
        sigma_fault=rng.uniform(0.2, 1.5),
        sigma_window=rng.uniform(0.2, 1.2),
        ce_cap_per_day=rng.randint(1, 40),
        scrub_share=rng.random(),
        intermittent_interval_days=rng.uniform(20.0, 200.0),
        intermittent_days=rng.uniform(0.05, 2.0),
        burst_spread=rng.choice((0.0, 1.0)),
        storm=rng.choice(("none", "poll_30s", "poll_1s")),
        firmware_threshold=rng.choice((1, 1, 3)),
    )


def draw_detection(rng: random.Random, often: float) -> config.Detection:
    paced = rng.random() < 0.2
    return config.Detection(
        scrub_hours=24.0 if paced else rng.choice((0.0, 6.0, 24.0, 100.0)),
        scrub_gb_per_day=rng.choice((20.0, 64.0, 1000.0)) if paced else 0.0,
        hot_share=rng.choice((0.0, 0.3, 0.8, 1.0)),
        hot_interval_s=log_uniform(rng, 5_000.0, 200_000.0) / often,
        cold_interval_hours=log_uniform(rng, 24.0, 1000.0) / often,
    )


def draw_platform(rng: random.Random) -> config.Platform:
    return config.Platform(
        reporting=rng.choice(("intel", "amd", "firmware_first")),
        mca_recovery=rng.random() < 0.9,
        scrub_report=rng.choice(("ucna", "srao")),
        deferred_interrupt=[rng.random() for _ in range(2)][1] < 0.5,
        physical_address=rng.random() < 0.8,
        firmware_latency_s=rng.choice((0.0, 1.0, 3600.0)),
        device_fatal_share=rng.choice((0.0, 0.2, 1.0)),
        copy_share=rng.choice((0.0, 0.5, 0.9, 1.0)),
        page_copy_share=random.Random(repr(rng.getstate())).choice((0.5, 0.9, 1.0)),
        bank_busy_s=rng.choice((0.0, 0.01, 3600.0)),
        work_latency_s=rng.choice((0.0, 0.1, 3600.0)),
    )


def write_back(platform: config.Platform) -> config.Platform:
    """Let some Intel platforms be of 2010, drawn from what they are: poison found by write-back, loads of it fatal."""
    rng = random.Random(repr(platform))
    loads, share = rng.random() < 0.8, rng.choice((0.3, 0.7, 1.0))
    report = rng.choice(("none", "srao", "srao", "srao"))
    intel = platform.reporting == "intel" and platform.mca_recovery
    report = report if intel else "none"
    return replace(platform, data_load_recovery=loads, writeback_report=report, partial_write_share=share)


def draw_kernel(rng: random.Random) -> config.Kernel:
    return config.Kernel(
        profile=rng.choice(PROFILE_NAMES),
        memory_failure=rng.random() < 0.9,
        memory_failure_early_kill=rng.randint(0, 1),
        memory_failure_recovery=int(rng.random() < 0.9),
        thp_split_p=rng.choice((0.0, 0.5, 0.98)),
        fsync_s=rng.choice((1.0, 30.0, 3600.0)),
    )


ACTING = (
    *("already_line", "bad_pfn", "copy_recovery", "free_result", "has_soft_offline", "hugetlb", "keeps_records"),
    *("kernel_page", "kill_accessing", "kill_set", "ksm", "mlock_survives", "panics_unrecoverable", "polls_severity"),
    *("references", "split_poisons", "thp", "unmap_failure", "unmap_failure_signal", "unrecovered", "wording"),
)
"""Switches that change what happens in a fleet."""


def words_of(policy: config.Policy) -> str:
    """Say what a policy is without what is drawn apart from the rest, so that drawing it moves no other draw."""
    by_window = ", counting='window', age_hours=24.0, daemon='none'"
    words = repr(policy).replace(by_window, "").replace(", scope='page', row_columns=0)", ")")
    words = re.sub(r", own_policy=OwnPolicy\([^()]*\)", "", words)
    return re.sub(r", (replace_risky|map_out|technician_days|technician_sigma)=[\w.]+", "", words)


def switch(policy: config.Policy, *, deaf: bool) -> config.Policy:
    """Turn some switches of the kernel; or let a daemon ask for pages, which a ``deaf`` kernel may not take offline.

    What is turned is drawn from what the policy is, so that no other draw moves.
    """
    rng, kernel = random.Random(words_of(policy)), policy.kernel
    chosen = rng.sample(ACTING, rng.choice((0, 0, 1, 3)))
    turned = {name: str(rng.choice((*SWITCHES[name], *CHOICES.get(name, ())))) for name in chosen}
    if rng.random() < 0.6:  # the sysctl proposed after 7.1
        turned["panics_unrecoverable"] = "True"
    kernel = replace(kernel, switches=tuple(turned.items()))
    why = rng.choice(("heard", "heard", "heard", "old", "without", "disabled")) if deaf else "heard"
    if why == "old" and (policy.platform.reporting != "amd" or not policy.platform.mca_recovery):
        kernel = replace(kernel, profile="2.6.32")
    elif why == "without":
        kernel = replace(kernel, memory_failure=False)
    elif why == "disabled":
        kernel = replace(kernel, profile=rng.choice(("6.12", "7.1")), enable_soft_offline=0)
    daemon = config.PageOffline(ce_threshold=rng.choice((1, 2))) if why != "heard" else policy.page_offline
    return replace(policy, kernel=kernel, page_offline=daemon)


def draw_repair(rng: random.Random, cordon: tuple[int, ...]) -> config.Repair:
    drain_hours = rng.choice((0.0, 1.0, 24.0, 200.0))
    return config.Repair(
        reboot_minutes=rng.choice((0.01, 15.0, 600.0)),
        replace_hours=rng.choice((0.0, 4.0, 48.0, 240.0)),
        cordon=config.Cordon(ue=rng.choice(cordon), drain_hours=drain_hours),
    )


def mitigate(policy: config.Policy) -> config.Policy:
    """Add sparing, mirroring and more repair to a policy, drawn from what it is."""
    rng, ecc = random.Random(words_of(policy)), policy.ecc
    sparing = rng.choice(("none", "adddc_bank", "adddc_rank")) if ecc.code in ("chipkill", "sddc_table") else "none"
    more = replace(ecc, sparing=sparing, sparing_ce=rng.choice((1, 2, 5)), mirroring=rng.random() < 0.15)
    limit, ppr = rng.choice((0, 0, 0, 4, 12, 30)), rng.choice(("off", "soft", "hard"))
    repair = replace(policy.repair, replace_ce=limit, replace_risky=rng.random() < 0.1, ppr=ppr)
    return replace(policy, ecc=more, repair=repair)


def map_out(number: int, policy: config.Policy) -> config.Policy:
    """Let the boots of some policies map out DIMMs, drawn from what they are; a technician comes soon, or in months."""
    rng = random.Random(f"map out {number} {words_of(policy)}")
    days, sigma = log_uniform(rng, 0.1, 100.0), rng.choice((0.0, 0.3, 1.5))
    on = rng.random() < MAP_OUT_SHARE
    return replace(policy, repair=replace(policy.repair, map_out=on, technician_days=days, technician_sigma=sigma))


def suit(platform: config.Platform, kernel: config.Kernel) -> config.Platform:
    """Take recovery from an AMD platform whose kernel has no rules for it."""
    unknown = platform.reporting == "amd" and kernel.profile in ("2.6.32", "3.10")
    return replace(platform, mca_recovery=False) if unknown else platform


def draw_policy(rng: random.Random, cordon: tuple[int, ...]) -> config.Policy:
    platform, kernel = draw_platform(rng), draw_kernel(rng)
    policy = config.Policy(
        errors=draw_errors(rng),
        ecc=draw_code(rng),
        detection=draw_detection(rng, often=1.0 if min(cordon) else 0.05),
        platform=suit(platform, kernel),
        workload=draw_workload(rng),
        kernel=kernel,
        page_offline=config.PageOffline(ce_threshold=rng.choice((0, 1, 2, 5))),
        repair=draw_repair(rng, cordon),
    )
    return mitigate(policy)


def flood(rng: random.Random, policy: config.Policy) -> config.Policy:
    """Let the scrubber find many pages while none has been handled yet, and owners and boots change meanwhile."""
    flooded = replace(policy.platform, mca_recovery=True, bank_busy_s=0.0, work_latency_s=3600.0, copy_share=0.5)
    flooded = replace(flooded, firmware_latency_s=0.0, deferred_interrupt=False, physical_address=True)
    return replace(
        policy,
        ecc=config.Ecc(code="secded"),
        detection=replace(
            policy.detection,
            scrub_hours=rng.choice((0.5, 24.0)),
            scrub_gb_per_day=0.0,
            hot_share=0.5,
            hot_interval_s=20_000.0,
        ),
        platform=suit(flooded, policy.kernel),
        workload=replace(policy.workload, tenancy_days=0.3),
        kernel=replace(policy.kernel, memory_failure=True, memory_failure_recovery=1, memory_failure_early_kill=0),
        repair=replace(policy.repair, reboot_minutes=0.01, cordon=config.Cordon(ue=rng.choice((30, 60)))),
    )


def crowd(rng: random.Random, policy: config.Policy) -> config.Policy:
    """Let only faults that meet matter, and replace DIMMs at once."""
    cordon = config.Cordon(ue=1, drain_hours=0.0)
    policy = replace(
        policy,
        ecc=config.Ecc(code="chipkill"),
        page_offline=config.PageOffline(ce_threshold=rng.choice((1, 2))),
        repair=replace(policy.repair, replace_hours=1.0, cordon=cordon),
    )
    policy = mitigate(policy)
    return replace(policy, repair=replace(policy.repair, replace_ce=0))


def spare(rng: random.Random, policy: config.Policy) -> config.Policy:
    """Let few faults meet in a DIMM, most of them after the first one has been mapped out."""
    ecc = config.Ecc(
        code="chipkill", sparing=rng.choice(("adddc_bank", "adddc_rank")), sparing_ce=rng.choice((1, 2, 5))
    )
    return replace(policy, ecc=ecc, repair=replace(policy.repair, replace_ce=0, cordon=config.Cordon(ue=5)))


def clash(rng: random.Random, policy: config.Policy) -> config.Policy:
    """Let reads come soon after what the scrubber found; or let a firmware report what it could not contain."""
    reporting = rng.choice(("firmware_first", "intel", "amd"))
    platform = replace(
        policy.platform,
        reporting=reporting,
        mca_recovery=reporting != "firmware_first",
        bank_busy_s=3600.0,
        work_latency_s=3600.0,
        copy_share=0.1,
        page_copy_share=1.0,
    )
    return replace(
        policy,
        ecc=config.Ecc(code="secded"),
        detection=config.Detection(scrub_hours=6.0, hot_share=1.0, hot_interval_s=10_000.0),
        platform=platform,
        kernel=replace(policy.kernel, profile=rng.choice(("4.18", "6.1", "7.1"))),
        repair=replace(policy.repair, cordon=config.Cordon(ue=3)),
    )


def count(rng: random.Random, policy: config.Policy) -> config.Policy:
    """Let devices count what they read themselves, and some arms act on it."""
    counted = rng.choice(("rows", "codewords"))
    ecc = config.Ecc(code="ddr5", ecs=counted, ecs_hours=rng.choice((1.0, 24.0, 200.0)))
    limit = rng.choice((0, 12))
    cordon = config.Cordon(ue=3, drain_hours=1.0)
    repair = replace(policy.repair, replace_ecs=rng.random() < 0.5, replace_ce=limit, cordon=cordon)
    return replace(policy, ecc=ecc, repair=repair)


def give_back(policy: config.Policy) -> config.Policy:
    """Let rows be repaired softly at the limit of corrected errors, and other DIMMs take the power soon after."""
    repair = replace(policy.repair, replace_ce=4, ppr="soft", replace_hours=1.0)
    return replace(policy, ecc=config.Ecc(), page_offline=config.PageOffline(), repair=repair)


def vary(rng: random.Random, policy: config.Policy, cordon: tuple[int, ...]) -> config.Policy:
    """Change some sections of a policy, often few, so that arms agree in what they share."""
    other = draw_policy(rng, cordon)
    names = ("platform", "kernel", "page_offline", "repair", "page_offline", "repair", "kernel")
    if rng.random() < 0.3:
        names = ("errors", "ecc", "detection", "workload")
    changed = set(rng.sample(names, rng.randint(0, 3)))
    sections = {name: getattr(other, name) for name in changed}
    kernel = sections.get("kernel", policy.kernel)
    return replace(policy, **sections | {"platform": suit(sections.get("platform", policy.platform), kernel)})


def by_row(policy: config.Policy) -> config.Policy:
    """Let some daemons count errors of rows, drawn from what the policy is; some only pages of a row with errors."""
    rng = random.Random("scope " + words_of(policy))
    if not policy.page_offline.ce_threshold or rng.random() >= ROW_SHARE:
        return policy
    threshold, columns = rng.choice((0, 1, 2, 3, 4)), rng.choice((0, 2, 3))
    columns = columns if threshold else 2
    return replace(policy, page_offline=config.PageOffline(ce_threshold=threshold, scope="row", row_columns=columns))


def count_on(rng: random.Random, policy: config.Policy) -> config.Policy:
    """Let a daemon count otherwise than by window: by a law with numbers of its own, or as one that people run."""
    age_hours, by_cec = rng.choice((6.0, 24.0, 100.0, 500.0)), ("cec",) * 3
    page_offline = rng.choice(
        (
            config.PageOffline(rng.choice((1, 2, 3, 5, 12)), counting="bucket", age_hours=age_hours),
            config.PageOffline(rng.choice((2, 3, 5, 12)), scope="row", counting="bucket", age_hours=age_hours),
            config.PageOffline(rng.choice((1, 2, 3, 12)), counting="boot"),
            config.PageOffline(daemon=rng.choice(("rasdaemon", "rasdaemon_row", "mcelog", "mcelog_2024", "mrt"))),
            config.PageOffline(daemon=rng.choice(("mcelog", *by_cec))),
        )
    )
    kernel, errors = policy.kernel, policy.errors
    if page_offline.daemon == "cec":
        old = kernel.profile in ("2.6.32", "3.10") or rng.random() < 0.5
        kernel = replace(kernel, profile=rng.choice(("6.1", "6.12", "7.1")) if old else kernel.profile)
        kernel = replace(kernel, memory_failure=True)
    if page_offline.daemon in ("rasdaemon", "rasdaemon_row", "mcelog_2024"):
        errors = replace(errors, median_ce_per_window=20.0, ce_cap_per_day=200)
    return replace(policy, page_offline=page_offline, kernel=kernel, errors=errors)


def count_longer(number: int, policies: list[config.Policy]) -> list[config.Policy]:
    """Let some daemons count otherwise than by window, drawn apart from the rest."""
    rng = random.Random(f"daemons {number}")
    aged = [rng.random() < AGED_SHARE and one.page_offline.scope != "bank" for one in policies]
    return [count_on(rng, one) if mine else one for one, mine in zip(policies, aged, strict=True)]


def hold_rows(
    rng: random.Random, hardware: Hardware, policy: config.Policy, horizon_ns: int
) -> tuple[Hardware, config.Policy]:
    """Let faults of rows and more, whose reads often fail, show few errors at a time on pages of many uses."""
    address_map, channels = rng.choice((("closed_page", 8), ("closed_page", 8), ("open_page", 1), ("open_page", 6)))
    small = {"sockets": 1, "channels": channels, "dimms_per_channel": 1, "ranks": 2, "address_map": address_map}
    server = Server(**small, part="ddr4_8gb_x4")
    faults = replace(
        hardware.faults, rates="ddr4_avg", bit_factor=0.02, fit_factor=1.0, command_address_fit=0.0, lane_fit=0.0
    )
    per_node = expected_per_dimm(Hardware(server, faults), horizon_ns) * server.dimms
    hardware = Hardware(server, replace(faults, fit_factor=rng.choice((4.0, 10.0)) / per_node))
    use = workload.Use(free=0.2, kernel=0.1, anonymous=0.2, thp=0.1, hugetlb=0.1, hugetlb_1g=0.0, file=0.3, tmpfs=0.0)
    risk = Risk(share_2dq=0.7, share_3dq=0.7, share_4dq=0.7, low=0.02, high=0.3)
    policy = replace(
        policy,
        errors=replace(policy.errors, burst_days=5.0, median_ce_per_window=3.0, ce_cap_per_day=40),
        ecc=config.Ecc(code="sddc_table", risk=risk),
        platform=replace(policy.platform, mca_recovery=True, work_latency_s=0.1),
        workload=replace(policy.workload, use=use),
        kernel=config.Kernel(profile=rng.choice(("4.18", "6.1", "7.1"))),
        repair=replace(policy.repair, replace_ce=rng.choice((0, 0, 30)), cordon=config.Cordon(ue=rng.choice((5, 30)))),
    )
    return hardware, policy


def by_rows(rng: random.Random, policy: config.Policy) -> config.Policy:
    """Count errors of rows, often late enough for pages to be poisoned before."""
    threshold = rng.choice((2, 3, 4, 4, 8))
    offline = config.PageOffline(ce_threshold=threshold, scope="row", row_columns=rng.choice((0, 2, 3, 6)))
    return replace(policy, page_offline=offline)


def hold_banks(number: int, hardware: Hardware, policies: list[config.Policy]) -> tuple[Hardware, list[config.Policy]]:
    """Give the faults of rows and more to small banks, some of which share a part of their pages."""
    rng = random.Random(f"banks {number}")
    address_map, channels = rng.choice((("closed_page", 5), ("closed_page", 7), ("open_page", 1), ("contiguous", 2)))
    server = replace(hardware.server, part="ddr2_1gb_x4", address_map=address_map, channels=channels)
    dimms = hardware.server.dimms / server.dimms
    faults = replace(hardware.faults, fit_factor=hardware.faults.fit_factor * dimms)
    thresholds = [rng.choice((2, 3, 5, 8, 20)) for _ in policies]
    daemons = [config.PageOffline(ce_threshold=threshold, scope="bank") for threshold in thresholds]
    found = [replace(policy, page_offline=one) for policy, one in zip(policies, daemons, strict=True)]
    return Hardware(server, faults), found


def give_files(number: int, policies: list[config.Policy]) -> list[config.Policy]:
    """Put the files of half of the worlds on some file system that all kernels of the world have."""
    rng, oldest = random.Random(f"files {number}"), min(PROFILE_NAMES.index(one.kernel.profile) for one in policies)
    known = [name for name, system in FILE_SYSTEMS.items() if PROFILE_NAMES.index(system.since) <= oldest]
    makers = [
        name for name in known if (first := FILE_SYSTEMS[name].large_since) and PROFILE_NAMES.index(first) <= oldest
    ]
    if number % 2:
        return policies
    large = makers and rng.random() < 0.7
    change = {"file_system": rng.choice(makers if large else known), "large_folio_share": 0.8 if large else 0.0}
    return [replace(one, workload=replace(one.workload, **change)) for one in policies]


def draw_server(rng: random.Random) -> Server:
    address_map = rng.choice(ADDRESS_MAPS)
    ranks = rng.randint(1, 2)
    part = rng.choice(("ddr4_8gb_x4", "ddr4_16gb_x4", "ddr2_1gb_x4", "ddr3_4gb_x4", "ddr5_16gb_x4"))
    lockstep = ranks == 2 and "ddr5" not in part and rng.random() < 0.2
    return Server(
        sockets=rng.randint(1, 2),
        channels=rng.choice((8, 16) if address_map == "closed_page" else (1, 2, 6)),
        dimms_per_channel=rng.randint(1, 2),
        ranks=ranks,
        part=part,
        address_map=address_map,
        lockstep=lockstep,
    )


def draw_code(rng: random.Random) -> config.Ecc:
    """Draw a code; a weakened one fails so often that it is seen."""
    often = Risk(share_2dq=0.7, share_3dq=0.5, share_4dq=0.5, low=0.01, high=0.5, grown_low=0.1)
    code = rng.choice(("none", "secded", "secded", "chipkill", "sddc_table", "sddc_table"))
    return config.Ecc(code=code, risk=often)


def fit_code(policy: config.Policy, server: Server) -> config.Policy:
    """Replace a code that does not fit the server's ranks."""
    if misfit(policy.ecc.code, Dimm.of(server)) is None:
        return policy
    return replace(policy, ecc=config.Ecc(code="ssc_dsd" if server.lockstep else "ddr5"))


def fit_of(faults_per_node: float, server: Server, horizon_ns: int) -> float:
    """Rate of one DIMM that gives so many faults of a node [FIT]."""
    dimm_hours = server.dimms * HOURS_PER_YEAR * horizon_ns / NS_PER_YEAR
    return faults_per_node / dimm_hours * DEVICE_HOURS_PER_FIT


def draw_hardware(rng: random.Random, horizon_ns: int, faults_per_node: float) -> Hardware:
    server = draw_server(rng)
    faults = Faults(
        rates=rng.choice(sorted(RATE_TABLES)),
        command_address_fit=rng.choice((0.0, 0.0, 0.1)) * fit_of(faults_per_node, server, horizon_ns),
        lane_fit=rng.choice((0.0, 0.1)) * fit_of(faults_per_node, server, horizon_ns),
        site=rng.choice(("new_york", "denver")),
        frailty_variance=rng.choice((0.0, 0.5)),
        intermittent_share=rng.random(),
        infant_factor=rng.choice((0.0, 1.0)),
        wearout_factor=rng.choice((0.0, 1.0)),
        oldest_years=rng.choice((0.0, 2.0)),
        growth=Growth(factor=rng.choice((0.0, 1.0, 3.0)), second_device=0.3, hours_low=1.0, years_high=0.2),
        command_address_transient_share=rng.choice((0.2, 0.8)),
    )
    per_node = expected_per_dimm(Hardware(server, replace(faults, command_address_fit=0.0, lane_fit=0.0)), horizon_ns)
    factor = min(faults_per_node / (per_node * server.dimms), 2000.0)
    return Hardware(server, replace(faults, fit_factor=factor))


@lru_cache(maxsize=1)
def draw_world(number: int) -> World:
    rng = random.Random(f"world {number}")
    shared = number >= SINGLE_WORLDS and (number < WORLDS or number % 5 == 4)
    horizon_ns = round(log_uniform(rng, 0.2, 1.0) * NS_PER_YEAR)
    never_cordoned = rng.random() < 0.15
    cordon = (0,) if never_cordoned else (1, 2, 3, 30)
    faults_per_node = 0.5 if never_cordoned else log_uniform(rng, 3.0, 20.0)
    hardware = draw_hardware(rng, horizon_ns, faults_per_node)
    policies = [draw_policy(rng, cordon)]
    if number % 10 == FLOODED:
        policies = [flood(rng, policies[0])]
    if number % 10 == CROWDED:
        small = {"sockets": 1, "channels": 2, "dimms_per_channel": 1, "ranks": 2, "address_map": "open_page"}
        server = replace(hardware.server, **small)
        hardware = replace(hardware, server=server, faults=replace(hardware.faults, fit_factor=1200.0))
        policies = [crowd(rng, policies[0])]
    if number % 10 == SPARED:
        small = {"sockets": 1, "channels": 6, "dimms_per_channel": 1, "ranks": 2, "address_map": "open_page"}
        server = replace(hardware.server, **small, part="ddr4_8gb_x4", lockstep=False)
        faults = replace(hardware.faults, fit_factor=300.0, extents="whole")
        hardware, policies = Hardware(server, faults), [spare(rng, policies[0])]
    if number % 10 == COUNTED:
        server = replace(hardware.server, part="ddr5_16gb_x4", lockstep=False)
        by_command = 0.3 * fit_of(faults_per_node, server, horizon_ns)
        change = {"extents": rng.choice(("partial", "whole")), "command_address_fit": by_command}
        hardware = Hardware(server, replace(hardware.faults, **change))
    if number % 10 == RETURNING and not shared:
        policies = [give_back(policies[0])]
    if number % 10 == CLASHING and not shared:
        one_bank = {"sockets": 1, "channels": 1, "dimms_per_channel": 2, "ranks": 2, "address_map": "open_page"}
        server = replace(hardware.server, **one_bank, part="ddr4_8gb_x4", lockstep=False)
        hardware = replace(hardware, server=server, faults=replace(hardware.faults, fit_factor=500.0))
        policies = [clash(rng, policies[0])]
    if number >= ROWED:
        hardware, policy = hold_rows(rng, hardware, policies[0], horizon_ns)
        policies = [by_rows(rng, policy)]
        while shared and len(policies) < ARMS:
            policies.append(by_rows(rng, policy))
    while shared and len(policies) < ARMS:
        policies.append(vary(rng, rng.choice(policies), cordon))
    if number >= BANKED:
        hardware, policies = hold_banks(number, hardware, policies)
    policies = [fit_code(policy, hardware.server) for policy in policies]
    if number % 10 == COUNTED and number < ROWED:
        policies = [count(rng, policy) for policy in policies]
    policies = share(number, give_files(number, policies))
    race = (0.5, 0.0, 1.0)[number % 3]
    policies = [replace(one, platform=replace(one.platform, controller_first_share=race)) for one in policies]
    if number % 10 in SWITCHED and number < ROWED:
        policies = [switch(one, deaf=number % 10 != FLOODED) for one in policies]
    policies = [replace(one, platform=write_back(one.platform)) for one in policies]
    if number < ROWED:
        policies = [map_out(number, by_row(one)) for one in policies]
    if number % 10 != RETURNING and number < ROWED:
        policies = count_longer(number, policies)
    nodes = sorted(rng.sample(range(100_000), SHARED_NODES if shared else SINGLE_NODES))
    return World(number, rng.getrandbits(64), tuple(nodes), hardware, tuple(policies), horizon_ns)


@lru_cache(maxsize=LONG_WORLDS)
def block_of(number: int) -> BlockRows:
    world = draw_world(number)
    nodes = np.asarray(world.nodes)
    return simulate_block(Seed.of(world.seed), nodes, world.hardware, world.policies, world.horizon_ns)


def rows_of(table: str, columns: dict[str, Any]) -> Iterator[Row]:
    """Yield the rows of a table as integers, null as None."""
    registry = TABLES[table]
    assert set(columns) == {column.name for column in registry}
    cells = {name: [int(cell) for cell in column.tolist()] for name, column in columns.items()}
    for column in registry:
        if column.nullable:
            cells[column.name] = [None if cell < 0 else cell for cell in cells[column.name]]
    for values in zip(*cells.values(), strict=True):
        yield dict(zip(cells, values, strict=True))


def view_of(block: BlockRows, arm: int) -> dict[int, Tables]:
    """Return what a block says about each node in an arm: common rows and those of the arm, in order of ``seq``."""
    view: dict[int, Tables] = {}
    parts = [("faults", block.faults)]
    for part in block.parts:
        if part.arms == COMMON or arm in part.arms:
            parts += part.tables.items()
    for table, columns in parts:
        for row in rows_of(table, columns):
            node = row["node_id"]
            assert node is not None
            view.setdefault(node, {name: [] for name in TABLE_NAMES})[table].append(row)
    for tables in view.values():
        for rows in tables.values():
            rows.sort(key=lambda row: row["seq"])
    return view


def every_row(tables: Tables) -> list[tuple[str, Row]]:
    return [(table, row) for table, rows in tables.items() for row in rows]


def unnumbered(table: str, row: Row) -> tuple[Any, ...]:
    return (table, *((name, cell) for name, cell in row.items() if name not in ("seq", "cause_seq")))


def identities(tables: Tables) -> list[tuple[Any, ...]]:
    """Name each row by its own columns and those of its causes, without any numbers; check the order of numbers."""
    by_seq = {row["seq"]: (table, row) for table, row in every_row(tables)}
    assert sorted(by_seq) == list(range(sum(map(len, tables.values()))))
    names: dict[int, tuple[Any, ...]] = {}
    last = (-1, 0)
    for seq in range(len(by_seq)):
        table, row = by_seq[seq]
        cause = row.get("cause_seq")
        assert cause is None or cause < seq
        names[seq] = unnumbered(table, row)
        if cause is not None:
            names[seq] += (names[cause],)
            place = (row["time_ns"], TABLE_RANK[table])
            assert last <= place
            last = place
    return sorted(names.values(), key=repr)


def difference(expected: Tables, got: Tables) -> str | None:
    """Say where two nodes differ; rows of one table and time may be numbered in any order."""
    if expected == got:
        return None
    if identities(expected) == identities(got):
        return None
    lines = [f"{table}: {len(expected[table])} rows expected, {len(got[table])} found" for table in TABLE_NAMES]
    want, have = (
        {repr(unnumbered(table, row)): row["time_ns"] or 0 for table, row in every_row(tables)}
        for tables in (expected, got)
    )
    lines += [f"missing: {row}" for row in sorted(want.keys() - have.keys(), key=lambda row: want[row])[:3]]
    lines += [f"surplus: {row}" for row in sorted(have.keys() - want.keys(), key=lambda row: have[row])[:3]]
    return "\n".join(lines)


def nodes_at(number: int, places: Sequence[int] | None) -> tuple[int, ...]:
    """Return the nodes of a world at these places, or all."""
    nodes = draw_world(number).nodes
    return nodes if places is None else tuple(nodes[place] for place in places)


def check_world(number: int, places: Sequence[int] | None = None) -> None:
    """Compare all pairs of a world, or those of its nodes at these places."""
    world = draw_world(number)
    seed = Seed.of(world.seed)
    views = [view_of(block_of(number), arm) for arm in range(len(world.policies))]
    empty: Tables = {name: [] for name in TABLE_NAMES}
    for node in nodes_at(number, places):
        lives: dict[config.Policy, event_heap.Events] = {}
        for policy in world.policies:
            if policy not in lives:
                lives[policy] = event_heap.simulate_node(seed, node, world.hardware, policy, world.horizon_ns)
        faults = {name: fault for life in lives.values() for name, fault in life.faults.items()}
        for arm, policy in enumerate(world.policies):
            expected = event_heap.number_rows(node, faults, lives[policy].rows)
            found = difference(expected, views[arm].get(node, empty))
            assert found is None, (
                f"draw_world({number}): seed {world.seed}, node {node}, arm {arm} of {len(world.policies)}\n"
                f"{world.hardware}\n{policy}\nhorizon {world.horizon_ns} ns\n{found}"
            )


def check_and_count(number: int, folder: FilePath) -> None:
    """Compare a world, a crowded one in part, and leave what it has met."""
    check_world(number, range(CROWDED_NODES) if number in CROWDED_WORLDS else None)
    write_branches(number, folder)


CROWDED_WORLDS = range(CROWDED, SINGLE_WORLDS, 10)
FEW = (
    *(2, 8, 9, 19, 21, 27, 28, 30, 35, 37, 40, 45, 47, 48, 56, 58, 66, 68, 70, 80, 85, 87, 95, 96, 117, 122, 123, 140),
    *(148, 149, 165, 169, 172, 173),
)
"""Small ones that meet every branch together; half are looked at here, the others by ``test_lanes_oracle_more.py``, as
files run side by side. The rest of the thousand nodes takes four times as long."""


@pytest.mark.parametrize("number", FEW[::2])
def test_every_row_equals_that_of_the_event_heap(number: int, shared_folder: FilePath) -> None:
    check_and_count(number, shared_folder)


@pytest.mark.long
@pytest.mark.parametrize("number", range(WORLDS))
def test_every_row_of_a_thousand_nodes_equals_that_of_the_event_heap(number: int) -> None:
    check_world(number)


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 1000 + LONG_WORLDS, CHUNK))
def test_every_row_equals_that_of_the_event_heap_in_more_worlds(first: int) -> None:
    for number in range(first, first + CHUNK):
        check_world(number)


def test_sample_has_a_thousand_nodes() -> None:
    sizes = [draw_world(number) for number in range(WORLDS)]
    assert sum(len(world.nodes) for world in sizes) == 1000


def lost_records(tables: dict[str, Any]) -> int:
    """Count UEs that never led to a machine check."""
    checks = rows_of("machine_checks", tables["machine_checks"]) if "machine_checks" in tables else ()
    reported = {(row["node_id"], row["cause_seq"]) for row in checks}
    errors = rows_of("errors", tables["errors"]) if "errors" in tables else ()
    return sum(row["kind"] == ErrorKind.UE and (row["node_id"], row["seq"]) not in reported for row in errors)


def came_back(tables: dict[str, Any]) -> int:
    """Count faults that a spare row hid and that show errors again."""
    repaired: dict[Any, int] = {}
    for row in rows_of("lifecycle", tables["lifecycle"]) if "lifecycle" in tables else ():
        if row["kind"] == LifecycleKind.POST_PACKAGE_REPAIR:
            assert row["end_ns"] is not None
            repaired.setdefault(row["fault_id"], row["end_ns"])
    errors = rows_of("errors", tables["errors"]) if "errors" in tables else ()
    return len({row["fault_id"] for row in errors if (row["time_ns"] or 0) > repaired.get(row["fault_id"], 1 << 62)})


def mapped_out(tables: dict[str, Any], world: World) -> Counter[str]:
    """Count how DIMMs that firmware maps out get back, and what happens to nodes that go on without them."""
    met: Counter[str] = Counter()
    rows = list(rows_of("lifecycle", tables["lifecycle"])) if "lifecycle" in tables else []
    cordons = {(row["node_id"], row["end_ns"]) for row in rows if row["kind"] == LifecycleKind.CORDON}
    without = {(row["node_id"], row["seq"]): row for row in rows if row["kind"] == LifecycleKind.MAP_OUT}
    met["mapped out to the horizon"] = sum(row["end_ns"] == world.horizon_ns for row in without.values())
    for row in rows:
        cause = without.get((row["node_id"], row["cause_seq"]))
        if cause is not None:
            by_cordon = (row["node_id"], row["time_ns"]) in cordons
            met["mapped out until a cordon" if by_cordon else "mapped out until a technician comes"] += 1
            met["replaced beside one mapped out"] += row["dimm"] != cause["dimm"]
        if row["kind"] == LifecycleKind.PANIC:
            absent = sum(
                node == row["node_id"] and out["time_ns"] < row["time_ns"] < out["end_ns"]
                for (node, _), out in without.items()
            )
            met["panics without a DIMM"] += absent > 0
            met["panics of the last DIMM"] += 0 < absent == world.hardware.server.dimms - 1
    return met


def mitigated(world: World) -> Counter[Any]:
    """Count faults of generation 0 that sparing or a mirror saves, and windows that sparing ends."""
    met: Counter[Any] = Counter()
    seed, address_map = Seed.of(world.seed), AddressMap(world.hardware.server)
    faults = simulate_faults(seed, np.asarray(world.nodes), world.hardware, world.horizon_ns)
    for policy in set(world.policies):
        plain = replace(policy, ecc=replace(policy.ecc, sparing="none", mirroring=False))
        changed, before = (
            simulate_physics(
                LaneWorld(seed, world.hardware, one, Memory.of(one), address_map, world.horizon_ns), faults
            )
            for one in (policy.on(world.hardware.server), plain.on(world.hardware.server))
        )
        saved = before.pages.fault.size - changed.pages.fault.size
        met["mirrored" if policy.ecc.mirroring else policy.ecc.sparing] += saved
        met["windows ended"] += max(0, before.windows.errors.size - changed.windows.errors.size)
        met["mirrored, silent"] += policy.ecc.mirroring * changed.pages.fault.size
    return met


def branches_of(number: int) -> Counter[Any]:
    """Count what a world has met; a function of its number alone."""
    met: Counter[Any] = Counter()
    block = block_of(number)
    for part in block.parts:
        for table, columns in part.tables.items():
            for row in rows_of(table, columns):
                met[table] += 1
                met.update((table, name, row[name]) for name in BRANCHES.get(table, ()))
        met["lost records"] += lost_records(part.tables)
        met["came back"] += came_back(part.tables)
        met.update(mapped_out(part.tables, draw_world(number)))
    met.update(mitigated(draw_world(number)))
    met["faults"] += len(block.faults["seq"])
    met["installed later"] += int((np.asarray(block.faults["generation"]) > 0).sum())
    met["common"] += sum(part.arms == COMMON for part in block.parts)
    met["shared by some arms"] += sum(len(part.arms) > 1 for part in block.parts)
    met.update(rows_met(number))
    met.update(laws_met(number))
    return met


def write_branches(number: int, folder: FilePath) -> None:
    """Leave what a world has met for ``test_sample_of_lanes.py``, so that no block is simulated twice."""
    unfinished = folder / f"world_{number}.{os.getpid()}"
    unfinished.write_bytes(pickle.dumps(branches_of(number)))
    unfinished.replace(folder / f"world_{number}")


def read_branches(number: int, folder: FilePath) -> Counter[Any]:
    """Return what a world has met: as its test has left it, else counted here."""
    path = folder / f"world_{number}"
    return pickle.loads(path.read_bytes()) if path.exists() else branches_of(number)


def rows_asked(block: BlockRows) -> Iterator[list[Row]]:
    """Yield the rows of ``page_offlines`` of each row of a DIMM that was to go offline."""
    for part in block.parts:
        asked: dict[Any, list[Row]] = {}
        for row in rows_of("page_offlines", part.tables["page_offlines"]) if "page_offlines" in part.tables else ():
            if row["trigger"] in (OfflineTrigger.ROW_THRESHOLD, OfflineTrigger.ROW_COLUMNS):
                asked.setdefault((row["node_id"], row["cause_seq"], row["time_ns"]), []).append(row)
        yield from asked.values()


def share_a_row(one: Row, other: Row, dimm: Dimm) -> bool:
    """Return whether two faults of a node have a row in common, apart from its lines; of several ranks the first."""

    def covers(a: Row, b: Row, name: str, size: int, n: int) -> bool:
        return ((b[name] or 0) - (a[name] or 0)) % size < n

    found = all(one[name] == other[name] for name in ("node_id", "dimm", "generation", "rank"))
    for name, size in (("bank", dimm.banks), ("row", dimm.rows)):
        n = f"n_{name}s"
        found &= covers(one, other, name, size, one[n] or 0) or covers(other, one, name, size, other[n] or 0)
    return found


def rows_met(number: int) -> Counter[str]:
    """Count what happens to rows of DIMMs that are to go offline in a world."""
    met: Counter[str] = Counter()
    block, dimm = block_of(number), Dimm.of(draw_world(number).hardware.server)
    faults = [row for row in rows_of("faults", block.faults) if row["n_pages"]]
    of_name = {(fault["node_id"], fault["fault_id"]): fault for fault in faults}
    shared = set()
    for pages in rows_asked(block):
        results = {page["result"] for page in pages}
        own = of_name[pages[0]["node_id"], pages[0]["fault_id"]]
        met[OfflineTrigger(pages[0]["trigger"] or 0).text] += 1
        met["row refused in part"] += len(results) > 1
        met["row not offlined"] += OfflineResult.OFFLINED not in results
        if any(other is not own and share_a_row(own, other, dimm) for other in faults):
            shared.add(own["node_id"])
    met["row of two faults"] = len(shared)
    return met


def laws_met(number: int) -> Counter[str]:
    """Count the pages that are to go offline by law of counting, or name of the daemon, in a world."""
    met: Counter[str] = Counter()
    policies = draw_world(number).policies
    for part in block_of(number).parts:
        for arm in part.arms if part.arms != COMMON and "page_offlines" in part.tables else ():
            asks = policies[arm].page_offline
            law = f"{asks.counting} of a {asks.scope}" if asks.daemon == "none" else asks.daemon
            met[law] += len(part.tables["page_offlines"]["seq"])
    return met


def banks_met(number: int, places: Sequence[int] | None = None) -> Counter[str]:
    """Count what happens to banks of DIMMs that are to go offline in a world, or on its nodes at these places."""
    met: Counter[str] = Counter()
    nodes = nodes_at(number, places)
    address_map = AddressMap(draw_world(number).hardware.server)
    alone = BankMap(address_map).pattern(np.zeros(1, np.int64)).all()
    for part in block_of(number).parts:
        seen: Counter[tuple[int | None, int | None]] = Counter()
        for row in rows_of("page_offlines", part.tables["page_offlines"]) if "page_offlines" in part.tables else ():
            if row["trigger"] != OfflineTrigger.BANK_THRESHOLD or row["node_id"] not in nodes:
                continue
            gone = row["n_pages"] or 0
            met["bank"] += 1
            met["bank refused"] += gone == 0
            met["huge pages broken up"] += bool(row["pool_lost_bytes"])
            seen[row["node_id"], row["fault_id"]] += 1
            met["bank of parts"] += not alone
        met["banks of one fault"] += sum(n > 1 for n in seen.values())
        met["banks of one node"] += sum(n > 1 for n in Counter(node for node, _ in seen).values())
    return met


LEAST = 5
LOST = (LifecycleReason.LOST_EVENTS, LifecycleReason.OVERFLOWED, LifecycleReason.NO_OVERFLOW_RECOVERY)
REASONS = [reason for reason in LifecycleReason if reason not in (*LOST, LifecycleReason.OWN_POLICY)]
"""Those a run can have: the bank of a core that reads poison is read at once, so no load finds another record there."""
RARE = (KernelRead.DO_COW, KernelRead.FORK, KernelRead.KSM, KernelRead.KSMD, KernelRead.KHUGEPAGED)
READS = [kind for kind in KernelRead if kind not in RARE]
"""The rare kinds end like others of the sample; ``tests/unit/test_kernel_reads.py`` goes through them one by one."""
APART = (OfflineTrigger.BANK_THRESHOLD, OfflineTrigger.OWN_POLICY)
"""Banks, all of whose pages the event heap lists, and policies of one's own, which it lives again, have own worlds."""
TRIGGERS = [trigger for trigger in OfflineTrigger if trigger not in APART]
BRANCHES: dict[str, dict[str, Any]] = {
    "errors": {
        "kind": ErrorKind,
        "observer": [code for code in Observer if code is not Observer.WRITE],
        "path": Path,
    },
    "ecs_reports": {"unit": EcsUnit},
    "machine_checks": {"action": CheckAction, "overflow": (0, 1), "severity": Severity, "kernel_read": READS},
    "memory_failures": {"lost_bytes": (0, 4096)},
    "signals": {"code": SignalCode, "timing": Timing, "fate": Fate},
    "page_offlines": {"result": OfflineResult, "trigger": TRIGGERS},
    "lifecycle": {"kind": LifecycleKind, "reason": REASONS},
}
"""Columns whose every value must occur in the sample."""


@pytest.mark.parametrize("number", range(20))
def test_scalar_draws_equal_those_of_the_arrays(number: int) -> None:
    rng = random.Random(f"draws {number}")
    seed, node, (policy,) = (
        Seed.of(rng.getrandbits(64)),
        rng.randrange(1 << 32),
        share(number, [draw_policy(rng, (1,))]),
    )
    uses, memory = PageUses(seed, node, policy), Memory.of(policy)
    for _ in range(10):
        pfn, time, process = rng.randrange(1 << 26), rng.randrange(NS_PER_YEAR), rng.randrange(memory.processes.count)
        after, limit = np.asarray([time]), np.asarray([NS_PER_YEAR])
        frames = make_frames(seed, np.asarray([node]), np.asarray([pfn]), Static.of(policy.workload))
        tenancy, end = memory.tenancy(frames, after)
        use = uses.at(pfn, time)
        assert scalars(memory, tenancy) == use
        assert uses.end_of_use(pfn, time, NS_PER_YEAR) == min(end.item(), NS_PER_YEAR)
        assert uses.has_spare(pfn) == frames.spare.item()
        later = memory.refilled(frames, after)
        assert uses.is_kernel(pfn) or scalars(memory, later) == uses.refilled(pfn, time)
        found = uses.next_access(pfn, use.use, hot=use.hot, after=time, limit=NS_PER_YEAR)
        same(found, memory.next_access(frames, tenancy.use, tenancy.hot, after, limit))
        if use.owners:
            touched = uses.next_touch(pfn, use, process, broken=False, after=time, limit=NS_PER_YEAR)
            same(touched, memory.next_touch(frames, tenancy, np.asarray([process]), after, limit))


def scalars(memory: Memory, tenancy: Tenancy) -> Use:
    """Return a tenancy of one frame as the oracle has it."""
    cells = {name: part.item() for name, part in tenancy._asdict().items()}
    _, members = members_of(memory.processes, tenancy.owners)
    del cells["owners"]
    owners = range(members[0], members[-1] + 1) if members.size else range(0)
    return Use(**{"start": cells.pop("start_ns"), **cells, "owners": owners})


def same(found: Access | None, wanted: Any) -> None:
    """Check that an access of the oracle is that of the arrays."""
    assert wanted.kind.item() == (-1 if found is None else found.kind)
    assert found is None or found == tuple(part.item() for part in wanted)
