"""Programs of Debian that tests need: those that are installed, or Debian's, unpacked without root below ``.debian``.

``python -m tests.debian NAME`` fetches a program and prints its path. Only what is missing on this machine is fetched:
the packages that ``apt-get install`` would add, so that a program that starts here has all its libraries.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".debian"
FETCH_S_MAX = 600


class Wanted(NamedTuple):
    """What is fetched together, and where the programs in it are.

    Attributes:
        packages: Names of packages.
        programs: Name of each program and its path below the root of the unpacked tree.
        needs_all: Whether packages that these depend on are fetched, too, if they are not installed.
    """

    packages: tuple[str, ...]
    programs: dict[str, str]
    needs_all: bool = True


SETS: Final = {
    "prometheus": Wanted(
        ("prometheus",),
        {"prometheus": "usr/bin/prometheus", "promtool": "usr/bin/promtool"},
        needs_all=False,  # programs in Go hold all they need; the rest is for a service
    ),
    "node-exporter": Wanted(
        ("prometheus-node-exporter",),
        {"prometheus-node-exporter": "usr/bin/prometheus-node-exporter"},
        needs_all=False,
    ),
    "rasdaemon": Wanted(("rasdaemon", "libdbd-sqlite3-perl", "dmidecode"), {"ras-mc-ctl": "usr/sbin/ras-mc-ctl"}),
    "shellcheck": Wanted(("shellcheck",), {"shellcheck": "usr/bin/shellcheck"}),
}
"""Sets of packages; what a set needs beside its programs is in its tree."""


class NoProgramError(Exception):
    """There is none, and none can be fetched."""


def program(name: str) -> Path:
    """Return a program: the installed one, or the unpacked one, which is fetched if it is not there.

    Raises:
        NoProgramError: It is not installed and cannot be fetched.
    """
    found = shutil.which(name)
    if found:
        return Path(found)
    of_set = next(key for key, wanted in SETS.items() if name in wanted.programs)
    return tree_of(of_set) / SETS[of_set].programs[name]


def tree_of(name: str) -> Path:
    """Return the tree of a set of packages, which is fetched if it is not there.

    Raises:
        NoProgramError: It cannot be fetched.
    """
    wanted = SETS[name]
    return unpacked(name, wanted.packages, needs_all=wanted.needs_all)


def unpacked(name: str, packages: tuple[str, ...], *, needs_all: bool) -> Path:
    """Return the tree into which packages are unpacked; processes that ask for it at once wait for one of them.

    Raises:
        NoProgramError: They cannot be fetched.
    """
    tree = CACHE / name / "root"
    tree.parent.mkdir(parents=True, exist_ok=True)
    with (tree.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (tree / ".complete").exists():
            _fetch(tree, packages, needs_all=needs_all)
    return tree


def _fetch(tree: Path, packages: tuple[str, ...], *, needs_all: bool) -> None:
    """Download packages and unpack them."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        msg = f"no {packages[0]} on this machine, and no apt-get to fetch Debian's; install {' '.join(packages)}"
        raise NoProgramError(msg)
    state, archives = tree.parent / "apt", tree.parent / "packages"
    for folder in (state / "lists/partial", state / "cache/archives/partial", archives):
        folder.mkdir(parents=True, exist_ok=True)
    owned = [
        option
        for setting in (
            f"Dir::State={state}",
            f"Dir::State::Lists={state}/lists",
            "Dir::State::status=/var/lib/dpkg/status",
            f"Dir::Cache={state}/cache",
            "APT::Sandbox::User=",
            "Acquire::Retries=2",
            "Acquire::http::Timeout=20",
            "Debug::NoLocking=true",
        )
        for option in ("-o", setting)
    ]
    # Sources that fail beside Debian's own are nothing to us: what is missing is said by the next step.
    _apt([*owned, "-qq", "update"], tree.parent, packages, check=False)
    names = list(packages)
    if needs_all:
        planned = _apt([*owned, "-s", "--no-install-recommends", "install", *packages], tree.parent, packages)
        names = re.findall(r"^Inst (\S+)", planned, re.MULTILINE)
    _apt([*owned, "-qq", "download", *names], archives, packages)
    for package in sorted(archives.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(package), str(tree)], check=True, timeout=FETCH_S_MAX)
    shutil.rmtree(state)
    shutil.rmtree(archives)
    (tree / ".complete").touch()


def _apt(arguments: list[str], folder: Path, packages: tuple[str, ...], *, check: bool = True) -> str:
    """Run apt-get as whoever we are.

    Raises:
        NoProgramError: It failed.
    """
    done = subprocess.run(
        ["apt-get", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=FETCH_S_MAX,
        env={**os.environ, "LC_ALL": "C"},
    )
    if check and done.returncode:
        said = done.stderr.strip().splitlines()
        why = said[0] if said else f"exit code {done.returncode}"
        msg = (
            f"{packages[0]} cannot be fetched ({why}); its tests need a network once, or an installed "
            f"{' '.join(packages)}"
        )
        raise NoProgramError(msg)
    return done.stdout


if __name__ == "__main__":
    print(program(sys.argv[1]))
