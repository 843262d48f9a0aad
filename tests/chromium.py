"""A Chromium to open reports in: the one that is installed, or Debian's, unpacked without root.

``python -m tests.chromium`` fetches it and prints its path. A font comes with it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from tests.debian import unpacked

INSTALLED = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
WANTED = ("chromium-headless-shell", "fonts-dejavu-core")
BINARY = "usr/bin/chromium-headless-shell"


class Browser(NamedTuple):
    """A program, and what it needs in its environment."""

    program: Path
    environment: dict[str, str]


def find_browser() -> Browser:
    """Return the browser of this machine, or the unpacked one, which is fetched if it is not there.

    Raises:
        NoProgramError: None is installed and Debian's cannot be fetched.
    """
    for name in INSTALLED:
        found = shutil.which(name)
        if found:
            return Browser(Path(found), {})
    return _unpacked(unpacked("chromium", WANTED, needs_all=True))


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


if __name__ == "__main__":
    print(find_browser().program)
