"""Arrows point down: every import of every module against the plan of the house."""

from __future__ import annotations

import ast
import re
import sys
import tomllib

import pytest

from tests.architecture.house import (
    PACKAGES,
    PLAN,
    ROOT,
    Import,
    arrows,
    circles,
    dotted,
    imports_of,
    may_enter,
    module_arrows,
    modules,
    room_of,
    upward,
    within,
)

STDLIB = frozenset(sys.stdlib_module_names)
PURE = frozenset(
    {"__future__", "collections", "dataclasses", "enum", "difflib", "functools", "itertools", "math", "re", "typing"}
)
"""Standard modules that touch nothing outside: all that ``node_sim`` may use."""
IMPORTLIB = ("importlib.metadata", "importlib.resources")
"""What may be taken of importlib: data, never a module by name."""
AT_START = (
    "click",
    "node_sim.errors",
    "node_sim.catalog",
    "node_sim.guesses",
    "fleet.commands.completion",
    "fleet.commands.export_records",
    "fleet.commands.folder",
    "fleet.commands.gates",
    "fleet.commands.hosts",
    "fleet.commands.paths",
    "fleet.commands.printing",
    "fleet.commands.summary",
    "fleet.commands.progress",
    "fleet.commands.usage",
    "fleet.inputs",
    "fleet.interruption",
    "fleet.printable",
    "fleet.progress",
    "fleet.shortage",
    "fleet.stored.address",
    "fleet.stored.plan",
)
"""What the command line may load for its help, beside the standard library."""
START_MODULES = ("fleet.cli", "fleet.commands")
FLEET_MAY_IMPORT = ("pyarrow", "pydantic", "click", "rich", "prometheus_client", "numpy")
RAY_MODULES = ("fleet/engines/ray_actors.py", "fleet/engines/ray_engine.py")
EXTRAS = {
    "analysis/dataset/": ("pandas",),
    "analysis/figures/": ("matplotlib",),
    "analysis/report/render.py": ("jinja2", "markupsafe"),
}
"""What the extras bring, by the folder that may import it inside functions; everything else works without."""
USERS_CODE = "fleet/scenario/own_policies.py"
"""Runs the file of a policy of the user's own: it alone may find modules and run text by name."""
MODULES = modules()


def top(name: str) -> str:
    return name.partition(".")[0]


def node_sim_may_import(one: Import) -> bool:
    if within(one.name, "scipy"):
        return (one.form, one.taken) == ("from scipy import", "special")
    if within(one.name, "numpy.random") or (within(one.name, "numpy") and one.taken == "random"):
        return False
    return within(one.name, "numpy") or top(one.name) in PURE


def fleet_may_import(one: Import, module: str) -> bool:
    if within(one.name, "ray"):
        return module in RAY_MODULES
    return within(one.name, *FLEET_MAY_IMPORT) or top(one.name) in STDLIB


def declared_distributions() -> set[str]:
    """Names of the distributions the project depends on, as modules."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {re.split(r"[<>=!~\[ ;]", line)[0].replace("-", "_").lower() for line in project["dependencies"]}


def analysis_may_import(one: Import, module: str) -> bool:
    extras = [name for folder, names in EXTRAS.items() if module.startswith(folder) for name in names]
    if within(one.name, *extras):
        return not one.module_level
    if within(one.name, "ray", "pydantic", "prometheus_client"):
        return False
    return top(one.name) in STDLIB | declared_distributions()


def allowed(one: Import, module: str) -> bool:
    """Whether a module may contain an import."""
    if module == USERS_CODE and one.name in ("exec", "compile", "importlib.util"):
        return True
    if one.form == "by name" or top(one.name) in ("runpy", "pkgutil", "imp"):
        return False
    if top(one.name) == "importlib" and not within(f"{one.name}.{one.taken}", *IMPORTLIB):
        return within(one.name, *IMPORTLIB)
    if one.module_level and within(dotted(module), *START_MODULES):
        light = within(one.name, *AT_START) or top(one.name) in STDLIB
        if not light:
            return False
    if within(one.name, *PACKAGES):
        return one.form != "import" and may_enter(module, one)
    package = top(dotted(module))
    if package == "node_sim":
        return node_sim_may_import(one)
    return fleet_may_import(one, module) if package == "fleet" else analysis_may_import(one, module)


def forbidden(text: str, module: str) -> list[str]:
    """Imports a module must not contain, one line each."""
    package = ".".join(module.split("/")[:-1])
    return [
        f"{module}:{one.line}: {one.form} {one.taken or one.name}"
        for one in imports_of(text, package)
        if not allowed(one, module)
    ]


def test_node_sim_has_modules():
    assert sum(module.startswith("node_sim/") for module in MODULES) > 20


def test_the_plan_names_the_rooms_there_are():
    rooms = {room_of(dotted(module)) for module in MODULES} - set(PACKAGES)
    assert rooms == set(PLAN) - set(PACKAGES)


def test_the_plan_goes_from_the_ground_up():
    order = [room for room in PLAN if room != "analysis"]
    for room, others in PLAN.items():
        for other in others:
            inside = [order.index(one) for one in order if within(one, other)]
            if (room, other) != ("fleet.commands", "analysis") and other in PLAN:
                assert room == "analysis" or max(inside) < order.index(room), f"{room} -> {other}"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_room_may(module):
    assert forbidden((ROOT / module).read_text(), module) == []


def test_no_rooms_import_each_other_in_a_circle():
    assert circles(arrows()) == set()


def test_no_modules_of_a_room_import_each_other_in_a_circle():
    assert circles(module_arrows()) == set()


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("node_sim/")])
def test_a_pure_module_opens_no_file_and_draws_nothing_but_by_name(module):
    tree = ast.parse((ROOT / module).read_text())
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute)}
    assert used & {"open", "print", "input", "np.random", "np.load", "np.save", "np.fromfile"} == set()


def test_one_arrow_runs_up_and_only_inside_functions():
    assert {(room, top(other)) for room, other in upward(arrows())} == {("fleet.commands", "analysis")}
    assert upward(arrows(lazy=False)) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("node_sim/lives/block.py", "import fleet"),
        ("node_sim/lives/block.py", "from analysis import rates"),
        ("node_sim/lives/block.py", "import os"),
        ("node_sim/lives/block.py", "from pathlib import Path"),
        ("node_sim/lives/block.py", "def f():\n    import random"),
        ("node_sim/lives/block.py", "import os.path"),
        ("node_sim/lives/block.py", "import pyarrow"),
        ("node_sim/lives/block.py", "import scipy"),
        ("node_sim/lives/block.py", "import scipy.special"),
        ("node_sim/lives/block.py", "from scipy import stats"),
        ("node_sim/lives/block.py", "from scipy.special import ndtri"),
        ("node_sim/dram/faults.py", "from ... import fleet"),
        # rooms of one server
        ("node_sim/units.py", "from node_sim.catalog import numbers"),
        ("node_sim/codes.py", "from node_sim.columns import TABLES"),
        ("node_sim/catalog/kernels.py", "from node_sim.server.policy import Policy"),
        ("node_sim/server/policy.py", "from node_sim.dram.faults import FaultTable"),
        ("node_sim/server/policy.py", "from node_sim.hwpoison.kernel import Machine"),
        ("node_sim/hwpoison/memory_failure.py", "from node_sim.machine_check.severity import Bank"),
        ("node_sim/hwpoison/access.py", "from node_sim.one_page import inject"),
        ("node_sim/machine_check/grades.py", "from node_sim.lives.policies import PolicyColumns"),
        ("node_sim/dram/faults.py", "from node_sim.ecc.verdicts import classify"),
        ("node_sim/dram/faults.py", "from node_sim.corrected import windows"),
        ("node_sim/ecc/judgement.py", "from node_sim.corrected.sparing import spared_ns"),
        ("node_sim/memory/sightings.py", "from node_sim.dram.faults import FaultTable"),
        ("node_sim/corrected/offlining.py", "from node_sim.lives.rows import EventLog"),
        ("node_sim/one_page/inject.py", "from node_sim.lives.block import simulate_block"),
        ("node_sim/one_dimm/simulate.py", "from node_sim.one_page import inject"),
        ("node_sim/lives/block.py", "def f():\n    from node_sim.one_dimm import counts"),
        # rooms of the fleet
        ("fleet/run.py", "import ray"),
        ("fleet/engines/local.py", "from ray.util import state"),
        ("fleet/run.py", "import analysis"),
        ("fleet/run.py", "def f():\n    from analysis import rates"),
        ("fleet/run.py", "from importlib import import_module\nimport_module('fleet.stored.plan')"),
        ("fleet/run.py", "from importlib import import_module as load\nload('x')"),
        ("fleet/run.py", "import importlib"),
        ("fleet/run.py", "load = __import__"),
        ("fleet/run.py", "import runpy"),
        ("fleet/run.py", "import pkgutil"),
        ("fleet/run.py", "exec('import analysis')"),
        ("fleet/run.py", "import node_sim.units"),
        ("fleet/run.py", "import scipy"),
        ("fleet/run.py", "from node_sim.lives.block import simulate_block"),
        ("fleet/stored/tally.py", "from fleet.engines.shard import run_shard"),
        ("fleet/stored/counting.py", "from node_sim.lives.rows import EVENT_TABLES"),
        ("fleet/scenario/decode.py", "from fleet.stored.manifest import seal"),
        ("fleet/engines/local.py", "from fleet.run import start_run"),
        ("fleet/cli.py", "from analysis import rates"),
        ("fleet/cli.py", "def f():\n    import analysis"),
        ("fleet/cli.py", "def f():\n    from fleet.run import start_run"),
        ("fleet/commands/run.py", "from analysis.dataset.run import open_run"),
        ("fleet/commands/run.py", "if True:\n    import analysis"),
        ("fleet/commands/run.py", "def f():\n    from fleet.cli import main"),
        # analysis
        ("analysis/estimators/rates.py", "from node_sim.lives import block"),
        ("analysis/estimators/rates.py", "import node_sim"),
        ("analysis/estimators/rates.py", "from node_sim.ecc.verdicts import classify"),
        ("analysis/estimators/rates.py", "from fleet.run import start_run"),
        ("analysis/estimators/rates.py", "from fleet import scenario"),
        ("analysis/estimators/rates.py", "from analysis.comparison.effects import effect"),
        ("analysis/field/study.py", "from analysis.dataset.run import Run"),
        ("analysis/estimators/rates.py", "import importlib\nimportlib.import_module('fleet.stored.plan')"),
        ("fleet/cli.py", "from fleet.commands.run import run_command"),
        ("fleet/cli.py", "import numpy"),
        ("fleet/commands/run.py", "import pyarrow"),
        ("fleet/commands/run.py", "from fleet.run import start_run"),
        ("fleet/commands/run.py", "if not TYPE_CHECKING:\n    from analysis.dataset.run import open_run"),
        ("fleet/commands/run.py", "if TYPE_CHECKING:\n    pass\nelse:\n    from analysis.dataset.run import open_run"),
        ("node_sim/lives/block.py", "import datetime"),
        ("node_sim/lives/block.py", "import subprocess"),
        ("node_sim/lives/block.py", "import io"),
        ("node_sim/lives/block.py", "from numpy import random"),
        ("node_sim/lives/block.py", "import numpy.random"),
        ("analysis/estimators/rates.py", "import ray"),
        ("analysis/estimators/rates.py", "import pandas"),
        ("analysis/estimators/rates.py", "def f():\n    import pandas"),
        ("analysis/dataset/frames.py", "import pandas"),
        ("analysis/dataset/frames.py", "def f():\n    import matplotlib"),
        ("analysis/estimators/rates.py", "def f():\n    import matplotlib"),
        ("analysis/figures/style.py", "import matplotlib"),
    ],
)
def test_an_import_that_breaks_the_rules_is_found(module, text):
    assert len(forbidden(text, module)) == 1


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (
            "node_sim/lives/block.py",
            "from scipy import special\nimport numpy.typing as npt\nfrom node_sim import codes",
        ),
        ("node_sim/dram/faults.py", "from . import cosmic\nfrom ..units import NS_PER_S\nimport math, enum"),
        ("node_sim/one_page/inject.py", "from node_sim.machine_check.severity import Bank"),
        ("fleet/engines/ray_actors.py", "import ray\nfrom ray.exceptions import RayError"),
        ("fleet/engines/shard.py", "import pyarrow.parquet as pq\nfrom node_sim.lives.block import simulate_block"),
        ("fleet/run.py", "import os\nfrom fleet.engines import Job"),
        ("fleet/commands/run.py", "def f():\n    from analysis import rates"),
        ("fleet/cli.py", "def f():\n    from fleet.commands.run import run_command"),
        ("fleet/run.py", "import importlib.metadata\nfrom importlib import resources"),
        ("fleet/commands/run.py", "if TYPE_CHECKING:\n    from fleet.engines.choice import EngineChoice"),
        ("analysis/estimators/rates.py", "from node_sim import codes\nfrom fleet.stored.headline import KILLS"),
        ("analysis/estimators/rates.py", "from scipy import stats\nfrom node_sim.catalog import numbers"),
        ("analysis/text/lines.py", "from analysis.dataset.run import Run"),
        ("analysis/dataset/frames.py", "def f():\n    import pandas as pd"),
        ("analysis/figures/axes.py", "if TYPE_CHECKING:\n    import matplotlib"),
        ("analysis/figures/style.py", "def f():\n    import matplotlib"),
        ("analysis/figures/style.py", "if TYPE_CHECKING:\n    from matplotlib.axes import Axes"),
    ],
)
def test_an_import_that_keeps_the_rules_is_not_found(module, text):
    assert forbidden(text, module) == []
