"""The command 'figures' as people type it."""

import pytest
from click.testing import CliRunner

from analysis.figures import FIGURES
from fleet.cli import main
from tests.figure_runs import make_run

NAME = "kills_by_cause"


@pytest.fixture(scope="module")
def run(shared_folder):
    return make_run("one_key", shared_folder)


def figures(run, *words):
    result = CliRunner().invoke(main, ["figures", str(run.path), *map(str, words)])
    return result.exit_code, result.output


def test_files_of_figures_are_written_and_replaced(run, tmp_path):
    out = tmp_path / "new" / "folder"
    names = [NAME, "memory_against_kills"]
    for _ in range(2):
        code, said = figures(run, "-o", out, "--only", ",".join(names), "--csv")
        assert code == 0, said
    assert names_in(out) == sorted(f"{name}.{kind}" for name in names for kind in ("svg", "csv"))
    assert said.splitlines() == [str(out / f"{name}.{kind}") for name in names for kind in ("svg", "csv")]
    header = (out / f"{NAME}.csv").read_text().splitlines()[0]
    assert header.startswith("arm,cause,kills,")


def test_a_png_has_the_size_asked_for(run, tmp_path):
    words = ("--only", NAME, "--format", "png", "--size", "400x300", "--dpi", "48")
    assert figures(run, "-o", tmp_path, *words)[0] == 0
    head = (tmp_path / f"{NAME}.png").read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    assert [int.from_bytes(head[i : i + 4]) for i in (16, 20)] == [200, 150]


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("words", [("report", "-o"), ("replay", "--node", "1", "--figure")])
def test_a_file_is_written_to_a_folder_that_is_there(run, tmp_path, words):
    missing = tmp_path / "missing"
    suffix = "html" if words[0] == "report" else "svg"

    def asked():
        return CliRunner().invoke(main, [words[0], str(run.path), *words[1:], str(missing / f"x.{suffix}")])

    done = asked()
    assert (done.exit_code, missing.exists()) == (2, False)
    assert f"no folder {missing}, expected one that is there; make it, or choose another" in done.stderr
    missing.mkdir()
    assert asked().exit_code == 0
    assert names_in(missing) == [f"x.{suffix}"]


@pytest.mark.parametrize("make", ["file", "link", "folder"])
def test_what_is_not_a_figure_is_not_replaced(run, tmp_path, make):
    path = tmp_path / f"{NAME}.svg"
    if make == "file":
        path.write_text("mine")
    elif make == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
    code, said = figures(run, "-o", tmp_path, "--only", NAME)
    assert code == 2
    assert "is there, expected nothing or a file of this command" in said
    assert make != "file" or path.read_text() == "mine"
    assert names_in(tmp_path) == [path.name]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--only", "kills"), "--only kills: expected one of"),
        (("--only", ","), "--only: no name"),
        (("--only", "heat_map_of_sweep"), "has nothing to show of this run"),
        (("--only", NAME, "--size", "9"), "expected WIDTHxHEIGHT"),
        (("--only", NAME, "--size", "9x9"), "expected 200 to 4000 CSS pixels"),
        (("--only", NAME, "--dpi", "nan"), "24 to 1200 dpi"),
        (("--format", "gif"), "gif"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_written(run, tmp_path, words, complaint):
    code, said = figures(run, "-o", tmp_path, *words)
    assert code == 2
    assert complaint in said
    assert names_in(tmp_path) == []


def test_a_place_that_cannot_be_written_is_named(run):
    code, said = figures(run, "-o", "/proc/nowhere", "--only", NAME)
    assert code == 2
    assert said.startswith("error: /proc/nowhere: ")


def test_help_names_every_figure():
    said = CliRunner().invoke(main, ["figures", "--help"]).output
    assert all(name in said.replace("\n", "") for name in FIGURES)
