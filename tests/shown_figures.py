"""The figures that the README shows: ``python -m tests.shown_figures`` simulates their runs and draws them anew."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from analysis.dataset.run import open_run
from analysis.figures import FIGURES, render

FOLDER = Path(__file__).parent / "shown"
COMMAND = (sys.executable, "-c", "from fleet.cli import main; main()")
WIDTH, DPI = 760.0, 144.0


class Shown(NamedTuple):
    """A figure of the README, and the command whose run it shows."""

    name: str
    figure: str
    height: float
    words: tuple[str, ...]


SHOWN = (
    Shown("losses.png", "losses_by_arm", 270.0, ("run",)),
    Shown(
        "threshold.png",
        "response_to_sweep",
        430.0,
        ("run", "--nodes", "20000", "--sweep", "page_offline.ce_threshold=0,2,10,50"),
    ),
)


def draw(shown: Shown, root: Path) -> bytes:
    """Draw a figure of a run."""
    return render(FIGURES[shown.figure], open_run(root), "png", size=(WIDTH, shown.height), dpi=DPI).content


def main() -> None:
    """Write all."""
    FOLDER.mkdir(exist_ok=True)
    for shown in SHOWN:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([*COMMAND, *shown.words, "-o", f"{folder}/run"], check=True, capture_output=True)
            (FOLDER / shown.name).write_bytes(draw(shown, Path(folder) / "run"))


if __name__ == "__main__":
    main()
