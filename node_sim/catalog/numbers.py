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
    34.0,
    10.0,
    60.0,
    "no rate is published; 34 FIT per DIMM gives the 0.0297 % of DIMMs per year with a UE-driven failure at Alibaba "
    "(Cheng et al., SRDS 2022) if chipkill corrects all single-chip faults; 72 % of Hopper's uncorrected errors were "
    "command/address parity errors",
    "FIT/DIMM",
    headline=True,
)
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
BURST_INTERVAL_DAYS: Final = Assumed(
    40.0, 7.0, 90.0, "errors come and go; an affected DIMM is active in a minority of the following months", "day"
)
BURST_DAYS: Final = Assumed(4.0, 1.0, 20.0, "column fault burst 2.5 h, row fault active over 61 days (SmartMem)", "day")
CE_MEDIAN_PER_WINDOW: Final = Assumed(
    8.0, 2.0, 30.0, "with the two sigmas below gives the order of 70-210 CE per affected DIMM-month", "CE"
)
CE_SIGMA_FAULT: Final = Assumed(
    2.4, 1.5, 2.8, "concentration of CE over DIMMs is lognormal with sigma 2.4-2.8 in all; split between and within"
)
CE_SIGMA_WINDOW: Final = Assumed(1.2, 0.5, 1.6, "see CE_SIGMA_FAULT")

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
FSYNC_S: Final = Assumed(30.0, 1.0, 3600.0, "time to the next fsync of a file that lost a dirty page", "s")

# --- repair -----------------------------------------------------------------------------------------------------
CORDON_UE: Final = Assumed(
    2, 1, 10, "mcelog.conf takes 1 UC per DIMM and 24 h as critical; many fleets allow one repeat", headline=True
)
REBOOT_MINUTES: Final = Assumed(15.0, 3.0, 60.0, "firmware memory training and boot of a large server", "min")
DRAIN_HOURS: Final = Assumed(1.0, 0.1, 24.0, "moving work off a cordoned node", "h")
REPLACE_HOURS: Final = Assumed(48.0, 4.0, 240.0, "until a technician has replaced the DIMM", "h")
