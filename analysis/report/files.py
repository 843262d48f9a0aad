"""Writing a report: nothing but a report of ours is overwritten, and readers find a whole file or the old one."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from analysis.report.plain import ReportPage
from analysis.report.render import MARKS, html, markdown, pictures
from fleet.stored.written import not_written
from node_sim.errors import ConfigError

HEAD_BYTES: Final = 4096
"""The mark of a file of ours is in its first bytes."""


class Target(NamedTuple):
    """Where a report goes, and as what."""

    path: Path
    form: str


def target_of(path: Path, form: str) -> Target:
    """Check that a report can be written, before anything is computed.

    Raises:
        ConfigError: There is something else than a report, or no folder.
    """
    _check_ours(path, form)
    if not path.parent.is_dir():
        msg = f"{path}: no folder {path.parent}, expected one that is there; make it, or choose another file with -o"
        raise ConfigError(msg)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        msg = f"{path}: the folder cannot be written, expected one that can; choose another file with -o"
        raise ConfigError(msg)
    return Target(path, form)


def write_report(page: ReportPage, target: Target) -> Path:
    """Write a page; return its path.

    Raises:
        ConfigError: It cannot be written, or a figure's file is not one of ours.
    """
    if target.form == "html":
        _replace(target.path, html(page))
        return target.path
    folder = target.path.with_name(f"{target.path.stem}_files")
    if folder.is_symlink():
        msg = f"{folder}: a link, expected a folder for the figures; choose another file with -o, or move it away"
        raise ConfigError(msg)
    drawn = pictures(page)
    for name in drawn:
        _check_ours(folder / name, "svg")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        msg = f"{folder}: {error.strerror}, expected a folder for the figures; choose another file with -o"
        raise ConfigError(msg) from None
    for name, svg in drawn.items():
        _replace(folder / name, svg)
    _replace(target.path, markdown(page, folder.name))
    return target.path


def _check_ours(path: Path, form: str) -> None:
    """Check that nothing, or an older report, has a name.

    Raises:
        ConfigError: Something else has, or cannot be read.
    """
    if not os.path.lexists(path):
        return
    mend = "choose another file with -o, or move it away"
    if path.is_symlink() or not path.is_file():
        msg = f"{path}: not a regular file, expected a new file or a report; {mend}"
        raise ConfigError(msg)
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        msg = f"{path}: {error.strerror}, expected a report that can be overwritten; {mend}"
        raise ConfigError(msg) from None
    if MARKS[form].encode() not in head:
        msg = f"{path}: not a report of ours, expected a new file or a report ({form}); {mend}"
        raise ConfigError(msg)


def _replace(path: Path, text: str) -> None:
    """Write a file beside its place, then rename it.

    Raises:
        ConfigError: It cannot be written there.
        ExecutionError: There is no room.
    """
    beside = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with beside.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise not_written(path, error) from None
