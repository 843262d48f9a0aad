"""The README is true: its output is that of the demo, its commands exist and its code runs."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fleet.cli import main

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
COMMAND = (sys.executable, "-c", "from fleet.cli import main; main()")
CHANGING = ("data: ", "next: ", "      hwpoison-fleet compare")
"""Lines that name the folder or the time of a run."""


def lasting(text):
    return [line.rstrip() for line in text.strip().splitlines() if not line.startswith(CHANGING)]


def test_the_output_shown_is_that_of_the_demo(tmp_path):
    shown = re.search(r"```text\n(.*?)```", README, re.DOTALL).group(1)
    done = subprocess.run([*COMMAND, "run"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert lasting(done.stdout) == lasting(shown)
    assert "hwpoison-fleet run" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("line", re.findall(r"^hwpoison-fleet (.*?)(?: +#.*)?$", README, re.MULTILINE))
def test_every_command_shown_parses(line):
    command, context, words = main, click.Context(main), line.split()
    while isinstance(command, click.Group):
        command = command.get_command(context, words.pop(0))
        assert command is not None
    options = [option for parameter in command.params for option in parameter.opts]
    assert {word for word in words if word.startswith("-")} <= set(options)


def test_every_make_target_shown_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", README)) <= targets
