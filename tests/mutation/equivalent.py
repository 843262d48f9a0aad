"""Mutants that change nothing anybody can see, each with the reason."""

EQUIVALENT: dict[str, str] = {
    "thp of 2.6.32 = give up": "2.6.32 has no huge pages to split",
    "hugetlb_counted_pages of 2.6.32 = 512": "2.6.32 does not handle hugetlb pages, so it never counts one",
    "kill_set of 2.6.32 = K1b": "K0 and K1b differ for action-required events only, which panic in 2.6.32",
    "has_guest_memfd of 6.1 = True": "6.1 has no guest_memfd pages",
    "hugetlbfs_read of 5.10 = page": "5.10 removes the bad page from the file, so a read finds none that is marked",
    "others of K0 = all": "action-required events panic in 2.6.32, before anybody is told",
    "others of K0 = none": "action-required events panic in 2.6.32, before anybody is told",
    "kernel_uncorrected of 6.12 = always": "the row of 6.12 says what the rule of 5.10 said, for the same records",
    "not_restartable of 2.6.32 = must kill": "every action-required record panics in 2.6.32 before RIPV is looked at",
}
