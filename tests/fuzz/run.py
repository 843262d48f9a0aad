"""Inputs that nobody should give: ``python -m tests.fuzz.run --seed 1 --cases 2000``.

Every case has a seed of its own, ``--seed`` and those that follow; ``--seed N --cases 1 -v`` shows one again. Cases run
in forked processes with limits of memory and processor time, a batch each; a process that dies is blamed on its case.
Exit code 0: no traceback, no hang, no nan, no raw control character, nothing left behind by what was refused.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import re
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.fuzz.cases import KINDS, Case, case_of
from tests.fuzz.judge import try_case

BATCH: Final = 40
CPU_S: Final = 12.0
WALL_S: Final = 60.0
MEMORY_BYTES: Final = 1 << 30
"""What a case may take beside what the process had at the start."""
DUMP_S: Final = 1.0
"""Silence that ends the stacks of a process."""
STACKS: Final = re.compile(r"^(?:Thread|Current thread)[^\n]*\(most recent call first\):.*", re.DOTALL | re.MULTILINE)
"""What a process tells when it is over its limit: the Python stacks of all threads, then how each has run."""


@dataclass
class Found:
    """What trying cases came to.

    Attributes:
        tried: Cases.
        kinds: Cases by kind.
        failed: Seed and problem of every case that failed.
        slowest: Processor time [s] and seed of the slowest.
    """

    tried: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[int, str, str]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, 0)


def make_run(folder: Path) -> Path:
    """Make the finished run of which cases get copies."""
    from tests.fleets import busy_fleet, run_fleet

    run_fleet(busy_fleet(nodes=60), folder / "run", shard_nodes=30)
    return folder / "run"


def _limit() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, 1 << 28))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)


def _child(seeds: Sequence[int], kinds: tuple[str, ...], run: Path, pipe: int) -> None:
    """Try cases one after the other, telling of each when it begins and when it ends."""
    _limit()
    stacks = os.fdopen(os.dup(pipe), "w")
    faulthandler.register(signal.SIGPROF, stacks, all_threads=True)
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        for seed in seeds:
            os.write(pipe, f"{json.dumps(['begins', seed, 'made'])}\n".encode())
            case = case_of(seed, kinds)
            os.write(pipe, f"{json.dumps(['begins', seed, case.kind])}\n".encode())
            begun = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, CPU_S)
            _, found = try_case(case, Path(folder), run)
            if not signal.setitimer(signal.ITIMER_PROF, 0)[0]:
                signal.pause()  # it was over its limit: whoever reads the stacks ends the process
            told = json.dumps(["ends", seed, case.kind, time.process_time() - begun, found])
            os.write(pipe, f"{told}\n".encode())
    os._exit(0)


def _start(seeds: Sequence[int], kinds: tuple[str, ...], run: Path) -> tuple[int, int]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    os.close(reading)
    try:
        _child(seeds, kinds, run, writing)
    except BaseException:  # noqa: BLE001 - a mistake of the fuzzer itself
        os.write(writing, traceback.format_exc().encode(errors="replace"))
    finally:
        os._exit(1)


def _threads(pid: int) -> str:
    """Tell how each thread of a process has run: one that spins takes time, one that starves waits for it."""
    told, tick_s = [], 1.0 / os.sysconf("SC_CLK_TCK")
    for task in sorted(Path(f"/proc/{pid}/task").iterdir()):
        name, _, after = (task / "stat").read_text().rpartition(")")
        fields = after.split()
        user_s, system_s = (int(ticks) * tick_s for ticks in fields[11:13])
        waited_s = int((task / "schedstat").read_text().split()[1]) / 1e9
        how = f"{fields[0]}, {user_s:.1f} s user, {system_s:.1f} s system, waited {waited_s:.1f} s for a core"
        told.append(f"thread {name.replace('(', '')}: {how}")
    return "\n".join(told)


def _read(pid: int, pipe: int) -> str:
    """Read what a child tells; end it when it is over its limit or says nothing for too long, after its stacks."""
    told, asked = "", False
    while True:
        over = asked or STACKS.search(told) is not None
        if not select.select([pipe], [], [], DUMP_S if over else WALL_S)[0]:
            if over:
                told += f"{_threads(pid)}\n"
            os.kill(pid, (signal.SIGKILL if asked else signal.SIGXCPU) if over else signal.SIGPROF)
            asked = asked or not over
            continue
        piece = os.read(pipe, 1 << 16)
        if not piece:
            os.close(pipe)
            return told
        told += piece.decode(errors="replace")


def _batch(seeds: list[int], kinds: tuple[str, ...], run: Path, found: Found) -> None:
    """Try cases; after one that ended its process, go on with the next in another."""
    while seeds:
        pid, pipe = _start(seeds, kinds, run)
        told = _read(pid, pipe)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        running = None
        stack = re.findall(r'File "[^"]*?((?:node_sim|fleet|analysis)/[^"]*)", line (\d+)', told)
        for line in told.splitlines():
            if not line.startswith('["'):
                continue
            word, seed, kind, *more = json.loads(line)
            running = (seed, kind) if word == "begins" else None
            if word == "ends":
                found.tried += 1
                found.kinds[kind] += 1
                found.slowest = max(found.slowest, (more[0], seed))
                found.failed += [(seed, kind, problem) for problem in more[1]]
        if running is None:
            if code:
                found.failed.append((seeds[0], "batch", f"exit code {code} between cases"))
            return
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        at = f" at {stack[0][0]}:{stack[0][1]}" if stack else ""
        at = at or f": {told[told.index('Traceback') :]}" if "Traceback" in told else at
        stacks = STACKS.search(told)
        at += f"\n{stacks[0]}" if stacks else ""
        found.tried += 1
        found.failed.append((*running, f"process ended: {how}{at}"))
        seeds = seeds[seeds.index(running[0]) + 1 :]


def fuzz(
    first: int, cases: int, kinds: tuple[str, ...] = tuple(KINDS), seconds: float | None = None, batch: int = BATCH
) -> Found:
    """Try cases with seeds from ``first`` on, for some seconds at most."""
    found, begun = Found(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        run = make_run(Path(folder))
        for start in range(first, first + cases, batch):
            if seconds is not None and time.monotonic() - begun > seconds:
                break
            _batch(list(range(start, min(start + batch, first + cases))), kinds, run, found)
    return found


def _shown(case: Case) -> str:
    files = "".join(f"--- {name}\n{content.decode(errors='replace')[:3000]}\n" for name, content in case.files.items())
    return f"{case.kind}, stdout {case.stdout}\n{ascii(case.arguments)[:3000]}\n{files}"


def show(seed: int, kinds: tuple[str, ...]) -> None:
    """Print a case and how it ends."""
    case = case_of(seed, kinds)
    print(_shown(case), flush=True)
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        run = make_run(Path(folder)) if case.run else Path(folder)
        pid = os.fork()
        if not pid:
            told = os.dup(1)
            ended, found = try_case(case, Path(folder), run)
            text = f"exit code {ended.code}\n{ended.stdout.decode()[:4000]}{ended.stderr.decode()[:4000]}{found}\n"
            os.write(told, text.encode(errors="replace"))
            os._exit(0)
        os.waitpid(pid, 0)


def main() -> int:
    """Try cases as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="Of the first case.")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seconds", type=float, help="Stop after so long.")
    parser.add_argument("--kinds", default=",".join(KINDS), help="Which kinds of cases.")
    parser.add_argument("-v", "--verbose", action="store_true", help="Show the case of --seed and what it says.")
    options = parser.parse_args()
    kinds = tuple(options.kinds.split(","))
    if options.verbose:
        show(options.seed, kinds)
        return 0
    begun = time.monotonic()
    found = fuzz(options.seed, options.cases, kinds, options.seconds)
    places: dict[str, list[int]] = {}
    for seed, kind, problem in found.failed:
        key = re.sub(r"\d{3,}", "N", f"{kind}: {problem.split(': ')[0] if ' at ' in problem else problem[:160]}")
        places.setdefault(key, []).append(seed)
    for key, seeds in sorted(places.items(), key=lambda item: -len(item[1])):
        example = next(problem for seed, _, problem in found.failed if seed == seeds[0])
        print(f"{len(seeds):5} {key}\n      seeds {seeds[:4]}: {example[:4000]}")
    rate = found.tried / (time.monotonic() - begun)
    print(f"{found.tried} cases from seed {options.seed}, {rate:.0f} a second: {dict(found.kinds)}")
    print(f"{len({one[0] for one in found.failed})} failed; slowest {found.slowest[0]:.1f} s, seed {found.slowest[1]}")
    return 1 if found.failed else 0


if __name__ == "__main__":
    sys.exit(main())
