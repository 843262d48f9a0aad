"""The tables behind figures, recomputed by DuckDB from the committed Parquet parts alone."""

import json
import math
from itertools import pairwise

import duckdb
import pytest
from scipy import stats

from analysis.figures import FIGURES
from tests.figure_runs import KINDS, make_run

NS_PER_YEAR = 31_557_600 * 10**9
UP = "('cordon', 'map_out')"


@pytest.fixture(scope="module", params=KINDS)
def run(request, shared_folder):
    return make_run(request.param, shared_folder)


class Store:
    """A run as SQL sees it: the parts that commits name, by arm."""

    def __init__(self, root):
        plan = json.loads((root / "plan.json").read_text())
        commits = [json.loads(path.read_text()) for path in sorted((root / "commit").glob("*.json"))]
        self.root, self.arms, self.groups = root, plan["arms"], plan["groups"]
        self.parts = [part for commit in commits for part in commit["parts"]]
        self.nodes, self.horizon = plan["nodes"], plan["horizon_ns"]
        self.db = duckdb.connect()

    def view(self, arm):
        """Show the tables of one arm; a table without parts has the columns that the queries ask for, and no rows."""
        columns = {
            "errors": "node_id, fault_id, seq, time_ns, first_time_ns, kind::VARCHAR kind, ce_count",
            "signals": "node_id, cause_seq, signal::VARCHAR signal, timing::VARCHAR timing, fate::VARCHAR fate",
            "machine_checks": "node_id, seq, cause_seq",
            "memory_failures": "node_id, seq, cause_seq, time_ns, page_type::VARCHAR page_type, "
            "result::VARCHAR result, lost_bytes",
            "io_errors": "node_id, cause_seq",
            "page_offlines": "node_id, time_ns, n_pages",
            "lifecycle": "node_id, cause_seq, time_ns, end_ns, kind::VARCHAR kind, dimm, processes_lost",
        }
        for table, wanted in columns.items():
            files = [
                str(self.root / part["path"])
                for part in self.parts
                if part["table"] == table and part["arm"] in ("_common", arm)
            ]
            names = [column.split()[0].split(":")[0] for column in wanted.split(", ")]
            if files:
                source = f"SELECT {wanted} FROM read_parquet({files!r}, hive_partitioning = false)"
            else:
                source = f"SELECT {', '.join(f'NULL::BIGINT {name}' for name in names)} WHERE false"
            self.db.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {source}")
        self.db.execute(
            "CREATE OR REPLACE TEMP TABLE down AS SELECT DISTINCT node_id, time_ns AS since, "
            f"least(end_ns, {self.horizon}) AS until FROM lifecycle WHERE kind::VARCHAR NOT IN {UP}"
        )
        return self

    def ask(self, sql):
        return self.db.execute(sql).fetchall()

    def one(self, sql):
        return self.ask(sql)[0][0] or 0

    def years_up(self):
        return (self.nodes * self.horizon - int(self.one("SELECT sum(until - since) FROM down"))) / NS_PER_YEAR


@pytest.fixture(scope="module")
def store(run):
    return Store(run.path)


def table_of(run, name):
    return FIGURES[name].tabulate(run, None).to_pylist()


def of_arm(rows, arm):
    return [row for row in rows if row["arm"] == arm]


CAUSES = {
    "early_ao": "signal = 'SIGBUS' AND timing = 'early'",
    "late_ar": "signal = 'SIGBUS' AND timing = 'late'",
    "direct_ar": "signal = 'SIGBUS' AND timing = 'direct'",
    "sigkill": "signal = 'SIGKILL'",
    "all": "true",
}


def kills(store, cause="all"):
    return store.one(f"SELECT count(*) FROM signals WHERE fate = 'killed' AND {CAUSES[cause]}")


def panic_losses(store):
    return int(store.one("SELECT sum(processes_lost) FROM lifecycle WHERE kind = 'panic'"))


def test_kills_by_cause(run, store):
    rows = table_of(run, "kills_by_cause")
    assert len(rows) == len(store.arms) * len(CAUSES)
    for arm in store.arms:
        store.view(arm)
        for row in of_arm(rows, arm):
            assert row["kills"] == kills(store, row["cause"])
            assert row["rate"] == pytest.approx(1000 * row["kills"] / store.years_up())
            assert row["rate_low"] <= row["rate"] <= row["rate_high"]
    assert sum(row["kills"] for row in rows) > 0


def test_losses_by_arm(run, store):
    rows = table_of(run, "losses_by_arm")
    assert [row["arm"] for row in rows] == store.arms
    for row in rows:
        store.view(row["arm"])
        assert (row["killed"], row["with_panics"]) == (kills(store), panic_losses(store))
        assert row["losses"] == row["killed"] + row["with_panics"]
        assert row["node_years"] == pytest.approx(store.years_up())
        assert row["rate"] == pytest.approx(1000 * row["losses"] / store.years_up())
    assert sum(row["with_panics"] for row in rows) > 0


BY_NODE = {
    "kills": "SELECT node_id, count(*) n FROM signals WHERE fate = 'killed' GROUP BY ALL",
    "losses": "SELECT node_id, sum(n) n FROM (SELECT node_id, 1 n FROM signals WHERE fate = 'killed' UNION ALL "
    "SELECT node_id, processes_lost FROM lifecycle WHERE kind = 'panic') GROUP BY ALL",
    "panics": "SELECT node_id, count(*) n FROM lifecycle WHERE kind = 'panic' GROUP BY ALL",
    "ue": "SELECT node_id, count(*) n FROM errors WHERE kind = 'UE' GROUP BY ALL",
    "sdc": "SELECT node_id, count(*) n FROM errors WHERE kind = 'SDC' GROUP BY ALL",
    "io_errors": "SELECT node_id, count(*) n FROM io_errors GROUP BY ALL",
    "dimm_replacements": "SELECT node_id, count(*) n FROM lifecycle WHERE kind = 'dimm_replacement' GROUP BY ALL",
}


@pytest.fixture(scope="module")
def by_node(store):
    """What each node has of each metric in each arm, and the years that nodes of the first arm are up."""
    found = {}
    for arm in store.arms:
        store.view(arm)
        found |= {(arm, metric): dict(store.ask(sql)) for metric, sql in BY_NODE.items()}
    return found, store.view(store.arms[0]).years_up()


def apart(store, found, metric, arm):
    """How many more an arm has than the first, and how many nodes differ."""
    mine, base = found[arm, metric], found[store.arms[0], metric]
    changes = [int(mine.get(node, 0)) - int(base.get(node, 0)) for node in mine | base]
    return sum(changes), sum(change != 0 for change in changes)


def test_difference_to_baseline(run, store, by_node):
    found, years = by_node
    rows = table_of(run, "difference_to_baseline")
    assert {row["arm"] for row in rows} == set(store.arms[1:])
    assert {row["metric"] for row in rows} == set(BY_NODE)
    for row in rows:
        more, differing = apart(store, found, row["metric"], row["arm"])
        assert row["nodes_differing"] == differing
        assert row["difference"] == pytest.approx(1000 * more / years)
        assert row["told"] == (row["difference_low"] > 0 or row["difference_high"] < 0)
    assert any(row["difference"] for row in rows)


@pytest.mark.parametrize("name", ["response_to_sweep", "heat_map_of_sweep"])
def test_sweeps(run, store, by_node, name):
    found, years = by_node
    if not FIGURES[name].applies(run):
        return  # which runs are sweeps is a test of its own
    rows = table_of(run, name)
    for row in rows:
        more, _ = apart(store, found, row["metric"], row["arm"])
        assert row["difference"] == pytest.approx(1000 * more / years)
        values = [row[key] for key in ("value", "first_value", "second_value") if key in row]
        assert [part.split("=")[1] for part in row["arm"].split("+")] == values
        if "rate" in row:
            assert row["rate"] == pytest.approx(1000 * int(sum(found[row["arm"], row["metric"]].values())) / years)


def test_one_and_two_keys_are_known_as_sweeps(run):
    applying = [name for name in ("response_to_sweep", "heat_map_of_sweep") if FIGURES[name].applies(run)]
    expected = {"one_key": ["response_to_sweep"], "two_keys": ["heat_map_of_sweep"]}
    assert applying == expected.get(run.path.name, [])


def test_results_by_page_type(run, store):
    rows = table_of(run, "results_by_page_type")
    for arm in store.arms:
        found = store.view(arm).ask(
            "SELECT coalesce(page_type, 'no action line'), coalesce(result, 'no action line'), count(*) "
            "FROM memory_failures GROUP BY ALL"
        )
        mine = of_arm(rows, arm)
        assert sorted((row["page_type"], row["result"], row["calls"]) for row in mine) == sorted(found)
        by_type = {}
        for row in mine:
            by_type[row["page_type"]] = by_type.get(row["page_type"], 0) + row["calls"]
        assert all(a >= b for a, b in pairwise(by_type.values()))
    assert rows


FOLLOWED = """
WITH checks AS (SELECT node_id, seq, cause_seq AS root FROM machine_checks),
handled AS (
  SELECT f.node_id, f.seq, coalesce(c.root, f.cause_seq) AS root, f.lost_bytes
  FROM memory_failures f LEFT JOIN checks c ON c.node_id = f.node_id AND c.seq = f.cause_seq),
harm AS (
  SELECT node_id, cause_seq, 4 AS worse FROM lifecycle WHERE kind = 'panic'
  UNION ALL SELECT node_id, cause_seq, 3 FROM signals WHERE fate = 'killed'
  UNION ALL SELECT node_id, cause_seq, 2 FROM io_errors),
rooted AS (
  SELECT h.node_id, coalesce(f.root, c.root, h.cause_seq) AS root, worse FROM harm h
  LEFT JOIN handled f ON f.node_id = h.node_id AND f.seq = h.cause_seq
  LEFT JOIN checks c ON c.node_id = h.node_id AND c.seq = h.cause_seq
  UNION ALL SELECT node_id, root, 1 FROM handled WHERE lost_bytes > 0),
worst AS (SELECT node_id, root, max(worse) AS worse FROM rooted GROUP BY ALL)
SELECT coalesce(w.worse, 0) AS outcome, count(*) FROM errors e
LEFT JOIN worst w ON w.node_id = e.node_id AND w.root = e.seq WHERE e.kind = 'UE' GROUP BY ALL
"""
OUTCOMES = ["nothing", "page taken out", "data lost (EIO)", "process killed", "node panicked"]


def test_what_followed_ues(run, store):
    rows = table_of(run, "what_followed_ues")
    for position, arm in enumerate(store.arms):
        found = dict(store.view(arm).ask(FOLLOWED))
        mine = {row["outcome"]: row for row in of_arm(rows, arm)}
        assert {name: row["ues"] for name, row in mine.items()} == {
            name: found.get(place, 0) for place, name in enumerate(OUTCOMES)
        }
        n = sum(found.values())
        for row in mine.values():
            assert row["share"] == pytest.approx(row["ues"] / n)
            assert row["share_low"] <= row["share"] <= row["share_high"]
        survived = run.tally.total[position].sum(axis=0)[list(run.manifest["metrics"]).index("ue_survived")]
        assert mine["nothing"]["ues"] + mine["page taken out"]["ues"] == survived
    assert len({row["outcome"] for row in rows if row["ues"]}) > 3


def test_concentration_of_ce(run, store):
    rows = table_of(run, "concentration_of_ce")
    for arm in store.arms:
        per_dimm = store.view(arm).ask(
            "SELECT sum(ce_count) n FROM errors WHERE kind = 'CE' GROUP BY fault_id >> 16 HAVING n > 0 ORDER BY n DESC"
        )
        counts = [int(n) for (n,) in per_dimm]
        mean = sum(counts) / len(counts)
        differences = sum(abs(a - b) for a in counts for b in counts) / len(counts) ** 2
        mine = of_arm(rows, arm)
        assert [row["top_dimms"] for row in mine][: min(10, len(counts))] == list(range(1, min(10, len(counts)) + 1))
        for row in mine:
            assert (row["dimms"], row["ce"]) == (len(counts), sum(counts[: row["top_dimms"]]))
            assert row["share_of_ce"] == pytest.approx(row["ce"] / sum(counts))
            assert row["share_of_dimms"] == pytest.approx(row["top_dimms"] / len(counts))
            assert row["gini"] == pytest.approx(differences / 2 / mean)
        assert mine[-1]["top_dimms"] == len(counts)


TO_UE = """
CREATE OR REPLACE TEMP TABLE watched AS
WITH risk AS (SELECT fault_id >> 16 AS dimm, min(first_time_ns) AS since FROM errors WHERE kind = 'CE' GROUP BY ALL),
ue AS (SELECT fault_id >> 16 AS dimm, min(time_ns) AS moment FROM errors WHERE kind = 'UE' GROUP BY ALL),
away AS (
  SELECT (a.node_id::UBIGINT << 16) | (a.dimm::UBIGINT << 8) | (
      SELECT count(*) FROM lifecycle b WHERE b.kind = 'dimm_replacement' AND b.node_id = a.node_id
      AND b.dimm = a.dimm AND b.time_ns < a.time_ns)::UBIGINT AS dimm, a.time_ns AS moment
  FROM lifecycle a WHERE a.kind IN ('dimm_replacement', 'map_out')),
gone AS (SELECT dimm, min(moment) AS moment FROM away GROUP BY ALL)
SELECT least(ue.moment, gone.moment, {horizon}) - since AS time,
  CASE WHEN ue.moment <= least(gone.moment, {horizon}) THEN 1 WHEN gone.moment <= {horizon} THEN 2 ELSE 0 END AS what
FROM risk LEFT JOIN ue USING (dimm) LEFT JOIN gone USING (dimm) WHERE ue.moment IS NULL OR ue.moment >= since
"""
CURVE = """
WITH times AS (
  SELECT time, count(*) FILTER (what = 1) AS ues, count(*) FILTER (what = 2) AS away FROM watched GROUP BY ALL
  HAVING ues + away > 0),
risk AS (SELECT t.*, (SELECT count(*) FROM watched w WHERE w.time >= t.time) AS n FROM times t),
free AS (SELECT *, coalesce(product(1 - (ues + away) / n) OVER (
  ORDER BY time ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 1) AS s FROM risk)
SELECT time, n, ues, away, sum(s * ues / n) OVER (ORDER BY time), sum(s * away / n) OVER (ORDER BY time)
FROM free ORDER BY time
"""


def test_time_from_ce_to_ue(run, store):
    rows = table_of(run, "time_from_ce_to_ue")
    for arm in store.arms:
        store.view(arm).db.execute(TO_UE.format(horizon=store.horizon))
        mine = of_arm(rows, arm)
        assert mine[0]["at_risk"] == store.one("SELECT count(*) FROM watched")
        found = store.ask(CURVE)
        counts = [(row["time_ns"], row["at_risk"], row["ues"], row["taken_away"]) for row in mine[1:]]
        assert counts == [tuple(map(int, row[:4])) for row in found]
        for row, (*_, with_ue, taken) in zip(mine[1:], found, strict=True):
            assert row["with_ue"] == pytest.approx(with_ue)
            assert row["taken_away_share"] == pytest.approx(taken, abs=1e-12)
            assert row["with_ue_low"] is None or row["with_ue_low"] <= row["with_ue"] <= row["with_ue_high"]
    assert sum(row["ues"] for row in rows) > 5
    assert run.path.name != "policies" or sum(row["taken_away"] for row in rows) > 5


LOST = """
CREATE OR REPLACE TEMP TABLE lost AS
WITH pages AS (
  SELECT node_id, time_ns AS since, lost_bytes AS size FROM memory_failures
  UNION ALL SELECT node_id, time_ns, n_pages * 4096 FROM page_offlines)
SELECT since, coalesce((SELECT min(d.since) FROM down d WHERE d.node_id = p.node_id AND d.since >= p.since),
  {horizon}) AS until, size FROM pages p
UNION ALL
SELECT m.time_ns, least(m.end_ns, {horizon}), g.size FROM lifecycle m, groups g
WHERE m.kind = 'map_out' AND m.node_id >= g.first_node AND m.node_id < g.first_node + g.nodes
UNION ALL
SELECT greatest(m.time_ns, d.since), least(m.end_ns, d.until, {horizon}), -g.size FROM lifecycle m, groups g, down d
WHERE m.kind = 'map_out' AND m.node_id >= g.first_node AND m.node_id < g.first_node + g.nodes
  AND d.node_id = m.node_id AND d.since < least(m.end_ns, {horizon}) AND d.until > m.time_ns
"""


def memory_lost(store, begin, end):
    """Bytes out of use on average between two times, over all nodes."""
    total = store.one(
        f"SELECT sum(size::DOUBLE * greatest(0, least(until, {end}) - greatest(since, {begin}))::DOUBLE) FROM lost"
    )
    return total / (end - begin)


@pytest.fixture
def losing(store):
    groups = ", ".join(f"({g['first_node']}, {g['nodes']}, {g['dimm_bytes']})" for g in store.groups)
    store.db.execute(
        f"CREATE OR REPLACE TEMP TABLE groups AS SELECT * FROM (VALUES {groups}) AS g(first_node, nodes, size)"
    )
    return store


def count_interval(sizes):
    """Fay and Feuer's interval of a sum of clusters, one more of which may be twice the largest, and more."""
    total, square = sum(sizes), sum(n * n for n in sizes)
    size = max(sizes) * (2 + 4 / len(sizes)) if sizes else 1
    low = stats.gamma.ppf(0.025, total**2 / square, scale=square / total) if total else 0.0
    mean, spread = total + size, square + size**2
    return low, stats.gamma.ppf(0.975, mean**2 / spread, scale=spread / mean)


def test_fleet_over_time(run, losing):
    rows = table_of(run, "fleet_over_time")
    assert len(rows) == 12 * len(losing.arms)
    for arm in losing.arms:
        losing.view(arm).db.execute(LOST.format(horizon=losing.horizon))
        mine = of_arm(rows, arm)
        assert (mine[0]["begin_ns"], mine[-1]["end_ns"]) == (0, losing.horizon)
        for row in mine:
            begin, end = row["begin_ns"], row["end_ns"]
            scale = 1000 * NS_PER_YEAR * 12 / losing.nodes / losing.horizon
            for name, source, kind in (("ue", "errors", "UE"), ("panics", "lifecycle", "panic")):
                sizes = losing.ask(
                    f"SELECT count(*) FROM {source} WHERE kind = '{kind}' AND time_ns >= {begin} AND time_ns < {end} "
                    "GROUP BY node_id"
                )
                sizes = [n for (n,) in sizes]
                assert row[name] == sum(sizes)
                assert row[f"{name}_rate"] == pytest.approx(scale * sum(sizes))
                low, high = count_interval(sizes)
                assert (row[f"{name}_rate_low"], row[f"{name}_rate_high"]) == pytest.approx((scale * low, scale * high))
            assert row["memory_lost"] == pytest.approx(memory_lost(losing, begin, end) / losing.nodes, rel=1e-6)


def test_memory_against_kills(run, losing):
    rows = table_of(run, "memory_against_kills")
    points = []
    for row in rows:
        losing.view(row["arm"]).db.execute(LOST.format(horizon=losing.horizon))
        years = losing.years_up()
        expected = memory_lost(losing, 0, losing.horizon) * losing.horizon / NS_PER_YEAR / years
        assert row["memory_lost"] == pytest.approx(expected, rel=1e-6)
        assert row["kills"] == pytest.approx(1000 * kills(losing) / years)
        assert row["losses"] == pytest.approx(1000 * (kills(losing) + panic_losses(losing)) / years)
        points.append((row["memory_lost"], row["kills"]))
    for row, (memory, rate) in zip(rows, points, strict=True):
        better = [p for p in points if p[0] <= memory and p[1] <= rate and p != (memory, rate)]
        assert row["on_front"] == (not better)
    assert not math.isclose(points[0][0], 0.0)
