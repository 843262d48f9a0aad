"""Names of files as they are typed: printable, and what bash makes of them is the name."""

import os
import subprocess

import pytest

from fleet.printable import typed

NAMES = ("a b", "-x", "it's", "x\ny", "\x1b[31mred", "q\\\ny'", "b\udcffz", "z", "\u202etxt", "n'\t", "$HOME `id`", "ü")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_printable_and_read_back_by_bash(name):
    text = typed(name)
    assert text.isprintable()
    said = subprocess.run(["bash", "-c", f"printf %s {text}"], capture_output=True, check=True).stdout
    assert said == os.fsencode(f"./{name}" if name.startswith("-") else name)
