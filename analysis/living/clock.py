"""The time of a fleet that is watched: it begins somewhere in the time of the run, and passes at some speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from node_sim.units import NS_PER_S

ENDS: Final = ("hold", "exit", "loop")
"""What happens when the time of the run is over: it stands still, nothing is served any more, or it begins anew."""
SPEED_MAX: Final = 1e9


class ClockTime(NamedTuple):
    """A time of a fleet.

    Attributes:
        lap: How often the time of the run is over and has begun anew.
        now_ns: Time of the run [ns since its start].
    """

    lap: int
    now_ns: int


@dataclass(frozen=True)
class FleetClock:
    """The clock of a fleet.

    Attributes:
        start_ns: Time of the run when the clock begins.
        horizon_ns: When that time is over.
        begin_s: When the clock begins, by a clock that never goes back [s].
        speed: Simulated seconds in a second, > 0.
        end: One of ``ENDS``.
    """

    start_ns: int
    horizon_ns: int
    begin_s: float
    speed: float = 1.0
    end: str = "hold"

    def moment(self, clock_s: float) -> ClockTime:
        """Return what time it is in the fleet.

        Args:
            clock_s: Of the clock that ``begin_s`` is of.
        """
        passed_ns = self.start_ns + int(self.speed * (clock_s - self.begin_s) * NS_PER_S)
        if self.end == "loop":
            return ClockTime(*divmod(passed_ns, self.horizon_ns))
        return ClockTime(0, min(passed_ns, self.horizon_ns))

    def left_s(self, clock_s: float) -> float:
        """Return in how many seconds the time of the run is over for the first time; not after 0 if it is."""
        return (self.horizon_ns - self.start_ns) / NS_PER_S / self.speed - (clock_s - self.begin_s)
