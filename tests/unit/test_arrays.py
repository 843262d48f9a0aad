"""Arrow arrays are made of numpy's and read back as Arrow itself does it, and nobody imports pandas for it."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from fleet.stored.arrays import from_numpy, from_texts, to_numpy, valid_of

VALUES = [np.arange(-5, 16).astype(dtype) for dtype in (np.int8, np.int64, np.uint8, np.uint32, np.uint64)]
VALUES.append(np.arange(21) % 3 == 0)
VALID = np.arange(21) % 5 != 1


@pytest.mark.parametrize("values", VALUES, ids=lambda values: str(values.dtype))
@pytest.mark.parametrize("valid", [None, VALID, np.ones(21, np.bool_), np.zeros(21, np.bool_)])
def test_arrow_has_the_values_and_the_nulls(values, valid):
    made = from_numpy(values, valid)
    made.validate(full=True)
    assert made.equals(pa.array(values, mask=None if valid is None else ~valid))


@pytest.mark.parametrize("values", VALUES, ids=lambda values: str(values.dtype))
@pytest.mark.parametrize(("start", "length"), [(0, 21), (3, 11), (9, 1), (8, 0), (21, 0)])
def test_values_of_any_part_are_read_back(values, start, length):
    part = slice(start, start + length)
    assert np.array_equal(to_numpy(pa.array(values).slice(start, length), 1), values[part])
    nullable = pa.array(values, mask=~VALID).slice(start, length)
    assert np.array_equal(to_numpy(nullable, 1), np.where(VALID, values, values.dtype.type(1))[part])
    valid = valid_of(nullable)
    assert np.array_equal(np.ones(length, np.bool_) if valid is None else valid, VALID[part])


def test_texts_are_those_given():
    texts = ("", "µ", "soft offline", "")
    made = from_texts(texts)
    made.validate(full=True)
    assert made.equals(pa.array(texts))


def test_a_run_does_without_pandas(tmp_path):
    code = f"""
import sys
from fleet.cli import main
try:
    main(["run", "--nodes", "500", "--workers", "1", "-o", {str(tmp_path / "run")!r}])
except SystemExit as end:
    assert not end.code
assert "pyarrow.parquet" in sys.modules
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
