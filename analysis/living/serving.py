"""Serving a fleet until somebody ends it, or its time is over."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from analysis.living.clock import FleetClock
from analysis.living.pages import Pages
from analysis.living.served import LivingFleet
from analysis.living.server import HttpServer, authority_of
from analysis.living.writing import HostWriter

WRITE_S: Final = 0.5
"""Time between two looks at what hosts have recorded."""
Announce = Callable[[str], None]
"""Takes the URL at which a fleet is served."""


class Serving(NamedTuple):
    """How a fleet is served.

    Attributes:
        start_ns: Time of the run when its clock begins.
        speed: Simulated seconds in a second.
        end: One of ``ENDS``.
        layout: One of ``LAYOUTS``; empty is what suits each host.
        compatible: One of ``COMPATIBLE``.
        writer: Writes what hosts record; None does not.
    """

    start_ns: int = 0
    speed: float = 1.0
    end: str = "hold"
    layout: str = ""
    compatible: str = "1.5"
    writer: HostWriter | None = None


def serve_fleet(bound: socket.socket, fleet: LivingFleet, how: Serving, announce: Announce) -> None:
    """Serve a fleet on a socket that listens, until SIGINT, SIGTERM or the end of its time.

    Raises:
        ExecutionError: What hosts record cannot be written.
    """
    gc.collect()
    gc.freeze()  # what hosts are does not change any more: no request waits for its inspection
    asyncio.run(_serve(bound, fleet, how, announce))


async def _serve(bound: socket.socket, fleet: LivingFleet, how: Serving, announce: Announce) -> None:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    if how.writer is not None:
        how.writer.begin(how.start_ns)
    clock = FleetClock(how.start_ns, fleet.horizon_ns, time.monotonic(), how.speed, how.end)
    pages = Pages(fleet, clock, time.monotonic, how.layout, how.compatible)
    announce(f"http://{authority_of(bound)}/")
    if how.end == "exit":
        loop.call_later(clock.left_s(time.monotonic()), stopped.set)
    writing = None if how.writer is None else asyncio.create_task(_write(how.writer, clock, stopped))
    await HttpServer(bound, pages.answer).run(stopped)
    if writing is not None:
        await writing


async def _write(writer: HostWriter, clock: FleetClock, stopped: asyncio.Event) -> None:
    """Write what hosts record until the server ends; it ends if that fails."""
    try:
        while not stopped.is_set():
            await asyncio.to_thread(writer.advance, clock.moment(time.monotonic()).now_ns)
            with suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), WRITE_S)
        await asyncio.to_thread(writer.advance, clock.moment(time.monotonic()).now_ns)
    finally:
        stopped.set()
