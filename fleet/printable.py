"""Text that a terminal can be given: nothing in it is an order to it."""

from __future__ import annotations


def printable(text: str) -> str:
    """Write control characters, marks that turn the text around and lone bytes as escapes, all but ends of lines."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        one if one == "\n" or one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )
