"""A run in an object store has the rows of one in a folder, and is refused or mended as that is."""

import itertools
import json
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from click.testing import CliRunner

import fleet.engines.processes
import fleet.run
from analysis import open_run
from fleet.cli import main
from fleet.scenario.decode import decode
from fleet.stored import lease
from fleet.stored.layout import encoded
from fleet.stored.store import open_store
from fleet.stored.views import views_sql
from node_sim.errors import ConfigError, ExecutionError, ModelError
from tests.damages import tree
from tests.fleets import busy_document, run_fleet
from tests.s3_server import BUCKET, FULL, SECRET, WRONG_KEY, s3_server

SMALL = ("--nodes", "20", "--shard-nodes", "10", "--arm", "default", "--set", "faults.fit_factor=30.0")
READS = (("summary",), ("compare",), ("replay", "--node", "3"))
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def server():
    with s3_server() as started:
        yield started


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """A lease is renewed so often that others see it soon."""
    monkeypatch.setattr(lease, "RENEW_S", 0.3)


def call(*words):
    done = CliRunner().invoke(main, list(map(str, words)))
    assert isinstance(done.exception, SystemExit | None), done.exc_info
    assert SECRET not in done.output
    return done


def small():
    """Two arms whose rows are the same, so that their parts are copies, and one with others."""
    document = busy_document(4, 50.0) | {"arm": {"default": {}, "same=1": {}}}
    document["arm"]["early_kill"] = {"set": {"kernel.memory_failure_early_kill": 1}}
    return decode("test", document)


def printed(root):
    return {command: call(*command, root).stdout for command in READS}


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """The run in a folder: what commands print about it, and its digests."""
    root = tmp_path_factory.mktemp("folder") / "run"
    run_fleet(small(), root, shard_nodes=2)
    return printed(root), open_run(root).digests()


@pytest.fixture(scope="module")
def stored(server):
    """Its like in the store, not to be touched."""
    run_fleet(small(), f"s3://{BUCKET}/whole", shard_nodes=2)
    assert "run.json" in server.objects("whole")
    return "whole"


@pytest.fixture
def name():
    """A name for a run that no other test has."""
    return f"run-{next(NUMBERS)}"


def check_whole(root, truth):
    prints, digests = truth
    run = open_run(root)
    assert run.digests() == run.manifest["digests"] == digests
    assert call("summary", root).stdout == prints["summary",]


def test_rows_and_prints_are_those_of_a_folder(server, stored, truth):
    check_whole(f"s3://{BUCKET}/{stored}", truth)
    assert printed(f"s3://{BUCKET}/{stored}") == truth[0]
    assert open_run(f"s3://{BUCKET}/{stored}").manifest["engine"]["lock"] == "lease"
    objects = server.objects(stored)
    assert not [name for name in objects if lease.LEASE.search(name)]
    assert not [name for name, content in objects.items() if SECRET.encode() in content]


def test_views_datasets_and_exports_are_those_of_a_folder(server, stored, truth, tmp_path, name):
    run = open_run(f"s3://{BUCKET}/{stored}")
    assert server.objects(stored)["views.sql"].decode() == views_sql(run.plan, run.parts)
    assert f"'arm={encoded('same=1')}/shard-" in server.objects(stored)["views.sql"].decode()
    for arm in run.arms:
        assert run.dataset("errors", arm).to_table().equals(run.table("errors", arm))
    done = call("export", "parquet", f"s3://{BUCKET}/{stored}", "-o", tmp_path / "out", "--table", "errors")
    rows = sum(run.table("errors", arm).num_rows for arm in run.arms)
    assert done.stdout == f"{tmp_path}/out/errors.parquet: {rows:,} rows\n"
    root = server.copy(stored, name)
    server.put(name, "views.sql", b"select 1")
    assert "views.sql: altered" in call("summary", root).stderr
    assert "mending: views.sql: altered" in call("resume", root, "--workers", "1").stderr
    check_whole(root, truth)


def test_endpoint_and_region_may_stand_in_the_url(server, stored, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    where = f"s3://{BUCKET}/{stored}?scheme=http&region=us-east-1&endpoint_override={server.endpoint[7:]}"
    assert call("summary", where).exit_code == 0


def a_part(server, run, pattern=r"errors/arm=early_kill/shard-000000-.*"):
    return next(path for path in server.objects(run) if re.fullmatch(pattern, path))


def cut(content):
    return content[:-1]


def flip(content):
    return content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 1]) + content[len(content) // 2 + 1 :]


@pytest.mark.parametrize(
    ("spoil", "says", "finished"),
    [
        (None, "missing", True),
        (cut, "bytes, expected", False),
        (flip, "altered", True),
        (lambda _: b"", "0 bytes", False),
    ],
)
def test_an_object_that_is_lost_cut_or_altered_is_named_and_made_again(
    server, stored, truth, name, spoil, says, finished
):
    root, path = server.copy(stored, name), a_part(server, stored)
    if not finished:
        server.delete(name, "run.json")
        server.delete(name, "commit/000001.json")
    content = server.objects(stored)[path]
    server.delete(name, path) if spoil is None else server.put(name, path, spoil(content))
    before = server.objects(name)
    refused = call("summary", root)
    assert (refused.exit_code, refused.stdout) == (4, "")
    assert server.objects(name) == before
    done = call("resume", root, "--workers", "1")
    assert done.exit_code == 0, done.stderr
    line = next(line for line in done.stderr.splitlines() if line.startswith("mending: shard 0: "))
    assert path in line
    assert says in line
    check_whole(root, truth)


def test_a_commit_that_is_lost_is_made_again(server, stored, truth, name):
    root = server.copy(stored, name)
    server.delete(name, "commit/000001.json")
    assert call("summary", root).exit_code == 4
    assert call("resume", root, "--workers", "1").exit_code == 0
    check_whole(root, truth)


@pytest.mark.parametrize("altered", ["plan.json", "run.json", "commit/000001.json"])
def test_a_document_that_was_altered_is_refused(server, stored, name, altered):
    root = server.copy(stored, name)
    server.put(name, altered, server.objects(name)[altered].replace(b"e", b"f", 1))
    before = server.objects(name)
    for command in (("summary",), ("resume", "--workers", "1")):
        assert call(*command, root).exit_code == 4
    assert server.objects(name) == before


def test_resume_deletes_strays_and_nothing_else(server, stored, truth, name):
    root, own = server.copy(stored, name), a_part(server, stored)
    stray = f"{own[: own.index('shard')]}shard-000000-0123456789ab-7.parquet"
    foreign = ("notes.txt", "errors/arm=default/x.parquet", "commit/notes.json", "mine/arm=default/x.parquet")
    for path in (stray, *foreign):
        server.put(name, path, b"precious")
    server.delete(name, own)
    assert call("resume", root, "--workers", "1").exit_code == 0
    after = server.objects(name)
    assert stray not in after
    assert [after[path] for path in foreign] == [b"precious"] * len(foreign)
    check_whole(root, truth)


def test_a_killed_driver_leaves_a_run_that_resumes_to_the_same_rows(server, tmp_path, name):
    options = ("--nodes", "40", *SMALL[2:], "--workers", "2")
    program = (sys.executable, "-c", "from fleet.cli import main; main()")
    process = subprocess.Popen([*program, "run", "-o", f"s3://{BUCKET}/{name}", *options], stdout=subprocess.DEVNULL)
    while not any(path.startswith("commit/") for path in server.objects(name)):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = server.objects(name)
    assert "run.json" not in left
    assert [path for path in left if lease.LEASE.fullmatch(path)]
    server.age(name, lease.LEASE.pattern)
    done = call("resume", f"s3://{BUCKET}/{name}", "--workers", "1")
    assert done.exit_code == 0, done.stderr
    assert call("run", "-o", tmp_path / "run", *options[:-1], "1").exit_code == 0
    run = open_run(f"s3://{BUCKET}/{name}")
    assert run.digests() == open_run(tmp_path / "run").digests()
    objects = server.objects(name)
    assert {path for path in objects if path.endswith(".parquet")} == {part.path for part in run.parts}
    assert not [path for path in objects if lease.LEASE.fullmatch(path)]


def test_a_second_writer_is_refused_while_the_first_one_lives(server, stored, name):
    root = server.copy(stored, name)
    server.delete(name, "run.json")
    with open_store(root).locked():
        before = server.objects(name)
        done = call("resume", root, "--workers", "1")
        after = server.objects(name)
        assert (done.exit_code, done.stdout) == (2, "")
        assert re.search(r"another process \(process \d+ on .+\) is writing this run", done.stderr)
        assert after.pop("", b"") == before.pop("", b"") == b""  # what pyarrow puts where it deletes
        assert after == before
    assert call("resume", root, "--workers", "1").exit_code == 0


def test_of_two_that_start_at_once_at_most_one_writes(server, stored, name):
    root = server.copy(stored, name)
    inside, refused, gate = [], [], threading.Barrier(3)

    def write():
        gate.wait()
        try:
            with open_store(root).locked():
                inside.append(1)
                time.sleep(3.0)
        except ConfigError:
            refused.append(1)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(inside) <= 1
    assert len(inside) + len(refused) == 3


def test_a_writer_that_stood_still_writes_and_deletes_nothing_after_another_took_over(
    server, stored, name, monkeypatch
):
    first, second = (open_store(server.copy(stored, name)) for _ in range(2))
    path = a_part(server, stored)
    monkeypatch.setattr(lease, "RENEW_S", 60.0)

    def stand_still():
        server.age(name, lease.LEASE.pattern)
        return second.locked()

    with first.locked(), stand_still():
        before = server.objects(name)
        for forbidden in (lambda: first.replace("commit/000000.json", b"{}"), lambda: first.remove(path)):
            with pytest.raises(ExecutionError, match="lease of this process ran out"):
                forbidden()
        assert server.objects(name) == before
        second.replace("commit/000000.json", b"{}")
    assert server.objects(name)["commit/000000.json"] == b"{}"


def test_a_lease_that_was_not_renewed_in_time_is_none(server, stored, name, monkeypatch):
    root = open_store(server.copy(stored, name))
    monkeypatch.setattr(lease, "RENEW_S", 60.0)
    with root.locked():
        later = lease._now_s() + lease.LEASE_S
        monkeypatch.setattr(lease, "_now_s", lambda: later)
        with pytest.raises(ExecutionError, match="ran out"):
            root.replace("run.json", b"{}")


def test_a_run_begins_only_where_no_other_began_meanwhile(server, stored, name):
    root = open_store(f"s3://{BUCKET}/{name}")
    root.prepare()
    server.copy(stored, name)
    with pytest.raises(ConfigError, match="not empty"), root.locked():
        pytest.fail("it began")
    done = call("run", "-o", root, *SMALL, "--workers", "1")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "not empty" in done.stderr


@pytest.fixture
def nothing_simulated(monkeypatch):
    monkeypatch.setattr(fleet.engines.processes, "run_shard", lambda *_: pytest.fail("it was simulated"))


def any_request(_method, _path, _query):
    return True


def check_no_store(url, says):
    for command in (("run", *SMALL, "--workers", "1", "-o"), ("resume", "--workers", "1"), ("summary",)):
        done = call(*command, url)
        assert (done.exit_code, done.stdout) == (2, ""), command
        errors = [line for line in done.stderr.splitlines() if not line.startswith("notice: ")]
        assert len(errors) == 1
        assert says in errors[0]


@pytest.mark.usefixtures("server", "nothing_simulated")
def test_a_wrong_bucket_is_refused_before_anything_is_simulated():
    check_no_store("s3://no-such-bucket/run", "no bucket no-such-bucket")


@pytest.mark.usefixtures("nothing_simulated")
def test_wrong_credentials_are_refused_before_anything_is_simulated(server, name):
    with server.failing(any_request, WRONG_KEY):
        check_no_store(f"s3://{BUCKET}/{name}", "the store refuses these credentials")


@pytest.mark.usefixtures("nothing_simulated")
def test_a_store_that_does_not_answer_is_refused_before_anything_is_simulated(name):
    where = f"s3://{BUCKET}/{name}?scheme=http&region=x&endpoint_override=127.0.0.1:9"
    done = call("run", *SMALL, "--workers", "1", "-o", where)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "the store does not answer" in done.stderr


@pytest.mark.usefixtures("nothing_simulated")
def test_a_store_that_is_full_is_noticed_before_anything_is_simulated(server, name):
    with server.failing(lambda method, *_: method == "PUT", FULL):
        done = call("run", *SMALL, "--workers", "1", "-o", f"s3://{BUCKET}/{name}")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "the store is full" in done.stderr
    assert server.objects(name) == {}


@pytest.mark.parametrize(
    "fails",
    [
        lambda method, path, _: method == "PUT" and "shard-000001" in path,
        lambda method, path, _: method == "PUT" and "run.json" in path,
    ],
    ids=["part", "run.json"],
)
def test_a_store_that_becomes_full_ends_the_run_and_resume_completes_it(server, tmp_path, name, fails):
    root = f"s3://{BUCKET}/{name}"
    with server.failing(fails, FULL):
        done = call("run", *SMALL, "--workers", "1", "-o", root)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "the store is full" in done.stderr
    assert "run.json" not in server.objects(name)
    assert call("resume", root, "--workers", "1").exit_code == 0
    assert call("run", *SMALL, "--workers", "1", "-o", tmp_path / "run").exit_code == 0
    assert open_run(root).digests() == open_run(tmp_path / "run").digests()


@pytest.mark.usefixtures("nothing_simulated")
def test_a_store_that_does_not_give_a_part_is_not_a_damage(server, stored, name):
    root = server.copy(stored, name)
    with server.failing(lambda method, path, _: method == "GET" and path.endswith(".parquet"), WRONG_KEY):
        for command in (("summary",), ("resume", "--workers", "1")):
            done = call(*command, root)
            assert (done.exit_code, done.stdout) == (1, "")
            assert "the store refuses these credentials" in done.stderr
    assert server.objects(name) == server.objects(stored)


def test_an_upload_that_was_cut_off_is_no_object(server, name):
    root = open_store(f"s3://{BUCKET}/{name}")
    large = bytes(12 << 20)
    for fails in (
        lambda _m, _p, query: "partNumber=2" in query,
        lambda m, _p, query: m == "POST" and "uploadId" in query,
    ):
        with server.failing(fails, FULL), pytest.raises(OSError, match="the store is full"):
            root.write("errors/arm=default/x.parquet", large)
        assert server.objects(name) == {}
    root.write("errors/arm=default/x.parquet", large)
    assert server.objects(name) == {"errors/arm=default/x.parquet": large}


def test_a_run_that_is_refused_leaves_no_object(server, name, monkeypatch):
    def refuse(_loaded, _plan, root, *_rest):
        root.write("errors/arm=default/shard-000000-0123456789ab-0.parquet", b"rows")
        assert len(server.objects(name)) == 3  # with plan and lease
        message = "node 3: too much work"
        raise ModelError(message)

    monkeypatch.setattr(fleet.run, "_execute", refuse)
    done = call("run", *SMALL, "--workers", "1", "-o", f"s3://{BUCKET}/{name}")
    assert done.exit_code == 2, done.stderr
    assert server.objects(name) == {}


@pytest.mark.usefixtures("server")
def test_a_run_that_is_not_there_is_no_run():
    for command in (("summary",), ("resume", "--workers", "1"), ("replay", "--node", "0")):
        assert call(*command, f"s3://{BUCKET}/nowhere").exit_code == 4


def test_a_file_url_is_the_path(tmp_path, truth):
    root = tmp_path / "a b"
    run_fleet(small(), f"file://{tmp_path}/a%20b", shard_nodes=2)
    check_whole(root, truth)
    for command in READS[:1]:
        assert call(*command, f"file://localhost{tmp_path}/a%20b").stdout == truth[0][command]
    before = tree(root)
    assert call("resume", f"file://{tmp_path}/a%20b").exit_code == 0
    assert tree(root) == before
    assert json.loads(call("summary", "--json", f"file://{tmp_path}/a%20b").stdout)["run"]["path"] == str(root)
