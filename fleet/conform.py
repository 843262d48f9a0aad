"""Hold the handler against recordings of a real kernel: predict rows from their input columns, compare, write."""

from __future__ import annotations

import csv
import io
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fleet.inputs import read_input
from fleet.printable import visible
from fleet.recorded import ALLOWED, INPUTS, NEVER_READ, OUTCOMES, find_recording
from node_sim.catalog.kernels import find_profile
from node_sim.catalog.profile import Profile
from node_sim.errors import ConfigError
from node_sim.one_page.page_types import ScenarioRow, UnknownScene
from node_sim.one_page.player import COMPARED, predict

SIZE_MAX: Final = 64 << 20
"""Bytes of a table."""
_FIRST_LINE: Final = 2
_MISSING: Final = "(missing)"
_TOO_MANY: Final = "fields beyond the last column"
_LETTER = re.compile(r"ok\((?:'.'|0x..)\)")


@dataclass
class Conformity:
    """What comparing a table came to.

    Attributes:
        rows: Rows compared.
        matched: Identifiers of rows equal in every compared column.
        mismatched: ``id``, ``column``, ``expected``, ``got`` of every difference.
        not_modelled: ``id`` and ``reason`` of rows the model leaves out.
        not_compared: Outcome columns that the table does not have.
    """

    rows: int = 0
    matched: list[str] = field(default_factory=list)
    mismatched: list[dict[str, str]] = field(default_factory=list)
    not_modelled: list[dict[str, str]] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return a plain document."""
        return {
            "rows": self.rows,
            "matched": len(self.matched),
            "mismatched": self.mismatched,
            "not_modelled": self.not_modelled,
            "not_compared": self.not_compared,
        }


def _malformed(row: dict[str, str]) -> str | None:
    """Say what is wrong with the values of a row; None where nothing is."""
    problems = [
        f"{column} = {row[column]!r}, expected {pattern}"
        for column, pattern in ALLOWED.items()
        if not re.fullmatch(pattern, row[column])
    ]
    missing = sum(row[column] == _MISSING for column in INPUTS)
    if missing:
        return f"{missing} fewer fields than input columns"
    if _TOO_MANY in row:
        problems.append(f"{len(row[_TOO_MANY])} more fields than columns")
    if row["processes"] != "0" and row["sigbus_disposition"] == "n/a":
        problems.append("sigbus_disposition = 'n/a' with processes, expected their disposition")
    return "; ".join(problems) or None


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a table of scenarios; a row without a name is called by its line.

    Raises:
        ConfigError: The file cannot be read, or input columns are missing; all of them at once.
    """
    file = find_recording(path)
    reader: csv.DictReader[str] | None = None
    try:
        content = read_input(file, SIZE_MAX)
        text = io.StringIO(content[:SIZE_MAX].decode("utf-8-sig"), newline="")
        reader = csv.DictReader(text, restkey=_TOO_MANY, restval=_MISSING)
        rows, columns = list(reader), list(reader.fieldnames or ())
    except OSError as error:
        reason = error.strerror or "unreadable"
    except UnicodeDecodeError:
        reason = "not UTF-8 text"
    except (ValueError, csv.Error):
        reason = f"line {reader.line_num + 1}: not CSV" if reader is not None else "not CSV"
    else:
        reason = f"more than {SIZE_MAX >> 20} MiB" if len(content) > SIZE_MAX else ""
    if reason:
        msg = f"{path}: {reason}, expected a CSV table of recorded scenarios; name one"
        raise ConfigError(msg)
    problems = [
        f"{path.name}: column {column} is missing, expected the input columns of a recording; add it"
        for column in INPUTS
        if column not in columns
    ]
    if not rows:
        problems.append(f"{path.name}: no rows, expected recorded scenarios; name another table")
    if problems:
        raise ConfigError("\n".join(problems))
    return rows


def _name(row: dict[str, str], line: int) -> str:
    return row["id"] or f"line {line}"


def _predict(row: dict[str, str], profile: Profile) -> dict[str, str]:
    """Predict a row from the columns that may be read.

    Raises:
        UnknownScene: The row is malformed, or describes something outside the model.
    """
    malformed = _malformed(row)
    if malformed is not None:
        raise UnknownScene(malformed)
    return predict({name: row[name] for name in INPUTS if name not in NEVER_READ}, profile)


def _unknown_data(row: ScenarioRow) -> str | None:
    """Say why the data a scenario reads cannot follow from its inputs."""
    if row["page_type"] == "block device page cache" and "clean" in row["state_details"]:
        return "the byte read from the raw disk is whatever was there before; it is not an input"
    if "swap cache" in row["page_type"] and "not mapped" in row["state_details"]:
        return "which neighbour read-ahead brought in is a matter of timing, so the letter is not comparable"
    return None


def _same_but_letters(expected: str, got: str) -> bool:
    return _LETTER.sub("ok(.)", expected) == _LETTER.sub("ok(.)", got)


def compare_row(row: dict[str, str], found: Conformity, profile: Profile, line: int) -> None:
    """Predict one row and file it as matched, mismatched or not modelled."""
    found.rows += 1
    name = _name(row, line)
    try:
        got = _predict(row, profile)
    except UnknownScene as reason:
        found.not_modelled.append({"id": name, "reason": str(reason)})
        return
    racy = row.get("racy", "no").split(" ")[0]
    wrong = [column for column in COMPARED if column in row and column != racy and row[column] != got[column]]
    unknown = _unknown_data(row)
    if not wrong:
        found.matched.append(name)
    elif unknown and all(_same_but_letters(row[column], got[column]) for column in wrong):
        found.not_modelled.append({"id": name, "reason": unknown})
    else:
        found.mismatched.extend(
            {"id": name, "column": column, "expected": row[column], "got": got[column]} for column in wrong
        )


def conform(path: Path, kernel: str, switches: Mapping[str, str] | None = None) -> Conformity:
    """Compare every row of a recording with the prediction for a kernel.

    Args:
        path: CSV table with the input columns and the outcome columns to compare.
        kernel: Kernel profile.
        switches: Switches of the profile to set otherwise.

    Raises:
        ConfigError: The table, the profile or a switch is wrong.
    """
    profile = find_profile(kernel, switches)
    rows = read_rows(path)
    if rows and not set(COMPARED) & set(rows[0]):
        msg = f"{path}: no outcome column, expected some of {', '.join(COMPARED)}; use --predict to write them"
        raise ConfigError(msg)
    found = Conformity(not_compared=[column for column in COMPARED if column not in rows[0]])
    for line, row in enumerate(rows, _FIRST_LINE):
        compare_row(row, found, profile, line)
    return found


def write_predictions(
    path: Path, out: Path, kernel: str, switches: Mapping[str, str] | None = None
) -> list[dict[str, str]]:
    """Write the predictions for a table of inputs; return the rows that are not modelled with their reason.

    Raises:
        ConfigError: A file, the profile or a switch is wrong, or ``out`` is there already.
    """
    profile = find_profile(kernel, switches)
    _check_free(out)
    left_out, predictions = [], []
    for line, row in enumerate(read_rows(path), _FIRST_LINE):
        inputs = {name: row[name] for name in INPUTS}
        try:
            outcome = _predict(row, profile)
        except UnknownScene as reason:
            left_out.append({"id": _name(row, line), "reason": str(reason)})
            outcome = {}
        predictions.append(inputs | {"racy": "no"} | outcome)
    _write_new(out, predictions)
    return left_out


def _write_new(out: Path, predictions: list[dict[str, str]]) -> None:
    """Write a new table, whole or not at all.

    Raises:
        ConfigError: It cannot be written, or something is there by now.
    """
    partial = out.parent / f".{uuid.uuid4().hex}.partial"
    try:
        with partial.open("x", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, [*INPUTS, *OUTCOMES], restval=_MISSING, lineterminator="\n")
            writer.writeheader()
            writer.writerows(predictions)
        _check_free(out)
        partial.rename(out)
    except OSError as error:
        msg = f"{out}: {error.strerror}, expected a file that can be written; choose another place"
        raise ConfigError(msg) from None
    finally:
        with suppress(OSError):
            partial.unlink()


def _check_free(out: Path) -> None:
    """Check that a table can be written without destroying anything, its own input least of all.

    Raises:
        ConfigError: Something has that name.
    """
    if os.path.lexists(out):
        msg = f"{out}: there already, expected a new file for predictions; name another with -o, or move it away"
        raise ConfigError(msg)


def not_modelled_lines(entries: Iterable[dict[str, str]]) -> Iterator[str]:
    """Tell which rows are not modelled and why, a line each."""
    return (f"not modelled   {visible(entry['id'])}: {entry['reason']}" for entry in entries)


def conform_lines(found: Conformity, *, verbose: bool) -> Iterator[str]:
    """Tell the result in lines."""
    names = {entry["id"] for entry in found.mismatched}
    if verbose:
        yield from (f"matched        {visible(name)}" for name in found.matched)
    for entry in found.mismatched:
        yield f"MISMATCHED     {visible(entry['id'])}: {entry['column']}"
        yield f"    expected   {entry['expected']}"
        yield f"    got        {entry['got']}"
    yield from not_modelled_lines(found.not_modelled)
    if found.not_compared:
        yield f"not compared   no column {', '.join(found.not_compared)}"
    share = len(found.matched) / found.rows if found.rows else 0.0
    yield (
        f"{found.rows} rows: {len(found.matched)} matched ({share:.1%}), {len(names)} mismatched, "
        f"{len(found.not_modelled)} not modelled"
    )
