"""Values that nobody should type, and a writer that puts them into TOML."""

from __future__ import annotations

import datetime as dt
import json
from random import Random
from typing import Any


class Raw(str):
    """Text that goes into a TOML file as it is."""

    __slots__ = ()


CONTROL = ("\x00", "\x1b[31mred", "\x07", "\x9b2J", "a\rb", "\x7f", "\u202egnp", "\u2028", "\u200b")
TEXTS = (
    "",
    " ",
    "\n",
    "\t",
    "x" * 300,
    "é" * 200,
    "x" * 20_000,
    "../../up",
    "/",
    ".",
    "..",
    "-",
    "--json",
    "_common",
    "a/b",
    "a:b",
    "a=b",
    "a b",
    "a,b",
    "%s%n{0}{p.x}",
    "true",
    "0",
    "1e400",
    "٣",
    "\U0001f4a9",
    "عربى",
    "ß",
    "'\"",
    "]]",
    "\\",
    "none",
    *CONTROL,
)
NUMBERS: tuple[Any, ...] = (
    0,
    -0.0,
    -1,
    1,
    2,
    255,
    256,
    65_536,
    2**31,
    2**32,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    10**25,
    10**400,
    0.5,
    1e-300,
    5e-324,
    2.2250738585072014e-308,
    1e-9,
    1.0000000001,
    1e6,
    1e9,
    1e18,
    1e300,
    1.7976931348623157e308,
    float("nan"),
    float("inf"),
    float("-inf"),
)
RAW = (
    Raw("9" * 5000),
    Raw("0x" + "f" * 5000),
    Raw("[" * 1500),
    Raw("[" * 90 + "]" * 90),
    Raw("[" * 1500 + "]" * 1500),
    Raw("{a=" * 200 + "1" + "}" * 200),
    Raw("1979-05-27"),
    Raw("1979-05-27T07:32:00Z"),
    Raw("07:32:00"),
    Raw("0o17"),
    Raw("0b1"),
    Raw("1_000"),
    Raw("+inf"),
    Raw('"""\nlines\n"""'),
    Raw("'\x1b[31m'"),
    Raw('"\\u0000"'),
    Raw('"\\u001b[31m"'),
    Raw('"\\ud800"'),
    Raw(""),
    Raw("nil"),
    Raw("[1, 'a', {b = []}]"),
    Raw("[[[[[[]]]]]]"),
    Raw("1e99999"),
    Raw("{}"),
    Raw("[]"),
    Raw("true"),
    Raw("[" + "0," * 20_000 + "]"),
)
DATES = (dt.date(2024, 1, 1), dt.datetime(2024, 1, 1, 1, 1), dt.time(1, 2))  # noqa: DTZ001


def value(random: Random) -> Any:
    """Return a value of any kind."""
    kind = random.randrange(8)
    if kind == 0:
        return random.choice(TEXTS)
    if kind <= 2:
        return random.choice(NUMBERS)
    if kind == 3:
        return random.choice(RAW)
    if kind == 4:
        return random.choice(DATES)
    if kind == 5:
        return random.choice((True, False))
    if kind == 6:
        return [value(random) for _ in range(random.randrange(4))]
    return {key(random): value(random) for _ in range(random.randrange(4))}


def key(random: Random) -> str:
    """Return the name of a key, rarely a sensible one."""
    return random.choice((*TEXTS, "base", "set", "groups", "use", "share", "a.b", "x", "." * 5, ".".join("a" * 1200)))


def word(random: Random) -> str:
    """Return a word of a command line; a NUL or a lone byte among others."""
    kind = random.randrange(5)
    if kind == 0:
        return literal(random.choice(NUMBERS))
    if kind == 1:
        return str(random.choice(RAW))
    if kind == 2:
        return "".join(chr(random.choice((random.randrange(1, 127), random.randrange(0xDC80, 0xDCFF)))) for _ in "abcd")
    return random.choice(TEXTS)


def literal(one: Any) -> str:
    """Write a value in TOML."""
    if isinstance(one, Raw):
        return str(one)
    if isinstance(one, str):
        return json.dumps(one, ensure_ascii=True) if one.isprintable() else json.dumps(one)
    if isinstance(one, bool):
        return str(one).lower()
    if isinstance(one, list | tuple):
        return f"[{', '.join(map(literal, one))}]"
    if isinstance(one, dict):
        return f"{{{', '.join(f'{quoted(name)} = {literal(entry)}' for name, entry in one.items())}}}"
    return str(one)


def quoted(name: str) -> str:
    """Write a key in TOML."""
    bare = name.isascii() and name.replace("_", "a").replace("-", "a").isalnum()
    return name if bare else json.dumps(name)


def toml(document: dict[str, Any], path: str = "") -> str:
    """Write a document as TOML, one dotted key a line."""
    lines = []
    for name, entry in document.items():
        here = f"{path}{quoted(name)}"
        if isinstance(entry, dict) and entry:
            lines.append(toml(entry, f"{here}."))
        else:
            lines.append(f"{here} = {literal(entry)}\n")
    return "".join(lines)


def bytes_of(random: Random, content: bytes) -> bytes:
    """Change some bytes."""
    found = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 5, 30))):
        at = random.randrange(len(found) + 1)
        kind = random.randrange(6)
        if kind == 0 and found:
            found[at : at + 1] = bytes([random.randrange(256)])
        elif kind == 1:
            del found[at : at + random.choice((1, 2, 10, 100))]
        elif kind == 2:
            piece = found[at : at + random.choice((1, 10, 60))]
            found[at:at] = piece * random.choice((1, 2, 50))
        elif kind == 3:
            found[at:at] = random.choice((b"\x00", b"\xff", b"\n", b'"', b"[", b"{", b"=", b".", b",", b"\xef\xbb\xbf"))
        elif kind == 4:
            found[at:at] = random.choice(TEXTS).encode()
        else:
            other = random.randrange(len(found) + 1)
            low, high = sorted((at, other))
            found[low : low + 20], found[high : high + 20] = found[high : high + 20], found[low : low + 20]
    return bytes(found)
