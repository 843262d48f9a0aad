"""Inputs that once ended in a traceback, a hang or a folder: each is refused with where, what and what to do."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import time
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from fleet.cli import main
from fleet.commands.printing import shortened
from fleet.printable import printable
from fleet.recorded import INPUTS
from fleet.scenario.decode import decode
from fleet.scenario.plain import DEPTH_MAX, ITEMS_MAX, KEY_MAX, NAME_BYTES_MAX, TEXT_MAX, foreign
from node_sim.catalog.kernels import PROFILE_NAMES
from node_sim.errors import ConfigError
from node_sim.server.hardware import FRAILTY_VARIANCE_LEAST, Faults
from tests.fuzz.cases import RECORDED

GROUP = "[group.a]\n"
TINY = ("--nodes", "20", "--years", "0.1", "--workers", "1")


def ask(*words, code=2, **extra):
    """Call the command line with colours, so that nothing is taken out on the way; return what it says."""
    done = CliRunner().invoke(main, [str(word) for word in words], color=True, **extra)
    assert isinstance(done.exception, SystemExit | None), done.exception
    assert done.exit_code == code, done.output
    assert [one for one in done.output if one != "\n" and unicodedata.category(one) in ("Cc", "Cf", "Cs")] == []
    return done.stderr if code in (1, 2, 4) else done.stdout


WRONG_FILES = {
    "a date as description": ("description = 1979-05-27\n" + GROUP, "description = 1979-05-27, a date, expected"),
    "a time": ("name = 07:32:00\n" + GROUP, "name = 07:32:00, a time, expected"),
    "NUL in a name": ('name = "a\\u0000b"\n' + GROUP, "name = 'a\\x00b', expected a text without control characters"),
    "an escape in the name of a group": ('[group."a\\u001b[31m"]\n', "group.a\\x1b[31m: key with control characters"),
    "an escape in the name of an arm": (GROUP + '[arm."a\\u0007"]\n', "arm.a\\x07: key with control characters"),
    "a key of two lines": (f'{GROUP}"a\\nb" = 1\n', "group.a.a\\nb: key with control characters"),
    "text that runs backwards": ('name = "a\\u202eb"\n' + GROUP, "name = 'a\\u202eb', expected letters"),
    "a path as a name": ('name = "../../x"\n' + GROUP, "name = '../../x', expected letters"),
    "no name": ('name = ""\n' + GROUP, "name = '', expected letters"),
    "a name of 300 characters": (f'name = "{"n" * 300}"\n{GROUP}', "300 characters, expected at most 200 bytes"),
    "a group of 201 characters": (f"[group.{'g' * 201}]\n", "key of 201 characters, expected at most 200; shorten it"),
    "an arm of 150 letters in two bytes": (
        f'{GROUP}[arm."{"é" * 150}"]\n',
        "150 characters, expected at most 200 bytes",
    ),
    "arm = 3": ("arm = 3\n" + GROUP, "arm = 3, expected"),
    "an arm that is a number": (f"{GROUP}[arm]\na = 3\n", "arm.a = 3, expected"),
    "groups = true": (f"{GROUP}[arm.x]\ngroups = true\n", "arm.x.groups = True, expected"),
    "group = 3": ("group = 3\n", "group: no group"),
    "a workload of a list": (f'{GROUP}workload = {{base = ["web"]}}\n', "group.a.workload = ['web'], expected one of"),
    "a number as base": (f"{GROUP}workload = {{base = 3}}\n", "group.a.workload = 3, expected one of"),
    "uses that are no shares": (
        f'{GROUP}workload = {{base = "web", use = 3}}\nkernel.profile = "2.6.32"\n',
        "group.a.workload.use = 3, expected",
    ),
    "share = 10^400": (f"{GROUP}share = 1{'0' * 400}\n", "group.a.share: integer of 1,329 bits, expected at most 64"),
    "an integer of 5,000 digits": (f"nodes = {'9' * 5000}\n{GROUP}", "an integer of thousands of digits"),
    "a hexadecimal one": (f"nodes = 0x{'f' * 5000}\n{GROUP}", "nodes: integer of 20,000 bits, expected at most 64"),
    "1,500 brackets": (f"name = {'[' * 1500}{']' * 1500}\n{GROUP}", "nested deeper than its reader goes"),
    "1,500 open brackets": (f"name = {'[' * 1500}\n{GROUP}", "nested deeper than its reader goes"),
    "90 brackets": (f"name = {'[' * 90}{']' * 90}\n{GROUP}", "tables in tables, expected at most 16"),
    "1,200 dotted keys": (f"{GROUP}{'.'.join('x' * 1200)} = 1\n", "tables in tables, expected at most 16"),
    "a key with 1,200 dots in an arm": (
        f'{GROUP}[arm.x]\nset = {{"{".".join("x" * 1200)}" = 1}}\n',
        "key of 2,399 characters, expected at most 200",
    ),
    "nan": (f"years = nan\n{GROUP}", "years = nan, expected a finite number"),
    "infinity in a list": (
        f"{GROUP}[arm.x]\nset = {{x = [1, inf]}}\n",
        "arm.x.set.x.1 = inf, expected a finite number",
    ),
    "a text of 20,000 characters": (
        f'description = "{"x" * 20_000}"\n{GROUP}',
        "description: text of 20,000 characters",
    ),
    "300 arms": (GROUP + "".join(f"[arm.a{n}]\n" for n in range(300)), "arm: 300 arms, expected at most 256"),
    "300 groups": ("".join(f"[group.a{n}]\n" for n in range(300)), "group: 300 groups, expected at most 256"),
    "a variance that is no number any more": (
        f"{GROUP}faults.frailty_variance = 5e-324\n",
        "frailty_variance = 5e-324",
    ),
    "a mark that begins the file": ("\ufeff" + GROUP, "not TOML"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_wrong_scenario_is_refused_with_where_and_what(tmp_path, monkeypatch, name):
    text, words = WRONG_FILES[name]
    (tmp_path / "x.toml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for command in (("scenario", "check"), ("run",)):
        said = ask(*command, "x.toml")
        assert re.match(r"error: x\.toml: \S", said)
        assert words in said
        assert len(said) < 20_000
        assert [path.name for path in tmp_path.iterdir()] == ["x.toml"]


def test_all_that_no_scenario_is_made_of_is_told_with_all_else_that_is_wrong(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("description = 1979-05-27\nnodes = nan\nyears = -1.0\ncolour = 3\n[group.a]\necc.code = 'raid'\n")
    said = ask("scenario", "check", path)
    assert {line.split(": ")[2].split(" = ")[0] for line in said.splitlines()} == {
        "description",
        "nodes",
        "years",
        "colour",
        "group.a.ecc.code",
    }


def test_what_a_scenario_may_hold_passes():
    deep: dict = {"x": 1}
    for _ in range(DEPTH_MAX - 1):
        deep = {"x": deep}
    fine = {"k" * KEY_MAX: "t" * TEXT_MAX, "deep": deep, "n": [2**64 - 1, -(2**64) + 1, 1e308, True, "a\n\tb", "é‍"]}
    assert foreign(fine) == []
    assert foreign({"deep": {"x": deep}}) != []
    assert foreign({"n": list(range(ITEMS_MAX))}) == [
        f"document: more than {ITEMS_MAX:,} values, expected at most so many; leave some out"
    ]
    assert foreign(wrong := {"a": 1, "b": {"c": [1, 2**64, 3, "\udcff"]}}) != []
    assert wrong == {"a": 1, "b": {"c": [1, 3]}}


def test_a_name_is_as_long_as_a_file_system_takes():
    decode("x.toml", {"name": "n" * NAME_BYTES_MAX, "group": {"my servers": {}}, "arm": {"a" * NAME_BYTES_MAX: {}}})
    with pytest.raises(ConfigError, match="201 characters"):
        decode("x.toml", {"name": "n" * (NAME_BYTES_MAX + 1), "group": {"a": {}}})


def test_a_variance_too_small_to_compute_with_is_refused_where_no_run_could_tell_it_from_none():
    for variance in (0.0, FRAILTY_VARIANCE_LEAST, 100.0):
        Faults(frailty_variance=variance)
    for variance in (5e-324, 1e-300, FRAILTY_VARIANCE_LEAST * 0.999, -0.1, 100.1, float("nan")):
        with pytest.raises(ConfigError, match="expected 0 or a number from 1e-09 to 100"):
            Faults(frailty_variance=variance)
    assert "--frailty-variance 5e-324: expected 0, or 1e-09" in ask("dram", "--frailty-variance", "5e-324")
    probabilities = [
        json.loads(ask("dram", "--lifetimes", "20000", "--json", "--frailty-variance", variance, code=0))["p_any"]
        for variance in ("0", "1e-9")
    ]
    assert probabilities[0] == probabilities[1]


WRONG_WORDS = {
    "an integer of 5,000 digits": ("--set", f"nodes={'9' * 5000}"),
    "1,500 brackets": ("--set", f"faults.fit_factor={'[' * 1500}"),
    "a date": ("--set", "description=1979-05-27"),
    "nan": ("--set", "faults.fit_factor=nan"),
    "1,200 dotted keys": ("--set", f"{'.'.join('x' * 1200)}=1"),
    "a workload of a list": ("--set", 'workload.base=["web"]'),
    "no value": ("--set", "nodes"),
    "no key": ("--set", "=3"),
    "the same value twice": ("--sweep", "page_offline.ce_threshold=2,2"),
    "the same value written otherwise": ("--sweep", "faults.fit_factor=2.0,2.00"),
    "values of one name": ("--sweep", "kernel.switches.x=a b,a:b"),
    "a setting twice": ("--sweep", "kernel.fsync_s=1.0", "--sweep", "kernel.fsync_s=2.0"),
    "two settings of one name": ("--sweep", "ecc.risk.low=0.01", "--sweep", "x.low=0.01,0.02"),
    "300 values": ("--sweep", f"kernel.fsync_s={','.join(f'{n}.0' for n in range(1, 301))}"),
    "a control character": ("--sweep", "kernel.profile=6.1,\x1b[31m"),
    "a lone byte": ("--set", "name=\udcff"),
    "an arm of arm = 3": ("--set", "arm=3", "--arm", "x"),
    "an arm twice": ("--arm", "default", "--arm", "default"),
    "settings of group = 3": ("--set", "group=3", "--set", "kernel.fsync_s=1.0"),
    "a policy of a control character": ("--policy", "x:\x1b"),
    "a name of 300 characters": ("--set", f"name={'n' * 300}"),
}


@pytest.mark.parametrize("name", WRONG_WORDS)
def test_a_wrong_change_is_refused_and_leaves_nothing_behind(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    said = ask("run", *TINY, *WRONG_WORDS[name])
    assert re.match(r"error: \S[^\n]*?: \S", said) or " = " in said
    assert len(said) < 20_000
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_multiplies_its_sizes_before_it_builds_anything():
    axes = [f"kernel.switches.x{axis}={','.join(map(str, range(100)))}" for axis in range(5)]
    said = ask("run", *(word for axis in axes for word in ("--sweep", axis)))
    assert said == "error: --sweep: 10,000,000,000 arms, expected at most 256; leave some values out\n"


def test_a_wrong_file_is_no_scenario(tmp_path):
    for path in ("/dev/zero", tmp_path, tmp_path / ("n" * 300), ""):
        assert "expected a scenario file or one of" in ask("scenario", "check", path)
    assert ask("scenario", "check", "a\0b").startswith("error: command line: a NUL in it, expected text")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise SystemExit(0)", "cannot be imported: SystemExit"),
        ("raise KeyError('x')", "cannot be imported: KeyError"),
        ("\0", "cannot be imported: "),
        ("(" * 2000, "cannot be imported: "),
        ("x = 1", "has no function decide"),
    ],
)
@pytest.mark.parametrize("place", ["mine.py", "mine/__init__.py"])
def test_a_policy_that_cannot_be_imported_is_refused(tmp_path, monkeypatch, text, words, place):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(text)
    (tmp_path / place).with_name("own.py").write_text("def decide(node): ...")
    before = set(tmp_path.rglob("*.py"))
    module = "mine" if place == "mine.py" else "mine.own" if "cannot" in words else "mine"
    said = ask("run", *TINY, "--policy", f"{module}:decide")
    assert re.match(r"error: own_policy.function = \S+: ", said)
    assert words in said
    assert set(tmp_path.rglob("*.py")) == before
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "words",
    [("summary",), ("compare",), ("resume",), ("replay", "--node", "1"), ("run", *TINY, "-o"), ("scenario", "init")],
)
def test_a_folder_with_a_name_of_300_characters_is_refused(tmp_path, words):
    assert "File name too long, expected a path that can be used" in ask(*words, tmp_path / ("n" * 300))
    assert list(tmp_path.iterdir()) == []


def table(tmp_path, change=lambda rows: rows):
    """A recording of three rows with a change."""
    rows = [line.split(",") for line in RECORDED.read_text().splitlines()[:4]]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(",".join(row) for row in change(rows)), encoding="utf-8")
    return path


def test_a_table_without_a_column_is_refused(tmp_path):
    for position, column in enumerate(INPUTS):
        path = table(tmp_path, lambda rows, at=position: [row[:at] + row[at + 1 :] for row in rows])
        assert f"x.csv: column {column} is missing" in ask("conform", path, "--kernel", "6.1")


def test_a_table_that_is_none_is_refused(tmp_path):
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe")
    (tmp_path / "empty.csv").write_bytes(b"")
    wide = table(tmp_path, lambda rows: [*rows, ["x" * 200_000]])
    for path in ("/dev/zero", tmp_path, tmp_path / "none.csv", tmp_path / "bytes.csv", tmp_path / "empty.csv", wide):
        assert re.match(r"error: \S+: \S", ask("conform", path, "--kernel", "6.1"))


def test_fields_with_control_characters_are_shown_as_escapes(tmp_path):
    path = table(tmp_path, lambda rows: [rows[0], ["\x1b[31m" + rows[1][0], *rows[1][1:-1], "\x07"]])
    assert "\\x1b[31mek0-unset-H-pfn" in ask("conform", path, "--kernel", "6.1", "-v", code=0)


@pytest.mark.parametrize("place", ["pipe", ".", ""])
def test_predictions_never_take_the_place_of_a_device_or_a_folder(tmp_path, monkeypatch, place):
    """A pipe stands for a device: with the rights of root, a mistake here would replace a real one of this machine."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    path = table(tmp_path)
    said = ask("conform", "--predict", path, "-o", place, "--kernel", "6.1")
    assert ("expected a new file for predictions" if place else "'', expected a path") in said
    assert sorted(one.name for one in tmp_path.iterdir()) == ["pipe", "x.csv"]
    assert Path("pipe").is_fifo()


def test_a_kernel_of_thousands_of_digits_is_none():
    assert "expected one of" in ask("inject", "--kernel", "9" * 5000)


def test_every_json_document_is_free_of_what_json_has_no_word_for(tmp_path):
    def refuse(constant):
        raise AssertionError(constant)

    run = tmp_path / "run"
    commands = (
        ("run", *TINY, "-o", run),
        ("run", "offlining", *TINY, "-o", tmp_path / "other"),
        ("summary", run),
        ("compare", run),
        ("replay", run, "--node", "3"),
        ("scenario", "show", "--sample", "0"),
        ("scenario", "show", "google-2008", "--sample", "1"),
        ("dram", "--lifetimes", "1"),
        ("dram", "--lifetimes", "10", "--fit-factor", "0"),
        ("dram", "--dump", "1"),
        ("inject",),
        ("conform", "--predict", table(tmp_path), "-o", tmp_path / "y.csv", "--kernel", PROFILE_NAMES[0]),
        ("conform", table(tmp_path), "--kernel", "6.1"),
    )
    for words in commands:
        json.loads(ask(*words, "--json", code=0), parse_constant=refuse)


def test_what_is_printed_can_be_printed():
    assert printable("a\x00b\x1b[31m\r\n\u202e\udcff é\u200b") == "a\\x00b\\x1b[31m\\r\n\\u202e\\udcff é\\u200b"
    long = shortened("x" * 10_000 + "; lower it")[0]
    assert len(long) < 1000
    assert long.endswith("; lower it")
    assert shortened("\n".join(map(str, range(1000))))[-1] == "and more: 800 lines like these"
    assert all(int(one) + 1 == int(two) for one, two in pairwise(shortened("\n".join(map(str, range(1000))))[:-1]))


def program(*words, **streams):
    """Run the program in a process of its own."""
    command = (sys.executable, "-c", "from fleet.cli import main; main()", *words)
    return subprocess.run(command, check=False, timeout=60, **streams)


@pytest.mark.parametrize("words", [("scenario", "list"), ("--help",), ("inject",), ("--version",)])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_device_is_told_and_a_closed_pipe_is_not(words, unbuffered):
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        done = program(*words, stdout=full, stderr=subprocess.PIPE, env=env)
        assert done.returncode == 1
        assert done.stderr.startswith(b"error: stdout: No space left on device, expected")
        assert program(*words, "--nosuch", stdout=full, stderr=full, env=env).returncode == 2
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as broken:
        done = program(*words, stdout=broken, stderr=subprocess.PIPE, env=env)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_command_without_an_output_works():
    done = program("scenario", "list", stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_run_needs_no_standard_files(tmp_path):
    """And what is printed does not get into a file of the run that took the number of one."""

    def close():
        for descriptor in (0, 1, 2):
            os.close(descriptor)

    done = program("run", *TINY, "-o", str(tmp_path / "run"), preexec_fn=close)
    assert done.returncode == 0
    ask("summary", tmp_path / "run", code=0)


@pytest.mark.parametrize("many", [250, pytest.param(900, marks=pytest.mark.long)])
def test_a_scenario_with_very_many_mistakes_is_refused_at_once(many):
    unknown = {f"k{n}": 1 for n in range(many)}
    groups, arms = {f"g{n}": {"share": 0.01, **unknown} for n in range(100)}, {f"a{n}": {} for n in range(256)}
    changed = {f"a{n}": {"set": unknown} for n in range(100)}
    for document in ({"group": groups, "arm": arms}, {"group": {f"g{n}": {} for n in range(250)}, "arm": changed}):
        begun = time.process_time()
        with pytest.raises(ConfigError):
            decode("x.toml", document)
        assert time.process_time() - begun < 30.0  # of 900 it took hours


def test_output_in_memory_is_left_as_it_was():
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream), contextlib.suppress(SystemExit):
        main(["scenario", "list"])
        assert sys.stdout is stream
    assert "baseline" in stream.getvalue()
