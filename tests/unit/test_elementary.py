"""Elementary functions: what the C library says, asked for by everything that decides a row."""

import ast
import math
from pathlib import Path

import numpy as np
import pytest

from node_sim import elementary

SIMULATOR = Path(elementary.__file__).parent
WIDE = {"log", "exp", "log1p", "expm1", "log2", "log10", "exp2", "power", "float_power", "dot", "convolve"}
PLAIN = {  # powers of single numbers, which Python asks the C library for
    "2 ** LOCATOR_BITS",
    "faults.speed_ratio ** SPEED_EXPONENT.value",
    "(1.0 - 2.25577e-05 * altitude_m) ** 5.25588",
    "cutoff_gv ** k",
}
U = np.random.default_rng(5).random(2000)
X = np.concatenate((U, -700.0 * U, 700.0 * U))


@pytest.mark.parametrize(
    ("ours", "by_number", "x"),
    [
        (elementary.log, math.log, np.concatenate((U, U * 1e-300, 1e300 * U, [5e-324, 1.0]))),
        (elementary.exp, math.exp, np.concatenate((X, [0.0, -745.0]))),
    ],
)
def test_logarithms_and_exponentials_are_those_of_the_c_library(ours, by_number, x):
    assert ours(x).tolist() == [by_number(value) for value in x.tolist()]


@pytest.mark.parametrize(
    ("ours", "by_number", "x"),
    [
        (elementary.log1p, math.log1p, np.concatenate((-U, U * 1e-12, 1e12 * U))),
        (elementary.expm1, math.expm1, np.concatenate((X, U * 1e-12))),
        (lambda x: elementary.power(x, np.full(x.size, 1 / 3)), lambda value: value ** (1 / 3), U),
        (lambda x: elementary.power(1e-6, x), lambda value: 1e-6**value, U),
    ],
)
def test_the_others_are_right_to_a_few_of_their_last_bits(ours, by_number, x):
    expected = np.asarray([by_number(value) for value in x.tolist()])
    assert np.all(np.abs(ours(x) - expected) <= 16 * np.spacing(np.abs(expected)))


def test_a_power_of_one_is_the_number():
    assert elementary.power(U, np.ones(U.size)).tolist() == U.tolist()


def test_nothing_that_decides_a_row_asks_numpy_for_an_elementary_function():
    found = []
    for path in SIMULATOR.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            of_numpy = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np"
            wide = of_numpy and node.attr in WIDE
            power = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)
            constant = power and all(isinstance(leaf, (ast.Constant, ast.UnaryOp)) for leaf in (node.left, node.right))
            square = power and isinstance(node.right, ast.Constant) and node.right.value == 2
            if wide or (power and not constant and not square and ast.unparse(node) not in PLAIN):
                found.append(f"{path.relative_to(SIMULATOR)}:{node.lineno}: {ast.unparse(node)}")
    assert not found
