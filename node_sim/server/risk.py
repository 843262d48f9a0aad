"""How often reads of one device fail under a code that cannot always tell devices apart: settings of an arm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from node_sim.catalog import evolution, sddc
from node_sim.errors import ConfigError
from node_sim.records import Floats
from node_sim.server.settings import Checked, check_settings, setting


@dataclass(frozen=True)
class Risk(Checked):
    """How often reads of one device fail under ``sddc_table``, by the data pins of the fault."""

    share_2dq: float = setting(
        sddc.RISK_SHARE_2DQ, "Share of faults on two pins that repeat a bad pattern.", low=0.0, high=1.0
    )
    share_3dq: float = setting(sddc.RISK_SHARE_3DQ, "The same on three.", low=0.0, high=1.0)
    share_4dq: float = setting(sddc.RISK_SHARE_4DQ, "The same on four.", low=0.0, high=1.0)
    low: float = setting(sddc.RISK_LOW, "Least risk of a read that repeats a bad pattern.", low=1e-12, high=1.0)
    high: float = setting(sddc.RISK_HIGH, "Greatest; log-uniform in between.", low=1e-12, high=1.0)
    tail_2dq: float = setting(sddc.RISK_TAIL_2DQ, "Median risk of other faults on two pins.", low=0.0, high=1.0)
    tail_3dq: float = setting(sddc.RISK_TAIL_3DQ, "The same on three.", low=0.0, high=1.0)
    tail_4dq: float = setting(sddc.RISK_TAIL_4DQ, "The same on four.", low=0.0, high=1.0)
    grown_low: float = setting(
        evolution.GROWN_RISK_LOW, "Least risk of a fault that has grown; log-uniform up to 1.", low=1e-12, high=1.0
    )
    tail_sigma: float = setting(sddc.RISK_TAIL_SIGMA, "Lognormal sigma between them.", low=0.0, high=10.0)

    def __post_init__(self) -> None:
        """Check that the least risk is not above the greatest."""
        check_settings(self)
        if self.low > self.high:
            msg = f"low = {self.low:g} with high = {self.high:g}, expected low <= high"
            raise ConfigError(msg)

    def shares(self) -> Floats:
        """Return the shares that repeat a bad pattern by number of pins, 0 … 4."""
        return np.asarray([0.0, 0.0, self.share_2dq, self.share_3dq, self.share_4dq])

    def tails(self) -> Floats:
        """Return the median risks of the others by number of pins, 0 … 4."""
        return np.asarray([0.0, 0.0, self.tail_2dq, self.tail_3dq, self.tail_4dq])
