"""What a run must show on average, by closed forms: fault rates, hazards, and how many faults were to be expected.

**Models.** Rates follow from a published table, the site, the speed of the parts and the age of the DIMM, as the
settings of a scenario mean them. Soft faults of a DIMM are a Poisson process. Hard ones have the intensity
``w * m(t)``, w a gamma variable of mean 1 and variance v that is the DIMM's own, so after n hard faults by the time t,
with ``M`` the integral of m, w has the mean ``(1 + v n) / (1 + v M)`` (gamma prior, Poisson likelihood). What was to be
expected up to a time is therefore the integral of ``m (1 + v n) / (1 + v M)``, between two faults
``(1 + v n) / v * log((1 + v M(b)) / (1 + v M(a)))``. The count less what was expected is a martingale with the expected
count as its variance, also if a DIMM is watched only until it is replaced because of what was seen of it.

**Leaves out.** DIMMs put in later; what errors the faults make.

**Assumes.** Where DIMMs are of several ages at the start, the hazard is the mean over ages.

**Sources.** The numbers are those of ``node_sim/catalog``; no function of the simulation is used. Greenwood and Yule
1920 for the gamma mixture, Andersen, Borgan, Gill and Keiding 1993 (chapter II) for counts and their compensators,
JESD89A for the flux of neutrons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from node_sim.catalog.fit import RATE_TABLES
from node_sim.catalog.numbers import SPEED_EXPONENT, WEAROUT_MONTHS
from node_sim.catalog.parts import PARTS
from node_sim.catalog.sites import SITES
from node_sim.codes import Mode
from node_sim.records import Floats, Ints

Settings = Mapping[str, Any]
HOURS_PER_YEAR: Final = 365.25 * 24.0
MONTHS_PER_YEAR: Final = 12.0
WIRES: Final = (Mode.COMMAND_ADDRESS, Mode.LANE)
_STEPS_PER_YEAR: Final = 240
_AGES: Final = 200


@dataclass(frozen=True)
class DimmLaw:
    """How faults of one DIMM arrive.

    Attributes:
        soft: Soft faults per year by mode.
        hard: Hard ones, of a DIMM past infancy and before wear-out.
        frailty_variance: Variance of the factor by which DIMMs differ in hard faults.
        years: Times at which ``cumulated`` is given, shape ``(n,)``.
        cumulated: Hard faults of all modes expected of an average DIMM by then.
        age_spread: Standard deviation over ages of the last of them.
    """

    soft: dict[Mode, float]
    hard: dict[Mode, float]
    frailty_variance: float
    years: Floats
    cumulated: Floats
    age_spread: float

    def hard_by(self, years: Floats | float) -> Floats:
        """Return the hard faults expected of an average DIMM by some times."""
        return np.asarray(np.interp(years, self.years, self.cumulated), np.float64)


def dimm_law(server: Settings, faults: Settings, horizon_years: float) -> DimmLaw:
    """Work out how faults of a DIMM arrive, from the settings of its server and of its faults.

    Args:
        server: As the section of a scenario, with all defaults filled in.
        faults: Likewise.
        horizon_years: Simulated time.
    """
    part = PARTS[server["part"]]
    devices = server["ranks"] * part.subchannels * (part.data_devices + part.check_devices)
    per_device = devices * faults["fit_factor"] * faults["speed_ratio"] ** SPEED_EXPONENT.value
    at_site = soft_factor(faults)
    soft: dict[Mode, float] = {}
    hard: dict[Mode, float] = {}
    for mode, (transient, permanent) in RATE_TABLES[faults["rates"]].items():
        factor = per_device * (faults["bit_factor"] if mode is Mode.BIT else 1.0)
        soft[mode], hard[mode] = transient.value * factor * at_site, permanent.value * factor
    passing = faults["command_address_transient_share"]
    soft[Mode.COMMAND_ADDRESS] = faults["command_address_fit"] * passing
    hard[Mode.COMMAND_ADDRESS] = faults["command_address_fit"] * (1.0 - passing)
    hard[Mode.LANE] = faults["lane_fit"]
    soft, hard = ({mode: fit * HOURS_PER_YEAR / 1e9 for mode, fit in rates.items()} for rates in (soft, hard))
    years = np.linspace(0.0, horizon_years, 2 + int(_STEPS_PER_YEAR * horizon_years))
    steps = _AGES if faults["oldest_years"] else 1
    ages = (np.arange(steps) + 0.5) / steps * faults["oldest_years"]
    at_age = hazard(years[None, :] + ages[:, None], faults)
    each = np.zeros_like(at_age)
    each[:, 1:] = np.cumsum((at_age[:, 1:] + at_age[:, :-1]) / 2.0 * np.diff(years), axis=1)
    each *= sum(hard.values())
    return DimmLaw(soft, hard, faults["frailty_variance"], years, each.mean(axis=0), float(each[:, -1].std()))


def hazard(age_years: Floats, faults: Settings) -> Floats:
    """Return the rate of hard faults at an age over that past infancy and before wear-out: a bathtub."""
    months = MONTHS_PER_YEAR * age_years
    begin, end = WEAROUT_MONTHS.value
    infant = faults["infant_factor"] * np.exp(-months / faults["infant_months"])
    worn = faults["wearout_factor"] * np.clip((months - begin) / (end - begin), 0.0, 1.0)
    return np.asarray(1.0 + infant + worn, np.float64)


def soft_factor(faults: Settings) -> float:
    """Return the rate of soft faults at a site over that of the table.

    Alpha particles come from the package; neutrons follow the flux, thermal ones the surroundings, too.
    """
    site = SITES[faults["site"]]
    suns = ("quiet", "active") if faults["sun"] == "mean" else (faults["sun"],)
    flux = sum(neutron_flux(site.altitude_m, site.cutoff_gv, sun) for sun in suns) / len(suns)
    surroundings = 1.0 + faults["thermal_share"] * (faults["thermal_factor"] - 1.0)
    alpha = faults["alpha_share"]
    return float(alpha + (1.0 - alpha) * flux * surroundings)


def neutron_flux(altitude_m: float, cutoff_gv: float, sun: str) -> float:
    """Return the flux of neutrons above 10 MeV over that in New York City, by the formula of JESD89A.

    Depth of the standard atmosphere gives an exponential; the cutoff a factor ``1.098 (1 - exp(-alpha / R**k))`` whose
    constants depend on the pressure, with another pair for an active sun, scaled to agree at 50 GV.
    """
    hpa = 1013.25 * (1.0 - altitude_m * 2.25577e-5) ** 5.25588
    depth = math.exp((1033.2 - 1.019716 * hpa) / 131.3)
    bar = hpa / 1000.0

    def dorman(cutoff: float, constants: tuple[float, ...]) -> float:
        a, b, c, d, e, f, g, h = constants
        alpha, k = math.exp(a + b * bar - c * math.exp(-d * bar)), e - f * bar + g * math.exp(-h * bar)
        return 1.098 * (1.0 - math.exp(-alpha / cutoff**k))

    quiet = (1.84, 0.094, 0.09, 11.0, 1.4, 0.56, 0.24, 8.8)
    if sun == "quiet":
        return depth * dorman(cutoff_gv, quiet)
    active = (1.93, 0.15, 0.18, 10.0, 1.32, 0.49, 0.18, 9.5)
    return depth * dorman(cutoff_gv, active) * dorman(50.0, quiet) / dorman(50.0, active)


def expected_hard(law: DimmLaw, begin: Floats, end: Floats, before: Ints) -> Floats:
    """Return how many hard faults were to be expected of DIMMs in intervals, given those before.

    Args:
        law: Theirs.
        begin: Begin of each interval [years], shape ``(n,)``; no fault lies inside.
        end: End [years].
        before: Hard faults of the DIMM before.
    """
    first, last = law.hard_by(begin), law.hard_by(end)
    v = law.frailty_variance
    if v == 0.0:
        return last - first
    return np.asarray((1.0 + v * before) / v * np.log1p(v * (last - first) / (1.0 + v * first)), np.float64)


def expected_growth(share: Floats, begin_h: float, end_h: float, watched_h: Floats) -> Floats:
    """Return how many faults were to be expected to grow, each watched for some time or until it grew.

    A share of them grows a time after its start that is log-uniform from ``begin_h`` to ``end_h``. Before it has grown,
    a fault's cumulated hazard at an age with distribution function F is ``-log(1 - share F)``.
    """
    by_then = np.clip(np.log(np.maximum(watched_h, begin_h) / begin_h) / math.log(end_h / begin_h), 0.0, 1.0)
    return np.asarray(-np.log1p(-np.minimum(share * by_then, 1.0 - 1e-12)), np.float64)


GROWTH_CLASSES: Final = ("share_1xm", "share_2dq", "share_3dq", "share_4dq")
"""Settings of the shares of faults that widen, by pins from one on; ``share_1x1`` is that of one pin and one beat."""


def growth_shares(growth: Settings, n_dq: Ints, n_beats: Ints) -> Floats:
    """Return the share of faults that widen, by the pins and beats that each has."""
    by_pins = np.asarray([growth[name] for name in GROWTH_CLASSES])[np.clip(n_dq, 1, len(GROWTH_CLASSES)) - 1]
    return np.asarray(growth["factor"] * np.where((n_dq == 1) & (n_beats == 1), growth["share_1x1"], by_pins))


ALWAYS_CORRECTED: Final = {"chipkill": 99, "ssc_dsd": 99, "ddr5": 99, "secded": 1}
"""Pins of one device that a code corrects, whatever they carry: a code over symbols a whole device, one over bits a bit
of each word, so a pin. The others depend on the pattern."""
ALWAYS_NOTICED: Final = {"secded": 2}
"""Pins of one device that a code notices at least: a code of distance 4 two bits of each word."""
