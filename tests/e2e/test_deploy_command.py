"""The command deploy: a whole folder or none, from a wheel as from a checkout."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.debian import program
from tests.deployed import DEPLOY, TOP
from tests.promtool import promtool

PROGRAM = str(Path(sys.executable).with_name("hwpoison-fleet"))


def deploy(*words, cwd):
    return subprocess.run([PROGRAM, "deploy", *words], cwd=cwd, capture_output=True, text=True, check=False)


def tree(folder):
    """Content and whether it may be run, of every file."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), bool(path.stat().st_mode & stat.S_IXUSR))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What a wheel of this checkout installs, alone in a folder."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-build-isolation", "--no-deps", "-w", str(folder / "dist"), str(TOP)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    return folder / "site"


def test_in_an_empty_folder_an_installed_wheel_writes_all_of_it_and_its_rules_are_valid(installed, tmp_path):
    tools = os.pathsep.join((str(installed / "bin"), str(program("promtool").parent), os.environ["PATH"]))
    literal = "hwpoison-fleet deploy d && promtool check rules d/prometheus/*.yml"
    env = {**os.environ, "PATH": tools, "PYTHONPATH": str(installed)}
    where = subprocess.run(
        [sys.executable, "-c", "from fleet.commands.deploy import shipped; print(shipped())"],
        env=env, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.strip() == str(installed / "fleet" / "deployed")
    done = subprocess.run(["sh", "-c", literal], env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == len(list((DEPLOY / "prometheus").glob("*.yml")))
    assert tree(tmp_path / "d") == tree(DEPLOY)
    assert tree(DEPLOY)["node_exporter/memory_failure.sh"][1]


def test_what_is_written_by_a_checkout_passes_its_own_tests(tmp_path):
    assert deploy("d", cwd=tmp_path).returncode == 0
    assert tree(tmp_path / "d") == tree(DEPLOY)
    ok, said = promtool("test", "rules", *sorted((tmp_path / "d/prometheus/tests").glob("*.yml")))
    assert ok, said
    for config in (tmp_path / "d/prometheus/config").glob("*.yml"):
        ok, said = promtool("check", "config", config)
        assert ok, said


@pytest.mark.parametrize("speed", ["60", "3600.7", "1e9", "0.5"])
def test_rules_for_other_speeds_are_valid_and_their_tests_left_out(speed, tmp_path):
    assert deploy("d", "--speed", speed, cwd=tmp_path).returncode == 0
    ok, said = promtool("check", "rules", *(tmp_path / "d/prometheus").glob("*.yml"))
    assert ok, said
    left_out = {name for name in tree(DEPLOY) if name.startswith("prometheus/tests/alerts")}
    assert len(left_out) == 2
    written, shipped = tree(tmp_path / "d"), tree(DEPLOY)
    assert set(written) == set(shipped) - left_out
    assert {name for name in written if written[name] != shipped[name]} == {"prometheus/alerts.yml"}


def test_nothing_that_is_there_is_touched(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "mine").write_text("x")
    (tmp_path / "file").write_text("x")
    for name in ("d", "file"):
        done = deploy(name, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"error: {name}: is there and not empty, expected a new or empty folder; choose another\n"
    assert tree(tmp_path) == {"d/mine": (b"x", False), "file": (b"x", False)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "file"]


def test_an_empty_folder_is_taken_but_not_the_one_we_stand_in(tmp_path):
    (tmp_path / "d").mkdir()
    assert deploy("d", cwd=tmp_path).returncode == 0
    (tmp_path / "e").mkdir()
    done = deploy(".", cwd=tmp_path / "e")
    assert done.returncode == 2
    assert "is the working folder" in done.stderr
    assert not list((tmp_path / "e").iterdir())


def test_if_it_cannot_be_written_nothing_is_left(tmp_path):
    limited = f'ulimit -f 8; trap "" XFSZ; exec "{PROGRAM}" deploy d'
    done = subprocess.run(["sh", "-c", limited], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "error: d: File too large, expected to write it; choose another folder" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "1e10"])
def test_senseless_speeds_are_refused(speed, tmp_path):
    done = deploy("d", "--speed", speed, cwd=tmp_path)
    assert done.returncode == 2
    assert "expected from 0.01 to 1e+09; choose another" in done.stderr
    assert not list(tmp_path.iterdir())


def test_alerts_need_no_more_than_the_shipped_configuration_for_hosts():
    (config,) = yaml.safe_load_all((DEPLOY / "prometheus/config/serve.yml").read_text())
    assert config["rule_files"] == ["../alerts.yml"]
    assert config["global"]["scrape_interval"] == config["global"]["evaluation_interval"]
