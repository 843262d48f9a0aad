"""A Chromium to open reports in: the one that is installed, or Debian's, unpacked without root below ``.browser``.

``python -m tests.chromium`` fetches it and prints its path. Debian's packages are those that ``apt-get install`` would
add on this machine, so that a browser that starts here has all its libraries; a font comes with them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".browser"
INSTALLED = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
WANTED = ("chromium-headless-shell", "fonts-dejavu-core")
BINARY = "usr/bin/chromium-headless-shell"
FETCH_S_MAX = 600


class Browser(NamedTuple):
    """A program, and what it needs in its environment."""

    program: Path
    environment: dict[str, str]


class NoBrowserError(Exception):
    """There is none, and none can be fetched."""


def find_browser() -> Browser:
    """Return the browser of this machine, or the unpacked one, which is fetched if it is not there.

    Raises:
        NoBrowserError: None is installed and Debian's cannot be fetched.
    """
    for name in INSTALLED:
        found = shutil.which(name)
        if found:
            return Browser(Path(found), {})
    tree = CACHE / "root"
    if not (tree / ".complete").exists():
        _fetch(tree)
    return _unpacked(tree)


def _unpacked(tree: Path) -> Browser:
    """Return the browser of an unpacked tree: libraries and fonts are looked for there, too."""
    libraries = sorted({str(path.parent) for path in tree.rglob("*.so*")})
    fonts = tree / "fonts.conf"
    fonts.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        f"<dir>{tree}/usr/share/fonts</dir><dir>/usr/share/fonts</dir><cachedir>{tree}/fonts-cache</cachedir>"
        "</fontconfig>"
    )
    program = next(
        path
        for path in (
            tree / "usr/lib/chromium/chromium-headless-shell",
            tree / "usr/lib/chromium-headless-shell",
            tree / BINARY,
        )
        if path.is_file()
    )
    return Browser(program, {"LD_LIBRARY_PATH": ":".join(libraries), "FONTCONFIG_FILE": str(fonts)})


def _fetch(tree: Path) -> None:
    """Download the packages and unpack them."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        msg = "no Chromium on this machine, and no apt-get to fetch Debian's; install chromium"
        raise NoBrowserError(msg)
    state, archives = CACHE / "apt", CACHE / "packages"
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
    _apt([*owned, "-qq", "update"], CACHE, check=False)
    planned = _apt([*owned, "-s", "--no-install-recommends", "install", *WANTED], CACHE)
    names = re.findall(r"^Inst (\S+)", planned, re.MULTILINE)
    _apt([*owned, "-qq", "download", *names], archives)
    for package in sorted(archives.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(package), str(tree)], check=True, timeout=FETCH_S_MAX)
    shutil.rmtree(state)
    shutil.rmtree(archives)
    (tree / ".complete").touch()


def _apt(arguments: list[str], folder: Path, *, check: bool = True) -> str:
    """Run apt-get as whoever we are.

    Raises:
        NoBrowserError: It failed.
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
        msg = f"Chromium cannot be fetched ({why}); the report's test needs a network once, or an installed chromium"
        raise NoBrowserError(msg)
    return done.stdout


if __name__ == "__main__":
    print(find_browser().program)
