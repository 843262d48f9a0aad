"""Arms share their random numbers: a rule that acts on one fault leaves the rows of all other faults alone.

Exceptions, by design: inside the time down, after a repair of the fault's own DIMM or once it is mapped out, on pages
whose owner the action killed (a reboot kills every owner), while a page of the fault is out of use in one arm only (a
reboot brings it back; what has grown out of the fault may have had it taken), and for a page that was asked for in vain
earlier in the same boot of the other arm (a daemon asks once).
"""

import dataclasses
import itertools
from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest

from fleet.scenario.fleet import Group
from node_sim.codes import LifecycleKind
from node_sim.columns import TABLES
from node_sim.draws import Seed
from node_sim.lives.block import simulate_block
from node_sim.orders import KnownNode, OfflinePage, Order, ReplaceDimm, looks_at
from node_sim.server.hardware import Faults, Hardware
from node_sim.server.own_policy import OwnPolicy
from node_sim.server.policy import Cordon, Ecc, Kernel, PageOffline, Platform, Policy, Repair
from node_sim.server.workload import Shared, Workload
from node_sim.units import NS_PER_DAY, NS_PER_YEAR
from tests.fleets import busy_document, run_fleet

HARDWARE = Hardware(faults=Faults(fit_factor=30.0, command_address_fit=2000.0))
NODES = np.arange(400)
BASE = Policy(ecc=Ecc("sddc_table"), repair=Repair(cordon=Cordon(ue=2)))
PAGES = dataclasses.replace(BASE, page_offline=PageOffline(2))
TOGETHER = Workload(shared=Shared(forked=1.0, mapped_file=0.8, library=0.2, tmpfs=1.0, hugetlb=1.0, merged=1.0))
SHARED = dataclasses.replace(BASE, workload=TOGETHER)
DOWN = dataclasses.replace(BASE, kernel=Kernel(memory_failure_recovery=0), repair=Repair(cordon=Cordon(ue=0)))
MANY, ORDERS_MAX = 100, 3


@looks_at(lambda errors: errors["in_window"] == MANY)
def first_pages(node: KnownNode) -> list[Order]:
    """Take a few pages offline on which a device has its hundredth error of a window."""
    pages = [int(page["pfn"]) for record in range(node.new, len(node.errors)) for page in node.pages(record)]
    return [OfflinePage(pfn) for pfn in pages[: ORDERS_MAX - len(node.orders)]]


@looks_at(lambda errors: errors["in_window"] == MANY)
def worn_dimms(node: KnownNode) -> list[Order]:
    """Replace a DIMM at the hundredth error of a device in a window."""
    return [ReplaceDimm(int(dimm)) for dimm in np.unique(node.errors["dimm"][node.new :])]


FUNCTIONS = {"pages": first_pages, "dimms": worn_dimms}


def own(name: str) -> Policy:
    return dataclasses.replace(BASE, own_policy=OwnPolicy(name))


RULES = {
    "recovery off: reboots": (BASE, dataclasses.replace(BASE, kernel=Kernel(memory_failure_recovery=0))),
    "no cordon: no DIMM replacement": (BASE, dataclasses.replace(BASE, repair=Repair(cordon=Cordon(ue=3)))),
    "early kill": (BASE, dataclasses.replace(BASE, kernel=Kernel(memory_failure_early_kill=1))),
    "page offlining, recovery off": (PAGES, dataclasses.replace(PAGES, kernel=Kernel(memory_failure_recovery=0))),
    "shared pages, early kill": (SHARED, dataclasses.replace(SHARED, kernel=Kernel(memory_failure_early_kill=1))),
    "shared pages, no cordon": (SHARED, dataclasses.replace(SHARED, repair=Repair(cordon=Cordon(ue=3)))),
    "a DIMM mapped out": (DOWN, dataclasses.replace(DOWN, repair=Repair(map_out=True, cordon=Cordon(ue=0)))),
    "a policy of one's own: pages": (BASE, own("pages")),
    "a policy of one's own: DIMMs": (BASE, own("dimms")),
    "page offlining, no cordon": (PAGES, dataclasses.replace(PAGES, repair=Repair(cordon=Cordon(ue=3)))),
}


class Life(NamedTuple):
    """Rows of one node in one arm: by fault, times down, when each DIMM was replaced, which faults acted, and pages
    that ``memory_failure()`` took out of use: by which fault, and when.
    """

    rows: dict[int, set]
    down: list[tuple[int, int]]
    replaced: dict[int, int]
    acted: set[int]
    taken: list[tuple[int, int, int]]


def lives(block, arm):
    """Rows of every node in one arm, without their numbers."""
    found = {}
    for part in block.parts:
        if part.arms and arm not in part.arms:
            continue
        for name, columns in part.tables.items():
            names = [column.name for column in TABLES[name] if column.name not in ("seq", "cause_seq", "node_id")]
            cells = [columns[column].tolist() for column in names]
            for node, fault, *values in zip(
                columns["node_id"].tolist(), columns["fault_id"].tolist(), *cells, strict=True
            ):
                life = found.setdefault(node, Life({}, [], {}, set(), []))
                row = dict(zip(names, values, strict=True))
                life.rows.setdefault(fault, set()).add((name, *values))
                if name == "lifecycle":
                    out = row["kind"] == LifecycleKind.MAP_OUT  # and up
                    if not out:
                        life.down.append((row["time_ns"], row["end_ns"]))
                    if row["dimm"] >= 0:
                        first = life.replaced.get(row["dimm"], 1 << 62)
                        life.replaced[row["dimm"]] = min(first, row["time_ns"] if out else row["end_ns"])
                if name == "memory_failures" and row["lost_bytes"]:
                    life.taken.append((fault, row["pfn"], row["time_ns"]))
                if (name == "errors" and row["kind"] == 1) or name in ("machine_checks", "lifecycle"):
                    life.acted.add(fault)
    return found


def sorted_rows(block, arm):
    """Rows of one arm by table in one order, without their numbers."""
    found = {}
    for part in block.parts:
        for name, columns in part.tables.items() if arm in part.arms or not part.arms else ():
            names = [column.name for column in TABLES[name] if column.name not in ("seq", "cause_seq")]
            rows = np.stack([columns[column].astype(np.int64) for column in names], axis=1)
            found.setdefault(name, []).append(rows)
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    return {name: rows[np.lexsort(rows.T)].tobytes() for name, rows in joined.items() if rows.size}


def kept(rows, down, replaced_ns):
    """Rows outside the time down, before the DIMM's replacement; windows cut by either do not count."""
    result = set()
    for name, *values in rows:
        row = cells(name, values)
        begin, end = row["time_ns"], row.get("last_time_ns", row["time_ns"])
        window = (begin // NS_PER_DAY * NS_PER_DAY, (end // NS_PER_DAY + 1) * NS_PER_DAY)
        cut = any(start < window[1] and stop > window[0] for start, stop in down)
        if not cut and window[1] <= replaced_ns:
            result.add((name, *values))
    return result


def cells(name, values):
    """Cells of a row by column."""
    names = [column.name for column in TABLES[name] if column.name not in ("seq", "cause_seq", "node_id")]
    return dict(zip(names, values, strict=True))


def asked(life, fault):
    """Rows of pages of a fault that were asked for."""
    return [cells(name, values) for name, *values in life.rows.get(fault, set()) if name == "page_offlines"]


def next_boot(life, time_ns):
    return min((start for start, _ in life.down if start >= time_ns), default=1 << 62)


def out_of_use(life, fault):
    """Times in which pages of a fault are out of use, by counting it or by what another fault led to, until a boot."""
    gone = [(row["pfn"], row["time_ns"]) for row in asked(life, fault) if row["result"] == 0]
    if life.taken:
        mine = {cells(name, values)["first_pfn"] for name, *values in life.rows.get(fault, set()) if name == "errors"}
        gone += [(pfn, time_ns) for other, pfn, time_ns in life.taken if other != fault and pfn in mine]
    found = {}
    for pfn, time_ns in sorted(gone):
        found.setdefault(pfn, []).append((time_ns, next_boot(life, time_ns)))
    return found


def asked_earlier(row, other, fault):
    """Whether the other arm has asked for the page of a row in vain before, and has not booted since."""
    name, *values = row
    if name != "page_offlines":
        return False
    mine = cells(name, values)
    in_vain = [one for one in asked(other, fault) if one["pfn"] == mine["pfn"] and one["result"] != 0]
    return any(one["time_ns"] < mine["time_ns"] <= next_boot(other, one["time_ns"]) for one in in_vain)


def offline_in_one(a, b, fault):
    """Times in which a page of a fault is out of use in one of two lives only."""
    first, second = out_of_use(a, fault), out_of_use(b, fault)
    found = []
    for pfn in set(first) | set(second):
        spans = [first.get(pfn, []), second.get(pfn, [])]
        edges = sorted({edge for mine in spans for span in mine for edge in span})
        for low, high in itertools.pairwise(edges):
            inside = [any(begin <= low and high <= end for begin, end in mine) for mine in spans]
            if inside[0] != inside[1]:
                found.append((low, high))
    return found


@pytest.fixture(scope="module", params=list(RULES), ids=list(RULES))
def pair(request):
    block = simulate_block(Seed.of(3), NODES, HARDWARE, RULES[request.param], NS_PER_YEAR, FUNCTIONS)
    return request.param, lives(block, 0), lives(block, 1)


def test_other_faults_have_equal_rows_over_the_whole_horizon(pair):
    name, first, second = pair
    ordered = {"page_offlines"} if RULES[name][1].own_policy.function else set()
    compared = after_divergence = 0
    for node in sorted(set(first) & set(second)):
        a, b = first[node], second[node]
        acted = a.acted | b.acted
        if len(acted) != 1:
            continue
        down = a.down + b.down
        diverged = min([start for start, _ in down], default=1 << 62)
        for fault in (set(a.rows) | set(b.rows)) - acted:
            slot = fault >> 24 & 0xFF
            replaced = min(a.replaced.get(slot, 1 << 62), b.replaced.get(slot, 1 << 62))
            differ = down + offline_in_one(a, b, fault)
            mine, other = (kept(life.rows.get(fault, set()), differ, replaced) for life in (a, b))
            only = [(row, b) for row in mine - other] + [(row, a) for row in other - mine]
            only = [row for row, life in only if row[0] not in ordered and not asked_earlier(row, life, fault)]
            assert not only, f"node {node} fault {fault:#x}"
            compared += len(mine & other)
            after_divergence += sum(row[1] > diverged for row in mine & other)
    assert compared > 500
    assert after_divergence > 100


@pytest.mark.parametrize(("n", "parts"), [(120, 4), pytest.param(NODES.size, 1, marks=pytest.mark.long)])
def test_arms_have_the_same_rows_beside_others_as_alone(n, parts):
    horizon_ns = NS_PER_YEAR // parts
    few = "recovery off: reboots", "no cordon: no DIMM replacement", "shared pages, early kill", "a DIMM mapped out"
    rules = dict.fromkeys(policy for name in few for policy in RULES[name])
    rules[dataclasses.replace(BASE, repair=Repair(cordon=Cordon(ue=2, drain_hours=4.0)))] = None
    rules[dataclasses.replace(BASE, repair=Repair(reboot_minutes=25.0, cordon=Cordon(ue=2)))] = None
    rules[dataclasses.replace(BASE, platform=Platform(writeback_report="srao", partial_write_share=0.5))] = None
    secded = [Policy(ecc=Ecc("secded"), page_offline=PageOffline(threshold)) for threshold in (0, 1, 5)]
    policies = *rules, *secded
    together = simulate_block(Seed.of(4), NODES[:n], HARDWARE, policies, horizon_ns)
    found = [sorted_rows(together, arm) for arm in range(len(policies))]
    for policy, mine in zip(policies, found, strict=True):
        alone = simulate_block(Seed.of(4), NODES[:n], HARDWARE, (policy,), horizon_ns)
        assert mine == sorted_rows(alone, 0)
        assert {"errors", "machine_checks", "lifecycle"} <= mine.keys()
    assert {"memory_failures", "signals", "page_offlines"} <= found[-1].keys()
    assert len({tuple(sorted(mine.items())) for mine in found}) > len(policies) / 2


def test_the_rule_made_a_difference_somewhere(pair):
    name, first, second = pair
    differing = [node for node in first if first[node] != second.get(node)]
    assert differing, name


def test_the_sample_has_reboots_offlinings_and_replacements():
    block = simulate_block(Seed.of(3), NODES, HARDWARE, RULES["page offlining, recovery off"], NS_PER_YEAR)
    tables = [part.tables for part in block.parts if 1 in part.arms]
    kinds = np.concatenate([t["lifecycle"]["kind"] for t in tables if "lifecycle" in t])
    assert set(kinds.tolist()) == {0, 1, 2}
    assert sum(t["page_offlines"]["seq"].size for t in tables if "page_offlines" in t) > 100


def test_a_policy_of_one_group_changes_no_row_of_another(tmp_path):
    from analysis import open_run
    from fleet.scenario.decode import decode
    from fleet.stored.digest import digest_table

    plain, changed = busy_document(120), busy_document(120)
    changed["arm"]["early_kill"]["groups"] = ["secded"]
    changed["group"]["secded"]["repair"] = {"cordon": {"ue": 5}}
    changed["group"]["secded"]["detection"] = {"scrub_hours": 12.0}
    runs = []
    for name, document in (("plain", plain), ("changed", changed)):
        run_fleet(decode("test", document), tmp_path / name, shard_nodes=120)
        runs.append(open_run(tmp_path / name))
    met = Counter()
    border = next(group.first_node for group in runs[0].groups if group.name == "secded")
    for arm in ("default", "no_recovery", "page_offline_2_per_24h"):
        for name in TABLES:
            first, second = (run.table(name, arm, filters=[("node_id", "<", border)]) for run in runs)
            assert digest_table(first) == digest_table(second), (arm, name)
            met[name] += first.num_rows
    assert min(met[name] for name in ("faults", "errors", "machine_checks", "lifecycle", "page_offlines")) > 10, met
    assert runs[0].manifest["digests"]["default"]["errors"] != runs[1].manifest["digests"]["default"]["errors"]


def test_groups_take_every_section_of_a_policy():
    assert {item.name for item in dataclasses.fields(Policy)} <= {item.name for item in dataclasses.fields(Group)}
