"""A real Prometheus with the past of runs in it, brought there by the commands that the export prints."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from click.testing import CliRunner

from fleet.cli import main
from tests.debian import program
from tests.prometheus import Prometheus, prometheus


class Told(NamedTuple):
    """What an export says: how much there is, and how it gets into Prometheus."""

    samples: int
    series: int
    promtool: list[str]
    prometheus: list[str]


def export(root: Path, out: Path, *options: str) -> Told:
    """Write a history as the command line does."""
    done = CliRunner().invoke(main, ["export", "openmetrics", str(root), "-o", str(out), *options])
    assert done.exit_code == 0, done.output
    counted = re.search(r": ([\d,]+) samples in ([\d,]+) series, ", done.output)
    lines = [line.strip() for line in done.output.replace("\\\n", " ").splitlines()]
    commands = {words[0]: words for words in map(shlex.split, lines[-2:])}
    samples, series = (int(number.replace(",", "")) for number in counted.groups())
    return Told(samples, series, commands["promtool"], commands["prometheus"])


def fill(told: Told, data: Path | None = None) -> Path:
    """Make blocks of a history, in a folder of data if it is not to be the one that was printed; return the folder."""
    (printed,) = [one.split("=", 1)[1] for one in told.prometheus if one.startswith("--storage.tsdb.path=")]
    chosen = printed if data is None else str(data)
    words = [chosen if one == printed else one for one in told.promtool[1:]]
    subprocess.run([program("promtool"), *words], check=True, capture_output=True, text=True)
    return Path(chosen)


def samples_in(data: Path) -> int:
    """Samples of all blocks, as promtool lists them."""
    words = [program("promtool"), "tsdb", "list", data]
    lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    column = lines[0].index("NUM SAMPLES")
    return sum(int(line[column:].split()[0]) for line in lines[1:])


@contextmanager
def back_filled(told: Sequence[Told], data: Path) -> Iterator[Prometheus]:
    """Run Prometheus on data, as the last export says."""
    ours = ("--storage.tsdb.path=", "--config.file=")
    options = [one for one in told[-1].prometheus[1:] if not one.startswith(ours)]
    with prometheus("", *options, data=data) as server:
        yield server
