"""Elementary functions whose last bit does not depend on the processor.

NumPy computes logarithms, exponentials and powers with the widest vectors that a processor has, by another polynomial
for each width, so that two machines may differ in the last bit. Times in nanoseconds hang on that bit, and draws that
are named by such a time are others then: a busy fleet had 418 machine checks on one machine and 417 on another. SciPy
asks the C library, number by number, in about the same time.

**Sources.** ``scipy.special.boxcox(x, 0)`` is log(x) and ``inv_boxcox(x, 0)`` exp(x) by definition. IEEE 754: sums,
products, quotients and square roots are rounded alike everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from node_sim.records import Floats

Real = npt.NDArray[np.floating[Any]]


def log(x: Real) -> Floats:
    """Return natural logarithms of numbers > 0."""
    return np.asarray(special.boxcox(x, 0.0), np.float64)


def exp(x: Real) -> Floats:
    """Return exponentials."""
    return np.asarray(special.inv_boxcox(x, 0.0), np.float64)


def log1p(x: Real | float) -> Floats:
    """Return log(1 + x) of numbers > -1."""
    return np.asarray(special.log1p(np.asarray(x)), np.float64)


def expm1(x: Real) -> Floats:
    """Return exp(x) - 1."""
    return np.asarray(special.expm1(x), np.float64)


def power(base: Real | float, exponent: Real) -> Floats:
    """Return powers of numbers > 0; the base itself where the exponent is 1."""
    return np.where(exponent == 1.0, base, exp(special.xlogy(exponent, base)))
