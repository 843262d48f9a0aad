"""What the kernel prints when somebody asks it to take a page out of use.

**Leaves out.** ``type ...`` with page flags at the end of lines about migration; lines about pages of clean page cache,
which a run does not tell from others.

**Sources.** ``node_sim.hwpoison.offline_answers``, which asks ``soft_offline_page()``; drivers/ras/cec.c.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from analysis.records.moments import Offlined
from node_sim.catalog.profile import Profile
from node_sim.codes import OfflineResult, OfflineTrigger
from node_sim.hwpoison.offline_answers import ask
from node_sim.hwpoison.page_states import PFN

_QUESTIONS: Final = {
    OfflineResult.UNHANDLABLE.text: "kernel",
    OfflineResult.ALREADY_POISONED.text: "poisoned",
    OfflineResult.NO_SPARE.text: "pool_1g_full",
    OfflineResult.DISABLED.text: "user",
}
"""What soft offline is asked about to answer so; nothing is printed about a page that goes out of use."""


@cache
def _printed(rules: Profile, result: str) -> tuple[str, ...]:
    lines: list[str] = []
    if result in _QUESTIONS:
        enabled = result != OfflineResult.DISABLED.text
        ask(rules, memory_failure=True, enabled=enabled, question=_QUESTIONS[result], printed=lines)
    return tuple(lines)


def offline_lines(moment: Offlined, rules: Profile) -> list[str]:
    """Return the lines about a request.

    Args:
        moment: The request.
        rules: What the kernel does.
    """
    row = moment.row
    begin = [f"RAS: Soft-offlining pfn: {row['pfn']:#x}"] if row["trigger"] == OfflineTrigger.KERNEL_CEC.text else []
    return begin + [line.replace(f"{PFN:#x}", f"{row['pfn']:#x}") for line in _printed(rules, row["result"])]
