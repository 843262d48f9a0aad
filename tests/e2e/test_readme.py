"""The README and those of the folders are true: what they show is printed, their commands and their code run."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fleet.cli import main
from tests.keys_page import PAGE, page
from tests.ports import free_port
from tests.shown_figures import FOLDER, SHOWN, draw

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "node_sim/README.md", "fleet/README.md", "analysis/README.md")
COMMAND = (sys.executable, "-c", "from fleet.cli import main; main()")
SMALLER = {
    "run": ("--nodes", "60", "--workers", "1", "--progress", "none"),
    "dram": ("--lifetimes", "2000"),
    "scenario show": ("--sample", "200"),
}
"""Options that make a command shown cheap, those given twice counting as given last."""
OF_MANY = ("--lifetimes",)
"""Options of ``SMALLER`` that mean something else than a size where they are not given."""
REPLACED = {"9200": free_port}
"""Words that stand for something of the reader's machine."""
LINES_MAX = 150
PICTURE_BYTES_MAX = 150_000


def text(name):
    return (ROOT / name).read_text()


def blocks(name, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text(name), re.DOTALL | re.MULTILINE)


def commands(name):
    """Commands of ours that a page shows, as their words."""
    lines = [line for block in blocks(name, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("hwpoison-fleet ")]


def smaller(words):
    """The words of a command that does the same with less."""
    words = [str(REPLACED[word]()) if word in REPLACED else word for word in words]
    for command, options in SMALLER.items():
        if words[: len(command.split())] == command.split() and (options[0] in words or options[0] not in OF_MANY):
            return [*words, *options]
    return words


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    """The run whose output the README shows, with what it printed."""
    root = tmp_path_factory.mktemp("reader")
    done = subprocess.run([*COMMAND, "run", "-o", "0"], capture_output=True, text=True, check=True, cwd=root)
    return root / "0", done.stdout


@pytest.fixture
def folder(tmp_path, baseline, monkeypatch):
    """A folder as a reader may have it, with a run named DIR."""
    shutil.copytree(baseline[0], tmp_path / "DIR")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", PAGES)
def test_every_command_and_all_code_shown_run(name):
    """In this process, which imports once what hundred processes would, each for itself."""
    for words in map(smaller, commands(name)):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, f"{name}: hwpoison-fleet {shlex.join(words)}\n{done.output}{done.exception!r}"
    for code in blocks(name, "python"):
        exec(compile(code, name, "exec"), {"__name__": "__main__"})


def test_the_output_and_the_figures_shown_are_of_the_runs_they_name(baseline, tmp_path):
    (output,) = blocks("README.md", "text")
    assert "hwpoison-fleet run -o $(DEMO)\n" in text("Makefile")
    assert SHOWN[0].words == ("run",)
    assert output in baseline[1]
    for number, shown in enumerate(SHOWN):
        root = tmp_path / f"{number}" if number else baseline[0]
        if number:
            subprocess.run([*COMMAND, *shown.words, "-o", str(root)], capture_output=True, check=True)
        drawn, stored = draw(shown, root), (FOLDER / shown.name).read_bytes()
        assert drawn == stored, f"{shown.name}: python -m tests.shown_figures draws it anew"
        assert f"](tests/shown/{shown.name})" in text("README.md")
        assert len(stored) <= PICTURE_BYTES_MAX
        assert f"hwpoison-fleet {shlex.join(shown.words)}" in text("README.md") or shown is SHOWN[0]


def test_the_readme_is_one_page():
    assert len(text("README.md").splitlines()) <= LINES_MAX


def test_the_table_of_keys_is_that_of_the_settings():
    assert PAGE.read_text() == page(PAGE.read_text()), "python -m tests.keys_page writes it anew"


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name):
    for target in re.findall(r"\]\(([^)]+)\)", text(name)):
        path, _, heading = target.partition("#")
        there = (ROOT / name).parent / path if path else ROOT / name
        assert there.exists(), target
        titles = re.findall(r"^#+ (.*)$", there.read_text() if heading else "", re.MULTILINE)
        assert not heading or heading in [re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in titles]


def test_every_make_target_shown_exists():
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", text("README.md"))) <= targets
