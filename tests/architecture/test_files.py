"""Files and functions are of a size to read, names mean one thing, and what a text names is there."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache

import pytest

from tests.architecture.house import PACKAGES, ROOT, main, modules

MODULES = modules()
LINES_MAX, FUNCTION_LINES_MAX = 400, 60
TEXTS = ("README.md", "CONTRIBUTING.md", "deploy/README.md")
PATH = re.compile(r"`+((?:[\w.-]+/)*[\w-]+\.(?:py|csv))`+")


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text())


def test_no_two_files_of_tests_have_one_name():
    """Pytest would collect one of them only."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("module", MODULES)
def test_a_file_can_be_read_in_one_go(module):
    assert len((ROOT / module).read_text().splitlines()) <= LINES_MAX


@pytest.mark.parametrize("module", MODULES)
def test_a_function_fits_a_screen(module):
    functions = [node for node in ast.walk(tree_of(module)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {one.name: one.end_lineno - one.lineno + 1 for one in functions}
    assert {name: lines for name, lines in long.items() if lines > FUNCTION_LINES_MAX} == {}


def test_a_class_name_stands_for_one_thing():
    places = defaultdict(list)
    for module in MODULES:
        for node in tree_of(module).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if name[0].isupper() and not name.isupper() and len(name) > 1:
                    places[name].append(module)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


PHYSICS = ("dram", "ecc", "corrected", "memory", "machine_check", "hwpoison", "one_page", "one_dimm", "lives")


@pytest.mark.parametrize(
    "module", [one for one in MODULES if one.split("/")[1] in PHYSICS and not one.endswith("__init__.py")]
)
def test_a_module_of_physics_or_kernel_says_what_it_models_and_on_whose_word(module):
    text = ast.get_docstring(tree_of(module))
    for word in ("**Models.**", "**Leaves out.**", "**Assumes.**", "**Sources.**"):
        assert word in text


def named_files(text: str) -> set[str]:
    return set(PATH.findall(text))


def exists(name: str, beside: str) -> bool:
    """Whether a file is there: from the root, from a package, or beside the text that names it."""
    near = [ROOT, ROOT / "node_sim", ROOT / "fleet", ROOT / beside]
    return any((place / name).is_file() for place in near)


@pytest.mark.parametrize("module", MODULES)
def test_files_that_a_docstring_names_are_there(module):
    text = " ".join(
        node.value
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    beside = module.rsplit("/", 1)[0]
    assert {name for name in named_files(text) if not exists(name, beside)} == set()


@pytest.mark.parametrize("name", TEXTS)
def test_files_that_a_document_names_are_there(name):
    anywhere = {path.name for folder in (*PACKAGES, "tests") for path in (ROOT / folder).rglob("*.py")}
    found = named_files((ROOT / name).read_text())
    assert {one for one in found if not exists(one, ".") and one not in anywhere} == set()


def test_the_house_can_be_printed(capsys):
    main()
    text = capsys.readouterr().out
    assert "rooms in circles: none" in text
    assert "arrows that run up: fleet.commands -> analysis" in text
