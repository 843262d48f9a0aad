"""Real readers of /sys and /proc see on an exported host what ``serve`` shows of it."""

import os
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from analysis import open_run
from analysis.hosts.changes import CORRECTED, UNCORRECTED, HostCounter, changes
from analysis.hosts.counters import HostState, state_at
from analysis.hosts.lives import lives
from fleet.cli import main
from node_sim.units import NS_PER_DAY
from tests.debian import program, tree_of
from tests.living import KINDS, fleet_of, living_run, pages_at, samples_of
from tests.ports import free_port

LAYOUTS = ("legacy", "dimm", "none")
NODES = 24
COLLECTORS = ("edac", "meminfo", "stat", "time", "uname")
OWN_OF_MACHINE = ("node_time_seconds", "node_uname_info")
"""Families that node_exporter takes from the machine that it runs on, not from files."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("sysfs") / "run"
    living_run(root, NODES)
    return root


@pytest.fixture(scope="module")
def fleet(root):
    return fleet_of(open_run(root))


@pytest.fixture(scope="module")
def moments(root, fleet):
    """By kind of host a node and a day at which it shows most: uncorrected errors and bad pages, if any does."""
    run, most = open_run(root), {}
    for node, life in lives(run, fleet.arm):
        kind = fleet.hosts.kind(node)
        state = HostState(changes(life, kind, run.plan["seed"]))
        for day in range(1, 365, 4):
            state.advance(day * NS_PER_DAY)
            if state.is_up(day * NS_PER_DAY):
                shows = (len({one.what for one in state.counts}), len(state.counts), node, day)
                most[kind.reporting] = max(shows, most.get(kind.reporting, shows))
    assert set(most) == set(KINDS)
    return {name: one[2:] for name, one in most.items()}


def export(root, out, node, day, *more, code=0):
    words = ["export", "edac-sysfs", root, "--node", node, "--at", f"{day}d", "-o", out, *more]
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.stderr


def exported_by_node_exporter(tree: Path):
    """The samples of Debian's node_exporter on a tree."""
    address = f"127.0.0.1:{free_port()}"
    words = [program("prometheus-node-exporter"), f"--path.sysfs={tree / 'sys'}", f"--path.procfs={tree / 'proc'}"]
    words += [
        "--collector.disable-defaults",
        f"--web.listen-address={address}",
        *(f"--collector.{c}" for c in COLLECTORS),
    ]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        until_s = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
                    return samples_of(answer.read().decode())
            except OSError:
                assert time.monotonic() < until_s
                assert process.poll() is None, process.communicate()
                time.sleep(0.05)
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_node_exporter_reads_what_serve_shows(root, fleet, moments, tmp_path, kind, layout):
    node, day = moments[kind]
    export(root, tmp_path / "tree", node, day, "--layout", layout)
    theirs = exported_by_node_exporter(tmp_path / "tree")
    ours = samples_of(pages_at(fleet, day * NS_PER_DAY, layout).answer(f"/nodes/{node}/metrics", "").body)
    families = {name for name, _ in ours if name.startswith("node_") and name not in OWN_OF_MACHINE}
    assert {key: value for key, value in theirs.items() if key[0] in families} == {
        key: value for key, value in ours.items() if key[0] in families
    }
    assert {name for name, _ in theirs if "edac" in name} == {name for name, _ in ours if "edac" in name}
    shown = {name for (name, _), value in ours.items() if value}
    assert ("node_edac_correctable_errors_total" in shown) == (layout != "none")
    assert ("node_edac_csrow_correctable_errors_total" in shown) == (layout == "legacy")


def test_counters_per_numa_node_are_files_where_the_kernel_has_them(root, fleet, moments, tmp_path):
    for kind in ("intel", "amd"):  # 6.1 and 6.12
        node, day = moments[kind]
        export(root, tmp_path / kind, node, day)
    assert list((tmp_path / "intel").rglob("memory_failure")) == []
    node, day = moments["amd"]
    ours = samples_of(pages_at(fleet, day * NS_PER_DAY).answer(f"/nodes/{node}/metrics", "").body)
    shown = {key: value for key, value in ours.items() if key[0] == "hwpoison_node_memory_failures_total"}
    assert sum(shown.values()) > 0
    for (_, labels), value in shown.items():
        where = dict(labels)
        folder = tmp_path / "amd/sys/devices/system/node" / f"node{where['node']}" / "memory_failure"
        assert (folder / where["result"]).read_text() == f"{value:.0f}\n"
    totals = [int(path.read_text()) for path in (tmp_path / "amd").rglob("memory_failure/total")]
    assert (len(totals), sum(totals)) == (2, sum(shown.values()))


def ras_mc_ctl(tree: Path, tmp_path: Path, option: str) -> list[str]:
    """What Debian's ras-mc-ctl prints where a tree is mounted; it asks for modprobe, and does not use it for this."""
    root = tree_of("rasdaemon")
    (tmp_path / "bin").mkdir(exist_ok=True)
    stand_in = tmp_path / "bin" / "modprobe"
    if not stand_in.exists():
        stand_in.symlink_to("/bin/true")
    libraries = [*root.glob("usr/share/perl5"), *root.glob("usr/share/perl/5.*.*"), *root.glob("usr/lib/*/perl*/5.*")]
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}:{root / 'usr/sbin'}:{os.environ['PATH']}",
        "PERL5LIB": ":".join(map(str, libraries)),
        "LC_ALL": "C",
    }
    script = (
        f"mount --bind {tree}/sys/devices/system /sys/devices/system && exec perl {root}/usr/sbin/ras-mc-ctl {option}"
    )
    namespace = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    done = subprocess.run(
        [*namespace, "sh", "-c", script], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("layout", ["legacy", "dimm"])
@pytest.mark.parametrize("kind", ["intel", "amd"])
def test_ras_mc_ctl_counts_every_dimm_as_the_rows_do(root, fleet, moments, tmp_path, kind, layout):
    node, day = moments[kind]
    export(root, tmp_path / "tree", node, day, "--layout", layout)
    run = open_run(root)
    host = fleet.hosts.kind(node)
    life = next(life for one, life in lives(run, fleet.arm, [node]))
    counts = state_at(changes(life, host, run.plan["seed"]), day * NS_PER_DAY).counts
    expected = {}
    for place in map(host.place, range(host.dimms)):
        of = (place.controller, place.channel, place.csrow)
        expected[place.label] = tuple(counts[HostCounter(what, *of)] for what in (CORRECTED, UNCORRECTED))
    head, *lines = ras_mc_ctl(tmp_path / "tree", tmp_path, "--error-count")
    assert head.split() == ["Label", "CE", "UE"]
    found = {label.strip(): (int(ce), int(ue)) for label, ce, ue in (line.split("\t") for line in lines)}
    assert found == expected
    assert sum(map(sum, found.values())) > 0
    layout_text = "\n".join(ras_mc_ctl(tmp_path / "tree", tmp_path, "--layout"))
    assert layout_text.count(f"{host.dimm_bytes >> 20} MB") == host.dimms


# ---- refusals ----------------------------------------------------------------------------------------------------


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(root, tmp_path):
    out = tmp_path / "out"
    assert "--node 24: expected 0 to 23" in export(root, out, NODES, 1, code=2)
    assert "not within the run" in export(root, out, 0, 366, code=2)
    assert "arm 'x', expected one of" in export(root, out, 0, 1, "--arm", "x", code=2)
    assert "in the folder of the run" in export(root, root / "out", 0, 1, code=2)
    assert list(tmp_path.iterdir()) == []
    run = open_run(root)
    down = next(row for row in run.table("lifecycle").to_pylist() if row["kind"] == "panic")
    middle_day = (down["time_ns"] + down["end_ns"]) / 2 / NS_PER_DAY
    assert f"sim-{down['node_id']:05d} is down" in export(root, out, down["node_id"], repr(middle_day), code=2)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(root, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "empty").mkdir()
    for name in ("file", "full", "link"):
        assert "is there, expected a new folder or an empty one" in export(root, tmp_path / name, 0, 1, code=2)
    assert "File exists" in export(root, tmp_path / "file" / "below", 0, 1, code=2)
    export(root, tmp_path / "empty", 0, 1)
    export(root, tmp_path / "new" / "deep", 0, 1)
    assert (tmp_path / "full" / "kept").read_text() == (tmp_path / "file").read_text() == "mine"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["empty", "file", "full", "link", "new"]
