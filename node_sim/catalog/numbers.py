"""Single numbers used as defaults of a server's description: published ones and assumptions, by topic."""

from __future__ import annotations

from typing import Final

from node_sim.catalog.values import Assumed, Published

# --- fleet and servers ------------------------------------------------------------------------------------------
GROUP_SHARE: Final = Assumed(1.0, 0.0, 1.0, "make-up of the simulated fleet; no public fleet lists one")
SOCKETS: Final = Assumed(2, 1, 8, "two-socket servers are the usual ones of cloud fleets")
CHANNELS: Final = Published(
    6, "1", "SmartMem sample MciAddr: Intel address maps with six channels per socket", "measured"
)
DIMMS_PER_CHANNEL: Final = Published(
    1, "1", "Cheng et al., SRDS 2022: servers with 12 DIMM slots are the largest class (151,988)", "read"
)
RANKS: Final = Assumed(2, 1, 4, "dual-rank x4 RDIMMs; 36 devices per DIMM")

# --- faults -----------------------------------------------------------------------------------------------------
COMMAND_ADDRESS_FIT: Final = Assumed(
    4.0,
    0.0,
    31.0,
    "no rate is published; 17 to 30 % of UEs without a CE before (Jaguar, Google) of the 34 FIT per DIMM of all UEs at "
    "Alibaba (Cheng et al., SRDS 2022) are 6 to 10 FIT for all sudden causes; 72 % of Hopper's uncorrected errors were "
    "command/address parity errors",
    "FIT/DIMM",
    headline=True,
)
COMMAND_ADDRESS_TRANSIENT_SHARE: Final = Assumed(
    0.5, 0.0, 1.0, "no share is published; DDR4 repeats a command whose parity is wrong"
)
LANE_FIT: Final = Assumed(
    5.0,
    0.0,
    30.0,
    "no rate is published; field studies trace many errors to channels and sockets, not to chips",
    "FIT/DIMM",
)
FRAILTY_VARIANCE: Final = Assumed(
    3.0,
    0.0,
    10.0,
    "gamma shape 1/3: on Jaguar two devices had more than one fault in a year where Poisson gives 0.45, a variance "
    "factor of about 4 (two events only: 0.5 to 16)",
)
INTERMITTENT_SHARE: Final = Assumed(
    0.5, 0.2, 0.8, "errors of most DIMMs come and go; no public split of hard faults into permanent and intermittent"
)
SPEED_EXPONENT: Final = Published(
    2.344,
    "1",
    "network-server study (journal abstract): 2400 Mbps parts have 6.7 times the FIT of 1066 Mbps parts; "
    "ln 6.7 / ln(2400/1066)",
    "computed",
)
THERMAL_SHARE: Final = Assumed(
    0.1, 0.0, 0.3, "no public share for DDR4; 29 % of the SDC rate of one accelerator at Leadville was thermal"
)
THERMAL_FACTOR: Final = Assumed(
    1.0, 0.2, 3.0, "water, concrete and cooling near the server change the thermal flux and not the fast one"
)
WEAROUT_MONTHS: Final = Published(
    (10.0, 18.0),
    "months of age",
    "Schroeder et al., SIGMETRICS 2009: the CE rate climbs at 10-18 months",
    "read-secondary",
)
INFANT_FACTOR: Final = Assumed(
    0.0,
    0.0,
    3.0,
    "permanent faults fell over the first two years (SC 2013 abstract), Cielo saw no ageing; size unknown",
)
INFANT_MONTHS: Final = Assumed(6.0, 1.0, 24.0, "burn-in period; the fall was seen over the first two years", "month")
WEAROUT_FACTOR: Final = Assumed(0.0, 0.0, 2.0, "Google saw a rise, Cielo none; off unless a scenario says otherwise")
OLDEST_YEARS: Final = Assumed(0.0, 0.0, 6.0, "age of the oldest DIMMs at the start; matters only with ageing", "year")
ALPHA_SHARE: Final = Assumed(
    0.1, 0.0, 0.3, "alpha particles of the package do not depend on the site; no public share for DDR4"
)
COLUMN_ROW_SHARE: Final = Published((0.005, 0.06), "share of the bank's rows", "gem5 DRAM failure model header", "read")
ROW_COLUMN_SHARE: Final = Published(
    (0.01, 0.10), "share of the row's columns", "gem5 DRAM failure model header", "read"
)
ROW_WIDE_SHARE: Final = Published((0.25, 0.30), "share of the row's columns", "gem5 DRAM failure model header", "read")
ROW_WIDE_P: Final = Published(0.1, "1", "gem5 DRAM failure model header: a tenth of the row faults", "read")
BANK_ROW_SHARE: Final = Published((0.01, 0.10), "share of the bank's rows", "gem5 DRAM failure model header", "read")
BANK_COLUMN_SHARE: Final = Published(
    (0.01, 0.40), "share of the row's columns", "gem5 DRAM failure model header", "read"
)
BANKS_TWO_P: Final = Published(0.46, "1", "gem5 DRAM failure model header", "read")
BANKS_EIGHT_P: Final = Published(0.37, "1", "gem5 DRAM failure model header", "read")

# --- corrected errors of a fault --------------------------------------------------------------------------------
CE_CAP_PER_DAY: Final = Published(
    7200, "CE/day", "Huawei type-B windows: counts saturate near 7,200 per day (SmartMem feature sample)", "computed"
)
CE_SCRUB_SHARE: Final = Published(
    0.05, "1", "Huawei type-B feature sample: 2.7 of 51.3 CE per 24 h found by patrol scrub", "computed"
)
CE_CAP_PER_QUARTER_HOUR: Final = Published(
    100, "CE/15 min", "Huawei type-B windows: at most 95 CE in 15 minutes (SmartMem feature sample)", "computed"
)
CMCI_STORMS: Final = {
    "poll_30s": Published((15.0, 30.0), "CMCI/s, s", "Linux 3.10-6.7: above 15 CMCIs in 1 s a poll every 30 s", "read"),
    "poll_1s": Published(
        (5 / 64, 1.0), "CMCI/s, s", "Linux 6.8 on: 5 corrected errors in 64 s, then a poll every second", "read"
    ),
}
"""Kernel's rule against storms: rate above which a bank is polled, and how often; a poll sees one error."""
CMCI_STORM_KERNELS: Final[dict[str, dict[str, Published[tuple[str, str | None]]]]] = {
    "intel": {
        "poll_30s": Published(
            ("3.10", "6.1"), "profile", "CMCI storm code of mce_intel.c, mce/intel.c: 3.10-6.7", "read"
        ),
        "poll_1s": Published(("6.12", None), "profile", "per-bank storms of mce/threshold.c: 6.8 on", "read"),
    },
    "amd": {
        "poll_1s": Published(("7.1", None), "profile", "mce/amd.c asks the same code since 6.19", "read"),
    },
}
"""First and last profile (None: the newest) with each rule, by who reports; a firmware hides the interrupts."""
BURST_INTERVAL_DAYS: Final = Assumed(25.0, 7.0, 90.0, "one-row fault of SmartMem: 254 CE in bursts over 61 days", "day")
BURST_DAYS: Final = Assumed(5.0, 1.0, 20.0, "a page is in use for days (tenancy), then the fault rests", "day")
INTERMITTENT_INTERVAL_DAYS: Final = Assumed(
    120.0, 30.0, 365.0, "an affected DIMM is active in a minority of the following months (Facebook, Huawei)", "day"
)
INTERMITTENT_DAYS: Final = Assumed(1.0, 0.1, 5.0, "one-column fault of SmartMem: 211 CE in one burst of 2.5 h", "day")
BURST_SPREAD: Final = Assumed(
    1.0, 0.0, 2.0, "faults differ in how often they are read: activity of a DIMM persists more than chance allows"
)
CE_MEDIAN_PER_WINDOW: Final = Assumed(
    36.0, 9.0, 144.0, "gives the 3,796 CE per DIMM-month with CE of Huawei 2024, with the spread below", "CE"
)
CE_SIGMA_FAULT: Final = Assumed(
    2.5, 2.0, 2.8, "CE counts are lognormal with sigma 2.4-2.8 in all (Huawei 24 h windows: 2.38 and 2.52)"
)
CE_SIGMA_WINDOW: Final = Assumed(1.2, 0.5, 1.6, "see CE_SIGMA_FAULT")


def _level(value: float, what: str) -> Assumed[float]:
    """Return how many errors faults of a mode make in a window, relative."""
    why = f"{what} in a window of 6 h: medians of DIMMs with CE of Huawei 2024 that did not fail, Purley"
    return Assumed(value, value / 2.0, value * 2.0, why)


CE_LEVEL_BIT: Final = _level(0.5, "cells 1 CE")
CE_LEVEL_ROW: Final = _level(1.5, "rows 6 CE")
CE_LEVEL_COLUMN: Final = _level(6.0, "columns 33 CE")
CE_LEVEL_BANK: Final = _level(6.0, "banks 32 CE, several banks 11 CE")
CE_LEVEL_LANE: Final = Assumed(2.0, 1.0, 4.0, "between a row, which one pin of a lane is like, and a bank; not counted")
CE_LEVEL_COMMAND_ADDRESS: Final = Assumed(1.0, 0.5, 2.0, "no count is published")

# --- error correction -------------------------------------------------------------------------------------------
SPARING_CE: Final = Assumed(
    10, 1, 1000, "threshold that starts ADDDC is not public; as many as Intel takes for a DIMM alarm", "CE"
)
SPARING_RANKS_MIN: Final = Published(2, "rank", "Dell YX4X whitepaper: ADDDC needs two ranks or more", "read")
SPARING_WIDTH: Final = Published(4, "DQ", "Dell YX4X whitepaper: ADDDC needs x4 devices", "read")
ECS_THRESHOLD: Final = Published(
    256, "per Gbit", "CXL 3.1 table 8-210: DDR5 ECS threshold, default of 256, 1024 and 4096", "read-secondary"
)
ECS_THRESHOLDS: Final = Published((256, 1024, 4096), "per Gbit", "Linux 6.15 ABI/testing/sysfs-edac-ecs", "read")
ECS_HOURS: Final = Published(24.0, "h", "JEDEC DDR5: the whole device in 24 h", "recalled-unverified")

# --- detection --------------------------------------------------------------------------------------------------
SCRUB_HOURS: Final = Published(24.0, "h", "AMD PG456: whole memory in 24 h by default", "read")
SCRUB_GB_PER_DAY: Final = Published(
    64.0, "GB/day", "Supermicro/Intel text: one line per 16k cycles, about 64 GB per day", "read"
)
HOT_SHARE: Final = Assumed(
    0.3, 0.05, 0.8, "no public patrol/demand split of UEs; this share of pages is read often", headline=True
)
HOT_INTERVAL_S: Final = Assumed(
    600.0, 1.0, 7200.0, "mean time between accesses that reach DRAM in a given line of a hot page", "s", headline=True
)
COLD_INTERVAL_HOURS: Final = Assumed(
    240.0, 24.0, 2400.0, "mean time between accesses to a given line of a cold page", "h", headline=True
)

SOFT_WRITE_SHARE: Final = Assumed(
    0.3, 0.0, 0.8, "share of accesses to a soft error that overwrite the line before anybody reads it"
)

# --- platform ---------------------------------------------------------------------------------------------------
DEVICE_FATAL_SHARE: Final = Assumed(
    0.5,
    0.0,
    1.0,
    "consumption by NICs and other devices regularly takes hosts down (Google, linux-mm); share unknown",
    headline=True,
)
COPY_SHARE: Final = Assumed(
    0.5,
    0.1,
    0.9,
    "share of kernel accesses to user memory that are copy-from-user with a recovery entry (5.10+)",
    headline=True,
)
PAGE_COPY_SHARE: Final = Assumed(
    0.6,
    0.1,
    0.95,
    "share of the other kernel accesses to pages of processes and files that copy, compare or read() the page; nobody "
    "counted them, and hardening of such copies since 6.1 suggests that they were met in the field",
    headline=True,
)
PARTIAL_WRITE_SHARE: Final = Assumed(
    0.3,
    0.05,
    0.9,
    "share of write accesses that fill a part of the line: an ordinary store reads the line for ownership, poison "
    "included, and the last-level cache finds it when it writes the line back; copies of pages and device writes fill "
    "it whole; no public split",
)
BANK_BUSY_S: Final = Assumed(0.01, 0.0001, 1.0, "from an asynchronous record to the poller's read (CMCI)", "s")
FIRMWARE_LATENCY_S: Final = Assumed(
    1.0,
    0.05,
    60.0,
    "the firmware stops all CPUs, reads the bank, finds the DIMM, writes its own log and a record, which the kernel "
    "gets by interrupt or, at worst, by polling once a minute; no public figure for uncorrected errors was found",
    "s",
)
WORK_LATENCY_S: Final = Assumed(0.1, 0.001, 1.0, "irq work to work queue, typically below 1 s", "s")
CONTROLLER_FIRST_SHARE: Final = Assumed(
    0.5,
    0.0,
    1.0,
    "demand loads of poison whose record of the memory controller (CMCI, work queue) reaches the handler before the "
    "machine check of the core does; the race is described in Linux aaf99ac2ceb7, its odds nowhere",
)
RING_ENTRIES: Final = Published(15, "1", "MCE_RING_SIZE less one, arch/x86/kernel/cpu/mcheck/mce.c 2.6.32-4.2", "read")
POOL_RECORDS: Final = Published(80, "1", "MCE_POOLSZ, MCE_MIN_ENTRIES, mce/genpool.c 4.3-7.1", "read")
QUEUE_ENTRIES: Final = Published(16, "1", "MEMORY_FAILURE_FIFO, mm/memory-failure.c 3.4-7.1", "read")

# --- memory -----------------------------------------------------------------------------------------------------
TENANCY_DAYS: Final = Assumed(14.0, 1.0, 90.0, "mean time one use keeps a 2 MiB block", "day")
REFILL_MINUTES: Final = Assumed(
    10.0, 1.0, 240.0, "until a restarted process, or a booted node, has filled its memory again", "min"
)
KERNEL_SHARE: Final = Assumed(
    0.08, 0.02, 0.25, "no public kernel/user share of hit pages; slab, page tables and reserved pages", headline=True
)
THP_SPLIT_P: Final = Assumed(
    0.98, 0.8, 1.0, "a huge page with extra references cannot be split; share unknown", headline=True
)
LARGE_FOLIO_SHARE: Final = Assumed(
    0.0,
    0.0,
    0.95,
    "readahead makes large folios of most of what is read in order, where the file system makes them at all; the "
    "default is ext4 before 6.16, which does not",
)
HANDLER_BASE_US: Final = Assumed(
    100.0, 10.0, 10_000.0, "memory_failure() of a page that nobody maps: locks, draining of lists, the log line", "us"
)
HANDLER_MAPPING_US: Final = Assumed(
    2.0, 0.2, 100.0, "for each mapping that it walks: collect the process, remove the entry, flush, signal", "us"
)
FORKED_SHARE: Final = Assumed(
    0.05,
    0.0,
    0.6,
    "anonymous memory that the processes of a service share since they were forked: most of it in servers that fork "
    "after start-up (PostgreSQL, prefork web servers), none in those with threads",
    headline=True,
)
MAPPED_FILE_SHARE: Final = Assumed(
    0.6,
    0.2,
    0.95,
    "mapped pages of files that all processes of a service map: its programs and data files",
    headline=True,
)
LIBRARY_SHARE: Final = Assumed(
    0.2,
    0.05,
    0.5,
    "mapped pages of files that all processes of a node map: libc and the like; none in containers",
)
TMPFS_SHARE: Final = Assumed(
    0.7, 0.2, 1.0, "shared memory is there to be shared; a file in /tmp or a memfd may not be", headline=True
)
HUGETLB_SHARE: Final = Assumed(
    0.0,
    0.0,
    1.0,
    "huge pages of a pool: shared buffers of a database, or memory of one process (guest, DPDK, JVM)",
)
MERGED_SHARE: Final = Assumed(
    0.9, 0.5, 1.0, "pages that KSM merged belong to several processes, or to one several times"
)
SPARE_HUGE_PAGE_SHARE: Final = Assumed(
    0.5,
    0.0,
    1.0,
    "a pool has a free huge page to move to; pools are sized to be used up, and 1 GiB has no other source",
)
FSYNC_S: Final = Assumed(30.0, 1.0, 3600.0, "time to the next fsync of a file that lost a dirty page", "s")

# --- repair -----------------------------------------------------------------------------------------------------
CORDON_UE: Final = Assumed(
    2, 1, 10, "mcelog.conf takes 1 UC per DIMM and 24 h as critical; many fleets allow one repeat", headline=True
)
REBOOT_MINUTES: Final = Assumed(15.0, 3.0, 60.0, "firmware memory training and boot of a large server", "min")
DRAIN_HOURS: Final = Assumed(1.0, 0.1, 24.0, "moving work off a cordoned node", "h")
REPLACE_HOURS: Final = Assumed(48.0, 4.0, 240.0, "until a technician has replaced the DIMM", "h")
TECHNICIAN_DAYS: Final = Assumed(
    14.0, 1.0, 120.0, "a node that runs waits for its turn: published cases go from days to four months", "day"
)
TECHNICIAN_SIGMA: Final = Assumed(
    1.0, 0.0, 1.5, "puts two days and a hundred, the published cases, two sigma from the assumed median"
)
REPLACE_CE_INTEL: Final = Published(
    10, "CE per DIMM and 24 h", "Intel default CE threshold, public text", "read-secondary"
)
REPLACE_CE_ORACLE: Final = Published(
    24, "CE per DIMM and 24 h", "Oracle CE replacement rule, public text", "read-secondary"
)
REPLACE_CE_MCELOG: Final = Published(10, "CE per DIMM and 24 h", "andikleen/mcelog @2965a54 mcelog.conf", "read")
SPARE_ROWS: Final = Published(
    1, "row per bank group", "Dell YX4X whitepaper: DDR4 has at least one spare row per bank group", "read"
)

# --- daemons that have pages taken offline ----------------------------------------------------------------------
_RASDAEMON, _MCELOG = "mchehab/rasdaemon @769593b misc/rasdaemon.env", "andikleen/mcelog @2965a54 mcelog.conf"
RASDAEMON_CE: Final = Published(50, "CE per page and 24 h", f"{_RASDAEMON}: PAGE_CE_THRESHOLD", "read")
RASDAEMON_ROW_CE: Final = Published(50, "CE per row and 24 h", f"{_RASDAEMON}: ROW_CE_THRESHOLD", "read")
MCELOG_PAGE_CE: Final = Published(2, "CE per page and 24 h", f"{_MCELOG}: memory-ce-threshold", "read")
MCELOG_PAGE_CE_2024: Final = Published(
    10, "CE per page and 24 h", "andikleen/mcelog before 2024-09, mcelog.conf: memory-ce-threshold", "read"
)
DAEMON_AGE_HOURS: Final = Published(24.0, "h", f"{_RASDAEMON}: PAGE_CE_REFRESH_CYCLE; {_MCELOG}: 2 / 24h", "read")
CEC_CE: Final = Published(1023, "CE per page and boot", "drivers/ras/cec.c: COUNT_MASK, all of 10 bits", "read")
CEC_CE_INTEL: Final = Published(
    2, "CE per page and boot", "drivers/ras/cec.c: action_threshold of Intel, 6.1 on", "read"
)
CEC_KERNELS: Final = Published(
    ("4.18", "5.10", "6.1"),
    "profile",
    "drivers/ras/cec.c: 4.12 on, there and up to 5.3 one error more; since 5.4 without; Intel's threshold since 6.1",
    "read",
)
"""First profile that has it, that compares after it has counted, and with a threshold of Intel's own."""
MRT_COLUMNS: Final = Assumed(
    4,
    2,
    8,
    "Intel's case: 34 CE in 9 min on all 8 pages of a row before its UE; no rule is published",
    "pages of a row",
)
