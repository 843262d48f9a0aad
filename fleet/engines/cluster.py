"""The border to a Ray cluster, without Ray: what this machine must allow, who answers, and whether they still do."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Mapping
from typing import Final

from node_sim.errors import ConfigError, ExecutionError

LIMITS: Final = (("n", resource.RLIMIT_NOFILE, 1, 256), ("v", resource.RLIMIT_AS, 1024, 16 << 20))
"""Limits that Ray needs: flag of ulimit, which it is, its unit, and the least that is safe."""
CONNECT_TIMEOUT_S: Final = 5.0
WATCH_EVERY_S: Final = 1.0
WATCH_TIMEOUT_S: Final = 3.0
SILENT_MAX: Final = 4
"""How often in a row nobody answers before the cluster is taken for lost; Ray itself would go on for minutes."""


def check_limits() -> None:
    """Check the limits of this process: below them Ray does not fail, but hang or abort.

    Raises:
        ExecutionError: They are too low.
    """
    for flag, kind, unit, least in LIMITS:
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY and soft // unit < least:
            limit = f"'ulimit -{flag}' = {soft // unit:,}, expected at least {least:,}"
            msg = f"--engine ray: {limit}; raise it or use --engine local"
            raise ExecutionError(msg)


def check_reachable(address: str) -> None:
    """Check that something listens at HOST:PORT, because Ray itself would try for many minutes.

    Raises:
        ConfigError: Nothing does.
    """
    place = _host_and_port(address.removeprefix("ray://"))
    if place is None:
        return
    try:
        socket.create_connection(place, timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(no_cluster(address, error)) from None


def no_cluster(address: str | None, error: Exception) -> str:
    """Say why there is no cluster."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if address is None:
        return (
            f"--engine ray: Ray does not start on this machine ({text}); free cores and memory, or use --engine local"
        )
    hint = "; set RAY_AUTH_MODE=token" if "auth" in f"{type(error).__name__} {error}".lower() else ""
    return f"--engine ray: no Ray cluster at {address} ({text}); start one or leave --address out{hint}"


def _host_and_port(address: str) -> tuple[str, int] | None:
    """Take HOST:PORT apart; None if it is not of this form."""
    host, _, port = address.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdigit() else None


class ClusterWatch:
    """Asks now and then whether what a driver cannot do without still answers."""

    def __init__(self, places: Mapping[str, str]) -> None:
        """Watch these: what it is, and its HOST:PORT."""
        self._places = {name: place for name, text in places.items() if (place := _host_and_port(text))}
        self._silent = dict.fromkeys(self._places, 0)
        self._asked_s = time.monotonic()

    def check(self) -> None:
        """Ask, if it is time.

        Raises:
            ExecutionError: One has not answered several times in a row.
        """
        if time.monotonic() - self._asked_s < WATCH_EVERY_S:
            return
        for name, place in self._places.items():
            try:
                socket.create_connection(place, timeout=WATCH_TIMEOUT_S).close()
                self._silent[name] = 0
            except OSError:
                self._silent[name] += 1
            if self._silent[name] >= SILENT_MAX:
                raise ExecutionError(lost_cluster(f"{name} at {place[0]}:{place[1]} does not answer"))
        self._asked_s = time.monotonic()


def lost_cluster(why: str) -> str:
    """Say that a run cannot go on, and what to do."""
    return (
        f"--engine ray: the cluster is lost ({why}); start one, then 'hwpoison-fleet resume': what is committed is kept"
    )
