"""Running one case in this process as the interpreter would, and what is wrong with how it ended."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
import traceback
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fleet.cli import main
from tests.fuzz.cases import Case

CODES: Final = {0, 1, 2, 3, 4, 130}
MUTE: Final = ("broken", "all closed", "all full")
"""Where nothing can be said."""
FLUSH_FAILED: Final = 120
"""What the interpreter exits with when it cannot print what is left."""
ROOT: Final = Path(__file__).parents[2]
PLACE: Final = r"\S(?:(?:(?!: )[^\n])*\S)?"
"""Where something is wrong, up to the first colon and blank: seen from its first character to its last."""
WHERE: Final = re.compile(
    rf"error: {PLACE}: \S|error: (interrupted|terminated)|error: .* characters\) \.\.\. |(notice|mending): \S"
    r"|\d\d:\d\d:\d\d [\d,]+ of [\d,]+ nodes|Usage: |Try '|Error: |Options:|Commands:|  |$"
)
"""What a line on stderr looks like: ours, then those of click."""
LEFT_OUT: Final = re.compile(rf"not modelled   {PLACE}: \S")
"""What ``conform --predict`` says there of a row, by its id."""
TEXT_MAX: Final = 60_000


@dataclass
class Ended:
    """How a case ended.

    Attributes:
        code: Exit code.
        stdout: What it printed; empty where it could not.
        stderr: What it said.
        crash: Place and text of an exception that nobody caught.
    """

    code: int
    stdout: bytes
    stderr: bytes
    crash: str


def _place(error: BaseException) -> str:
    """Name the innermost line of ours that an exception came through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(ROOT) and "/tests/" not in frame.filename]
    at = own[-1] if own else frames[-1]
    name = Path(at.filename)
    where = name.relative_to(ROOT) if name.is_relative_to(ROOT) else name.name
    return f"{type(error).__name__} at {where}:{at.lineno} {at.name}: {str(error)[:150]!r}"


def _target(kind: str) -> int:
    if kind.endswith("full"):
        return os.open("/dev/full", os.O_WRONLY)
    if kind == "broken":
        reading, writing = os.pipe()
        os.close(reading)
        return writing
    return os.memfd_create("out")


def _content(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0)


def run_case(case: Case) -> Ended:
    """Run a case with files in the place of stdout and stderr; the process is a fork that ends soon."""
    out, err = _target(case.stdout), _target(case.stdout if case.stdout == "all full" else "file")
    os.dup2(out, 1)
    os.dup2(err, 2)
    stderr = io.TextIOWrapper(io.BufferedWriter(io.FileIO(2, "w", closefd=False)), "utf-8", "backslashreplace")
    stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)), "utf-8", "strict")
    stderr.reconfigure(line_buffering=True)
    sys.stderr, sys.stdout = stderr, stdout
    if case.stdout.endswith("closed"):
        os.close(1)
        sys.stdout = None
    if case.stdout == "all closed":
        os.close(2)
        sys.stderr = None
    code, crash = 0, ""
    try:
        main.main(case.arguments, prog_name="hwpoison-fleet", color=True)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:  # noqa: BLE001 - finding them is the task
        crash, code = _place(error), 1
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError as error:
            code, crash = FLUSH_FAILED, crash or f"flush: {error}"
    plain = case.stdout == "file"
    told = b"" if case.stdout.startswith("all") else _content(err)
    ended = Ended(code, _content(out) if plain else b"", told, crash)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    for descriptor in {out, err, nowhere} - {1, 2}:
        os.close(descriptor)
    return ended


def _raise_for(constant: str) -> Any:
    raise ValueError(constant)


def _raw(text: str) -> set[str]:
    """Characters that a terminal takes for orders, or that turn the text around."""
    return {one for one in text if one not in "\n\t" and unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp", "Cf")}


def _has_a_place(line: str, case: Case) -> bool:
    """Whether a line on stderr says where something is, in a way that the case's command has."""
    predicts = "conform" in case.arguments[:1] and "--predict" in case.arguments
    return WHERE.match(line) is not None or (predicts and LEFT_OUT.match(line) is not None)


def problems(case: Case, ended: Ended, before: set[str], after: set[str]) -> list[str]:
    """Say what is wrong with how a case ended."""
    found = []
    if ended.crash:
        return [ended.crash]
    if ended.code not in CODES:
        found.append(f"exit code {ended.code}")
    try:
        stdout, stderr = ended.stdout.decode(), ended.stderr.decode()
    except UnicodeDecodeError as error:
        return [f"output is not UTF-8: {error}"]
    if "Traceback" in stderr + stdout or "Exception ignored" in stderr:
        found.append(f"traceback printed: {stderr[-300:]}")
    if len(stderr) > TEXT_MAX:
        found.append(f"stderr of {len(stderr)} characters")
    if _raw(stdout) or _raw(stderr):
        found.append(f"raw characters: {sorted(map(ascii, _raw(stdout) | _raw(stderr)))}")
    if ended.code and not stderr and not (ended.code == 3 or case.stdout in MUTE):
        found.append(f"exit code {ended.code} without a word")
    if ended.code in (0, 3) and "--json" in case.arguments and stdout.startswith(("{", "[")):
        try:
            json.loads(stdout, parse_constant=_raise_for)
        except ValueError as error:
            found.append(f"JSON: {error}")
    if re.search(r"\bnan\b", stdout, re.IGNORECASE) and "nan" not in repr(case.arguments) + repr(case.files):
        found.append(f"nan printed: {re.search('.*nan.*', stdout)}")
    if "\n" not in "".join(case.arguments):
        found += [f"no where: {line[:200]!r}" for line in stderr.split("\n") if not _has_a_place(line, case)][:1]
    if ended.code == 1 and case.stdout not in ("full", *MUTE):
        found.append(f"exit code 1: {stderr[:300]}")
    if ended.code == 2 and after - before:
        found.append(f"left behind: {sorted(after - before)[:3]}")
    if any(name.endswith((".partial", ".tmp")) for name in after - before):
        found.append(f"left behind: {sorted(after - before)[:3]}")
    return found


def listing(folder: Path) -> set[str]:
    """Names of all that is below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def try_case(case: Case, folder: Path, run: Path) -> tuple[Ended, list[str]]:
    """Run a case in a new folder; return how it ended and what is wrong with that."""
    place = folder / "deep" / "deeper" / "case"
    place.mkdir(parents=True)
    for name, content in case.files.items():
        (place / name).write_bytes(content)
    if case.run:
        shutil.copytree(run, place / "run")
        for name, change in case.damage.items():
            (place / name).write_bytes(change((place / name).read_bytes()))
    os.chdir(place)
    before = listing(folder)
    ended = run_case(case)
    found = problems(case, ended, before, listing(folder))
    os.chdir(folder)
    shutil.rmtree(folder / "deep")
    return ended, found
