"""Memory of a worker follows neither nodes, nor years, nor rows."""

import os
import subprocess
import sys

import pytest

COMMAND = (sys.executable, "-c", "from fleet.cli import main; main()", "run", "--workers", "1", "--arm", "default")
PEAK_MB = 600


def peak_mb(root, *options: str) -> float:
    """Run a fleet in a process of its own; return the most memory it had [MB]."""
    process = subprocess.Popen([*COMMAND, "-o", str(root), *options], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / 1024


def test_ten_times_the_rows_need_about_the_same_memory(tmp_path):
    few, many = (peak_mb(tmp_path / years, "--nodes", "30", "--years", years) for years in ("25", "80"))
    assert many < 1.5 * few
    assert many < PEAK_MB


@pytest.mark.long
def test_a_century_of_few_nodes_needs_little_more_than_a_year_of_many(tmp_path):
    year = peak_mb(tmp_path / "year", "--nodes", "100000", "--years", "1")
    century = peak_mb(tmp_path / "century", "--nodes", "1000", "--years", "100")
    assert century < 1.2 * year  # 56 times the rows
    assert century < PEAK_MB


@pytest.mark.long
def test_ten_times_the_nodes_need_about_the_same_memory(tmp_path):
    few, many = (peak_mb(tmp_path / nodes, "--nodes", nodes, "--years", "1") for nodes in ("100000", "1000000"))
    assert many < 1.2 * few
    assert many < PEAK_MB
