"""Settings of the daemon that counts corrected errors and has pages taken offline.

Source:
    mcelog's page counter; rasdaemon ras-page-isolation.c, since 2024 also by row (ROW_CE_THRESHOLD); Intel's memory
    resilience technology, which watches the columns of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

from node_sim.server.settings import COUNT_MAX, Checked, setting

OFFLINE_SCOPES = ("page", "row")


@dataclass(frozen=True)
class PageOffline(Checked):
    """Soft offlining of pages by a daemon that counts corrected errors."""

    ce_threshold: int = setting(
        0,
        "Corrected errors of a page (scope = 'page') or of a row in one window that take it offline; 0 = off.",
        low=0,
        high=COUNT_MAX,
        role="policy",
    )
    scope: str = setting(
        "page",
        "What the errors are counted by and what they take offline: a page, or all pages of a row of a DIMM. Row with "
        "ce_threshold = 50 is rasdaemon's ROW_CE_THRESHOLD of 2024, off by default.",
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

    @property
    def counts(self) -> bool:
        """Whether any count of errors takes pages offline."""
        return self.ce_threshold > 0 or self.row_columns > 0

    @property
    def by_row(self) -> bool:
        """Whether rows of DIMMs are counted, not pages."""
        return self.scope == "row"
