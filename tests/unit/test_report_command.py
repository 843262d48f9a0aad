"""What the command ``report`` refuses, before it computes anything, and what it leaves alone."""

import shutil

import pytest
from click.testing import CliRunner

from analysis.figures import FIGURES
from fleet.cli import main
from tests.fleets import busy_fleet, run_fleet


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("command") / "run"
    run_fleet(busy_fleet(nodes=30), root)
    return root


@pytest.fixture(autouse=True)
def first_figure_only(monkeypatch):
    """Drawing takes most of the time; what is drawn is the matter of other tests."""
    name = next(iter(FIGURES))
    monkeypatch.setattr("analysis.figures.FIGURES", {name: FIGURES[name]})


def report(*words):
    done = CliRunner().invoke(main, ["report", *map(str, words)])
    return done.exit_code, done.output


def test_it_is_written_into_the_folder_of_the_run_which_opens_as_before(run):
    assert report(run) == (0, f"wrote {run}/report.html\n")
    assert report(run, "--format", "md") == (0, f"wrote {run}/report.md\n")
    assert "<svg" in (run / "report.html").read_text()
    assert len(list((run / "report_files").iterdir())) == 1
    assert CliRunner().invoke(main, ["summary", str(run)]).exit_code == 0


def test_the_name_of_the_file_tells_the_format(run, tmp_path):
    for name, words in (("a.md", ()), ("b.txt", ("--format", "md"))):
        assert report(run, "-o", tmp_path / name, *words)[0] == 0
        assert (tmp_path / name).read_text().startswith("<!-- generator: hwpoison-fleet report -->")
    assert report(run, "-o", tmp_path / "c.txt")[0] == 0
    assert (tmp_path / "c.txt").read_text().startswith("<!DOCTYPE html>")


def test_a_file_that_is_no_report_is_left_alone(run, tmp_path):
    path = tmp_path / "mine.html"
    path.write_text("mine")
    code, said = report(run, "-o", path)
    assert (code, "not a report of ours" in said, path.read_text()) == (2, True, "mine")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-o", "no/such/file.html"), "no folder no/such"),
        (("--baseline", "no_recover"), "did you mean no_recovery"),
        (("--top", "-1"), "--top"),
        (("--format", "pdf"), "--format"),
    ],
)
def test_what_is_asked_for_wrongly_is_said(run, words, said):
    code, output = report(run, *words)
    assert (code, said in output, "Traceback" in output) == (2, True, False)


def test_a_folder_that_cannot_be_written_is_said(run):
    code, output = report(run, "-o", "/proc/report.html")  # where not even root makes files
    assert (code, "choose another file with -o" in output) == (2, True)


def test_an_unfinished_and_an_altered_run_are_no_runs_to_report(run, tmp_path):
    unfinished, altered = (shutil.copytree(run, tmp_path / name) for name in ("unfinished", "altered"))
    (unfinished / "run.json").unlink()
    assert (report(unfinished)[0], "resume" in report(unfinished)[1]) == (4, True)
    part = max(altered.glob("*/arm=*/*.parquet"), key=lambda path: path.stat().st_size)
    part.write_bytes(part.read_bytes()[:-1])
    assert report(altered)[0] == 4


@pytest.mark.parametrize("extra", ["jinja2", "matplotlib"])
def test_without_an_extra_it_says_what_to_install(run, tmp_path, monkeypatch, extra):
    monkeypatch.setitem(__import__("sys").modules, extra, None)
    code, output = report(run, "-o", tmp_path / "x.html")
    assert (code, "pip install 'hwpoison-fleet[report]'" in output) == (2, True)
    assert list(tmp_path.iterdir()) == []
