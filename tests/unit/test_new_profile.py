"""A kernel profile can be added in one file: a copy of the source with an imaginary kernel after the newest.

The copy is edited as a maintainer would edit it; everything else follows from the table.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from node_sim.catalog.kernels import PROFILE_NAMES
from node_sim.hwpoison.outcomes import CallKind
from node_sim.hwpoison.use_states import STATES
from node_sim.machine_check.severity import INTEL_ROWS

ROOT = Path(__file__).parents[2]
ASKED = """
import json, sys
import numpy as np
from node_sim.catalog.kernels import PROFILES, PROFILE_NAMES
from node_sim.codes import KernelRead, KillPolicy, Observer
from node_sim.hwpoison.handler_table import HandlerTable
from node_sim.hwpoison.outcomes import CallKind, handle_state
from node_sim.hwpoison.use_states import STATES
from node_sim.machine_check.grades import Reporting, grade
from node_sim.machine_check.severity import INTEL_ROWS, Bank, Context, intel_severity
from node_sim.one_page.inject import inject
from node_sim.server.policy import Kernel

def outcomes(profile):
    return [
        [int(part) if part is not None else None for part in handle_state(
            page, kind, (KillPolicy.UNSET,), early_kill=True, recovery=True, profile=profile)[:-1]]
        for page in STATES for kind in CallKind
    ]

def severities(profile):
    statuses = [row.match | 1 << 63 | 1 << 60 for row in INTEL_ROWS]
    return [
        intel_severity(Bank(status), where, profile, ser=ser).key
        for status in statuses for where in Context for ser in (False, True)
    ]

new, old = PROFILE_NAMES[-1], PROFILE_NAMES[-2]
told = inject("hugetlb", kernel_name=new, event="ar", processes=("late:handler",), then=("read",))
before = inject("hugetlb", kernel_name=old, event="ar", processes=("late:handler",), then=("read",))
print(json.dumps({
    "profile": Kernel(profile=new).profile,
    "table": HandlerTable((new,)).size,
    "outcomes": [outcomes(new), outcomes(old)],
    "severities": [severities(new), severities(old)],
    "grades": [[x if x is None else int(x) for x in grade(Observer.USER, Reporting(profile=one),
        kernel_read=KernelRead.OTHER, device_fatal=False, overflow=False)] for one in (new, old)],
    "inject": [told, before],
    "killing": [PROFILES[new].killing_text, PROFILES[old].killing_text],
}))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What a copy of the source says of an imaginary kernel that kills with other words."""
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "node_sim", copy / "node_sim", ignore=shutil.ignore_patterns("__pycache__"))
    table = copy / "node_sim/catalog/kernels.py"
    text = table.read_text()
    names = f'"{PROFILE_NAMES[-1]}")\n'
    killing = text[text.index('"killing_text": (') :].partition("\n")[0]
    changed = killing.replace("),", ', "Ending {task}"),')
    assert text.count(f"PROFILE_NAMES: Final = ({', '.join(repr(n) for n in PROFILE_NAMES)})".replace("'", '"')) == 1
    table.write_text(text.replace(names, names.replace('")', '", "imaginary")'), 1).replace(killing, changed))
    done = subprocess.run([sys.executable, "-c", ASKED], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_server_can_run_the_new_kernel(found):
    assert found["profile"] == "imaginary"


def test_the_handler_of_the_new_kernel_is_enumerated_and_is_that_of_the_newest(found):
    new, old = found["outcomes"]
    assert found["table"] > len(new) == len(CallKind) * len(STATES)
    assert new == old


def test_every_bank_has_a_severity_in_the_new_kernel(found):
    new, old = found["severities"]
    assert len(new) == 2 * 5 * len(INTEL_ROWS)
    assert new == old
    assert found["grades"][0] == found["grades"][1]


def test_inject_tells_the_new_kernel_with_what_it_changes(found):
    new, old = found["inject"]
    assert new["result"] == old["result"]
    assert found["killing"] == ["Ending {task}", "Sending SIGBUS to {task} due to hardware memory corruption"]
    assert any("Ending app:100" in line for line in new["log"])
    assert [line for line in new["log"] if "Ending" not in line] == [
        line for line in old["log"] if "Sending" not in line
    ]
