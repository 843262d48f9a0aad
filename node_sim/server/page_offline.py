"""Settings of the daemon that counts corrected errors and has pages taken offline.

Source:
    mcelog's page counter; rasdaemon ras-page-isolation.c, since 2024 also by row (ROW_CE_THRESHOLD); the kernel's
    drivers/ras/cec.c; Intel's memory resilience technology, which watches the columns of a row.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Self

from node_sim.catalog.numbers import DAEMON_AGE_HOURS
from node_sim.catalog.profile import Profile
from node_sim.errors import ConfigError
from node_sim.server.daemons import CEC, DAEMONS, NO_DAEMON, cec_threshold, has_cec, whose_rule
from node_sim.server.settings import COUNT_MAX, Checked, setting
from node_sim.units import FOREVER, hours_to_ns

COUNTINGS = ("window", "bucket", "boot")


class OfflineScope(enum.IntEnum):
    """What errors are counted by."""

    PAGE = 0
    ROW = 1
    BANK = 2


OFFLINE_SCOPES = tuple(scope.name.lower() for scope in OfflineScope)


@dataclass(frozen=True)
class PageOffline(Checked):
    """Soft offlining of pages by a daemon that counts corrected errors."""

    ce_threshold: int = setting(
        0,
        "Corrected errors of a page (scope = 'page'), a row or a bank that take it offline, counted as counting says; "
        "0 = off.",
        low=0,
        high=COUNT_MAX,
        role="policy",
    )
    scope: str = setting(
        "page",
        "What the errors are counted by and what they take offline: a page, or all pages of a row or bank of a DIMM. "
        "Row with ce_threshold = 50 is rasdaemon's ROW_CE_THRESHOLD of 2024, off by default. Banks are large, and with "
        "interleaving they have lines in the pages of several.",
        choices=OFFLINE_SCOPES,
    )
    row_columns: int = setting(
        0,
        "Pages of a row with errors in one window that take the row offline, too; 0 = off. They stand for columns, as "
        "in Intel's memory resilience technology; columns inside one page are not told apart.",
        low=0,
        high=COUNT_MAX,
        role="policy",
    )
    counting: str = setting(
        "window",
        "Which errors count together: those of a whole window (errors.window_hours); those in a leaky bucket of "
        "age_hours, as rasdaemon and mcelog have it; or all since boot, as in the kernel's CEC (pages only).",
        choices=COUNTINGS,
    )
    age_hours: float = setting(
        DAEMON_AGE_HOURS, "In what time a leaky bucket runs empty (counting = 'bucket').", low=1.0, high=8766.0
    )
    daemon: str = setting(
        NO_DAEMON,
        "A rule by name instead of the settings above: rasdaemon, by page or by row; mcelog, as it is or as it was "
        "before 2024-09; the kernel's own counts (CEC, 4.12 on); Intel's memory resilience technology, by row.",
        choices=(NO_DAEMON, *DAEMONS),
        whose=whose_rule,
    )

    @property
    def counts(self) -> bool:
        """Whether any count of errors takes pages offline."""
        return self.ce_threshold > 0 or self.row_columns > 0

    @property
    def by(self) -> OfflineScope:
        """What errors are counted by."""
        return OfflineScope[self.scope.upper()]

    @property
    def age_ns(self) -> int:
        """For how long an error counts, ``FOREVER`` = until the next boot; 0 = in its window [ns]."""
        assert self.daemon == NO_DAEMON, "a name is no rule before Policy.on(server)"
        return {"window": 0, "bucket": hours_to_ns(self.age_hours), "boot": FOREVER}[self.counting]

    def on(self, rules: Profile, *, amd: bool) -> Self:
        """Settle the rule on a kernel and a processor: a name becomes the settings it stands for.

        Raises:
            ConfigError: The kernel does not have it.
        """
        if self.daemon == NO_DAEMON:
            return self
        values = DAEMONS[self.daemon].values()
        if self.daemon == CEC:
            if not has_cec(rules):
                msg = f"page_offline.daemon = {CEC!r}, expected another with kernel {rules.name}, which does not count"
                raise ConfigError(msg)
            values["ce_threshold"] = cec_threshold(rules, amd=amd)
        return replace(self, daemon=NO_DAEMON, **values)
