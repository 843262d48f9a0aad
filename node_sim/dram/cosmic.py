"""Neutron flux at a site, relative to New York City.

**Models.** Altitude (atmospheric depth), geomagnetic cutoff rigidity and the solar cycle.

**Leaves out.** Thermal neutrons, building shielding, short-term solar events.

**Assumes.** The constants of JESD89A / Gordon et al. 2004 as recalled; within 11 % of PARMA at altitude and 20
% at low latitude.

**Sources.** JESD89A annex; Gordon et al., IEEE TNS 2004; checked against PARMA in ``tests/unit/test_cosmic.py``.
"""

from __future__ import annotations

import math

SEA_LEVEL_HPA = 1013.25
DEPTH_PER_HPA = 1.019716
"""Atmospheric depth of one hectopascal [g/cm^2]."""
REFERENCE_DEPTH = 1033.2
ATTENUATION_LENGTH = 131.3
"""Of the nucleonic cascade [g/cm^2]."""


def pressure_hpa(altitude_m: float) -> float:
    """Return the air pressure of the standard atmosphere [hPa]."""
    return float(SEA_LEVEL_HPA * (1.0 - 2.25577e-5 * altitude_m) ** 5.25588)


def _rigidity_factor(cutoff_gv: float, a: float, k: float) -> float:
    return 1.098 * (1.0 - math.exp(-a / cutoff_gv**k))


def flux_relative(altitude_m: float, cutoff_gv: float, sun: str = "mean") -> float:
    """Return the flux of neutrons above 10 MeV at a site over that at New York City.

    Args:
        altitude_m: Above sea level [m], -400 … 12,000.
        cutoff_gv: Vertical cutoff rigidity [GV], > 0.
        sun: Quiet sun (high flux), active sun (low flux), or the mean of both.

    Source:
        Flux formula of JEDEC JESD89A (Gordon et al., IEEE Transactions on Nuclear Science 51(6), 2004). Its constants
        are recalled, not read; ``tests/unit/test_cosmic.py`` holds the values against PARMA and one field pair.
    """
    if sun == "mean":
        return 0.5 * (flux_relative(altitude_m, cutoff_gv, "quiet") + flux_relative(altitude_m, cutoff_gv, "active"))
    pressure = pressure_hpa(altitude_m)
    bar = pressure / 1000.0
    a1 = math.exp(1.84 + 0.094 * bar - 0.09 * math.exp(-11.0 * bar))
    k1 = 1.4 - 0.56 * bar + 0.24 * math.exp(-8.8 * bar)
    factor = _rigidity_factor(cutoff_gv, a1, k1)
    if sun == "active":
        a2 = math.exp(1.93 + 0.15 * bar - 0.18 * math.exp(-10.0 * bar))
        k2 = 1.32 - 0.49 * bar + 0.18 * math.exp(-9.5 * bar)
        match = _rigidity_factor(50.0, a1, k1) / _rigidity_factor(50.0, a2, k2)
        factor = _rigidity_factor(cutoff_gv, a2, k2) * match
    depth = pressure * DEPTH_PER_HPA
    return math.exp((REFERENCE_DEPTH - depth) / ATTENUATION_LENGTH) * factor
