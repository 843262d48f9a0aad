"""``memory_failure()`` as a lookup table, and its signals as columns.

**Models.** ``outcomes.py`` over its whole domain, for any kernel profiles. A cell is worked out by that definition when
it is first looked up: of thousands a fleet meets few, and every kernel between the profiles has a table of its own.

**Leaves out.** Nothing of it.

**Assumes.** What an owner hears depends on whether it is the consumer and whether it is told early, not on how many
others there are: the table has columns for the consumer and for each kind of other owner.

**Sources.** None.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from node_sim.catalog.kernels import DEFAULT_PROFILE, switches_of
from node_sim.catalog.profile import Profile
from node_sim.codes import KillPolicy, SignalCode, SignalName, Timing
from node_sim.hwpoison.outcomes import NO_LINE, CallKind, Earlier, Heard, Outcome, Signal, handle_state
from node_sim.hwpoison.use_states import STATES
from node_sim.records import Flags, Ints

_SHAPE: Final = (len(STATES), len(CallKind), 2, 2, len(Earlier))
_OWNERS: Final = (KillPolicy.LATE,), (KillPolicy.EARLY,)
"""An owner that is not told early, and one that is, under any kernel without vm.memory_failure_early_kill."""
_COLUMNS: Final = (
    *Outcome._fields[:-1],
    *(f"{name}_not_early" for name in Heard._fields),
    *(f"{name}_early" for name in Heard._fields),
)
_DTYPE: Final = np.dtype([(name, np.int64 if name == "lost_bytes" else np.int16) for name in _COLUMNS])
Outcomes = npt.NDArray[np.void]


_DOMAIN: Final = tuple(itertools.product(STATES, CallKind, _OWNERS, (False, True), Earlier))
"""The cells of one kernel in their order."""


@cache
def _cell(profile: Profile, position: int) -> tuple[int, ...]:
    """Ask the scalar definition about one cell of a kernel."""
    state, call, owner, recovery, earlier = _DOMAIN[position]
    outcome = handle_state(
        state, call, owner, early_kill=False, recovery=recovery, earlier=earlier, others=_OWNERS, profile=profile
    )
    parts = (*outcome[:-1], *itertools.chain.from_iterable(outcome.others))
    return tuple(NO_LINE if part is None else int(part) for part in parts)


class HandlerTable:
    """``memory_failure()`` as one record per input; a look-up is one index and one gather."""

    def __init__(self, profiles: Sequence[str | Profile] = (DEFAULT_PROFILE,)) -> None:
        """Lay out the cells of some kernels, all of them blank.

        Args:
            profiles: The kernels or their names, in any order, each once.
        """
        self.profiles = tuple(switches_of(profile) for profile in profiles)
        self._rows = np.zeros(len(self.profiles) * len(_DOMAIN), _DTYPE)
        self._known = np.zeros(self._rows.size, np.bool_)

    @property
    def size(self) -> int:
        """Number of inputs covered."""
        return self._rows.size

    def look_up(
        self,
        profile: npt.NDArray[np.integer] | int,
        state: npt.NDArray[np.integer],
        call: npt.NDArray[np.integer],
        early: npt.NDArray[np.integer] | Flags,
        recovery: npt.NDArray[np.integer],
        earlier: npt.NDArray[np.integer],
    ) -> Outcomes:
        """Return the outcome of each of n errors.

        Args:
            profile: Place of the kernel in ``profiles``, one or shape ``(n,)``.
            state: Code of the page state, shape ``(n,)``.
            call: ``CallKind``, shape ``(n,)``.
            early: Whether the consumer is one of those told early, shape ``(n,)``.
            recovery: 0 or 1, shape ``(n,)``.
            earlier: ``Earlier``, shape ``(n,)``.

        Returns:
            Records with the columns of ``Outcome``, -1 where there is no action line, and what other owners hear,
            early ones and others; shape ``(n,)``.
        """
        index = np.asarray(profile, np.int32) * np.int32(_SHAPE[0]) + state.astype(np.int32, copy=False)
        for size, part in zip(_SHAPE[1:], (call, early, recovery, earlier), strict=True):
            index *= np.int32(size)
            index += part.astype(np.int32, copy=False)
        if not self._known[index].all():
            self._fill(np.unique(index[~self._known[index]]))
        found: Outcomes = self._rows[index]
        return found

    def _fill(self, blank: Ints) -> None:
        """Fill some cells, each of which was blank."""
        for index in blank.tolist():
            kernel, position = divmod(index, len(_DOMAIN))
            self._rows[index] = _cell(self.profiles[kernel], position)
        self._known[blank] = True


@cache
def handler_table(profiles: tuple[str | Profile, ...]) -> HandlerTable:
    """Return the table of some kernels, always the same one."""
    return HandlerTable(profiles)


_SIGNAL_ROWS: Final = {
    Signal.EARLY_AO: (SignalName.SIGBUS, SignalCode.MCEERR_AO, Timing.EARLY),
    Signal.DIRECT_AR: (SignalName.SIGBUS, SignalCode.MCEERR_AR, Timing.DIRECT),
    Signal.DIRECT_PLAIN: (SignalName.SIGBUS, SignalCode.KERNEL, Timing.DIRECT),
    Signal.KILL: (SignalName.SIGKILL, SignalCode.KERNEL, Timing.EARLY),
}
_SIGNAL_COLUMNS: Final = np.asarray([[NO_LINE] * 3, *([int(part) for part in row] for row in _SIGNAL_ROWS.values())])


class SignalRows(NamedTuple):
    """Columns of signals sent during handling, arrays of shape ``(n,)``: ``SignalName``, ``SignalCode``, ``Timing``."""

    signal: Ints
    code: Ints
    timing: Ints


def signal_rows(signal: npt.NDArray[np.integer]) -> SignalRows:
    """Return the columns of signals (``Signal``, other than none), shape ``(n,)``."""
    return SignalRows(*_SIGNAL_COLUMNS[signal].T)
