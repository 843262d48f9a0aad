"""Recordings: what their columns are is said, those that come with the program are found, and no CSV is a crash."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from fleet.cli import main
from fleet.conform import read_rows
from fleet.recorded import COLUMNS, INPUTS, OUTCOMES, builtin_names, find_recording
from node_sim.errors import ConfigError
from node_sim.one_page.player import COMPARED

CASES = 60
"""Mutated tables of a run of the tests; 2,000 were tried once."""
JUNK = (
    "",
    "\0",
    '"',
    "'",
    ",",
    ";",
    "\n",
    "\r",
    "-1",
    "9" * 30,
    "ä",
    "𝒳",
    "0x",
    "n/a",
    "none",
    "!" * 40,
    "=cmd()",
    "nan",
    " ",
)


def asked(*words):
    return CliRunner().invoke(main, list(map(str, words)))


def mutated(rng: random.Random, text: str) -> bytes:
    """A recording of few rows with something wrong in it, or everything."""
    rows = list(csv.reader(io.StringIO(text)))
    rows = [list(row) for row in (rows[0], *rng.sample(rows[1:], 3))]
    for _ in range(rng.randint(1, 5)):
        row = rng.choice(rows)
        at = rng.randrange(len(row)) if row else 0
        kind = rng.randrange(8)
        if kind == 0 and row:
            row[at] = rng.choice(JUNK)
        elif kind == 1 and row:
            row[at] = rng.choice(rng.choice(rows) or ["x"])
        elif kind == 2 and row:
            del row[at]
        elif kind == 3:
            row.insert(at, rng.choice(JUNK))
        elif kind == 4 and row and row[at]:
            place = rng.randrange(len(row[at]))
            row[at] = row[at][:place] + rng.choice((*JUNK, *"RWYPVUkqux!")) + row[at][place + 1 :]
        elif kind == 5:
            rows.append(list(row))
        elif kind == 6 and row:
            row[at] *= rng.choice((0, 2, 50))
        else:
            rows.remove(row)
            rows = rows or [[]]
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=rng.choice(("\n", "\r\n"))).writerows(rows)
    content = bytearray(out.getvalue().encode())
    for _ in range(rng.choice((0, 0, 1, 20))):
        if content:
            content[rng.randrange(len(content))] = rng.randrange(256)
    if rng.random() < 0.2:
        at = rng.randrange(len(content) + 1)
        content[at:at] = rng.choice((b"\r", b'"', b"\0", b"x" * 140_000, b"\xff", b"\xef\xbb\xbf", b"\n\n"))
    return bytes(content[: rng.choice((len(content), len(content), rng.randrange(len(content) + 1)))])


def try_case(seed: int, folder: Path) -> int:
    """Hold one mutated table against a kernel; return the exit code."""
    rng = random.Random(seed)
    name = rng.choice(builtin_names())
    path = folder / f"{seed}.csv"
    path.write_bytes(mutated(rng, find_recording(Path(f"builtin:{name}")).read_text()))
    words = ["conform", path, "--kernel", rng.choice(("5.10", "6.1", "7.1"))]
    if rng.random() < 0.3:
        words = ["conform", "--predict", path, "-o", folder / f"{seed}.out.csv", "--kernel", "6.1"]
    done = asked(*words)
    assert isinstance(done.exception, SystemExit | None), (seed, done.exception)
    assert "Traceback" not in done.output, seed
    return done.exit_code


@pytest.mark.parametrize("seed", range(CASES))
def test_no_table_is_a_crash(seed, tmp_path):
    assert try_case(seed, tmp_path) in (0, 2, 3, 4)


def test_every_column_of_every_recording_is_described_in_order():
    names = [column.name for column in COLUMNS]
    for name in builtin_names():
        with find_recording(Path(f"builtin:{name}")).open(newline="") as stream:
            assert [*next(csv.reader(stream)), "notes"][: len(names)] == names
    assert names == [*INPUTS, *OUTCOMES, "notes"]
    assert tuple(column.name for column in COLUMNS if column.kind == "compared") == COMPARED
    text = asked("conform", "--columns").stdout
    assert all(f"  {name} " in text for name in names)
    assert all(f"builtin:{name}" in text for name in builtin_names())


@pytest.mark.parametrize(
    ("name", "rows"), [("6.1.192", 439), ("6.1.192-list2", 77), ("6.1.192-list3", 120), ("5.10.262", 253)]
)
def test_a_recording_that_comes_with_the_program_is_read_by_its_name(name, rows):
    assert len(read_rows(Path(f"builtin:{name}"))) == rows


def test_a_recording_knows_the_kernel_that_it_was_made_on():
    done = asked("conform", "builtin:6.1.192-list2")
    assert done.exit_code == 0
    assert "77 matched" in done.stdout
    assert asked("conform", "builtin:6.1.192-list2", "--kernel", "5.10").exit_code == 3


def test_a_name_that_is_none_and_a_file_without_a_kernel_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"builtin:6\.1: no such recording, expected one of"):
        read_rows(Path("builtin:6.1"))
    done = asked("conform", tmp_path / "x.csv")
    assert done.exit_code == 2
    assert "--kernel: missing" in done.stderr


def test_a_cell_longer_than_the_reader_takes_is_no_csv(tmp_path):
    (tmp_path / "x.csv").write_text(",".join(INPUTS) + "\n" + "x" * 140_000 + "\n")
    done = asked("conform", tmp_path / "x.csv", "--kernel", "6.1")
    assert done.exit_code == 2
    assert "line 2: not CSV" in done.stderr
