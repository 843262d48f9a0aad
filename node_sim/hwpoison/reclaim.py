"""Memory reclaim and swapoff meet a poisoned page.

**Models.** Pages that the handler kept in the swap cache, and pages that it left on the LRU list.

**Leaves out.** What reclaim does with a page it takes for a good one.

**Assumes.** Reclaim gets to the page; swapoff ends.

**Sources.** mm/vmscan.c ``shrink_folio_list()`` (6.12.33, 7.1.5), mm/swapfile.c ``unuse_pte()`` (2.6.32, 3.10.105,
4.18, 5.10.198, 6.1.158, 6.12.33, 7.1.5; a hwpoison entry since 6.5), ``__try_to_reclaim_swap()``.
"""

from __future__ import annotations

from node_sim.hwpoison.file import WRITES_BACK
from node_sim.hwpoison.kernel import Machine
from node_sim.hwpoison.page import Kind, Page
from node_sim.hwpoison.process import Pte


def reclaim(machine: Machine, page: Page) -> str:
    """Let reclaim come to a page; return what it does with it.

    A page kept in the swap cache is on no list, and its slot is not freed while an entry refers to it: no kernel reads
    the stale slot again.
    """
    if not page.lru or page.withdrawn or page.kind is not Kind.USER:
        machine.step("shrink_folio_list", "on no LRU list: reclaim does not see it")
        return "kept"
    how = machine.profile.reclaim
    if not page.poisoned or how == "any":
        machine.step("shrink_folio_list", "taken for a page like any other: written out or dropped")
        return "like any page"
    if (how == "small unmapped" and page.order) or not page.unmaps:
        why = "a poisoned large folio stays on the list" if page.unmaps else "it cannot be unmapped"
        machine.step("shrink_folio_list", why)
        return "kept"
    dropped = not page.dirty and page.backing in WRITES_BACK
    entry = Pte.SWAP if page.swapcache else Pte.NONE if dropped else Pte.HWPOISON
    page.replace_entries(entry)
    page.lru = False
    machine.step("shrink_folio_list", f"unmapped and taken off the list; its entries become: {entry.name.lower()}")
    return "unmapped"


def swapoff(machine: Machine, page: Page) -> str:
    """Let swapoff come to the entries that refer to a page kept in the swap cache; return what they become."""
    if not page.swapcache or page.cached_in is not None:
        return "nothing to do"
    entries = {"mapped": Pte.PRESENT, "error": Pte.SWAP_ERROR, "hwpoison": Pte.HWPOISON}
    entry = entries[machine.profile.swapoff] if page.poisoned else Pte.PRESENT
    for mapping in (mapping for task in page.tasks for mapping in task.mappings):
        if mapping.pte is Pte.SWAP:
            mapping.pte = entry
    page.swapcache = False
    machine.step("unuse_pte", f"the entries become: {entry.name.lower()}")
    return entry.name.lower()
