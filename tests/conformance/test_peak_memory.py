"""Memory of a worker follows neither nodes, nor years, nor rows."""

import subprocess
import sys

import pytest

COMMAND = (sys.executable, "-c", "from fleet.cli import main; main()", "run", "--workers", "1", "--arm", "default")
# A process inherits the peak of the one that starts it (exec keeps it), so a small one stands between it and pytest.
MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
PEAK_MB = 600


def peak_mb(root, *options: str) -> float:
    """Run a fleet in a process of its own; return the most memory it had [MB]."""
    measured = (sys.executable, "-S", "-c", MEASURE, *COMMAND, "-o", str(root), *options)
    return int(subprocess.run(measured, check=True, stdout=subprocess.PIPE).stdout) / 1024


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
def test_a_storm_of_corrected_errors_needs_little_more_for_ten_times_the_nodes(tmp_path):
    few, many = (peak_mb(tmp_path / nodes, "ce-storm", "--nodes", nodes) for nodes in ("2000", "20000"))
    assert many < 1.2 * few
    assert many < PEAK_MB


@pytest.mark.long
def test_ten_times_the_nodes_need_about_the_same_memory(tmp_path):
    few, many = (peak_mb(tmp_path / nodes, "--nodes", nodes, "--years", "1") for nodes in ("100000", "1000000"))
    assert many < 1.2 * few
    assert many < PEAK_MB
