"""What object stores and the way to them answer, as the errors that files have: an errno, and a line for a message."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pyarrow as pa

_TEXT_MAX: Final = 200
_MEANINGS: Final = (
    (r"NO_SUCH_BUCKET|NoSuchBucket", errno.ENXIO, "no such bucket"),
    (r"HTTP status 507|StorageFull|Quota|InsufficientStorage", errno.ENOSPC, "the store is full"),
    (
        r"ACCESS_DENIED|HTTP status 40[13]|ACCESS_KEY|SIGNATURE|TOKEN|CREDENTIALS|VALIDATION",
        errno.EACCES,
        "the store refuses these credentials",
    ),
    (r"NETWORK_CONNECTION|REQUEST_TIMEOUT|curlCode", errno.EHOSTUNREACH, "the store does not answer"),
    (r"SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|HTTP status 5", errno.EBUSY, "the store is out of order"),
)
"""What the text of an answer holds, in the order of looking; what nothing fits is an I/O error. None is ENOENT: that
would be an object that is missing, which can be made again."""


@contextmanager
def as_os_error() -> Iterator[None]:
    """Turn what pyarrow raises into an OSError with an errno and a ``strerror`` of one line.

    Raises:
        FileNotFoundError: There is no such object.
        OSError: Whatever else the store says.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise _named(str(error)) from error


def _named(text: str) -> OSError:
    """Say what an answer means, and the answer."""
    line = re.sub(r"\s*\(Request ID:.*", "", " ".join(text.split()))
    said = line[line.find("AWS Error") :] if "AWS Error" in line else line
    said = said if len(said) <= _TEXT_MAX else f"{said[:_TEXT_MAX]}..."
    for pattern, number, meaning in _MEANINGS:
        if re.search(pattern, line):
            return OSError(number, f"{meaning} ({said})")
    return OSError(errno.EIO, said)
