"""The textfile collector of deploy/: node_exporter shows what sysfs holds, and never half a file."""

import re
import shutil
import subprocess
import time
import urllib.request
from contextlib import contextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families

from analysis.hosts.node_exporter import FAMILIES, RESULTS
from tests.debian import program
from tests.deployed import DEPLOY
from tests.ports import free_port

SCRIPT = DEPLOY / "node_exporter" / "memory_failure.sh"
NAME = "hwpoison_node_memory_failures_total"
COUNTS = {"0": (1, 2, 3, 4), "1": (0, 0, 0, 0), "10": (7, 0, 0, 2**32)}
"""Of each NUMA node, in the order of RESULTS."""


@pytest.fixture
def sysfs(tmp_path):
    for node, counts in COUNTS.items():
        folder = tmp_path / "sys/devices/system/node" / f"node{node}" / "memory_failure"
        folder.mkdir(parents=True)
        for result, count in zip(RESULTS, counts, strict=True):
            (folder / result).write_text(f"{count}\n")
        (folder / "total").write_text(f"{sum(counts)}\n")
        (folder / "soft_offline").write_text("99\n")
    (tmp_path / "sys/devices/system/node/node2").mkdir()
    (tmp_path / "sys/devices/system/node/online").write_text("0-2,10\n")
    return tmp_path / "sys"


def run(sysfs, *words, shell="sh"):
    command = [shell, str(SCRIPT), *map(str, words)]
    env = {"SYSFS": str(sysfs), "PATH": "/bin:/usr/bin"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@contextmanager
def node_exporter(folder):
    port = free_port()
    words = [program("prometheus-node-exporter"), f"--web.listen-address=127.0.0.1:{port}"]
    words += ["--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={folder}"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}/metrics"
        finally:
            process.terminate()


def scraped(url):
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                text = answer.read().decode()
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(family):
    return {(sample.labels["node"], sample.labels["result"]): sample.value for sample in family.samples}


WANTED = {(node, result): n for node, counts in COUNTS.items() for result, n in zip(RESULTS, counts, strict=True)}


def test_node_exporter_shows_the_values_of_sysfs(sysfs, tmp_path):
    folder = tmp_path / "textfile"
    folder.mkdir()
    with node_exporter(folder) as url:
        done = run(sysfs, folder)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        found = scraped(url)
        (family,) = (family for name, family in found.items() if family.samples and family.samples[0].name == NAME)
        assert values(family) == WANTED
        assert (family.type, family.documentation) == FAMILIES[NAME]
        assert found["node_textfile_scrape_error"].samples[0].value == 0
        for result in RESULTS:
            (sysfs / "devices/system/node/node0/memory_failure" / result).write_text("50\n")
        run(sysfs, folder)
        again = next(f for f in scraped(url).values() if f.samples and f.samples[0].name == NAME)
    assert {key for key, n in values(again).items() if n == 50} == {("0", result) for result in RESULTS}
    assert [path.name for path in folder.iterdir()] == ["memory_failure.prom"]


def test_the_sum_over_results_is_the_total_of_the_kernel(sysfs):
    for node in COUNTS:
        lines = [line for line in run(sysfs).stdout.splitlines() if f'node="{node}"' in line]
        total = (sysfs / f"devices/system/node/node{node}/memory_failure/total").read_text()
        assert sum(int(line.split()[1]) for line in lines) == int(total)


def test_kernels_that_do_not_count_are_told_and_the_collector_takes_the_file(tmp_path):
    folder = tmp_path / "textfile"
    folder.mkdir()
    done = run(tmp_path / "nothing", folder)
    assert done.returncode == 0
    assert "this kernel does not count (6.3 and later do)" in done.stderr
    with node_exporter(folder) as url:
        found = scraped(url)
    assert found["node_textfile_scrape_error"].samples[0].value == 0
    assert not [sample for family in found.values() for sample in family.samples if sample.name == NAME]


def test_what_holds_no_number_is_passed_over(sysfs):
    folder = sysfs / "devices/system/node/node0/memory_failure"
    (folder / "failed").write_text("x\n")
    (folder / "ignored").unlink()
    (folder / "delayed").write_text("")
    done = run(sysfs)
    assert done.returncode == 0
    assert re.findall(r'node="0",result="(\w+)"', done.stdout) == ["recovered"]


def test_a_file_that_cannot_be_written_leaves_the_one_before(sysfs, tmp_path):
    folder = tmp_path / "textfile"
    folder.mkdir()
    run(sysfs, folder)
    before = (folder / "memory_failure.prom").read_bytes()
    limited = 'ulimit -f 0; trap "" XFSZ; exec sh "$@"'
    done = subprocess.run(
        ["sh", "-c", limited, "sh", str(SCRIPT), str(folder)],
        env={"SYSFS": str(sysfs), "PATH": "/bin:/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    assert (folder / "memory_failure.prom").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["memory_failure.prom"]


def test_a_folder_that_is_not_there_is_a_message(sysfs, tmp_path):
    done = run(sysfs, tmp_path / "no")
    assert done.returncode == 1
    assert f"{tmp_path / 'no'}: no such folder, expected that of --collector.textfile.directory" in done.stderr


@pytest.mark.parametrize("shell", [name for name in ("dash", "bash", "busybox") if shutil.which(name)])
def test_shells_agree(sysfs, shell):
    if shell == "busybox":
        done = subprocess.run(
            ["busybox", "sh", str(SCRIPT)], env={"SYSFS": str(sysfs)}, capture_output=True, text=True, check=True
        )
    else:
        done = run(sysfs, shell=shell)
    assert done.stdout == run(sysfs).stdout
    assert done.stdout.count(NAME) == 2 + len(WANTED)


def test_shellcheck_finds_nothing():
    words = [str(program("shellcheck")), "--shell=sh", str(SCRIPT)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
