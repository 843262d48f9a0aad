"""Names that are not known, in messages: which ones there are, in a line that can be read, and which was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

LISTED_MAX: Final = 100
"""Columns of a list of names."""
_NEAR: Final = 0.6
"""As difflib has it: how alike two names are of which one may be meant for the other."""


def listed(names: Iterable[object], see: str = "") -> str:
    """List names as far as a line goes, then say how many more there are and which command shows them all."""
    texts = [str(name) for name in names]
    if len(", ".join(texts)) <= LISTED_MAX:
        return ", ".join(texts)
    width = n = 0
    while n < len(texts) and (width := width + len(texts[n]) + 2) <= LISTED_MAX:
        n += 1
    where = f" (see '{see}')" if see else ""
    return f"{', '.join([*texts[:n], '...'])} and {len(texts) - n} more{where}"


def nearest(given: object, names: Iterable[object], near: float = _NEAR) -> str:
    """Return the name that was meant by one that is none; nothing if none is near."""
    by_lower = {str(name).lower(): str(name) for name in names}
    found = difflib.get_close_matches(str(given).lower()[:LISTED_MAX], by_lower, 1, near)
    return by_lower[found[0]] if found else ""


def one_of(given: object, names: Iterable[object], see: str = "", advice: str = "") -> str:
    """Say what was expected instead of a name that is none of some.

    Args:
        given: What was given.
        names: The names there are.
        see: Command that lists them.
        advice: Stands behind the list, in place of a guess.
    """
    known = list(names)
    guess = nearest(given, known) if isinstance(given, str) and not advice else ""
    return f"expected one of {listed(known, see)}{advice}{f' (did you mean {guess}?)' if guess else ''}"
