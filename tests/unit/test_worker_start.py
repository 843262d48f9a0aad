"""A Ctrl-C while a worker starts waits until it has started, and is not lost."""

import subprocess
import sys

CODE = """
import os, signal
from fleet.engines import processes
signal.signal(signal.SIGINT, signal.default_int_handler)

class Interrupted:
    shard = None
    def __init__(self, job):
        os.kill(os.getpid(), signal.SIGINT)

processes.Worker = Interrupted
processes.forkserver.ensure_running = lambda: None
workers = processes.Workers(None, most=1)
try:
    workers.free()
except KeyboardInterrupt:
    print("interrupted", [type(worker).__name__ for worker in workers.workers])
"""


def test_a_ctrl_c_meanwhile_comes_once_the_worker_is_known():
    """In a process of its own: those that run tests side by side do not hear a Ctrl-C."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == "interrupted ['Interrupted']\n"
