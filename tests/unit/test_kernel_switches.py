"""What single switches of the profiles change, beyond the big table: each test names the kernels on both sides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node_sim.catalog.kernels import PROFILE_NAMES, PROFILES
from node_sim.errors import ConfigError
from node_sim.hwpoison.kernel import Machine, MfCall
from node_sim.hwpoison.memory_failure import memory_failure
from node_sim.hwpoison.page_states import build_page
from node_sim.hwpoison.process import Pte, Task
from node_sim.one_page.inject import inject
from node_sim.server.policy import Platform


def across(expected, found):
    """Compare what each kernel does with a list in the order of the profiles; None stands for a kernel left out."""
    assert len(expected) == len(PROFILE_NAMES)
    answers = {name: found(name) for name, value in zip(PROFILE_NAMES, expected, strict=True) if value is not None}
    assert answers == {name: value for name, value in zip(PROFILE_NAMES, expected, strict=True) if value is not None}


def codes(found, phase="inject"):
    return [(got["task"], got["code"]) for got in found["signals"] if got["phase"] == phase]


def answers(found):
    return [entry["answer"] for entry in found["later"]]


AO, AR = "BUS_MCEERR_AO", "BUS_MCEERR_AR"


def test_an_explicit_late_policy_is_ignored_by_a_sysctl_of_1_only_from_3_16_to_5_7():
    told = [("app:100", AO)]
    across(
        [[], [], told, [], [], [], []],
        lambda kernel: codes(inject("anonymous", kernel_name=kernel, early_kill=True, processes=("late:handler",))),
    )


def test_the_policy_of_a_second_thread_counts_since_3_16():
    told = [("app:100", AO)]
    across(
        [[], [], told, told, told, told, told],
        lambda kernel: codes(inject("anonymous", kernel_name=kernel, processes=("unset+early:handler",))),
    )


def test_a_late_leader_hides_an_early_thread_only_up_to_3_15():
    told = [("app:100", AO)]
    across(
        [[], [], told, told, told, told, told],
        lambda kernel: codes(inject("anonymous", kernel_name=kernel, processes=("late+early:handler",))),
    )


def test_a_late_thread_of_an_early_leader_changes_nothing():
    told = [("app:100", AO)]
    across([told] * 7, lambda kernel: codes(inject("anonymous", kernel_name=kernel, processes=("early+late:handler",))))


@pytest.mark.parametrize(
    ("policy", "others"),
    [
        ("late", [None, True, True, False, False, False, False]),
        ("unset", [None, True, True, False, False, False, False]),
        ("early", [None, True, True, False, True, True, True]),
    ],
)
def test_who_else_is_told_when_a_process_consumes_poison(policy, others):
    def told(kernel):
        found = inject("anonymous", kernel_name=kernel, event="ar", processes=("late:handler", f"{policy}:handler"))
        return codes(found)

    consumer, other = ("app:100", AR), ("app1:101", AO)
    across([None if one is None else [consumer] + [other] * one for one in others], told)


def test_a_process_is_told_once_per_mapping_and_the_second_signal_merges():
    found = inject("ksm", kernel_name="7.1", processes=("early:handler",))
    assert [(got["code"], got["offset"]) for got in found["signals"]] == [(AO, 12288)]


def test_a_page_that_cannot_be_unmapped_is_logged_with_its_map_count():
    across(
        ["mapcount"] * 5 + ["folio mapcount"] * 2,
        lambda kernel: next(
            line.partition("(")[2].partition("=")[0]
            for line in inject("anonymous-stuck", kernel_name=kernel)["log"]
            if "failed to unmap" in line
        ),
    )


def test_users_of_a_clean_file_page_that_cannot_be_unmapped_are_told_since_6_1():
    def told(kernel):
        return [
            (got["signal"], got["code"])
            for got in inject("file-clean-stuck", kernel_name=kernel, processes=("early:handler",))["signals"]
        ]

    across([[], [], [], [], [("SIGKILL", "SI_KERNEL")], [("SIGBUS", AO)], [("SIGBUS", AO)]], told)


def test_tasks_of_a_clean_file_page_are_collected_since_6_1():
    across(
        [False, False, False, False, True, True, True],
        lambda kernel: (
            "task_early_kill" in [step["rule"] for step in inject("file-clean", kernel_name=kernel)["steps"]]
        ),
    )


def test_a_page_in_no_known_state_failed_up_to_6_10_and_is_ignored_since():
    def line(kernel):
        found = inject("anonymous-isolated", kernel_name=kernel, event="madvise")
        return found["page_type"], found["result"]

    unknown = "unknown page"
    across(
        [None, None, (unknown, "Failed"), (unknown, "Failed"), (unknown, "Failed"), (unknown, "Ignored"), None], line
    )


def test_huge_pages_that_a_file_system_needs_are_not_split():
    for kernel in ("6.12", "7.1"):
        assert inject("file-thp-min-order", kernel_name=kernel)["page_type"] == "unsplit thp"


def test_a_poisoned_hugetlbfs_page_reads_as_zeros_where_it_was_removed_and_fails_where_it_was_kept():
    def data(kernel):
        return answers(
            inject("hugetlb-file-unmapped", kernel_name=kernel, processes=("unset:handler",), then=("read", "pread"))
        )

    kept = [f"SIGBUS({AR})", "EIO"]
    zeros = ["ok(0x00)", "ok(0x00)"]
    across([None, [f"SIGBUS({AR})", "ok('N')"], zeros, zeros, kept, kept, kept], data)


def test_the_healthy_part_of_a_bad_hugetlbfs_page_can_be_read_since_6_6():
    across(
        [None, "ok('N')", "ok(0x00)", "ok(0x00)", "EIO", "ok('N')", "ok('N')"],
        lambda kernel: answers(inject("hugetlb-file", kernel_name=kernel, then=("pread-healthy",)))[0],
    )


def test_a_second_bad_page_of_a_huge_page_counts_since_6_0():
    across(
        [None, 0, 0, 0, 4, 4, 4],
        lambda kernel: inject("hugetlb-file-other", kernel_name=kernel)["hardware_corrupted_kb"],
    )


def test_a_poisoned_tmpfs_page_reads_as_zeros_where_it_was_removed_and_fails_where_it_was_kept():
    def data(kernel):
        return answers(
            inject("tmpfs-unmapped", kernel_name=kernel, processes=("unset:handler",), then=("read", "pread"))
        )

    kept = [f"SIGBUS({AR})", "EIO"]
    zeros = ["ok(0x00)", "ok(0x00)"]
    across([zeros, zeros, zeros, zeros, kept, kept, kept], data)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("anonymous", [-22, 0, 0, 0, 0, 0, 0]),
        ("poisoned", [-22, -16, -16, 0, 0, 0, 0]),
        ("slab", [-22, -5, -5, -5, -5, -5, -5]),
        ("movable", [-22, 0, 0, 0, 0, 0, 0]),
        ("anonymous-pinned", [-22, -5, -5, -16, -16, -16, -16]),
        ("thp-unsplittable", [None, -16, -16, -16, -16, -16, -16]),
        ("file-truncated", [-22, -16, -16, -16, -16, -16, -16]),
        ("ramfs", [-22, -5, -5, -16, -16, -16, -16]),
        ("file-thp-min-order", [None, None, None, None, None, -16, -16]),
        ("absent", [-22, -6, -6, -6, -6, -6, -6]),
        ("offline", [-22, -5, -5, -5, -5, -5, -5]),
        ("free", [-22, 0, 0, 0, 0, 0, 0]),
        ("hugetlb", [-22, 0, 0, 0, 0, 0, 0]),
        ("file-clean-unmapped", [-22, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_soft_offline_answers_by_page_and_kernel(page, expected):
    across(expected, lambda kernel: inject(page, kernel_name=kernel, event="soft_offline")["call_errno"])


def test_a_huge_page_of_a_file_is_not_split_for_soft_offline_up_to_5_10():
    def seen(kernel):
        found = inject("tmpfs-thp", kernel_name=kernel, event="soft_offline", then=("read",))
        return (found["call_errno"], found["hardware_corrupted_kb"], answers(found))

    kept, moved = (-16, 0, ["ok('N')"]), (0, 4, ["ok('N')"])
    across([None, None, kept, kept, moved, moved, moved], seen)


def test_splitting_a_huge_page_mapped_by_entries_tells_nobody_since_6_1():
    def seen(kernel):
        found = inject("thp-by-entries", kernel_name=kernel, processes=("early:handler",), then=("read",))
        return (found["result"], codes(found), answers(found))

    lost = [f"SIGBUS({AR})"]
    told, untold = ("Recovered", [("app:100", AO)], lost), ("Recovered", [], lost)
    across([None, told, told, told, untold, untold, untold], seen)


def test_device_memory_is_unmapped_only_where_somebody_is_told_and_can_be_mapped_again():
    def seen(policy):
        def found(kernel):
            got = inject(
                "dax", kernel_name=kernel, event="hard_offline", processes=(f"{policy}:handler",), then=("read",)
            )
            return (codes(got), any("maps it again" in step["decision"] for step in got["steps"]), answers(got))

        return found

    told, untold = ([("app:100", AO)], True, ["ok('N')"]), ([], False, ["ok('N')"])
    across([None, None, None, untold, untold, untold, untold], seen("late"))
    across([None, None, None, untold, told, told, told], seen("early"))


def test_the_driver_of_device_memory_answers_for_a_block_that_it_knows_as_bad():
    def seen(access, policy="early"):
        def found(kernel):
            options = {"kernel_name": kernel, "event": "srao", "processes": (f"{policy}:handler",), "then": (access,)}
            return answers(inject("dax-bad-block", **options))

        return found

    # Not unmapped in 5.10, which tells nobody of an asynchronous error: the load meets the poison itself.
    adrerr, again = ["SIGBUS(BUS_ADRERR)"], ["SIGBUS(BUS_MCEERR_AR)"]
    across([None, None, None, again, adrerr, again, again], seen("read"))
    across([None, None, None, ["EIO"], ["EIO"], ["EIO"], ["EIO"]], seen("pread"))
    across([None, None, None, ["EIO"], ["EFAULT"], ["EFAULT"], ["EFAULT"]], seen("pwrite"))


def test_madvise_dontneed_takes_hugetlb_mappings_since_5_18_and_all_others_always():
    def seen(page):
        return lambda kernel: answers(inject(page, kernel_name=kernel, then=("dontneed",)))

    refused, taken = ["EINVAL"], ["0"]
    across([refused, refused, refused, refused, taken, taken, taken], seen("hugetlb"))
    across([taken] * 7, seen("anonymous"))
    across([None, taken, taken, taken, taken, taken, taken], seen("thp"))


def test_a_punched_hole_takes_hwpoison_entries_with_it_on_5_10_262_only():
    def seen(page):
        handler = ("late:handler",)
        return lambda kernel: answers(inject(page, kernel_name=kernel, processes=handler, then=("punch", "read")))

    stays, goes = ["0", f"SIGBUS({AR})"], ["0", "ok(0x00)"]
    across([stays, stays, stays, goes, stays, stays, stays], seen("tmpfs"))
    across([stays, stays, stays, goes, stays, stays, stays], seen("file-dirty"))


def test_the_filter_is_asked_for_hugetlb_pages_in_use_but_by_4_18_and_5_10():
    def dropped(page):
        criteria = {"flags-mask": "0x1000", "flags-value": "0x1000" if page == "hugetlb-free" else "0"}
        return lambda kernel: inject(page, kernel_name=kernel, filters=criteria)["result"] is None

    across([None, True, False, False, True, True, True], dropped("hugetlb"))
    across([None, True, True, True, True, True, True], dropped("hugetlb-free"))


def test_soft_offline_never_signals_keeps_the_data_and_counts_one_page():
    for kernel in PROFILE_NAMES[1:]:
        found = inject(
            "anonymous", kernel_name=kernel, event="soft_offline", processes=("early:handler",), then=("read",)
        )
        assert (found["signals"], answers(found), found["hardware_corrupted_kb"]) == ([], ["ok('A')"], 4)


def test_soft_offline_works_without_recovery_and_never_panics():
    assert inject("anonymous", event="soft_offline", recovery=False)["panic"] is None
    assert inject("slab", event="soft_offline", recovery=False)["panic"] is None


def test_log_lines_of_soft_offline_changed_their_prefix_in_5_10_and_6_12():
    already = [
        None,
        "soft offline: 0x1234 page already poisoned",
        "soft offline: 0x1234 page already poisoned",
        "soft_offline_page: 0x1234 page already poisoned",
        "soft_offline_page: 0x1234 page already poisoned",
        "Soft offline: 0x1234: page already poisoned",
        "Soft offline: 0x1234: page already poisoned",
    ]
    across(already, lambda kernel: inject("poisoned", kernel_name=kernel, event="soft_offline")["log"][-1])
    across(
        [None, *["soft_offline: 0x1234: invalidated"] * 4, *["Soft offline: 0x1234: invalidated"] * 2],
        lambda kernel: inject("file-clean-unmapped", kernel_name=kernel, event="soft_offline")["log"][-1],
    )


def test_an_unpoison_that_is_refused_answers_ebusy_since_5_17():
    across(
        [["EINVAL"], ["0"], ["0"], ["0"], ["EBUSY"], ["EBUSY"], ["EBUSY"]],
        lambda kernel: answers(inject("slab", kernel_name=kernel, event="hard_offline", then=("unpoison",))),
    )


def test_unpoison_is_locked_after_a_real_error_since_5_19():
    real = ["EINVAL", "0", "0", "0", "EOPNOTSUPP", "EOPNOTSUPP", "EOPNOTSUPP"]
    across([[one] for one in real], lambda k: answers(inject("anonymous", kernel_name=k, then=("unpoison",))))
    simulated = ["EINVAL", "0", "0", "0", "0", "0", "0"]
    across(
        [[one] for one in simulated],
        lambda k: answers(inject("anonymous", kernel_name=k, event="hard_offline", then=("unpoison",))),
    )


def test_unpoison_lowers_the_counter_again():
    for kernel in PROFILE_NAMES[1:]:
        found = inject("anonymous", kernel_name=kernel, event="hard_offline", then=("unpoison",))
        assert found["hardware_corrupted_kb"] == 0


def test_a_filtered_page_is_an_error_inside_since_5_19_and_never_outside():
    def answer(kernel):
        found = inject("anonymous", kernel_name=kernel, event="hard_offline", filters={"memcg": "out"})
        return found["errno"], found["call_errno"], found["hardware_corrupted_kb"]

    across([None, (0, 0, 0), (0, 0, 0), (0, 0, 0), (-95, 0, 0), (-95, 0, 0), (-95, 0, 0)], answer)


def test_a_huge_page_that_is_filtered_out_is_split_all_the_same_up_to_6_10():
    across(
        [None, None, True, True, True, False, False],
        lambda kernel: (
            "try_to_split_thp_page"
            in [
                step["rule"]
                for step in inject("thp", kernel_name=kernel, event="hard_offline", filters={"memcg": "out"})["steps"]
            ]
        ),
    )


def test_corrupt_pfn_of_a_free_page():
    def line(kernel):
        found = inject("free", kernel_name=kernel, event="corrupt-pfn")
        return found["page_type"], found["result"], found["call_errno"]

    taken = ("free buddy page", "Recovered", 0)
    across(
        [
            ("free or high order kernel", "Ignored", -16),
            ("free buddy, 2nd try", "Delayed", 0),
            (None, None, 0),
            ("free buddy page", "Delayed", 0),
            taken,
            taken,
            taken,
        ],
        line,
    )


def test_corrupt_pfn_of_a_pinned_page_misses_one_reference_in_3_10():
    across(
        [0, 0, -16, -16, 0, 0, 0],
        lambda kernel: inject("anonymous-pinned", kernel_name=kernel, event="corrupt-pfn")["call_errno"],
    )


def test_a_clean_page_that_was_dropped_is_refaulted_after_an_action_required_event():
    for kernel in PROFILE_NAMES[1:]:
        found = inject("file-clean", kernel_name=kernel, event="ar", processes=("unset:handler",), then=("read",))
        assert (found["signals"], answers(found)) == ([], ["ok('D')"])


def test_poison_met_by_copy_from_user():
    def seen(kernel):
        found = inject("anonymous", kernel_name=kernel, event="ar-copy", processes=("late:handler",))
        return (bool(found["panic"]), found["page_type"], codes(found))

    dead, page = (True, None, []), "dirty LRU page"
    across(
        [dead, dead, dead, (False, page, [("app:100", AR)]), (False, page, []), (False, page, []), (False, page, [])],
        seen,
    )


def test_copy_from_user_in_5_10_signals_the_task_even_for_a_clean_page():
    found = inject("file-clean", kernel_name="5.10", event="ar-copy", processes=("late:handler",))
    assert codes(found) == [("app:100", AR)]
    huge = inject("hugetlb-file-same", kernel_name="5.10", event="ar-copy", processes=("late:handler",))
    assert [got["lsb"] for got in huge["signals"]] == [12]  # kill_me_maybe() names PAGE_SHIFT, whatever the page


def test_deferred_errors_reach_the_handler_since_5_7():
    across(
        [None, None, None, "dirty LRU page", "dirty LRU page", "dirty LRU page", "dirty LRU page"],
        lambda kernel: inject("anonymous", kernel_name=kernel, event="ucna")["page_type"],
    )
    for kernel in ("2.6.32", "3.10", "4.18"):
        assert inject("anonymous", kernel_name=kernel, event="ucna")["page_type"] is None


def test_the_kernels_own_mapping_of_a_page_is_removed_since_4_18():
    across(
        [None, False, True, True, True, True, True],
        lambda kernel: (
            "set_mce_nospec" in [s["rule"] for s in inject("anonymous", kernel_name=kernel, event="ar")["steps"]]
        ),
    )


def test_a_page_of_an_enclave():
    def answer(kernel):
        found = inject("sgx", kernel_name=kernel)
        return found["page_type"], found["errno"]

    across([None, None, None, (None, -6), (None, 0), (None, 0), (None, 0)], answer)


def test_a_bad_page_of_guest_memfd_cannot_be_punched_out():
    for kernel in ("6.12", "7.1"):
        found = inject("guest-memfd", kernel_name=kernel)
        assert (found["result"], found["errno"]) == ("Failed", -16)
        assert any(line.endswith("Failed to punch page: 2") for line in found["log"])


def test_memory_lost_to_a_bad_page():
    lost = {
        "anonymous": [4096] * 7,
        "free": [0, 0, 0, 0, 4096, 4096, 4096],
        "slab": [0] * 7,
        "hugetlb": [0, 2**21, 4096, 4096, 4096, 4096, 4096],
        "hugetlb-file": [0, 2**21, 2**21, 2**21, 2**21, 2**21, 2**21],
    }
    for page, expected in lost.items():
        across(expected, lambda kernel, page=page: inject(page, kernel_name=kernel)["memory_lost_bytes"])


def lines_of(event, *, then=(), page="anonymous", switches=None):
    def found(kernel):
        return inject(page, kernel_name=kernel, event=event, then=then, switches=switches)["log"]

    return found


def test_injections_are_announced_in_the_words_of_their_kernel():
    pfn, hexadecimal = "Injecting memory failure at pfn 1234", "Injecting memory failure at pfn 0x1234"
    across([pfn, pfn, *[hexadecimal] * 5], lambda kernel: lines_of("corrupt-pfn")(kernel)[0])
    old = "Injecting memory failure for page 1234 at 7f0000001000"
    new = "Injecting memory failure for pfn 0x1234 at process virtual address 0x7f0000001000"
    across([old, old, *[new] * 5], lambda kernel: lines_of("madvise")(kernel)[0])
    between = lines_of("madvise", switches={"injection_texts": "1"})("4.18")[0]
    assert between == "Injecting memory failure for page 0x1234 at 0x7f0000001000"


def test_unpoison_speaks_the_words_of_its_kernel():
    old, middle, new = "MCE: Page was {} 0x1234", "Unpoison: Page was {} 0x1234", "Unpoison: 0x1234: page was {}"
    expected = [text.format("already unpoisoned") for text in (old, middle, middle, middle, new, new)]
    asked = lines_of("soft_offline", page="slab", then=("unpoison",))
    across([None, *expected], lambda kernel: asked(kernel)[-1])


def test_unpoison_takes_the_mark_off_a_page_in_use_up_to_4_2_only():
    def seen(kernel):
        return inject("anonymous-isolated", kernel_name=kernel, event="hard_offline", then=("unpoison",))["log"][-1]

    taken, mapped = "MCE: Software-unpoisoned free page 0x1234", "Unpoison: Someone maps the hwpoison page 0x1234"
    across([None, taken, mapped, mapped, mapped, *["Unpoison: 0x1234: someone maps the hwpoison page"] * 2], seen)


def test_unpoison_of_what_is_no_memory_is_another_errno_since_5_10_245():
    across(
        [None, "ENXIO", "ENXIO", "EIO", "EIO", "EIO", "EIO"],
        lambda kernel: answers(inject("absent", kernel_name=kernel, event="soft_offline", then=("unpoison",)))[0],
    )


def test_soft_offline_says_why_it_refuses_in_the_words_of_its_kernel():
    first, second, third = (
        "soft_offline: 0x1234: unknown non LRU page type 0",
        "soft_offline_page: 0x1234: unknown page type: 0",
        "Memory failure: 0x1234: unhandlable page.",
    )
    across(
        [None, first, first, second, third, third, third],
        lambda kernel: lines_of("soft_offline", page="kernel")(kernel)[0],
    )
    listed = "__get_any_page: 0x1234: unknown zero refcount page type 0"
    across(
        [None, listed, listed, second, None, None, None],
        lambda kernel: lines_of("soft_offline", page="free-pcp")(kernel)[0],
    )
    spoken = [
        lines_of("soft_offline", page="thp-unsplittable")(kernel)[-1] for kernel in ("4.18", "5.10", "6.1", "6.12")
    ]
    assert [line.partition(":")[0] for line in spoken] == ["soft offline"] * 3 + ["Soft offline"]


def test_reclaim_unmaps_a_poisoned_page_that_it_still_finds_since_6_12_y():
    def seen(page, then=("reclaim", "read")):
        def found(kernel):
            event = "hard_offline"
            return answers(inject(page, kernel_name=kernel, event=event, processes=("late:handler",), then=then))

        return found

    left = ["like any page", "ok('A')"]
    gone = ["unmapped", "SIGBUS(BUS_MCEERR_AR)"]
    across([None, left, left, left, left, gone, ["kept", "ok('A')"]], seen("thp-unsplittable"))
    stuck = ["kept", "ok('A')"]  # what cannot be unmapped
    across([None, None, left, left, left, stuck, stuck], seen("anonymous-clean-stuck"))
    kept = ["kept", "SIGBUS(BUS_MCEERR_AR)"]  # in the swap cache: on no list
    across([kept] * 7, seen("swap-dirty"))
    assert answers(inject("swap-kept", event="reclaim", then=("read",))) == ["died"]


def test_swapoff_gives_the_bad_page_back_up_to_5_10():
    def seen(kernel):
        found = inject(
            "swap-dirty",
            kernel_name=kernel,
            event="hard_offline",
            processes=("late:handler",),
            then=("swapoff", "read"),
        )
        return answers(found)

    mapped, error, marked = (
        ["present", "ok('A')"],
        ["swap_error", "SIGBUS(BUS_ADRERR)"],
        ["hwpoison", "SIGBUS(BUS_MCEERR_AR)"],
    )
    across([*[mapped] * 4, error, marked, marked], seen)
    assert answers(inject("anonymous", then=("swapoff",))) == ["nothing to do"]


def test_a_page_that_its_owner_cannot_lose_panics_where_the_proposal_says_so():
    asked = {"panics_unrecoverable": "True"}
    for page in ("reserved", "slab", "slab-compound", "page-table", "zero"):
        found = inject(page, kernel_name="7.1", switches=asked)
        assert found["panic"] == "Kernel panic - not syncing: Memory failure: 0x1234: unrecoverable page"
        assert "recovery action for kernel page: Ignored" in found["log"][-2]
    for page in ("kernel", "kernel-tail", "huge-zero", "thp-unsplittable", "anonymous"):
        assert inject(page, kernel_name="7.1", switches=asked)["panic"] is None
    assert inject("slab", kernel_name="7.1")["panic"] is None


def test_an_error_in_the_first_page_of_a_huge_page_mapped_by_entries_poisons_them_at_the_split_in_all_kernels():
    page = build_page("thp-by-entries", [Task("app:100")])
    assert page.subpage != 0
    for kernel in PROFILE_NAMES[1:]:
        head = replace(build_page("thp-by-entries", [Task("app:100")]), subpage=0)
        machine = Machine(PROFILES[kernel], early_kill=True)
        memory_failure(machine, head, MfCall())
        assert head.tasks[0].received == []
        assert head.tasks[0].maps(Pte.HWPOISON)


@pytest.mark.parametrize(
    ("page", "first"),
    [("file-thp-dirty", ["unsplit thp", "Ignored"]), ("file-thp-writeback", ["unsplit thp", "Ignored"])],
)
def test_a_large_folio_that_its_file_system_still_needs_is_not_split(page, first):
    found = inject(page, event="hard_offline", processes=("early:handler",), then=("read", "pread", "fsync"))
    assert [found["page_type"], found["result"]] == first
    assert found["signals"] == []
    data = "ok('N')" if page == "file-thp-dirty" else "ok('D')"
    assert answers(found) == [data, data, "0"]
    newer = inject(page, kernel_name="6.12", event="hard_offline", processes=("early:handler",))
    assert (newer["result"], newer["errno"], codes(newer)) == ("Failed", -133, [("app:100", AO)])
    unmapped = inject("file-thp-dirty-unmapped", event="hard_offline", then=("read",))
    assert answers(unmapped) == ["died"]


def test_a_dirty_page_of_a_file_system_that_cannot_remove_it_is_kept_and_reported_once():
    for kernel in PROFILE_NAMES:
        found = inject(
            "fuse-dirty",
            kernel_name=kernel,
            event="hard_offline",
            then=("pread", "fsync", "fsync"),
            processes=("late:handler",),
        )
        assert (found["result"], found["errno"], found["memory_lost_bytes"]) == ("Failed", -16, 0)
        assert answers(found) == ["ok('N')", "EIO", "0"]
        assert any(line.endswith("Failed to invalidate") for line in found["log"])
        clean = inject(
            "fuse-clean", kernel_name=kernel, event="hard_offline", then=("read",), processes=("late:handler",)
        )
        assert (clean["result"], answers(clean)) == ("Recovered", ["ok('D')"])
    assert answers(
        inject("overlay-dirty", event="hard_offline", then=("fsync", "syncfs"), processes=("late:handler",))
    ) == ["EIO", "0"]


def test_memory_that_only_its_process_can_see_is_lost_and_cannot_be_advised_upon():
    found = inject(
        "secretmem", event="hard_offline", processes=("early:handler",), then=("read", "pread", "fsync", "punch")
    )
    assert (found["page_type"], found["result"]) == ("dirty unevictable LRU page", "Failed")
    assert answers(found) == ["SIGBUS(BUS_MCEERR_AR)", "ESPIPE", "EINVAL", "EOPNOTSUPP"]
    assert inject("secretmem", event="madvise")["call_errno"] == -14
    assert inject("secretmem", event="soft_offline")["call_errno"] == -16


def test_the_second_thread_hears_of_an_error_that_the_first_has_blocked():
    found = inject("anonymous", processes=("unset+early:blocked+open",), then=("read",))
    assert codes(found) == [("app:100", AO)]
    assert answers(found) == ["died"]
    alone = inject("anonymous", processes=("unset+early:blocked",))
    assert [(got["code"], got["pending"]) for got in alone["signals"]] == [(AO, True)]
    waiting = inject("anonymous", processes=("unset+early:handler+blocked",))
    assert [(got["code"], got["pending"]) for got in waiting["signals"]] == [(AO, True)]
    for words in ("unset:blocked+open", "unset+early:default+open", "unset+early:blocked+open+open"):
        with pytest.raises(ConfigError, match="MASK"):
            inject("anonymous", processes=(words,))


def test_records_of_banks_wait_in_a_ring_up_to_4_2_and_in_a_pool_since_those_of_the_firmware_in_its_queue():
    across([15, 15, 80, 80, 80, 80, 80], lambda kernel: Platform().record_entries(PROFILES[kernel]))
    across([16] * 7, lambda kernel: Platform(reporting="firmware_first").record_entries(PROFILES[kernel]))
