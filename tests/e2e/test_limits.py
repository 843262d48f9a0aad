"""A machine that gives no more memory or files ends a run in one line."""

import subprocess
import sys

import pytest

COMMAND = (sys.executable, "-c", "from fleet.cli import main; main()")


def limited(limit: str, *options: str) -> subprocess.CompletedProcess:
    command = f'ulimit {limit}; exec "$@"'
    return subprocess.run(
        ["bash", "-c", command, "-", *COMMAND, "run", *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("limit", "options", "says"),
    [
        ("-n 16", ("--workers", "2"), "Too many open files"),
        ("-n 16", ("--engine", "ray"), "'ulimit -n' = 16"),
        ("-v 1000000", ("--engine", "ray"), "'ulimit -v' = 1,000,000"),
        ("-v 400000", ("--workers", "1"), "raise 'ulimit -v'"),
        ("-v 600000", ("--workers", "2"), "raise 'ulimit -v'"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else part,
)
def test_what_a_limit_forbids_is_said_in_one_line(tmp_path, limit, options, says):
    done = limited(limit, "-o", str(tmp_path / "run"), "--nodes", "4000", *options)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert says in errors[0]
    assert "Traceback" not in done.stderr
