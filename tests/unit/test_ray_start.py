"""A cluster that does not start is said in one line, and what was started of it ends."""

import signal
import subprocess

import pytest

from fleet.engines.ray_engine import RayEngine, ray
from node_sim.errors import ConfigError


def test_a_start_that_takes_too_long_is_said_and_leaves_nothing(monkeypatch):
    started = []

    def start(**_):
        started.append(subprocess.Popen(["sleep", "600"]))
        message = "The current node timed out during startup.\nThis could"
        raise Exception(message)  # noqa: TRY002 - as Ray does

    monkeypatch.setattr(ray, "init", start)
    with pytest.raises(
        ConfigError, match=r"does not start on this machine \(The current node timed out during startup"
    ):
        RayEngine(2, None).__enter__()
    assert started[0].wait(5) == -signal.SIGKILL
