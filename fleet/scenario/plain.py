"""What a scenario may be made of, whoever wrote it: tables, lists, texts, truth values and numbers, within bounds.

TOML also knows dates, numbers without end and tables in tables in tables, a command line lone bytes. None of them is a
setting, and all that comes later may rely on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final
from unicodedata import category

DEPTH_MAX: Final = 16
"""Tables and lists around a value; settings have six at most."""
KEY_MAX, TEXT_MAX = 200, 4096
"""Characters of a key and of a text."""
ITEMS_MAX: Final = 100_000
"""Values of a document."""
INTEGER_MAX: Final = 2**64 - 1
NAME_BYTES_MAX: Final = 200
"""Of a name that becomes part of the name of a file, of which file systems take 255."""
ARM_BYTES_MAX: Final = 250
"""Of the name of an arm as its folders bear it, after ``arm=``."""


def foreign(document: dict[str, Any]) -> list[str]:
    """Take out of a document, in place, what no scenario is made of; return the complaints."""
    complaints: list[str] = []
    waiting: list[tuple[str, Any, int]] = [("", document, 0)]
    n_items = 0
    while waiting:
        path, section, depth = waiting.pop()
        entries = list(section.items()) if isinstance(section, dict) else list(enumerate(section))
        n_items += len(entries)
        if n_items > ITEMS_MAX:
            complaints.append(f"document: more than {ITEMS_MAX:,} values, expected at most so many; leave some out")
            document.clear()
            break
        wrong = []
        for key, value in entries:
            here = f"{path}{'.' if path else ''}{_shown(key)}".replace("\n", "\\n")
            complaint = next(chain(_of_key(key), _of_value(value, depth)), None)
            if complaint:
                complaints.append(f"{here}{complaint}")
                wrong.append(key)
            elif isinstance(value, dict | list | tuple):
                waiting.append((here, value, depth + 1))
        for key in reversed(wrong):
            del section[key]
    return complaints


def _shown(key: str | int) -> str:
    """Return a key as TOML writes it if nobody would see it otherwise."""
    return str(key) if str(key).strip() else f'"{key}"'


def name_complaint(name: str) -> str | None:
    """Say what is wrong with a name that people read and files are called by; None where nothing is."""
    if not name.strip() or not name.isprintable() or "/" in name:
        return "expected letters and other characters that can be printed, without '/'"
    if len(name.encode("utf-8", "replace")) > NAME_BYTES_MAX:
        return f"{len(name):,} characters, expected at most {NAME_BYTES_MAX} bytes, as files are called by it"
    return None


def folder_name_complaint(name: str) -> str | None:
    """Say what is wrong with the name of an arm or a scenario, which folders bear; None where nothing is."""
    if not name or name.startswith("_") or not all(one.isalnum() or one in "_-+.=" for one in name):
        return "expected letters, digits and _ - + . =, no leading _, as folders are called by it"
    return name_complaint(name)


def arm_name_complaint(name: str) -> str | None:
    """Say what is wrong with the name of an arm, in the names of whose folders a = takes three bytes."""
    size = len(name.encode("utf-8", "replace")) + 2 * name.count("=")
    too_long = f"{size:,} bytes, a = counted three times, expected at most {ARM_BYTES_MAX}, as folders are called by it"
    return folder_name_complaint(name) or (too_long if size > ARM_BYTES_MAX else None)


def _of_key(key: str | int) -> Iterator[str]:
    """Yield what is wrong with a key; places in a list are none."""
    if isinstance(key, str) and len(key) > KEY_MAX:
        yield f": key of {len(key):,} characters, expected at most {KEY_MAX}; shorten it"
    if isinstance(key, str) and not (_is_text(key) and set(key).isdisjoint("\n\t")):
        yield ": key with control characters or lone bytes, expected text of one line; mend it"


def _of_value(value: Any, depth: int) -> Iterator[str]:
    """Yield what is wrong with a value."""
    if isinstance(value, dict | list | tuple):
        if depth >= DEPTH_MAX:
            yield f": tables in tables, expected at most {DEPTH_MAX} of them; mend the brackets or dots"
    elif isinstance(value, str):
        yield from _of_text(value)
    elif isinstance(value, int | float):
        yield from _of_number(value)
    else:
        yield f" = {value}, a {type(value).__name__}, expected a number, a text or a table; put it in quotes"


def _of_text(text: str) -> Iterator[str]:
    if len(text) > TEXT_MAX:
        yield f": text of {len(text):,} characters, expected at most {TEXT_MAX:,}; shorten it"
    elif not _is_text(text):
        yield f" = {text!r}, expected a text without control characters or lone bytes; mend it"


def _of_number(number: float) -> Iterator[str]:
    if isinstance(number, int) and abs(number) > INTEGER_MAX:
        yield f": integer of {number.bit_length():,} bits, expected at most 64; lower it"
    elif isinstance(number, float) and not math.isfinite(number):
        yield f" = {number}, expected a finite number; change it"


def _is_text(text: str) -> bool:
    """Whether a text, maybe of several lines, has neither control characters nor lone bytes."""
    return text.isprintable() or all(one in "\n\t" or category(one) not in ("Cc", "Cs") for one in text)
