"""Where commands write: names are names, what exists is kept, and what is refused leaves nothing behind."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import fleet.run
from analysis import open_run
from fleet.cli import main
from node_sim.errors import ModelError
from tests.damages import tree
from tests.fleets import BASELINE

SMALL = (
    "--nodes",
    "40",
    "--workers",
    "1",
    "--arm",
    "default",
    "--arm",
    "early_kill",
    "--set",
    "faults.fit_factor=30.0",
)
RECORDED = Path(__file__).parents[2] / "fleet" / "recordings" / "6.1.192.csv"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def call(*words):
    done = CliRunner().invoke(main, list(map(str, words)))
    assert isinstance(done.exception, SystemExit | None), done.exc_info
    return done


def left_behind():
    return sorted(tree(Path.cwd().parent, but=("here",)))


@pytest.fixture(scope="module")
def digests(tmp_path_factory):
    root = tmp_path_factory.mktemp("plain") / "run"
    assert call("run", "-o", root, *SMALL).exit_code == 0
    return open_run(root).digests()


NAMES = ("~", "~root", "s3:x", "file:x", "a b", "-x", "%41", "{x}", "*", "./s3://bucket/x", os.fsdecode(b"\xff\xfe"))


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_folder_is_called_it_is_a_folder_here(digests, name):
    done = call("run", "-o", name, *SMALL)
    assert done.exit_code == 0, done.stderr
    assert Path(name).is_dir()
    assert open_run(name).digests() == digests
    for command in (("summary", "--json"), ("compare",), ("resume",), ("replay", "--node", "0")):
        done = call(*command, "--", name)
        assert done.exit_code == 0, done.stderr
    assert {path.parts[0] for path in Path().rglob("*")} == {Path(name).parts[0]}


LONG = pytest.mark.long


@pytest.mark.parametrize("name", [pytest.param("~", marks=LONG), pytest.param("a b", marks=LONG), "-x", "$HOME"])
def test_the_suggested_commands_can_be_typed_for_any_name(name):
    text = call("run", "-o", name, *SMALL).stdout
    line = next(line for line in text.splitlines() if "hwpoison-fleet compare" in line)
    program = f'{sys.executable} -c "from fleet.cli import main; main()"'
    env = {**os.environ, "HOME": "/nonexistent"}
    line = line.replace("hwpoison-fleet", program)
    assert subprocess.run(["/bin/sh", "-c", line], env=env, capture_output=True, check=False).returncode == 0


URLS = {
    "gs://b/x": "gs://...: a URL of this kind is not supported",
    "HTTP://me:hush@h/x?token=hush": "HTTP://...: a URL of this kind is not supported",
    "a+b.c-d://x": "a+b.c-d://...: a URL of this kind is not supported",
    "s3://me:hush@b/x": "credentials in the URL",
    "s3://b/x?endpoint_override=me:hush@h": "credentials in the URL",
    "s3://b/x?secret_key=hush": "secret_key after the '?'",
    "s3://b/x?X-Amz-Signature=hush": "X-Amz-Signature after the '?'",
    "s3://b/x?allow_bucket_creation=true": "allow_bucket_creation after the '?'",
    "s3://b": "no bucket, no name in it",
    "s3:///x": "no bucket, no name in it",
    "s3://b/x/%2E%2E/y": "no bucket, no name in it, or one that is empty, '.' or '..'",
    "s3://b/a b": "a character that a URL writes as %XX",
    "file://host/x": "a host or a query",
    "file:///x?y": "a host or a query",
    "file:///x%00": "a NUL",
}


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize(
    "command", [("run", *SMALL, "-o"), ("resume",), ("summary",), ("compare",), ("replay", "--node=0")]
)
def test_a_url_is_refused_before_anything_is_done(url, command, monkeypatch):
    monkeypatch.setattr(fleet.run, "start_run", lambda *_: pytest.fail("it was simulated"))
    done = call(*command, url)
    assert (done.exit_code, done.stdout) == (2, "")
    assert URLS[url] in done.stderr
    assert "expected a path, file:///PATH or s3://BUCKET/NAME" in done.stderr
    assert "hush" not in done.stderr
    assert left_behind() == []


@pytest.mark.parametrize(
    "name", ["a/../../w", "..", "../w", "/tmp/w", "a b", "", "_x", "n" * 201, "ü" * 101, "a\nb", "a\x00"]
)
@pytest.mark.parametrize("key", ["name", "arm"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path, name, key):
    quoted = '"' + name.replace("\n", "\\n").replace("\x00", "\\u0000") + '"'
    text = (
        f"nodes = 8\n{'' if key == 'arm' else f'name = {quoted}'}\n[group.a]\n[arm.{quoted if key == 'arm' else 'x'}]\n"
    )
    (tmp_path / "x.toml").write_text(text)
    if (name, key) == ("..", "arm"):  # arm=.. is a folder like any other
        assert call("scenario", "check", tmp_path / "x.toml").exit_code == 0
        return
    if (name, key) == ("..", "name"):  # and so is runs/<time>-..
        assert call("scenario", "check", tmp_path / "x.toml").exit_code == 0
        return
    done = call("run", tmp_path / "x.toml")
    assert (done.exit_code, done.stdout) == (2, "")
    assert re.search(
        r"x\.toml: (arm\.|name).* expected (letters, digits|at most 200|a text without|text of one)", done.stderr
    )
    assert left_behind() == ["x.toml"]


@pytest.mark.parametrize("name", ["n" * 200, "ü" * 100])
def test_the_longest_names_fit_into_folders(tmp_path, name):
    (tmp_path / "x.toml").write_text(
        f'name = "{name}"\nnodes = 40\n[group.a]\nfaults.fit_factor = 30.0\n[arm."{name}"]\n'
    )
    done = call("run", tmp_path / "x.toml", "--workers", "1")
    assert done.exit_code == 0, done.stderr
    assert open_run(next(Path("runs").iterdir())).arms == (name,)


def test_shipped_names_are_folder_names():
    assert BASELINE["name"] == "baseline"
    for name in call("scenario", "list").stdout.split()[:1]:
        assert call("scenario", "check", name).exit_code == 0


TOO_MANY = ("--set", "faults.fit_factor=1e6", "--nodes", "40")


@pytest.mark.parametrize(
    "words",
    [
        (*TOO_MANY, "--workers", "1"),
        (*TOO_MANY, "--workers", "1", "-o", "a/b/run"),
        (*TOO_MANY, "--workers", "2", "--shard-nodes", "10", "-o", "run"),
        (*SMALL, "-o", "x" * 300),
        (*SMALL, "-o", f"a/b/{'x' * 300}"),
        (*SMALL, "--sweep", f"page_offline.ce_threshold={'0' * 250}1"),
    ],
)
def test_what_is_refused_leaves_no_folder(words):
    done = call("run", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert left_behind() == []


def test_a_refused_run_leaves_an_empty_folder_as_it_was_and_files_that_came_meanwhile(monkeypatch):
    Path("run").mkdir()
    assert call("run", *TOO_MANY, "--workers", "1", "-o", "run").exit_code == 2
    assert left_behind() == ["here/run"]

    def with_a_guest(_loaded, _plan, root, *_rest):
        (root / "errors").mkdir()
        (root / "errors" / "notes.txt").write_text("precious")
        message = "node 3: too much work"
        raise ModelError(message)

    monkeypatch.setattr(fleet.run, "_execute", with_a_guest)
    assert call("run", *SMALL, "--workers", "1", "-o", "run").exit_code == 2
    assert left_behind() == ["here/run", "here/run/errors", "here/run/errors/notes.txt"]


@pytest.mark.parametrize("kind", ["link", "folder", "FIFO"])
def test_a_lock_that_is_none_makes_a_folder_not_empty(tmp_path, kind):
    precious, lock = tmp_path / "precious", Path("run", ".lock")
    precious.write_text("precious")
    lock.parent.mkdir()
    {"link": lambda: lock.symlink_to(precious), "folder": lock.mkdir, "FIFO": lambda: os.mkfifo(lock)}[kind]()
    done = call("run", "-o", "run", *SMALL)
    assert done.exit_code == 2
    assert "not empty" in done.stderr
    assert precious.read_text() == "precious"


def test_what_a_killed_process_left_of_a_plan_does_not_stand_in_the_way():
    Path("run").mkdir()
    Path("run", f".hwpoison-fleet-{'0' * 32}.tmp").write_text("{")
    assert call("run", "-o", "run", *SMALL).exit_code == 0
    assert [path.name for path in Path("run").iterdir() if path.suffix == ".tmp"] == []


def predict(inputs, out):
    return call("conform", "--kernel", "6.1", "--predict", inputs, "-o", out)


@pytest.mark.parametrize("kind", ["itself", "hard link", "link", "other file", "folder", "broken link"])
def test_predictions_overwrite_nothing(kind):
    inputs, out = Path("inputs.csv"), Path("out.csv")
    shutil.copy(RECORDED, inputs)
    {
        "itself": lambda: None,
        "hard link": lambda: os.link(inputs, out),
        "link": lambda: out.symlink_to(inputs),
        "other file": lambda: out.write_text("precious"),
        "folder": out.mkdir,
        "broken link": lambda: out.symlink_to("nowhere.csv"),
    }[kind]()
    before = tree(Path.cwd())
    done = predict(inputs, inputs if kind == "itself" else out)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "there already" in done.stderr
    assert tree(Path.cwd()) == before


def test_predictions_are_written_whole_beside_others_that_are_under_way():
    for name in ("out.csv.partial", ".out.csv.partial"):
        Path(name).write_text("precious")
    assert predict(RECORDED, "out.csv").exit_code == 0
    assert sorted(path.name for path in Path().iterdir()) == [".out.csv.partial", "out.csv", "out.csv.partial"]
    assert {Path(name).read_text() for name in ("out.csv.partial", ".out.csv.partial")} == {"precious"}
    assert predict(RECORDED, f"{'x' * 251}.csv").exit_code == 0
    assert predict(RECORDED, "out.csv/x.csv").exit_code == 2
    assert call("conform", "out.csv", "--kernel", "6.1").exit_code == 0


PLANNED = ("run", "-o", "run", *SMALL, "--shard-nodes", "10", "--resume-if-planned")


def test_one_command_runs_and_then_resumes():
    assert call(*PLANNED).exit_code == 0
    Path("run/run.json").unlink()
    Path("run/commit/000001.json").unlink()
    kept = Path("run/commit/000000.json").stat().st_mtime_ns
    done = call(*PLANNED)
    assert done.exit_code == 0, done.stderr
    assert open_run(Path("run")).manifest["complete"]
    assert Path("run/commit/000000.json").stat().st_mtime_ns == kept
    assert call(*PLANNED).exit_code == 0  # complete: its summary once more


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (("--seed", "7"), " instead of 7"),
        (("--nodes", "41"), "nodes 40 instead of 41"),
        (("--years", "2"), "scenario "),
        (("--set", "faults.fit_factor=31.0"), "scenario "),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else None,
)
def test_the_plan_of_another_run_is_not_resumed(other, says):
    assert call(*PLANNED).exit_code == 0
    before = tree(Path("run"))
    done = call(*PLANNED, *other)
    assert done.exit_code == 2
    assert "planned for another run" in done.stderr
    assert says in done.stderr
    assert tree(Path("run")) == before


def test_what_to_resume_is_named():
    done = call("run", *SMALL, "--resume-if-planned")
    assert done.exit_code == 2
    assert "add -o" in done.stderr


def test_a_folder_with_something_else_is_refused_with_or_without_a_plan_to_resume():
    Path("run").mkdir()
    Path("run/note").write_text("mine")
    done = call(*PLANNED)
    assert done.exit_code == 2
    assert "not empty" in done.stderr
    Path("run/plan.json").write_text("{}")
    assert call(*PLANNED).exit_code == 4
