"""Measures what ``deploy/scale.py`` needs: ``python -m tests.bench.scale_rates`` writes ``deploy/scale_rates.json``.

It is for a machine with nothing else to do. Work is CPU time; waiting for the disk is wall time less CPU time.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import ray
from scipy.optimize import nnls

from fleet.engines import Job
from fleet.engines.aggregator import Aggregator
from fleet.engines.choice import EngineChoice
from fleet.engines.ray_actors import AggregatorActor, NodeHost
from fleet.engines.ray_engine import RayEngine
from fleet.engines.shard import ShardSums, expected_work, run_shard
from fleet.run import start_run
from fleet.scenario.decode import decode
from fleet.scenario.document import parse, read_text
from fleet.stored.manifest import write_commit
from fleet.stored.plan import Shard
from fleet.stored.sink import give_memory_back
from fleet.stored.store import open_store

OUT = Path(__file__).resolve().parents[2] / "deploy" / "scale_rates.json"
COMMAND = (sys.executable, "-c", "from fleet.cli import main; main()")
SIZES = (16_384,) * 8 + (65_536,) * 4 + (262_144,) * 2
"""Nodes of the shards that are simulated."""


def cpu_of(*words: str) -> tuple[float, float]:
    """CPU and wall seconds of a command and all that it starts."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*COMMAND, *words], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu_s, time.perf_counter() - begun


def fleet_of(nodes: int):
    document = parse("baseline.toml", read_text("baseline")[1])
    document["nodes"] = nodes
    document["arm"] = {"default": {}}
    return decode("scale", document)


def simulated(fleet, shard: Shard) -> tuple[float, list, ShardSums]:
    """CPU seconds of a host for a shard, its tables and sums."""
    begun = time.process_time()
    sums, tables = ShardSums.zero(fleet), []
    for block in run_shard(fleet, 1, shard):
        sums = sums.plus(fleet, block)
        tables.extend(block.tables)
    return time.process_time() - begun, tables, sums


def line(seconds: list[float]) -> tuple[float, float]:
    """What a shard takes whatever is in it, and what each node adds, both >= 0, by least squares of relative errors."""
    sizes = np.asarray(SIZES, float)
    design = np.stack([1.0 / np.asarray(seconds), sizes / np.asarray(seconds)], axis=1)
    (fixed, each), _ = nnls(design, np.ones(sizes.size))
    return float(fixed), float(each)


class Started(NamedTuple):
    """Wall seconds until Ray is up, until a host is and has its tables, and until Ray is gone."""

    cluster_s: float
    host_s: float
    end_s: float


def start_of_hosts(job: Job) -> Started:
    begun = time.perf_counter()
    with RayEngine(1, None):
        cluster_s = time.perf_counter() - begun
        known, begun = ray.put(job), time.perf_counter()
        aggregator = AggregatorActor.remote(known)
        ray.get(aggregator.ready.remote())
        begun = time.perf_counter()
        host = NodeHost.remote(known)
        ray.get(host.ready.remote())
        ray.get(host.simulate.remote(Shard(0, 0, 64), "first", aggregator))
        first_s, begun = time.perf_counter() - begun, time.perf_counter()
        ray.get(host.simulate.remote(Shard(0, 0, 64), "second", aggregator))
        host_s = first_s - (time.perf_counter() - begun)
        begun = time.perf_counter()
    return Started(cluster_s, host_s, time.perf_counter() - begun)


def planning() -> float:
    """CPU seconds of the driver until it has a plan."""
    code = (
        "import time; from fleet.commands.run import run_command; from fleet.run import planned_shards\n"
        "from fleet.scenario.load import check_loads; from tests.bench.scale_rates import fleet_of\n"
        "from fleet.engines.choice import EngineChoice\n"
        "planned_shards(fleet_of(1_000_000), EngineChoice(workers=2), None); print(time.process_time())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    give_memory_back()
    fleet = fleet_of(sum(SIZES))
    simulated(fleet, Shard(0, 0, 64))
    work, writing, waiting, committing = [], [], [], []
    with tempfile.TemporaryDirectory(dir=os.environ.get("SCALE_DIR")) as folder:
        root = open_store(Path(folder) / "run")
        start_run(fleet_of(64), 1, root, EngineChoice(workers=1), None, lambda _: None)
        plan = json.loads((Path(folder) / "run" / "plan.json").read_text())
        aggregator = Aggregator(root.address(), fleet)
        for index, nodes in enumerate(SIZES):
            shard = Shard(index, sum(SIZES[:index]), nodes)
            taken, tables, sums = simulated(fleet, shard)
            work.append(taken)
            cpu_begun, wall_begun = time.process_time(), time.perf_counter()
            for arms, table, rows in tables:
                aggregator.add(f"{index}", arms, table, rows)
            receipt = aggregator.finish(f"{index}", shard, sums)
            cpu_s, wall_s = time.process_time() - cpu_begun, time.perf_counter() - wall_begun
            writing.append(cpu_s)
            waiting.append(max(0.0, wall_s - cpu_s))
            wall_begun = time.perf_counter()
            write_commit(root, plan, receipt)
            committing.append(time.perf_counter() - wall_begun)
        start_run(fleet_of(64), 1, f"{folder}/small", EngineChoice(workers=1), None, lambda _: None)
        started = start_of_hosts(Job(fleet, 1, root.address()))
        help_cpu_s, _ = cpu_of("--help")
        summary_cpu_s, _ = cpu_of("summary", f"{folder}/small")
    shard_s, node_s = line(work)
    write_shard_s, write_node_s = line(writing)
    expected = shard_s + node_s * np.asarray(SIZES)
    rates = {
        "cluster_start_s": started.cluster_s,
        "cluster_end_s": started.end_s,
        "plan_s": planning(),
        "host_start_s": started.host_s,
        "shard_s": shard_s,
        "node_s": node_s,
        "spread": float(np.std(np.log(work / expected))),
        "aggregate_node_s": write_node_s,
        "aggregate_shard_s": write_shard_s,
        "sync_shard_s": statistics.mean(waiting),
        "commit_s": statistics.mean(committing),
        "finish_s": summary_cpu_s - help_cpu_s,
    }
    about = f"baseline, arm default, {len(SIZES)} shards of {min(SIZES)} to {max(SIZES)} nodes, {os.cpu_count()} cores"
    points = expected_work(fleet) / fleet.nodes
    OUT.write_text(json.dumps({"about": about, "points_per_node": points, "rates": rates}, indent=2) + "\n")
    print(OUT.read_text())


if __name__ == "__main__":
    main()
