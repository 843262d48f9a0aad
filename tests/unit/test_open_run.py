"""``open_run`` believes nothing that is not sealed, committed and unchanged."""

import errno
import json
import os
import shutil

import pytest
from click.testing import CliRunner

from analysis import open_run
from fleet.cli import main
from fleet.engines.choice import EngineChoice
from fleet.run import resume_run
from fleet.stored.manifest import seal
from fleet.stored.schema import OLDEST_READ, SCHEMA_VERSION
from node_sim.errors import DataError
from tests.fleets import busy_fleet, run_fleet


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("finished") / "run"
    run_fleet(busy_fleet(40), root, shard_nodes=25)
    return root


@pytest.fixture
def root(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def largest_part(root):
    return max(root.glob("*/arm=*/*.parquet"), key=lambda path: path.stat().st_size)


def test_an_untouched_copy_opens(root):
    assert open_run(root).table("errors").num_rows > 0


def flip_byte(root):
    path = largest_part(root)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_part(root):
    path = largest_part(root)
    path.write_bytes(path.read_bytes()[:-1])


def edit(name, change):
    def damage(root):
        path = root / name
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return damage


DAMAGE = {
    "a byte of a part": flip_byte,
    "a part cut short": cut_part,
    "a part missing": lambda root: largest_part(root).unlink(),
    "a commit missing": lambda root: (root / "commit" / "000001.json").unlink(),
    "a commit twice": lambda root: shutil.copy(root / "commit" / "000001.json", root / "commit" / "000009.json"),
    "run.json missing": lambda root: (root / "run.json").unlink(),
    "plan.json missing": lambda root: (root / "plan.json").unlink(),
    "run.json cut": lambda root: (root / "run.json").write_text((root / "run.json").read_text()[:200]),
    "a digest in run.json": edit("run.json", lambda d: d["digests"]["default"].update(errors="0" * 32)),
    "a count in run.json": edit("run.json", lambda d: d["tally"]["rows"].__setitem__(0, 1)),
    "the seed in plan.json": edit("plan.json", lambda d: d.update(seed=7)),
    "a count in a commit": edit("commit/000001.json", lambda d: d["tally"]["rows"].__setitem__(0, 1)),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_an_altered_run_is_refused(root, name):
    DAMAGE[name](root)
    with pytest.raises(DataError):
        open_run(root)


@pytest.mark.parametrize("version", [1, OLDEST_READ - 1, SCHEMA_VERSION + 1, None])
def test_a_run_with_other_columns_is_refused_by_every_command_and_says_what_to_do(root, version):
    plan = {key: value for key, value in json.loads((root / "plan.json").read_text()).items() if key != "seal"}
    assert plan.pop("schema_version") == SCHEMA_VERSION
    (root / "plan.json").write_text(json.dumps(seal(plan | ({"schema_version": version} if version else {}))))
    with pytest.raises(
        DataError, match=rf"schema_version = {version}, expected {SCHEMA_VERSION}.*run the scenario anew"
    ):
        open_run(root)
    (root / "run.json").rename(root / "run.old")
    with pytest.raises(DataError, match=rf"schema_version = {version}, expected {SCHEMA_VERSION}"):
        resume_run(root, EngineChoice(workers=1), lambda _: None)
    (root / "run.old").rename(root / "run.json")
    for command in (["summary", root], ["compare", root], ["resume", root], ["replay", root, "--node", 0]):
        done = CliRunner().invoke(main, list(map(str, command)))
        assert (done.exit_code, done.stderr.count("schema_version"), done.stdout) == (4, 1, "")


def test_parts_that_no_commit_names_are_not_read(root):
    rows = open_run(root).table("errors").num_rows
    path = next(root.glob("errors/arm=_common/*.parquet"), None) or next(root.glob("errors/arm=default/*.parquet"))
    shutil.copy(path, path.with_name("shard-000000-zombie.parquet"))
    assert open_run(root).table("errors").num_rows == rows


def test_resume_refuses_an_altered_plan(root):
    (root / "run.json").unlink()
    DAMAGE["the seed in plan.json"](root)
    with pytest.raises(DataError, match="altered"):
        resume_run(root, EngineChoice(workers=1), lambda _receipt: None)


def test_resuming_a_finished_run_changes_nothing(root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.*")}
    resume_run(root, EngineChoice(workers=1), lambda _receipt: None)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.*")} == before


def test_a_folder_that_may_not_be_looked_into_is_told_as_such(root, monkeypatch):
    """As the kernel answers without the permission to search it, which root has anywhere."""
    lstat = os.lstat

    def answer(path, **options):
        if os.fspath(path).startswith(f"{root}/"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return lstat(path, **options)

    monkeypatch.setattr(os, "lstat", answer)
    for words in (["summary", str(root)], ["replay", str(root), "--node", "1"], ["compare", str(root)]):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 4
        told = "Permission denied, expected a folder that may be looked into; mend the permissions"
        assert done.stderr == f"error: {root}: {told}\n"
