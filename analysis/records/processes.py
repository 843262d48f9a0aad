"""Names of processes as the kernel prints them.

**Assumes.** A process is called after its kind. Pids count the processes of a node from 1,000 on: one that was killed
has the same pid when it is back. Pages are mapped where a hash of page and process says.
"""

from __future__ import annotations

from typing import Final

from analysis.hosts.lives import Row
from node_sim.units import PAGE_SHIFT

FIRST_PID: Final = 1000
COMM_MAX: Final = 15
"""Characters of a name of a task (TASK_COMM_LEN - 1)."""
_LOWEST, _PAGES_BITS = 0x7F00_0000_0000, 24
_HASH = 0x9E37_79B9_7F4A_7C15


def comm_of(row: Row) -> str:
    """Return the name of the process of a row of ``signals``."""
    return str(row["process_class"])[:COMM_MAX]


def pid_of(row: Row) -> int:
    """Return its process identifier."""
    return FIRST_PID + int(row["process"])


def task_of(row: Row) -> str:
    """Return both as the kernel's log has them."""
    return f"{comm_of(row)}:{pid_of(row)}"


def address_of(row: Row) -> int:
    """Return the virtual address at which it maps the page: the same for the same fault and process."""
    mixed = (int(row["fault_id"]) ^ pid_of(row) << 40) * _HASH
    return _LOWEST + (mixed >> 20 & (1 << _PAGES_BITS) - 1 << PAGE_SHIFT)
