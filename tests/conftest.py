"""Tests run side by side: one thread each for matrices, in their processes and in those of the programs they start."""

import os

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """A folder of all processes that run these tests together, new each time."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
