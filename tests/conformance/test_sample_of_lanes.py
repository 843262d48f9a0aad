"""The worlds of ``test_lanes_oracle.py`` meet every branch; a file after theirs, which adds up what they counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from node_sim.codes import OfflineTrigger
from node_sim.columns import TABLE_NAMES
from node_sim.server.daemons import DAEMONS
from tests.conformance.test_lanes_oracle import BRANCHES, FEW, LEAST, read_branches


def test_sample_exercises_every_branch(shared_folder: Path) -> None:
    met: Counter[Any] = Counter()
    for number in FEW:
        met.update(read_branches(number, shared_folder))
    wanted: list[Any] = [*TABLE_NAMES, "installed later", "common", "shared by some arms", "lost records", "came back"]
    wanted += ["adddc_bank", "adddc_rank", "windows ended", "mirrored", "mirrored, silent"]
    wanted += [OfflineTrigger.ROW_THRESHOLD.text, OfflineTrigger.ROW_COLUMNS.text]
    wanted += ["bucket of a page", "bucket of a row", "boot of a page", *DAEMONS]
    wanted += ["row refused in part", "row not offlined", "row of two faults"]
    wanted += ["mapped out until a cordon", "mapped out until a technician comes", "mapped out to the horizon"]
    wanted += ["replaced beside one mapped out", "panics without a DIMM", "panics of the last DIMM"]
    for table, names in BRANCHES.items():
        for name, codes in names.items():
            wanted += [(table, name, int(code)) for code in codes]
    few = {what: met[what] for what in wanted if met[what] < LEAST}
    assert not few, f"met fewer than {LEAST} times: {few}; all: {dict(met)}"
