"""Where a run is, as it is typed: a path, or the URL of a folder or of an object store, without secrets."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

from node_sim.errors import ConfigError

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PLAIN: Final = re.compile(r"[!$&-;=?-Z\[\]_a-z~%]+")
_NO_NAMES: Final = (b"", b".", b"..")
SUPPORTED: Final = "a path, file:///PATH or s3://BUCKET/NAME"
QUERY_KEYS: Final = (
    "region",
    "scheme",
    "endpoint_override",
    "smart_defaults",
    "tls_ca_file_path",
    "tls_ca_dir_path",
    "tls_verify_certificates",
)
"""What may follow the ``?`` of an S3 URL: what ``pyarrow.fs.FileSystem.from_uri`` takes, but what makes buckets."""


@dataclass(frozen=True)
class S3Address:
    """The URL of a run in an object store.

    Attributes:
        url: All of it, as it can be typed again.
        base: Without its query, to put names of objects behind it.
    """

    url: str
    base: str


def parse_address(text: str) -> Path | S3Address:
    """Tell a path from a URL: a path has no ``//`` after a colon.

    Raises:
        ConfigError: It is a URL of another kind, is wrong, or holds a secret, which is not repeated.
    """
    found = _URL.match(text)
    if found is None:
        return Path(text)
    scheme = found[1].lower()
    try:
        if scheme == "file":
            return _folder(text)
        if scheme == "s3":
            return _bucket(text)
    except ValueError as error:  # what urlsplit() cannot read, and ours
        msg = f"{scheme}://: {error}; expected {SUPPORTED}"
        raise ConfigError(msg) from None
    msg = (
        f"{found[1]}://...: a URL of this kind is not supported, expected {SUPPORTED}; mount the storage, or write './'"
    )
    raise ConfigError(msg)


def _folder(text: str) -> Path:
    """Return the path that a ``file://`` URL means."""
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment or not parts.path.startswith("/"):
        msg = "a host or a query in the URL of a folder"
        raise ValueError(msg)
    path = unquote_to_bytes(parts.path)
    if b"\0" in path:
        msg = "a NUL in it"
        raise ValueError(msg)
    return Path(os.fsdecode(path))


def _bucket(text: str) -> S3Address:
    """Check the URL of an object store."""
    parts = urlsplit(text)
    query = parse_qsl(parts.query, keep_blank_values=True)
    if "@" in parts.netloc or any("@" in value for _, value in query):
        msg = "credentials in the URL; give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise ValueError(msg)
    if unknown := sorted({key for key, _ in query if key not in QUERY_KEYS}):
        msg = f"{', '.join(unknown)} after the '?', where there may be {', '.join(QUERY_KEYS)}"
        raise ValueError(msg)
    names = parts.path.strip("/").split("/")
    if not parts.netloc or parts.fragment or any(unquote_to_bytes(name) in _NO_NAMES for name in names):
        msg = "no bucket, no name in it, or one that is empty, '.' or '..'"
        raise ValueError(msg)
    if not _PLAIN.fullmatch(text):
        msg = "a character that a URL writes as %XX"
        raise ValueError(msg)
    base = f"s3://{parts.netloc}/{'/'.join(names)}"
    return S3Address(f"{base}?{parts.query}" if parts.query else base, base)


def run_name(path: Path | str) -> str:
    """Return the name of the folder of a run, given its path or URL, in text that can be shown.

    A path is named as it is typed; ``.`` is the folder it stands for.
    """
    if isinstance(path, str):
        name = path.partition("?")[0].rstrip("/").rpartition("/")[2]
    else:
        name = path.name if path.name not in ("", "..") else path.resolve().name
    return os.fsencode(name).decode(errors="replace") or "/"
