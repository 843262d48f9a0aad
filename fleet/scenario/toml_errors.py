"""What the reader of TOML says of a mistake, in our words: where, what it is, what was expected, what to do."""

from __future__ import annotations

import re
from typing import Final

_PLACE: Final = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_SAYS: Final = (
    ("Invalid statement", "no statement, expected KEY = VALUE or [TABLE]; mend the line"),
    ("Expected '='", "a key without '=', expected KEY = VALUE; add what is missing"),
    ("Invalid initial character for a key", "no key, expected letters, digits, _ or -; put other characters in quotes"),
    ("Invalid value", 'no value, expected a number, a "text", true, false, a [list] or a {table}; mend it'),
    ("Expected newline", 'more after a value, expected one value a line; put a text in "quotes", or begin a new line'),
    ("Invalid date", 'no date or time that there is, expected a number or a "text"; mend it'),
    ("Cannot declare", "a table that is there already, expected each once; put both into one"),
    ("Cannot overwrite", "a key that has a value already, expected each once; leave one out"),
    ("Cannot mutate", "a table that is complete already, expected all its keys in one place; put them there"),
    ("Cannot redefine", "a table that is there already, expected each once; put both into one"),
    ("Duplicate inline", "a key that is there twice, expected each once; leave one out"),
    ("Expected ']", "a table that does not end, expected ']' after its name; add it"),
    ("Unclosed array", "a list that does not end, expected ']'; add it"),
    ("Unclosed inline", "a table that does not end, expected '}'; add it"),
    ("Unescaped '\\'", "a '\\' in a text, expected '\\\\' or a text in 'single quotes'; mend it"),
    ("Invalid hex", "an escape of a character that is none, expected hexadecimal digits; mend it"),
    ("Escaped character", "an escape of a character that is none, expected one that there is; mend it"),
    ("Unterminated", "a text that does not end, expected a quotation mark; add it"),
    ("Expected \"'''\"", "a text that does not end, expected '''; add it"),
    ('Expected \'"""\'', 'a text that does not end, expected """; add it'),
    ("Expected", "a text that does not end, expected a quotation mark; add it"),
    ("Found invalid", "a character that may not stand there, expected text; take it out"),
    ("Illegal", "a character that may not stand there, expected text; take it out"),
)
"""How its sentences begin, and what we say; the first that fits."""
_OTHERWISE: Final = "not as TOML has it, expected KEY = VALUE or [TABLE]; mend it"


def toml_complaint(text: str) -> str:
    """Return a complaint for what the reader of TOML says."""
    found = _PLACE.fullmatch(text)
    what, line, column = found.groups() if found else (text, None, None)
    where = f"line {line}, column {column}" if line else "the end"
    said = next((ours for theirs, ours in _SAYS if what.startswith(theirs)), _OTHERWISE)
    return f"not TOML: {where}: {said}"
