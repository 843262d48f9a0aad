"""A run whose folder is damaged is refused or mended; no command ever prints another number."""

import contextlib
import functools
import json
import os
import random
import shutil
import signal

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import fleet.engines.processes
from analysis import open_run
from fleet.cli import main
from fleet.engines.choice import EngineChoice
from fleet.run import resume_run
from fleet.scenario.decode import decode
from fleet.stored.manifest import checksum_bytes, seal
from node_sim.errors import DataError
from tests.damages import FOREIGN, Scene, damage, links_kept, tree
from tests.fleets import busy_document, run_fleet

IN_MAKE_TEST, LONG = range(50), range(50, 700)
SECONDS_MAX = 60
READS = (("summary",), ("compare",), ("compare", "--baseline", "early_kill"))


def small(**changes):
    """Two arms whose rows are the same, so that their parts are hard links, and one with others."""
    document = busy_document(6, 50.0) | {"arm": {"default": {}, "same=1": {}}}
    document["arm"]["early_kill"] = {"set": {"kernel.memory_failure_early_kill": 1}}
    return decode("test", document | changes)


@pytest.fixture(scope="module", autouse=True)
def _simulated_once():
    """Rows are a function of scenario, seed and shard, so each shard is simulated once: files are what is tested."""
    simulate, known = fleet.engines.processes.run_shard, {}

    @functools.wraps(simulate)
    def once(scenario, seed, shard):
        key = scenario.sha256(), seed, shard
        if key not in known:
            known[key] = list(simulate(scenario, seed, shard))
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fleet.engines.processes, "run_shard", once)
        yield


@contextlib.contextmanager
def in_time():
    """Nobody waits for a FIFO, nor reads a device to its end: SIGALRM would end the tests."""
    signal.alarm(SECONDS_MAX)
    try:
        yield
    finally:
        signal.alarm(0)


def call(*words):
    with in_time():
        done = CliRunner().invoke(main, list(map(str, words)))
    assert isinstance(done.exception, SystemExit | None), done.exc_info
    return done


def resume(root):
    return call("resume", root, "--workers", "1")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The run, one that was killed before its end, and others: the same once more, another seed, another scenario."""
    folder = tmp_path_factory.mktemp("runs")
    run_fleet(small(), folder / "whole", shard_nodes=2)
    run_fleet(small(), folder / "twin", shard_nodes=2)
    run_fleet(small(), folder / "other seed", seed=2, shard_nodes=2)
    run_fleet(small(years=2.0), folder / "other scenario", shard_nodes=2)
    links_kept(folder / "whole", folder / "killed")
    (folder / "killed" / "run.json").unlink()
    (folder / "killed" / "commit" / "000002.json").unlink()
    return folder


@pytest.fixture(params=["whole", "killed"])
def root(runs, tmp_path, request):
    return links_kept(runs / request.param, tmp_path / "run")


@pytest.fixture
def whole(runs, tmp_path):
    return links_kept(runs / "whole", tmp_path / "run")


@pytest.fixture(scope="module")
def truth(runs):
    """What the commands print about the whole run, and what it sums up to."""
    return {command: call(*command, runs / "whole").stdout for command in READS}, sums(runs / "whole")


def sums(root):
    run = open_run(root)
    assert run.digests() == run.manifest["digests"]
    return run.manifest["digests"], run.manifest["tally"]


def check_mended(root, truth):
    """Rows, sums and what is printed are those of the undamaged run."""
    expected, counted = truth
    assert sums(root) == counted
    for command in READS:
        read = call(*command, root)
        assert (read.exit_code, read.stdout) == (0, expected[command])


def check_refused(root, *commands):
    """All commands refuse the run with exit code 4 and change nothing."""
    before = tree(root)
    for command in commands or (("summary",), ("compare",), ("resume", "--workers", "1")):
        done = call(*command, root)
        assert (done.exit_code, done.stdout) == (4, ""), command
        assert "error: " in done.stderr
    assert tree(root) == before


def parts_of(root, pattern="*/arm=*"):
    return sorted(root.glob(f"{pattern}/*.parquet"))


def shard_0(root, pattern="errors/arm=early_kill"):
    return next(path for path in parts_of(root, pattern) if path.name.startswith("shard-000000"))


@pytest.mark.parametrize("other", ["other seed", "other scenario"])
@pytest.mark.parametrize("what", ["plan.json", "run.json", "commit/000000.json", "commit"])
def test_two_runs_mixed_are_refused(runs, root, what, other):
    if (root / what).is_dir():
        shutil.rmtree(root / what)
        shutil.copytree(runs / other / what, root / what)
    else:
        shutil.copy(runs / other / what, root / what)
    check_refused(root)


def cut(path):
    os.truncate(path, path.stat().st_size - 1)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [(os.unlink, "missing"), (cut, "bytes, expected"), (flip, "altered"), (os.mkfifo, "not a regular")],
)
def test_a_part_that_is_lost_cut_altered_or_no_file_is_named_and_made_again(root, truth, spoil, says):
    path = shard_0(root)
    if spoil is os.mkfifo:
        path.unlink()
    spoil(path)
    check_refused(root, ("summary",), ("compare",))
    done = resume(root)
    assert done.exit_code == 0, done.stderr
    line = next(line for line in done.stderr.splitlines() if line.startswith("mending: shard 0: "))
    assert path.relative_to(root).as_posix() in line
    assert says in line
    check_mended(root, truth)


def test_a_byte_altered_through_a_hard_link_is_seen_in_both_arms(whole, truth):
    path = shard_0(whole, "errors/arm=same%3D1")
    assert path.samefile(shard_0(whole, "errors/arm=default"))
    flip(path)
    assert "and 1 other part" in resume(whole).stderr
    check_mended(whole, truth)


def test_all_parts_lost_are_made_again(root, truth):
    for path in parts_of(root):
        path.unlink()
    assert resume(root).exit_code == 0
    check_mended(root, truth)


@pytest.mark.parametrize("lost", ["commit/000000.json", "commit"])
def test_commits_that_are_lost_are_made_again(root, truth, lost):
    shutil.rmtree(root / lost) if lost == "commit" else (root / lost).unlink()
    assert resume(root).exit_code == 0
    check_mended(root, truth)


def test_mending_that_was_cut_off_goes_on(whole, truth):
    shard_0(whole).unlink()
    manifest = (whole / "run.json").read_bytes()
    assert resume(whole).exit_code == 0
    (whole / "run.json").write_bytes(manifest)
    check_refused(whole, ("summary",))
    assert "newer than run.json" in resume(whole).stderr
    check_mended(whole, truth)


def reseal(path, change):
    document = json.loads(path.read_text())
    document.pop("seal")
    change(document)
    path.write_text(json.dumps(seal(document)))
    return document


def test_a_shard_that_comes_out_otherwise_is_not_committed(root):
    """As if another version had made the run."""
    reseal(root / "commit" / "000000.json", lambda d: d["digests"]["default"].update(errors="1" * 32))
    if (root / "run.json").exists():
        (root / "run.json").unlink()
    shard_0(root).unlink()
    commit = (root / "commit" / "000000.json").read_bytes()
    done = resume(root)
    assert (done.exit_code, done.stdout) == (4, "")
    assert "not those that were committed" in done.stderr
    assert (root / "commit" / "000000.json").read_bytes() == commit
    assert not (root / "run.json").exists()


def test_a_lost_commit_whose_shard_comes_out_otherwise_is_noticed_by_run_json(whole):
    (whole / "commit" / "000000.json").unlink()
    reseal(whole / "run.json", lambda d: d["digests"]["default"].update(errors="1" * 32))
    done = resume(whole)
    assert (done.exit_code, done.stdout) == (4, "")
    assert "other digests" in done.stderr


def test_resume_deletes_its_own_strays_and_nothing_else(root, truth):
    own = shard_0(root)
    stray = own.with_name("shard-000000-0123456789ab-7.parquet")
    temporary = root / "commit" / f".hwpoison-fleet-{'0' * 32}.tmp"
    foreign = [root / name for name in (*FOREIGN, ".plan.json.123.tmp", "commit/.hwpoison-fleet-1.tmp")]
    for path in (stray, temporary, *foreign):
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("precious")
    link = own.with_name("shard-000000-0123456789ab-8.parquet")
    link.symlink_to(root / "notes.txt")
    own.unlink()
    assert resume(root).exit_code == 0
    assert not stray.exists()
    assert not temporary.exists()
    assert [path.read_text() for path in (*foreign, link)] == ["precious"] * (len(foreign) + 1)
    check_mended(root, truth)


@pytest.mark.parametrize("folder", ["errors/arm=early_kill", "errors/arm=same%3D1", "errors", "commit"])
def test_nothing_is_read_or_deleted_through_links_inside_a_run(root, tmp_path, folder):
    outside = tmp_path / "outside"
    shutil.move(root / folder, outside)
    (root / folder).symlink_to(outside)
    before = tree(outside)
    check_refused(root)
    assert tree(outside) == before


def test_the_folder_itself_may_be_reached_through_a_link(root, tmp_path, truth):
    (tmp_path / "link").symlink_to(root)
    shard_0(root).unlink()
    assert resume(tmp_path / "link").exit_code == 0
    check_mended(tmp_path / "link", truth)


def test_the_lock_keeps_what_it_is_or_points_to(root, tmp_path, truth):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (root / ".lock").unlink()
    (root / ".lock").symlink_to(precious)
    shard_0(root).unlink()
    check_refused(root, ("resume", "--workers", "1"))
    assert precious.read_text() == "precious"
    (root / ".lock").unlink()
    os.link(precious, root / ".lock")
    assert resume(root).exit_code == 0
    assert precious.read_text() == "precious"
    check_mended(root, truth)


def test_a_part_with_other_rows_than_committed_is_refused_before_it_is_read(whole, monkeypatch):
    """What is believed of its size is the commit, whose seal and checksum a forger has set anew."""
    path = shard_0(whole)
    name, table = path.relative_to(whole).as_posix(), pq.read_table(path, partitioning=None)
    pq.write_table(table.take([0] * 1000), path, store_schema=True)

    def forge(commit):
        part = next(part for part in commit["parts"] if part["path"] == name)
        part.update(size_bytes=path.stat().st_size, checksum=checksum_bytes(path.read_bytes()))

    inner = {k: v for k, v in reseal(whole / "commit/000000.json", forge).items() if k not in ("seal", "plan_sha256")}
    sha256 = seal(inner)["seal"]
    reseal(whole / "run.json", lambda d: d["commits"].update({"0": sha256}))
    run = open_run(whole)
    monkeypatch.setattr(pq, "read_table", lambda *_args, **_options: pytest.fail("it was read"))
    with pytest.raises(DataError, match=f"1000 rows, expected {table.num_rows}"):
        run.read_part(next(part for part in run.parts if part.path == name))


@pytest.mark.parametrize("path", ["../precious", "errors/arm=default/../../../x", "/etc/passwd", "commit/000002.json"])
def test_a_commit_that_names_files_elsewhere_is_refused(whole, path):
    reseal(whole / "commit/000000.json", lambda d: d["parts"][0].update(path=path))
    check_refused(whole)


@pytest.mark.parametrize("content", ["[" * 10**6, '{"seed": ' + "1" * 10**5 + "}", "{}", "[]", "\x00", '{"seal": NaN}'])
@pytest.mark.parametrize("name", ["plan.json", "run.json", "commit/000000.json"])
def test_a_document_that_is_none_is_refused(root, name, content):
    (root / name).write_text(content)
    check_refused(root)


def test_parts_and_folders_are_on_disk_before_the_commit_that_names_them(tmp_path, monkeypatch):
    synced, at_commit = set(), {}
    fsync, replace = os.fsync, os.replace

    def record_sync(descriptor):
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def record_replace(source, target, **folders):
        replace(source, target, **folders)
        at_commit[target] = set(synced)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "replace", record_replace)
    run_fleet(small(), tmp_path / "a" / "run", shard_nodes=2)
    run = open_run(tmp_path / "a" / "run")
    for receipt in run.receipts:
        paths = [run.path / part.path for part in receipt.parts]
        needed = {*paths, *(path.parent for path in paths), *(path.parent.parent for path in paths), run.path}
        known = at_commit[f"{receipt.shard.shard_id:06d}.json"]
        assert {str(path) for path in needed if path.stat().st_ino not in known} == set()
    assert {path.stat().st_ino for path in (run.path / "commit", run.path.parent, tmp_path)} <= synced


CASES = [pytest.param(number, marks=[pytest.mark.long] if number in LONG else []) for number in (*IN_MAKE_TEST, *LONG)]


@pytest.mark.parametrize("number", CASES)
def test_a_run_damaged_at_random_is_refused_or_mended_and_never_prints_another_number(runs, truth, tmp_path, number):
    draw = random.Random(number)
    base = draw.choice(("whole", "killed"))
    root, outside = links_kept(runs / base, tmp_path / "run"), tmp_path / "outside"
    outside.mkdir()
    scene = Scene(root, tuple(runs / name for name in ("twin", "other seed", "other scenario")), outside, draw)
    # Two at most: by three, a folder can become that of another run as a whole.
    for done in damage(scene, number, draw.choice((1, 2)) if base == "whole" else 1):
        print(f"seed {number}, {base}: {done}")
    check_refused_or_mended(root, outside, truth, draw)


def check_read(root, command, expected):
    """A command that reads the run prints what it did before the damage, or refuses."""
    done = call(*command, root)
    assert (done.exit_code, done.stdout) in {(0, expected[command]), (4, "")}, command


def check_refused_or_mended(root, outside, truth, draw):
    expected, counted = truth
    check_read(root, draw.choice(READS), expected)
    before, elsewhere = tree(root), tree(outside)
    done = resume(root)
    print(done.exit_code, done.stderr)
    after = tree(root)
    assert tree(outside) == elsewhere
    assert {name: after.get(name) for name in FOREIGN} == {name: before.get(name) for name in FOREIGN}
    command = draw.choice(READS)
    if done.exit_code == 4:
        assert done.stdout == ""
        assert after == before
        check_read(root, command, expected)
        return
    assert done.exit_code == 0, done.stderr
    assert sums(root) == counted
    read = call(*command, root)
    assert (read.exit_code, read.stdout) == (0, expected[command])


def test_resume_of_a_finished_run_reads_all_and_writes_nothing(whole):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    resume_run(whole, EngineChoice(workers=1), lambda _receipt: None, pytest.fail)
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before
