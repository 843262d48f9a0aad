"""How fast: goal and rate beside each other, with rows and faults per node-year; never a gate.

Times are CPU seconds of the whole process, so that another load on the machine does not count.
"""

import re
import resource
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.bench

COMMAND = (sys.executable, "-c", "from fleet.cli import main; main()")
ONE_ARM_NODES = 2_000_000
FOUR_ARM_NODES = 500_000


def cpu_seconds(*arguments):
    """CPU seconds of a command and its children, wall seconds, peak memory of one process [MiB], and its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=True)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, wall, after.ru_maxrss / 1024, done.stdout


def density(text):
    return re.search(r"([\d.]+) faults and ([\d.]+) rows per node-year", text).groups()


def test_whole_chain_one_arm_one_worker(tmp_path):
    cpu, wall, peak, text = cpu_seconds(
        "run", "-o", tmp_path / "run", "--nodes", ONE_ARM_NODES, "--workers", 1, "--arm", "default"
    )
    faults, rows = density(text)
    print(
        f"\nwhole chain, one arm: {ONE_ARM_NODES / cpu:,.0f} node-years per core-second (goal 100,000) at {faults} "
        f"faults and {rows} rows per node-year; {cpu:.1f} s CPU, {wall:.1f} s wall, peak {peak:,.0f} MiB"
    )


def test_rows_of_a_storm_of_corrected_errors(tmp_path):
    nodes = 6_000
    options = ("--workers", 1, "--arm", "default", "--nodes", nodes)
    cpu, wall, peak, text = cpu_seconds("run", "ce-storm", "-o", tmp_path / "run", *options)
    _, rows = density(text)
    print(
        f"\nce-storm, one arm: {float(rows) * nodes / cpu:,.0f} rows on disk per core-second (goal 1,000,000) at "
        f"{rows} rows per node-year (goal 300); {cpu:.1f} s CPU, {wall:.1f} s wall, peak {peak:,.0f} MiB"
    )


def test_four_arms_against_one(tmp_path):
    common = ("--nodes", FOUR_ARM_NODES, "--workers", 1)
    one, _, _, _ = cpu_seconds("run", "-o", tmp_path / "1", *common, "--arm", "default")
    four, _, _, _ = cpu_seconds("run", "-o", tmp_path / "4", *common)
    print(f"\nfour arms: {four / one:.2f} x one arm (goal 2.00); {one:.1f} and {four:.1f} s CPU")


def test_twenty_four_arms_against_one(tmp_path):
    nodes = 200_000
    one, _, _, _ = cpu_seconds("run", "-o", tmp_path / "1", "--nodes", nodes, "--workers", 1, "--arm", "default")
    grid = (
        "--sweep",
        "page_offline.ce_threshold=0,2,10",
        "--sweep",
        "kernel.memory_failure_early_kill=0,1",
        "--sweep",
        "kernel.memory_failure_recovery=0,1",
        "--sweep",
        "repair.cordon.ue=1,2",
    )
    many, _, _, _ = cpu_seconds("run", "-o", tmp_path / "24", "--nodes", nodes, "--workers", 1, *grid)
    print(f"\n24 arms: {many / one:.2f} x one arm (goal 6.00); {one:.1f} and {many:.1f} s CPU")


def test_start_up(tmp_path):
    _, shortest, _, _ = min(cpu_seconds("--help") for _ in range(5))
    _, wall, _, _ = cpu_seconds("run", "-o", tmp_path / "run", "--nodes", 1000)
    print(f"\n--help: {shortest:.3f} s (goal 0.2); 1,000 nodes x 1 year: {wall:.2f} s (goal 2)")


def test_ray_against_local(tmp_path):
    nodes = 400_000
    _, local, _, _ = cpu_seconds("run", "-o", tmp_path / "local", "--nodes", nodes, "--workers", 2)
    _, ray, _, _ = cpu_seconds("run", "-o", tmp_path / "ray", "--nodes", nodes, "--workers", 2, "--engine", "ray")
    _, start, _, _ = cpu_seconds("run", "-o", tmp_path / "start", "--nodes", 10, "--workers", 2, "--engine", "ray")
    print(f"\nRay: {(ray - start) / local:.2f} x local on two workers, start-up of {start:.1f} s apart (goal 1.25)")
