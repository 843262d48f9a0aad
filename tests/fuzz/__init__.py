"""Inputs that nobody should give; one thread for matrices, as two wait for each other awake on a busy machine."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
