"""Arrows point down: node_sim <- fleet <- analysis. Every import of every module against an allow-list."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("node_sim", "fleet", "analysis")
STDLIB = frozenset(sys.stdlib_module_names)

NO_SIDE_EFFECTS = frozenset({"os", "pathlib", "time", "logging", "random", "sys"})
"""Standard modules a pure function has no use for."""
FLEET_MAY_IMPORT = ("node_sim", "fleet", "pyarrow", "pydantic", "click", "rich", "prometheus_client", "numpy")
RAY_MODULE = "fleet/engines/ray_actors.py"
CLI_MODULES = ("fleet/cli.py", "fleet/dram_command.py", "fleet/scenario_commands.py")
ANALYSIS_MAY_IMPORT_FROM_BELOW = (
    "node_sim.codes",
    "node_sim.units",
    "node_sim.columns",
    "node_sim.errors",
    "node_sim.records",
    "node_sim.catalog",
    "node_sim.one_dimm.counts",
    "fleet.stored",
)


class Import(NamedTuple):
    """One import: the longest dotted module path, what is taken from it, whether at module level, by which form."""

    name: str
    taken: str
    module_level: bool
    form: str
    line: int


def module_of(package: str, name: str) -> str:
    """Dotted path of ``from package import name``: the name itself where it is a module of ours."""
    path = ROOT.joinpath(*package.split("."), name)
    return f"{package}.{name}" if path.is_dir() or path.with_suffix(".py").exists() else package


def imports_of(text: str, package: str = "") -> list[Import]:
    """All imports of a module, also those inside functions and those by ``import_module()`` with a literal."""
    tree = ast.parse(text)
    inside = {
        id(child)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        level = id(node) not in inside
        if isinstance(node, ast.Import):
            found += [Import(alias.name, "", level, "import", node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: -(node.level - 1) or None], *base.split(".")]).strip(".")
            found += [
                Import(module_of(base, alias.name), alias.name, level, f"from {base} import", node.lineno)
                for alias in node.names
            ]
        elif isinstance(node, ast.Call) and _called(node.func) in ("import_module", "__import__"):
            name = node.args[0] if node.args else None
            literal = name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else "?"
            found.append(Import(literal, "", level, "import_module", node.lineno))
    return found


def _called(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def within(name: str, *allowed: str) -> bool:
    """Whether a dotted name is one of some modules or inside one."""
    return any(name == one or name.startswith(f"{one}.") for one in allowed)


def top(name: str) -> str:
    return name.partition(".")[0]


def node_sim_may_import(one: Import) -> bool:
    if within(one.name, "scipy"):
        return (one.form, one.taken) == ("from scipy import", "special")
    if within(one.name, "node_sim", "numpy"):
        return True
    return top(one.name) in STDLIB and top(one.name) not in NO_SIDE_EFFECTS


def fleet_may_import(one: Import, module: str) -> bool:
    if within(one.name, "ray"):
        return module == RAY_MODULE
    if within(one.name, "analysis"):
        return module in CLI_MODULES and (not one.module_level or one.form == "import_module")
    return within(one.name, *FLEET_MAY_IMPORT) or top(one.name) in STDLIB


def declared_distributions() -> set[str]:
    """Names of the distributions the project depends on, as modules."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {re.split(r"[<>=!~\[ ;]", line)[0].replace("-", "_").lower() for line in project["dependencies"]}


def analysis_may_import(one: Import) -> bool:
    if within(one.name, "node_sim", "fleet"):
        return within(one.name, *ANALYSIS_MAY_IMPORT_FROM_BELOW)
    if within(one.name, "ray", "pydantic", "prometheus_client"):
        return False
    return within(one.name, "analysis") or top(one.name) in STDLIB | declared_distributions()


def allowed(one: Import, module: str) -> bool:
    """Whether a module may contain an import."""
    package = top(module.replace("/", "."))
    if package == "node_sim":
        return node_sim_may_import(one)
    return fleet_may_import(one, module) if package == "fleet" else analysis_may_import(one)


MODULES = sorted(str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


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


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_layer_may(module):
    assert forbidden((ROOT / module).read_text(), module) == []


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
        ("fleet/run.py", "import ray"),
        ("fleet/engines/local.py", "from ray.util import state"),
        ("fleet/run.py", "import analysis"),
        ("fleet/run.py", "def f():\n    from analysis import rates"),
        ("fleet/run.py", "from importlib import import_module\nimport_module('analysis.rates')"),
        ("fleet/run.py", "from importlib import import_module\nname = 'x'\nimport_module(name)"),
        ("fleet/run.py", "import scipy"),
        ("fleet/cli.py", "from analysis import rates"),
        ("fleet/cli.py", "if True:\n    import analysis"),
        ("analysis/rates.py", "from node_sim import block"),
        ("analysis/rates.py", "import node_sim"),
        ("analysis/rates.py", "from node_sim.ecc.verdicts import classify"),
        ("analysis/rates.py", "from fleet.run import start"),
        ("analysis/rates.py", "from fleet import scenario"),
        ("analysis/rates.py", "import importlib\nimportlib.import_module('fleet.run')"),
        ("analysis/rates.py", "import ray"),
        ("analysis/rates.py", "import pandas"),
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
        ("node_sim/dram/faults.py", "from . import ecc\nfrom ..units import NS_PER_S\nimport math, enum"),
        ("fleet/engines/ray_actors.py", "import ray\nfrom ray.exceptions import RayError"),
        ("fleet/run.py", "import os\nimport pyarrow.parquet as pq\nfrom node_sim.lives.block import simulate_block"),
        ("fleet/cli.py", "def f():\n    from analysis import rates"),
        ("fleet/cli.py", "from importlib import import_module\ndef f():\n    import_module('analysis.rates')"),
        (
            "analysis/rates.py",
            "from node_sim import codes\nfrom fleet.stored.tally import KILLS\nfrom scipy import stats",
        ),
        ("analysis/rates.py", "from node_sim.catalog import numbers\nfrom analysis.dataset import Run"),
    ],
)
def test_an_import_that_keeps_the_rules_is_not_found(module, text):
    assert forbidden(text, module) == []
