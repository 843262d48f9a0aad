"""The command line leaves OpenBLAS one thread: its others would spin while workers need the cores."""

import os
import subprocess
import sys

import pytest

PRODUCT = "import fleet.cli, os; import numpy as np; a = np.ones((600, 600)); a @ a; print(os.environ[{!r}])"


@pytest.mark.parametrize(("said", "left"), [(None, "1"), ("2", "2")])
def test_a_product_of_matrices_keeps_to_the_threads_that_somebody_asked_for(said, left):
    name = "OPENBLAS_NUM_THREADS"
    env = {key: value for key, value in os.environ.items() if key != name} | ({name: said} if said else {})
    count = "print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run(
        [sys.executable, "-c", f"{PRODUCT.format(name)}; {count}"], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [left, str(min(int(left), len(os.sched_getaffinity(0))))]
