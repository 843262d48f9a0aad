"""Risk of a read of one device under the weakened SDDC of Intel's servers since Skylake, by class of pattern."""

from __future__ import annotations

from typing import Final

from node_sim.catalog.values import Assumed

LOCATOR_BITS: Final = 16
"""Locator syndrome of the registers of Skylake-SP, Ice Lake and Sapphire Rapids; 12 in their '+1' modes."""
LOCATOR_BITS_CHOICES: Final = (12, 16, 32)
"""Of the enumerated code: the '+1' modes, the usual one, and one that is as good as any."""
LOCATOR_BITS_USUAL: Final = Assumed(
    LOCATOR_BITS, 12, 32, "width of a register field of Intel's; that the code is such a locator is an inference"
)
LOCATOR_VARIANTS: Final = ("structured", "random")
LOW_HALF, HIGH_HALF = 0b0011, 0b1100
"""Data pins DQ0-1 and DQ2-3: any pattern inside one half is corrected (M2-MFP, KDD 2025, Table 2)."""
RISKY_SOURCE: Final = "M2-MFP, KDD 2025, Table 2"
UNIFORM_RISK: Final = 17 / 2**LOCATOR_BITS
"""Share of uniform patterns of one device that another device explains, too; ``ecc/locator.py``."""
NARROW_BEATS, NARROW_FACTOR = 2, 60.0
"""Patterns of few beats fail more often: 1.4e-2 on two pins and two beats, enumerated for structured coefficients."""

_FITTED: Final = "fitted to the shares of Huawei's CE DIMMs that fail, by pins of the widest pattern; no code is public"

RISK_SHARE_2DQ: Final = Assumed(0.16, 0.05, 0.7, _FITTED, headline=True)
RISK_SHARE_3DQ: Final = Assumed(0.06, 0.02, 0.3, _FITTED)
RISK_SHARE_4DQ: Final = Assumed(0.06, 0.02, 0.3, _FITTED)
RISK_LOW: Final = Assumed(1e-4, 1e-5, 1e-2, "fitted to leads of the first CE of 1 h to 1 d at Huawei")
RISK_HIGH: Final = Assumed(0.05, 0.01, 0.3, "fitted to leads of the first CE of 1 h to 1 d at Huawei", headline=True)
_TAIL: Final = "fitted to leads above 8 d and to risk by count of CEs at Huawei"
RISK_TAIL_2DQ: Final = Assumed(7.5e-6, 0.0, 3e-4, _TAIL)
RISK_TAIL_3DQ: Final = Assumed(1e-6, 0.0, 3e-4, _TAIL)
RISK_TAIL_4DQ: Final = Assumed(5e-7, 0.0, 3e-4, _TAIL)
RISK_TAIL_SIGMA: Final = Assumed(3.0, 0.0, 4.0, "how risk grows with the count of CEs")
