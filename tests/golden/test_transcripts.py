"""Ten transcripts of ``hwpoison-fleet inject``, each read against the specification line by line.

``python -m tests.golden.test_transcripts`` writes them again; read them before they are committed.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from fleet.cli import main

FOLDER = Path(__file__).parent / "inject"
COMMANDS = {
    "anonymous-late": "inject --page anonymous --process unset:handler --then read,fork,dontneed,read",
    "anonymous-early": "inject --early-kill --process early:handler --process late:handler --then read",
    "anonymous-ar-3.10": "inject --kernel 3.10 --event ar --process late:blocked",
    "file-clean": "inject --page file-clean --process early:handler --then read,pread,fsync",
    "file-dirty-4.18": "inject --page file-dirty --kernel 4.18 --process late:handler --then read,pread,fsync,fsync2",
    "tmpfs": "inject --page tmpfs --process unset:handler --then read,pread,punch,pread,read",
    "hugetlb-early-5.10": "inject --page hugetlb --kernel 5.10 --process early:handler --then read",
    "thp-unsplittable-6.12": "inject --page thp-unsplittable --kernel 6.12 --event ar --process late:handler",
    "slab-2.6.32": "inject --page slab --kernel 2.6.32",
    "again-7.1": "inject --page swap-dirty --kernel 7.1 --process unset:handler --then again,read",
}


def transcript(command: str) -> str:
    """Run a command and return what it prints."""
    return f"$ hwpoison-fleet {command}\n" + CliRunner().invoke(main, shlex.split(command)).output


@pytest.mark.parametrize("name", COMMANDS)
def test_a_transcript_is_the_one_that_was_read(name):
    assert transcript(COMMANDS[name]) == (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


if __name__ == "__main__":
    for title, words in COMMANDS.items():
        (FOLDER / f"{title}.txt").write_text(transcript(words), encoding="utf-8")
