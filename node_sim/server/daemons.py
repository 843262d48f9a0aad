"""Rules by name that have pages taken offline: daemons with their defaults, and the kernel itself.

**Models.** rasdaemon (pages; rows since 2024, off by default there), mcelog as it is and as it was before 2024-09, the
kernel's CEC, Intel's memory resilience technology.

**Leaves out.** CEC keeps 512 pages and forgets the one with the fewest and oldest errors when there are more
(``corrected/buckets.py`` says how much that matters). rasdaemon asks of a row only for those pages
that had errors themselves.

**Assumes.** A firmware that handles errors first is that of an Intel server.

**Sources.** ``catalog/numbers.py``. CEC: drivers/ras/cec.c, RAS_CEC in drivers/ras/Kconfig.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from node_sim.catalog.kernels import has_since
from node_sim.catalog.numbers import (
    CEC_CE,
    CEC_CE_INTEL,
    CEC_KERNELS,
    DAEMON_AGE_HOURS,
    MCELOG_PAGE_CE,
    MCELOG_PAGE_CE_2024,
    MRT_COLUMNS,
    RASDAEMON_CE,
    RASDAEMON_ROW_CE,
)
from node_sim.catalog.profile import Profile
from node_sim.catalog.values import Assumed, Published

NO_DAEMON: Final = "none"
CEC: Final = "cec"


class Daemon(NamedTuple):
    """What a name stands for.

    Attributes:
        settings: Settings of ``page_offline`` with the numbers that they are.
        scope: What is counted.
        counting: How.
    """

    settings: dict[str, Published[int] | Published[float] | Assumed[int]]
    scope: str = "page"
    counting: str = "bucket"

    def values(self) -> dict[str, Any]:
        """Return the settings of ``page_offline``."""
        return {
            "scope": self.scope,
            "counting": self.counting,
            **{name: number.value for name, number in self.settings.items()},
        }

    def whose(self) -> str:
        """Say whose the numbers are."""
        return "; ".join(_told(name, number) for name, number in self.settings.items())


DAEMONS: Final = {
    "rasdaemon": Daemon({"ce_threshold": RASDAEMON_CE, "age_hours": DAEMON_AGE_HOURS}),
    "rasdaemon_row": Daemon({"ce_threshold": RASDAEMON_ROW_CE, "age_hours": DAEMON_AGE_HOURS}, scope="row"),
    "mcelog": Daemon({"ce_threshold": MCELOG_PAGE_CE, "age_hours": DAEMON_AGE_HOURS}),
    "mcelog_2024": Daemon({"ce_threshold": MCELOG_PAGE_CE_2024, "age_hours": DAEMON_AGE_HOURS}),
    CEC: Daemon({"ce_threshold": CEC_CE}, counting="boot"),
    "mrt": Daemon({"row_columns": MRT_COLUMNS}, scope="row", counting="window"),
}


def _told(name: str, number: Published[int] | Published[float] | Assumed[int]) -> str:
    """Say of a setting where its number comes from."""
    if isinstance(number, Published):
        return f"{name} = {number.value:g}, published: {number.source} [{number.confidence}]"
    return f"{name} = {number.value:g}, assumed {number.low:g} to {number.high:g}: {number.why}"


def whose_rule(name: str) -> str:
    """Say whose rule a name stands for, nothing of none."""
    if name == NO_DAEMON:
        return ""
    more = f"; on Intel since 6.1 {_told('ce_threshold', CEC_CE_INTEL)}; {CEC_KERNELS.source}" if name == CEC else ""
    return DAEMONS[name].whose() + more


def has_cec(rules: Profile) -> bool:
    """Whether a kernel can count corrected errors itself."""
    return has_since(rules, CEC_KERNELS.value[0])


def cec_threshold(rules: Profile, *, amd: bool) -> int:
    """Return the errors of a page since boot at which a kernel takes it offline itself.

    Args:
        rules: Of a kernel that counts itself.
        amd: Whether the processor is AMD's.
    """
    _, prompt, of_intel = CEC_KERNELS.value
    if has_since(rules, of_intel) and not amd:
        return CEC_CE_INTEL.value
    return CEC_CE.value + (0 if has_since(rules, prompt) else 1)
