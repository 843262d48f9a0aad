"""Names that nobody would see, of blanks or with blanks at their ends, are in quotes wherever a message begins."""

from __future__ import annotations

import csv

import pytest
from click.testing import CliRunner

from fleet.cli import main
from fleet.commands.printing import shortened
from fleet.conform import conform, conform_lines, not_modelled_lines
from fleet.printable import visible, with_visible_place
from tests.fuzz.cases import RECORDED

NAMES = (" ", "a ", " a", "\t", "\u00a0", "a\u2003")


def said(*words, code):
    """Call the command line; return the first line that it says is wrong."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.stderr.partition("\n")[0]


@pytest.mark.parametrize("name", ["a", "a b", "it's", "'", "é", "a\u200bb"])
def test_a_name_that_is_seen_is_as_it_is(name):
    assert visible(name) == name


@pytest.mark.parametrize("name", [*NAMES, "", "a\nb"])
def test_a_name_that_is_not_seen_is_in_quotes(name):
    assert visible(name) == repr(name)


def test_the_place_of_a_message_ends_at_the_first_colon_and_blank():
    assert with_visible_place(" : no such folder, expected a: b") == "' ': no such folder, expected a: b"
    assert with_visible_place(": nothing") == "'': nothing"
    assert with_visible_place("s3://b/n : missing") == "'s3://b/n ': missing"
    assert with_visible_place(" interrupted") == " interrupted"
    assert shortened("a: one\n : two") == ["a: one", "' ': two"]


RUNS = (
    *("summary", "compare", "replay --node 1", "resume", "report", "figures -o out", "check"),
    *("export csv -o out", "export rasdaemon -o out", "export openmetrics -o out"),
)


@pytest.mark.parametrize("words", RUNS)
@pytest.mark.parametrize("name", [" ", "a "])
def test_a_run_that_is_not_there_is_named_so_that_it_is_seen(words, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said(*words.split(), name, code=4).startswith(f"error: {name!r}: no such folder, expected a run")


def test_files_of_a_run_of_which_nobody_sees_the_name_are_named_with_their_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / " ").mkdir()
    assert said("summary", " ", code=4).startswith("error: ' ': no run.json, expected a complete run")
    assert said("serve", " ", code=4).startswith("error: ' ': no run.json")
    assert said("resume", " ", code=4).startswith("error: ' /plan.json': missing")


@pytest.mark.parametrize(
    "words",
    [("scenario", "check"), ("deploy",), ("conform", "--kernel", "6.1"), ("run", "-o")],
    ids=lambda words: words[0],
)
def test_any_other_path_is_named_so_that_it_is_seen(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / " ").mkdir()
    (tmp_path / " " / "x").write_text("x")
    assert said(*words, " ", code=2).startswith("error: ' ': ")


def test_a_file_that_is_written_is_named_so_that_it_is_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["deploy", " "])
    assert done.output.startswith("' ': ")
    assert done.output.endswith("begin with ' /README.md'\n")
    (tmp_path / "x ").write_text("[group.a]\n")
    assert CliRunner().invoke(main, ["scenario", "check", "x "]).output.startswith("'x ': ok, ")


def test_rows_of_a_recording_are_named_so_that_they_are_seen(tmp_path):
    rows = list(csv.DictReader(RECORDED.open()))[:3]
    rows[0]["id"], rows[1]["id"], rows[2]["id"] = " a", " ", "a\nb"
    rows[1]["page_type"] = rows[2]["page_type"] = "nosuch"
    with (tmp_path / "x.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    found = conform(tmp_path / "x.csv", "6.1")
    assert [entry["id"] for entry in found.not_modelled] == [" ", "a\nb"]
    lines = list(conform_lines(found, verbose=True))
    assert lines[0] == "matched        ' a'"
    assert [line.partition(": ")[0] for line in lines[1:3]] == ["not modelled   ' '", "not modelled   'a\\nb'"]
    assert list(not_modelled_lines(found.not_modelled)) == lines[1:3]


@pytest.mark.parametrize(("line", "key"), [('" " = 1', "' '"), ('" ".a = 1', "' '.a"), ('"b ".a = 1', "'b '.a")])
def test_an_unknown_key_is_named_so_that_it_is_seen(line, key, tmp_path):
    (tmp_path / "x.toml").write_text(f"{line}\n[group.a]\n")
    assert f"x.toml: {key}: unknown key" in said("scenario", "check", tmp_path / "x.toml", code=2)
