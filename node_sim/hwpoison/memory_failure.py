"""``memory_failure()``: one readable definition for every kernel profile.

**Models.** The flow with every early exit, free and kernel-owned pages, huge pages, unmapping, device memory. Every
step names the rule that decided it.

**Leaves out.** Races, but for those that are a state of the page; retries; timing.

**Assumes.** One page at a time (the kernel serialises calls since 5.14).

**Sources.** mm/memory-failure.c of the profiles' kernels: ``memory_failure()``, ``hwpoison_user_mappings()``,
``get_hwpoison_page()``, ``memory_failure_dev_pagemap()``, ``memory_failure_pfn()``.
"""

from __future__ import annotations

from node_sim.codes import Result
from node_sim.hwpoison.file import WRITES_BACK, Backing
from node_sim.hwpoison.hugetlb import handle_hugetlb
from node_sim.hwpoison.kernel import EBUSY, EFAULT, EHWPOISON, EIO, ENXIO, Machine, MfCall, Panic, report
from node_sim.hwpoison.kill import Told, collect, signal
from node_sim.hwpoison.page import KERNEL_OWNED, Kind, Page
from node_sim.hwpoison.page_actions import act
from node_sim.hwpoison.process import Pte
from node_sim.units import PAGE_BYTES

_DEVICE = (Kind.DEVICE, Kind.DEVICE_PRIVATE, Kind.DEVICE_METADATA)
_SPLIT_PANIC = "Fatal machine check"
_KERNELS_OWN = (Kind.RESERVED, Kind.ZERO, Kind.SLAB, Kind.COMPOUND)
_NEVER_MEMORY = (Kind.ABSENT, Kind.SGX)


def memory_failure(machine: Machine, page: Page, call: MfCall) -> int:
    """Handle an error in a page and return the kernel's return value.

    Args:
        machine: Kernel, settings, counters and log; changed.
        page: The page; changed, with the processes that map it.
        call: How the handler is called.

    Raises:
        Panic: The kernel stops.
    """
    machine.answer = _memory_failure(machine, page, call)
    return machine.answer


def _memory_failure(machine: Machine, page: Page, call: MfCall) -> int:
    profile = machine.profile
    if not machine.recovery:
        machine.step("memory_failure", "vm.memory_failure_recovery=0: panic")
        raise Panic(profile.panic_text.format(pfn=page.pfn))
    machine.hardware_failure_seen |= not call.simulated
    if page.kind in _NEVER_MEMORY or (page.kind is Kind.OFFLINE and profile.offline_is_bad):
        return _bad_pfn(machine, page, call)
    if page.kind in _DEVICE and profile.dax:
        return _device(machine, page, call)
    if page.hugetlb and profile.hugetlb != "non lru":
        return _hugetlb(machine, page, call)
    if page.poisoned:
        return already_poisoned(machine, page, call)
    page.poisoned = True
    machine.counted_pages += profile.counts == "detection"
    return _handle(machine, page, call)


def _handle(machine: Machine, page: Page, call: MfCall) -> int:
    """Go through the flow for a page that carries its mark now."""
    profile = machine.profile
    for exit_of in (_free, _kernel_owned, _filtered_early, _split, _filtered, _freed_meanwhile):
        errno = exit_of(machine, page, call)
        if errno is not None:
            return errno
    if page.kind is not Kind.USER or not page.lru:
        return act(machine, page, call)
    if not unmap(machine, page, call):
        return unmap_failed(machine, page)
    if page.cached_in is not None and page.cached_in.truncated:
        report(machine, page, machine.word("already truncated LRU", "already truncated LRU page"), Result.IGNORED)
        page.held = True
        return profile.truncated_errno
    return act(machine, page, call)


def _hugetlb(machine: Machine, page: Page, call: MfCall) -> int:
    """Handle a hugetlb page: its own early exits, then unmapping and the state table."""
    if page.bad_subpages:
        return _hugetlb_again(machine, page, call)
    errno = handle_hugetlb(machine, page)
    if errno is not None:
        return errno
    if not unmap(machine, page, call):
        return unmap_failed(machine, page)
    return act(machine, page, call)


def _hugetlb_again(machine: Machine, page: Page, call: MfCall) -> int:
    """Handle a further error in a huge page that is still one."""
    how = machine.profile.hugetlb_again
    known = page.subpage in page.bad_subpages
    page.bad_subpages.add(page.subpage)
    if how == "log" or (how == "lines" and known):
        return already_poisoned(machine, page, call)
    machine.step("try_memory_failure_hugetlb", "known bad page" if known else "a new bad page, added to the list")
    if how != "lines":
        machine.counted_pages += not known
        machine.say(page, "already hardware poisoned")
    errno = _kill_accessing(machine, page, call)
    if how == "lines":
        report(machine, page, "huge page", Result.FAILED)
    elif how == "raw and line" and call.action_required:
        report(machine, page, "already poisoned", Result.FAILED)
    return errno


# ---------------------------------------------------------------------------------------- early exits


def _bad_pfn(machine: Machine, page: Page, call: MfCall) -> int:
    profile = machine.profile
    if page.kind is Kind.SGX and profile.handles_sgx:
        machine.step("arch_memory_failure", "the page of an enclave is handled by its driver")
        return 0
    machine.step("memory_failure", f"{page.kind.value}: not memory of the kernel's")
    if profile.bad_pfn == "action":
        report(machine, page, "memory outside kernel control", Result.IGNORED)
        return EIO
    if profile.bad_pfn == "log" or page.kind is not Kind.ABSENT:
        machine.say(page, "memory outside kernel control")
        return ENXIO
    if not page.device_range:
        return report(machine, page, "non struct page pfn", Result.IGNORED, counted=False)
    machine.step("memory_failure_pfn", "a driver has registered the range")
    forced = call._replace(action_required=True, must_kill=True)
    signal(machine, page, collect(machine, page, forced), lsb=12)
    return report(machine, page, "non struct page pfn", Result.RECOVERED, counted=False)


def already_poisoned(machine: Machine, page: Page, call: MfCall) -> int:
    """Handle an error in a page that is poisoned already."""
    how = machine.profile.already_line
    machine.step("TestSetPageHWPoison", "already poisoned")
    if how == "ignored":
        report(machine, page, "already hardware poisoned", Result.IGNORED)
        return machine.profile.already_errno
    if how != "failed":
        machine.say(page, "already hardware poisoned")
    errno = _kill_accessing(machine, page, call)
    if how == "log and counted":
        report(machine, page, "already poisoned", Result.FAILED)
    elif how == "failed":
        report(machine, page, "already poisoned page", Result.FAILED, counted=False)
    return errno


def _kill_accessing(machine: Machine, page: Page, call: MfCall) -> int:
    """Signal a consumer that hits a page poisoned before."""
    profile, task = machine.profile, call.current
    if not (call.action_required and profile.kill_accessing):
        return profile.already_errno
    if task is None:
        return EFAULT
    if not task.maps(Pte.PRESENT, Pte.HWPOISON):
        machine.step("kill_accessing_process", "the task does not map the page")
        return profile.kap_notfound
    machine.step("kill_accessing_process", "the task maps the page")
    mapping = next(mapping for mapping in task.mappings if mapping.pte in (Pte.PRESENT, Pte.HWPOISON))
    signal(machine, page, [Told(task, mapping, consumer=True)], lsb=max(page.shift, mapping.shift))
    return EHWPOISON


def _free(machine: Machine, page: Page, call: MfCall) -> int | None:
    """Take a free page off the free lists; None when the profile does not recognise it as one."""
    profile = machine.profile
    if page.kind not in (Kind.FREE, Kind.PCP) or (page.kind is Kind.PCP and not profile.drains_pcp):
        return None
    return second_try(machine, page) if call.pretended else take_off(machine, page)


def take_off(machine: Machine, page: Page) -> int:
    """Handle a page in the buddy allocator."""
    profile = machine.profile
    if profile.free_result == "Ignored":
        machine.step("memory_failure", "no reference can be taken")
        report(machine, page, "free or high order kernel", Result.IGNORED)
        return 0 if page.block_head else EBUSY
    result = Result[profile.free_result.upper()]
    if result is Result.RECOVERED:
        good = page.takes_off
        machine.step("take_page_off_buddy", "off the free lists" if good else "lost the race twice")
        result = result if good else Result.FAILED
        page.lost_bytes, page.held = (PAGE_BYTES, True) if good else (0, False)
    page.withdrawn = result is not Result.FAILED
    return report(machine, page, machine.word("free buddy", "free buddy page"), result)


def second_try(machine: Machine, page: Page) -> int:
    """Handle a page that was found free only after a reference had been taken."""
    page.withdrawn = True
    return report(machine, page, machine.word("free buddy, 2nd try", "free buddy page (2nd try)"), Result.DELAYED)


def _freed_meanwhile(machine: Machine, page: Page, _event: MfCall) -> int | None:
    if not page.freed_meanwhile:
        return None
    how = machine.profile.freed_meanwhile
    if how == "non lru":
        return report(machine, page, "non LRU", Result.IGNORED)
    return second_try(machine, page) if how == "2nd try" else take_off(machine, page)


def _kernel_owned(machine: Machine, page: Page, call: MfCall) -> int | None:
    """Refuse a page the handler cannot handle; None to go on."""
    profile = machine.profile
    frozen = page.kind in (Kind.PCP, Kind.TAIL)
    owned = frozen or page.kind in (*KERNEL_OWNED, *_DEVICE) or not page.lru or page.hugetlb
    checked = not call.held or profile.madvise_checks_type or profile.kernel_page in ("non lru", "table")
    if not owned or not checked:
        return None
    machine.step("get_hwpoison_page", f"{page.kind.value}: not a page the handler can handle")
    if profile.panics_unrecoverable and (page.kind in _KERNELS_OWN or page.table):
        report(machine, page, "kernel page", Result.IGNORED)
        unrecoverable = f"Memory failure: {page.pfn:#x}: unrecoverable page"
        raise Panic(unrecoverable)
    if profile.kernel_page in ("unknown", "get hwpoison"):
        machine.say(page, "unhandlable page.")
        text = "unknown page" if profile.kernel_page == "unknown" else "get hwpoison page"
        return report(machine, page, text, Result.IGNORED)
    free_hugetlb = page.hugetlb and not page.mapped and page.cached_in is None
    if (frozen and not call.pretended) or free_hugetlb:
        text = machine.word("free or high order kernel", "high order kernel", "high-order kernel page")
        return report(machine, page, text, Result.IGNORED)
    if profile.kernel_page == "non lru":
        return report(machine, page, "non LRU", Result.IGNORED)
    if page.kind is Kind.COMPOUND or (page.kind is Kind.HUGE_ZERO and not call.held):
        machine.say(page, "non anonymous thp")
        return report(machine, page, "high-order kernel page", Result.IGNORED)
    return None


def _filtered_early(machine: Machine, page: Page, call: MfCall) -> int | None:
    return _filtered(machine, page, call) if machine.profile.filters_before_split else None


def _filtered(machine: Machine, page: Page, _event: MfCall) -> int | None:
    """Drop a page that the injection filter does not want."""
    if not machine.drops(page):
        return None
    machine.step("hwpoison_filter", "dropped by the filter")
    page.poisoned = False
    machine.counted_pages -= machine.profile.counts == "detection"
    return machine.profile.filter_errno


# ---------------------------------------------------------------------------------------- transparent huge pages


def _split(machine: Machine, page: Page, call: MfCall) -> int | None:
    """Split a transparent huge page; an errno when that ends the handling."""
    profile = machine.profile
    huge_zero = page.kind is Kind.HUGE_ZERO
    if (not page.order and not huge_zero) or profile.thp == "none":
        return None
    anonymous = page.backing is Backing.ANONYMOUS
    unknown = not anonymous and not profile.splits_file_thp
    if unknown and not call.held:
        machine.say(page, "non anonymous thp")
        return report(machine, page, "high-order kernel page", Result.IGNORED)
    if unknown or huge_zero or not page.splittable or page.minimum_order:
        return _split_failed(machine, page, call)
    machine.step("try_to_split_thp_page", "split: the 4 KiB page is handled")
    page.order = 0
    if anonymous and page.zeros and profile.split_reads_zeros and not call.simulated:
        machine.step("try_to_split_thp_page", "the split reads the bad page to see whether it holds zeros only")
        raise Panic(_SPLIT_PANIC)
    if page.by_entries and (profile.split_poisons or page.subpage == 0):  # before 5.17 it asked about the first page
        page.replace_entries(Pte.HWPOISON)
        machine.step("try_to_migrate_one", "the split itself leaves hwpoison entries: nobody maps the page")
    if not anonymous:
        page.replace_entries(Pte.NONE)
        machine.step("try_to_split_thp_page", "page tables of a file are not refilled: nobody maps the page")
    return None


def _split_failed(machine: Machine, page: Page, call: MfCall) -> int:
    how = machine.profile.thp
    machine.step("try_to_split_thp_page", "cannot be split")
    if page.cached_in is not None and how != "cleared":
        page.cached_in.poisoned = True  # it stays in its file with its mark, which a new mapping runs into
    if page.kind is Kind.HUGE_ZERO and how in ("ignored", "killed") and machine.profile.counts == "action":
        machine.log.append("huge_memory: Called split_huge_page for huge zero page")
    if how == "give up":
        machine.say(page, "failed to split THP")
        machine.say(page, "cannot unmap page, give up")
        return EBUSY
    if how == "cleared":
        machine.say(page, "thp split failed" if page.backing is Backing.ANONYMOUS else "non anonymous thp")
        page.poisoned = False
        machine.counted_pages -= 1
        return EBUSY
    if how == "killed":
        signal(machine, page, collect(machine, page, call), lsb=12 + page.order)
        report(machine, page, "unsplit thp", Result.FAILED)
        return EHWPOISON
    if machine.profile.counts == "detection":
        why = "thp split failed" if page.backing is Backing.ANONYMOUS else "non anonymous thp"
        machine.log.append(f"Memory Failure: {page.pfn:#x}: {why}")
    return report(machine, page, "unsplit thp", Result.IGNORED)


# ---------------------------------------------------------------------------------------- user mappings


def unmap(machine: Machine, page: Page, call: MfCall) -> bool:
    """Unmap the page and tell its users; False when it cannot be unmapped."""
    profile = machine.profile
    if not page.mapped:
        machine.step("hwpoison_user_mappings", "no page table maps it: nobody is told")
        return True
    if page.ksm and profile.ksm != "handled":
        machine.step("hwpoison_user_mappings", "a merged page (KSM) is not unmapped")
        if profile.ksm == "refused":
            machine.say(page, "can't handle KSM pages.")
        return profile.ksm == "left"
    if page.swapcache:
        machine.say(page, "keeping poisoned page in swap cache")
    dropped = not page.dirty and page.backing in WRITES_BACK and not call.must_kill
    if dropped:
        machine.say(page, "corrupted page was clean: dropped without side effects")
    told = collect(machine, page, call) if not dropped or profile.collects_clean else []
    unmapped = _unmap_all(machine, page, Pte.SWAP if page.swapcache else Pte.NONE if dropped else Pte.HWPOISON)
    forced = page.dirty or call.must_kill or (not unmapped and profile.forces_on_unmap_failure)
    if forced:
        sigkill = not unmapped and profile.unmap_failure_signal == "SIGKILL"
        signal(machine, page, told, sigkill=sigkill, lsb=page.shift)
    else:
        machine.step("hwpoison_user_mappings", "clean: nobody is signalled")
    return unmapped or profile.unmap_failure == "continue"


def _unmap_all(machine: Machine, page: Page, entry: Pte) -> bool:
    if not page.unmaps:
        count = sum(mapping.pte is Pte.PRESENT for task in page.tasks for mapping in task.mappings)
        machine.say(page, f"failed to unmap page ({machine.profile.mapcount_word}={count})")
        machine.step("try_to_unmap", "still mapped")
        return False
    page.replace_entries(entry)
    machine.step("try_to_unmap", f"page table entries become: {entry.name.lower()}")
    return True


def unmap_failed(machine: Machine, page: Page) -> int:
    """Report that a page could not be unmapped."""
    how = machine.profile.unmap_failure
    page.held = True  # the reference stays behind
    if how == "give up":
        machine.say(page, "cannot unmap page, give up")
        return EBUSY
    return report(machine, page, "unmapping failed page", Result.FAILED if how == "failed" else Result.IGNORED)


# ---------------------------------------------------------------------------------------- device memory


def _device(machine: Machine, page: Page, call: MfCall) -> int:
    profile = machine.profile
    if page.kind is not Kind.DEVICE:
        machine.step("memory_failure_dev_pagemap", f"{page.kind.value}: cannot be handled")
        report(machine, page, "dax page", Result.FAILED)
        return profile.device_private_errno
    page.poisoned = True
    forced = call._replace(action_required=True, must_kill=True)
    told = collect(machine, page, forced)
    if told:
        page.replace_entries(Pte.NONE)
        machine.step("memory_failure_dev_pagemap", "unmapped; the next access maps it again")
    signal(machine, page, told, lsb=12 + page.order)
    page.withdrawn = True
    return report(machine, page, "dax page", Result.RECOVERED)
