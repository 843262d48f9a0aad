"""Tests run side by side: one thread each for matrices, in their processes and in those of the programs they start."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
