"""Places with their altitude and geomagnetic cutoff rigidity.

Their second reading is ``tests/oracle/catalog/cosmic_sites.csv``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Site:
    """A place.

    Attributes:
        altitude_m: Above sea level [m].
        cutoff_gv: Vertical geomagnetic cutoff rigidity [GV].
    """

    altitude_m: float
    cutoff_gv: float


SITES: Final[dict[str, Site]] = {
    "new_york": Site(0.0, 2.08),
    "denver": Site(1609.0, 2.77),
    "leadville": Site(3109.0, 2.95),
    "los_alamos": Site(2200.0, 3.2),
    "oak_ridge": Site(270.0, 2.6),
    "oakland": Site(13.0, 4.5),
    "singapore": Site(15.0, 17.2),
    "dublin": Site(30.0, 2.9),
    "quincy": Site(400.0, 1.9),
    "cheyenne": Site(1860.0, 2.6),
    "salt_lake_city": Site(1300.0, 2.6),
    "johannesburg": Site(1750.0, 7.5),
    "mexico_city": Site(2240.0, 8.4),
    "bogota": Site(2600.0, 12.3),
}
