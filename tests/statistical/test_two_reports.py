"""A demand load is reported by core and memory controller: pairs of rows, their order, and what is counted of them.

The laws need nothing of the model: where no bank is ever busy, every load of poison that does not panic has exactly one
record of each reporter; the order is a coin; who wins decides only which signal an early process hears first.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from scipy import stats

from analysis import open_run
from fleet.scenario.decode import decode
from fleet.stored.headline import INDEX
from tests.fleets import busy_document, run_fleet

ALPHA = 1e-6
SHARE = 0.3


SIZES = [(0.05, 4_000), pytest.param((0.25, 10_000), marks=pytest.mark.long)]
"""Years and nodes: a short time has many loads in few steps."""
SHARES = {"sddc": 0.1, "altitude": 0.1, "secded": 0.8}
"""Of nodes: most loads of poison are those of the weakest code."""


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size[1]}")
def size(request):
    return request.param


@pytest.fixture(scope="module", params=["6.1", "7.1"])
def fleet(request, size, tmp_path_factory):
    years, nodes = size
    document = busy_document(nodes, fit_factor=60.0)
    document |= {"years": years, "arm": {name: document["arm"][name] for name in ("default", "early_kill")}}
    for name, group in document["group"].items():
        group["share"] = SHARES[name]
        group["kernel"] = group.get("kernel", {}) | {"profile": request.param}
        group["platform"] = group.get("platform", {}) | {"controller_first_share": SHARE, "bank_busy_s": 0.0}
    root = tmp_path_factory.mktemp("two") / f"run-{request.param}"
    run_fleet(decode("test", document), root, shard_nodes=nodes)
    return request.param, open_run(root)


def loads_of(run, arm):
    """Return the rows of each surviving load and of its twin, by node, time and page."""
    loads, twins = defaultdict(list), defaultdict(list)
    for row in run.table("machine_checks", arm).to_pylist():
        place = row["node_id"], row["time_ns"], row["pfn"]
        if row["severity"] == "SRAR":
            loads[place].append(row)
        elif row["severity"] == "UCNA":
            twins[place].append(row)
    return loads, twins


def test_every_load_that_is_survived_has_one_record_of_each_reporter_and_the_order_is_a_coin(fleet):
    _kernel, run = fleet
    loads, twins = loads_of(run, "default")
    assert len(loads) > 600
    assert all(len(twins[place]) == len(rows) == 1 for place, rows in loads.items())
    cores = {rows[0]["bank"] for rows in loads.values()}
    assert not cores & {row["bank"] for rows in twins.values() for row in rows}
    first = sum(twins[place][0]["seq"] < rows[0]["seq"] for place, rows in loads.items())
    assert stats.binomtest(first, len(loads), SHARE).pvalue > ALPHA


def test_who_wins_decides_which_signal_an_early_process_hears_and_kills_nobody_else(fleet):
    _kernel, run = fleet
    loads, twins = loads_of(run, "early_kill")
    won = {place for place, rows in loads.items() if twins[place][0]["seq"] < rows[0]["seq"]}
    # Copies by the kernel are action optional for the handler in 6.1 and later, whoever reports them.
    users = [place for place, rows in loads.items() if rows[0]["cpu_context"] == "user"]
    times = {(place[0], place[1]): place in won for place in users}
    signals = [
        row
        for row in run.table("signals", "early_kill").to_pylist()
        if row["timing"] in ("early", "direct") and (row["node_id"], row["time_ns"]) in times
    ]
    told = Counter((row["node_id"], row["time_ns"]) for row in signals)
    each = Counter((row["node_id"], row["time_ns"], row["process"]) for row in signals)
    assert set(each.values()) == {1}
    heard = defaultdict(set)
    for row in signals:
        place = row["node_id"], row["time_ns"]
        if told[place] == 1:  # of several owners those that did not read are told early, whoever won
            heard[row["timing"]].add(place)
    assert heard["early"]
    assert all(times[place] for place in heard["early"])
    assert not heard["early"] & heard["direct"]


def test_lines_about_pages_that_were_poisoned_before_are_not_counted_as_failures(fleet):
    kernel, run = fleet
    rows = run.table("memory_failures", "default").to_pylist()
    again = sum(row["page_type"] == "already poisoned page" for row in rows)
    failed = sum(row["result"] == "Failed" for row in rows)
    assert run.tally.total[run.arms.index("default")][:, INDEX["mf_failed"]].sum() == failed - again
    assert (again > 0) == (kernel == "7.1")
