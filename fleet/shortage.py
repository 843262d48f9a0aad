"""What it means when this machine gives no more memory, files or processes, said in one line."""

from __future__ import annotations

import errno
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from node_sim.errors import ExecutionError

WORKER_MB: Final = 600
"""What a worker may need at most."""
ADDRESS_SPACE_KIB_MIN: Final = 1_000_000
"""Libraries alone take more than half of it; below, they may wait for ever for memory they do not get."""
_LIMITS: Final = {
    errno.EMFILE: "raise 'ulimit -n' or use fewer --workers",
    errno.ENFILE: "raise fs.file-max or use fewer --workers",
    errno.ENOMEM: "raise 'ulimit -v', add memory or use fewer --workers",
    errno.EAGAIN: "raise 'ulimit -u' or 'ulimit -v', or use fewer --workers",
}
_NO_MEMORY: Final = ("cannot allocate memory", "failed to map segment", "too many open files")
_RESUME: Final = ", then 'hwpoison-fleet resume'"


def check_address_space() -> None:
    """Check the limit of this process before libraries are loaded that cannot live with it.

    Raises:
        ExecutionError: It is too low.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY and soft // 1024 < ADDRESS_SPACE_KIB_MIN:
        msg = f"'ulimit -v' = {soft // 1024:,}, expected at least {ADDRESS_SPACE_KIB_MIN:,}; raise 'ulimit -v'"
        raise ExecutionError(msg)


@contextmanager
def naming_shortage(where: str, commits: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Turn a lack of memory, files or processes into an error that says what to do.

    Args:
        where: What lacks it.
        commits: Whether something is committed that ``resume`` goes on with; asked when there is such a lack.

    Raises:
        ExecutionError: There is such a lack.
    """
    try:
        yield
    except MemoryError as error:
        raise ExecutionError(_no_memory(where, error) + _RESUME * commits()) from error
    except ImportError as error:
        if not any(part in str(error).lower() for part in _NO_MEMORY):
            raise
        raise ExecutionError(_no_memory(where, error) + _RESUME * commits()) from error
    except OSError as error:
        if error.errno not in _LIMITS:
            raise
        msg = f"{where}: {error.strerror}, expected more; {_LIMITS[error.errno]}{_RESUME * commits()}"
        raise ExecutionError(msg) from error


def _no_memory(where: str, error: Exception) -> str:
    """Say that there is no memory."""
    text = str(error).splitlines()[0] if str(error) else "out of memory"
    return (
        f"{where}: {text}, expected up to {WORKER_MB} MB for each worker; add memory, raise 'ulimit -v' or use fewer "
        f"--workers"
    )
