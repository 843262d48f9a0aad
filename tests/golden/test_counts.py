"""Did the numbers change without intent? Counts of four small fleets, stored beside this file.

Counts, not digests: a reader can judge what moved. They are the same on all machines (``node_sim/elementary.py``). To
store new ones after an intended change: ``python -m tests.golden.test_counts``; say ``[MODEL]`` or ``[DRAWS]`` in the
changelog.
"""

import copy
import json
from pathlib import Path

import pytest

from fleet.engines.choice import EngineChoice
from fleet.run import start_run
from fleet.scenario.decode import decode
from fleet.stored.headline import METRICS
from fleet.stored.tally import Tally
from tests.fleets import BASELINE, busy_document, counting_document

SEED = 42
STORED = Path(__file__).with_name("counts.json")
EXACT = [name for name in METRICS if name not in ("node_years", "memory_lost_byte_years", "pool_lost_byte_years")]


def documents():
    closed = busy_document(300)
    closed["years"] = 0.5
    for group in closed["group"].values():
        group["server"] = {"address_map": "closed_page", "dimms_per_channel": 2}
        group["detection"] = {"scrub_hours": 0.0}
    plain = copy.deepcopy(BASELINE)
    plain["nodes"] = 3000
    return {
        "baseline": plain,
        "busy": busy_document(300),
        "closed page, no scrub": closed,
        "counting": counting_document(300),
    }


def count(document, root):
    fleet = decode("golden", document)
    manifest = start_run(fleet, SEED, root, EngineChoice(workers=1), None, lambda _receipt: None)
    total = Tally.from_json(manifest["tally"], len(fleet.arms), len(fleet.groups)).total.sum(axis=1)
    return {
        arm: {name: round(float(row[METRICS.index(name)])) for name in EXACT}
        for arm, row in zip(fleet.arms, total, strict=True)
    }


@pytest.mark.parametrize("name", documents())
def test_counts_are_those_stored(name, tmp_path):
    assert count(documents()[name], tmp_path / "run") == json.loads(STORED.read_text())[name]


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        found = {name: count(document, Path(folder) / str(n)) for n, (name, document) in enumerate(documents().items())}
    STORED.write_text(json.dumps(found, indent=1) + "\n")
