"""What a host shows in files: EDAC, counters per NUMA node, and what of /proc goes with them.

**Models.** ``/sys/devices/system/edac/mc`` as kernels have it with and without ``CONFIG_EDAC_LEGACY_SYSFS`` (csrow
directories), ``node/nodeN/memory_failure``, ``/proc/meminfo`` and ``/proc/stat`` (boot time).

**Leaves out.** What rows do not say: types of DIMMs, CPU time, memory that is free. Those lines are not there, or 0.

**Sources.** Linux: drivers/edac/edac_mc_sysfs.c; Documentation/ABI/testing/sysfs-devices-edac,
Documentation/ABI/stable/sysfs-devices-node.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from analysis.hosts.changes import CORRECTED, HANDLED, POISONED, UNCORRECTED, HostCounter
from analysis.hosts.counters import HostState
from analysis.hosts.kinds import AMD, HostKind
from analysis.hosts.node_exporter import RESULTS, WRAP, csrow_total, edac_total
from node_sim.errors import ConfigError, ExecutionError
from node_sim.units import NS_PER_S, PAGE_BYTES

_MB: Final = 1 << 20
_KB: Final = 1 << 10
_EDAC: Final = "sys/devices/system/edac/mc"
_NODES: Final = "sys/devices/system/node"
_COUNTS: Final = (("ce", CORRECTED), ("ue", UNCORRECTED))
_IDLE: Final = """\
cpu  0 0 0 0 0 0 0 0 0 0
intr 0
ctxt 0
btime {boot_s}
processes 0
procs_running 1
procs_blocked 0
softirq 0 0 0 0 0 0 0 0 0 0 0
"""


def host_files(kind: HostKind, state: HostState, now_ns: int, start_s: float, layout: str) -> dict[str, str]:
    """Return the files of a host that is up: their content by path.

    Args:
        kind: What the host is.
        state: Its counters at that time.
        now_ns: Time [ns since the start of the run].
        start_s: When the time of the run is 0 [s since 1970].
        layout: One of ``LAYOUTS``.
    """
    files = {
        "proc/meminfo": _meminfo(kind, state),
        "proc/stat": _IDLE.format(boot_s=int(start_s + state.boot_ns / NS_PER_S)),
        f"{_NODES}/online": f"0-{kind.sockets - 1}\n" if kind.sockets > 1 else "0\n",
        **dict(_numa(kind, state)),
    }
    if layout != "none":
        up_s = (now_ns - state.boot_ns) // NS_PER_S
        for controller in range(kind.controllers):
            files |= {
                f"{_EDAC}/mc{controller}/{name}": f"{text}\n" for name, text in _mc(kind, state, controller, up_s)
            }
            if layout == "legacy":
                files |= {
                    f"{_EDAC}/mc{controller}/{name}": f"{text}\n" for name, text in _csrows(kind, state, controller)
                }
    return files


def _meminfo(kind: HostKind, state: HostState) -> str:
    sizes = {
        "MemTotal": kind.memory_bytes // _KB,
        "HardwareCorrupted": state.counts[HostCounter(POISONED)] * PAGE_BYTES // _KB,
    }
    return "".join(f"{name + ':':<16}{size:>8} kB\n" for name, size in sizes.items())


def _numa(kind: HostKind, state: HostState) -> Iterator[tuple[str, str]]:
    if not kind.rules.statistics:
        return
    for socket in range(kind.sockets):
        counts = {result: state.counts[HostCounter(HANDLED, socket, result=result)] for result in RESULTS}
        for name, count in {"total": sum(counts.values()), **counts}.items():
            yield f"{_NODES}/node{socket}/memory_failure/{name}", f"{count}\n"


def _mc(kind: HostKind, state: HostState, controller: int, up_s: int) -> Iterator[tuple[str, object]]:
    """Yield what a memory controller shows itself, and its DIMMs, which the driver calls ranks where it has csrows."""
    of_amd = kind.reporting == AMD
    channels, slots = kind.channels_together, kind.dimms_per_channel
    yield "mc_name", "hwpoison-fleet"
    yield "size_mb", channels * slots * kind.dimm_bytes // _MB
    yield "seconds_since_reset", up_s
    yield "max_location", _location(of_amd, channels - 1, slots - 1)
    for word, what in _COUNTS:
        yield f"{word}_count", edac_total(state, what, controller)
        yield f"{word}_noinfo_count", csrow_total(state, what, controller, None)
    for slot in range(kind.dimms):
        place = kind.place(slot)
        if place.controller != controller:
            continue
        index = place.csrow * channels + place.channel if of_amd else place.channel * slots + place.csrow
        folder = f"rank{index}" if of_amd else f"dimm{index}"
        yield f"{folder}/dimm_label", place.label
        yield f"{folder}/dimm_location", _location(of_amd, place.channel, place.csrow)
        yield f"{folder}/size", kind.dimm_bytes // _MB
        for word, what in _COUNTS:
            yield f"{folder}/dimm_{word}_count", _of_dimm(state, what, controller, place.channel, place.csrow)


def _location(of_amd: bool, channel: int, csrow: int) -> str:
    return f"csrow {csrow} channel {channel} " if of_amd else f"channel {channel} slot {csrow} "


def _of_dimm(state: HostState, what: str, controller: int, channel: int, csrow: int) -> int:
    return state.counts[HostCounter(what, controller, channel, csrow)] % WRAP


def _csrows(kind: HostKind, state: HostState, controller: int) -> Iterator[tuple[str, object]]:
    """Yield the directories of csrows; channels have a count of corrected errors only."""
    labels = {
        (place.csrow, place.channel): place.label
        for place in map(kind.place, range(kind.dimms))
        if place.controller == controller
    }
    for csrow in range(kind.dimms_per_channel):
        yield f"csrow{csrow}/size_mb", kind.channels_together * kind.dimm_bytes // _MB
        for word, what in _COUNTS:
            yield f"csrow{csrow}/{word}_count", csrow_total(state, what, controller, csrow)
        for channel in range(kind.channels_together):
            yield f"csrow{csrow}/ch{channel}_ce_count", _of_dimm(state, CORRECTED, controller, channel, csrow)
            yield f"csrow{csrow}/ch{channel}_dimm_label", labels[csrow, channel]


def write_tree(folder: Path, files: Mapping[str, str]) -> None:
    """Write files below a folder that is not there yet or is empty, all of them or none.

    Raises:
        ConfigError: Something is there, or it is no place for a folder.
        ExecutionError: A file cannot be written.
    """
    check_new(folder, "-o")
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        for name, text in files.items():
            path = beside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        beside.rename(folder)
    except OSError as error:
        msg = f"{folder}: {error.strerror}, expected to write files there; make room, or choose another with -o"
        raise ExecutionError(msg) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def check_new(folder: Path, option: str) -> None:
    """Check that a folder can be made, or is there and empty; make those above it.

    Raises:
        ConfigError: It cannot, or is not.
    """
    taken = os.path.lexists(folder)
    with suppress(OSError):
        taken = taken and (not folder.is_dir() or folder.is_symlink() or any(folder.iterdir()))
    if taken:
        msg = f"{folder}: is there, expected a new folder or an empty one; move it, or choose another with {option}"
        raise ConfigError(msg)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder}: {error.strerror}, expected a folder that can be written; choose another with {option}"
        raise ConfigError(msg) from None
