"""A Ctrl-C while a worker starts waits until it has started, and is not lost."""

import os
import signal

import pytest

from fleet.engines import processes
from fleet.engines.processes import Workers


class Interrupted:
    """A worker whose start is interrupted."""

    shard = None

    def __init__(self, _job):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_ctrl_c_meanwhile_comes_once_the_worker_is_known(monkeypatch):
    monkeypatch.setattr(processes, "Worker", Interrupted)
    monkeypatch.setattr(processes.forkserver, "ensure_running", lambda: None)
    workers = Workers(None, most=1)
    with pytest.raises(KeyboardInterrupt):
        workers.free()
    assert [type(worker) for worker in workers.workers] == [Interrupted]
