"""Mutation test of the handler: ``python -m tests.mutation.run``.

The tests named below are collected once; each mutant is then applied in a forked process, which runs them until one
fails. The second reading of the switch table is not among them: a mutant must be caught by what the kernel does.
Exit code 0: every mutant was caught, or is listed as equivalent with the reason, and no listed one was caught.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from typing import Any

import pytest

from tests.mutation.equivalent import EQUIVALENT
from tests.mutation.mutants import Mutant, all_mutants

TESTS = (
    "tests/unit/test_big_table.py",
    "tests/unit/test_worked_examples.py",
    "tests/unit/test_inject.py",
    "tests/unit/test_kernel_switches.py",
    "tests/unit/test_kernel_copies.py",
    "tests/unit/test_handler.py",
    "tests/unit/test_machine_check_flow.py",
    "tests/conformance/test_recorded_kernel.py",
    "tests/unit/test_severity.py",
    "tests/unit/test_firmware_and_amd_records.py",
    "tests/unit/test_grades.py",
)


HEALTHY = Mutant("none", "no change", lambda: None)


class Judge:
    """Runs the collected tests against one mutant after the other, in the place of pytest's own loop."""

    def __init__(self, mutants: list[Mutant], jobs: int) -> None:
        self.mutants, self.jobs = mutants, jobs
        self.verdicts: dict[str, str] = {}
        self.killers: Counter[str] = Counter()
        self.broken = ""

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Judge every mutant, once the tests pass without one."""
        _, pipe = self._start(session, HEALTHY)[1]
        with os.fdopen(pipe) as stream:
            self.broken = stream.read()
        os.wait()
        waiting, running = ([] if self.broken else list(self.mutants)), {}
        while waiting or running:
            while waiting and len(running) < self.jobs:
                mutant = waiting.pop(0)
                running.update([self._start(session, mutant)])
            pid, _ = os.wait()
            mutant, pipe = running.pop(pid)
            with os.fdopen(pipe) as stream:
                killer = stream.read()
            self.verdicts[mutant.name] = killer
            if killer:
                self.killers[killer] += 1
            fate = f"caught by {killer.split('::', 1)[-1]}" if killer else "SURVIVED"
            print(f"{mutant.group}: {mutant.name}: {fate}", flush=True)
        return True

    def _start(self, session: pytest.Session, mutant: Mutant) -> tuple[int, tuple[Mutant, int]]:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writing)
            return pid, (mutant, reading)
        os.close(reading)
        os.write(writing, self._first_failure(session, mutant).encode())
        os._exit(0)

    def _first_failure(self, session: pytest.Session, mutant: Mutant) -> str:
        mutant.apply()
        failed: list[str] = []

        class Watch:
            def pytest_runtest_logreport(self, report: Any) -> None:
                if report.failed:
                    failed.append(report.nodeid)

        session.config.pluginmanager.register(Watch())
        # Tests that caught many mutants go first.
        for item in sorted(session.items, key=lambda one: -self.killers[one.nodeid]):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            if failed:
                return failed[0]
        return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--match", default="", help="Only mutants whose group and name contain this.")
    parser.add_argument("--every", type=int, default=1, help="Only every n-th mutant.")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    chosen = [one for one in all_mutants() if options.match in f"{one.group}: {one.name}"][:: options.every]
    judge = Judge(chosen, options.jobs)
    begun = time.monotonic()
    sys.stdout.flush()
    code = pytest.main(
        ["-o", "addopts=", "-p", "no:terminal", "-p", "no:xdist", "-p", "no:cacheprovider", *TESTS], plugins=[judge]
    )
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        print(f"the tests could not be collected: {code!r}")
        return 1
    if judge.broken:
        print(f"the tests fail without a mutant: {judge.broken}")
        return 1
    survivors = [one for one in chosen if not judge.verdicts[one.name] and one.name not in EQUIVALENT]
    wrong = [one for one in chosen if judge.verdicts[one.name] and one.name in EQUIVALENT]
    for group in dict.fromkeys(one.group for one in chosen):
        names = [one.name for one in chosen if one.group == group]
        caught = sum(bool(judge.verdicts[name]) for name in names)
        equivalent = sum(name in EQUIVALENT for name in names)
        print(f"{group}: {len(names)} mutants, {caught} caught, {equivalent} listed as equivalent")
    for one in survivors:
        print(f"SURVIVED {one.group}: {one.name}")
    for one in wrong:
        print(f"LISTED AS EQUIVALENT, BUT CAUGHT {one.group}: {one.name}")
    print(f"{len(chosen)} mutants in {time.monotonic() - begun:.0f} s")
    return 1 if survivors or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
