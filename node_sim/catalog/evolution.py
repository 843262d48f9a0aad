"""How faults grow: how often, how late and into what; fitted to failing DIMMs of one fleet, or assumed."""

from __future__ import annotations

from typing import Final

from node_sim.catalog.values import Assumed
from node_sim.codes import Mode

_FITTED: Final = (
    "fitted to the shares of CE DIMMs of Huawei that fail by pins, and to how many had widened; growth of faults "
    "in DIMMs that do not fail is not published"
)
GROWTH_1X1: Final = Assumed(0.035, 0.0, 0.105, _FITTED, headline=True)
GROWTH_1XM: Final = Assumed(0.18, 0.0, 0.54, _FITTED)
GROWTH_2DQ: Final = Assumed(0.18, 0.0, 0.54, _FITTED)
GROWTH_3DQ: Final = Assumed(0.12, 0.0, 0.36, _FITTED)
GROWTH_4DQ: Final = Assumed(0.10, 0.0, 0.36, _FITTED)
SECOND_DEVICE: Final = Assumed(
    0.03, 0.0, 0.1, "fitted to 19 % of Huawei's failed DIMMs with CEs of several devices", headline=True
)
GROWTH_HOURS_LOW: Final = Assumed(24.0, 0.1, 24.0, "form and ends of the curve of lead times", "h")
GROWTH_YEARS_HIGH: Final = Assumed(6.0, 0.1, 6.0, "form and ends of the curve of lead times", "yr")
GROWN_RISK_LOW: Final = Assumed(
    1e-3, 1e-4, 0.1, "how many CEs come between growth and the first UE is not published", headline=True
)

GROWS_TO: Final = {
    Mode.BIT: {Mode.BIT: 0.50, Mode.ROW: 0.25, Mode.BANK: 0.15, Mode.COLUMN: 0.10},
    Mode.ROW: {Mode.ROW: 0.75, Mode.BANK: 0.25},
}
"""Modes of grown faults by that of the first; others keep theirs. After failed DIMMs of Huawei, Purley: 21 of 39 cells
with CEs eight days before stayed cells, 8 became rows, 8 showed several devices; of 81 rows 66 stayed rows."""
TWO_PINS_SHARE: Final = 0.9
"""Share of faults of one pin that grow to two, not four; 43 of 44 did among Huawei's failed DIMMs that widened."""
TWO_BEATS_SHARE: Final = 0.5
"""Share of faults of one beat that grow to two, not all."""
