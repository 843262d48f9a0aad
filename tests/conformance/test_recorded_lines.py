"""The lines of the kernel's logs are those that recorded kernels printed."""

import csv
import re
from pathlib import Path

from analysis.records.handled_lines import handled_lines
from analysis.records.moments import Handled
from analysis.records.processes import task_of
from fleet.recorded import find_recording
from node_sim.catalog.kernels import switches_of
from node_sim.hwpoison.access import late_kill_line
from node_sim.hwpoison.kernel import EBUSY

USES = {
    "anonymous": "anonymous",
    "anonymous THP": "THP",
    "anonymous KSM": "KSM",
    "anonymous swap cache": "swap cache {}",
    "page cache ext4": "file {}",
    "shmem tmpfs": "tmpfs",
    "shmem memfd": "tmpfs",
    "SysV shm": "tmpfs",
    "hugetlb 2M": "hugetlb{}",
    "hugetlb 1G": "hugetlb 1G{}",
    "free page": "free",
    "slab page": "slab",
    "reserved page": "reserved",
    "page table page": "page table",
}
"""Uses of pages in the fleet, by page types of the recordings."""
RECORDINGS = {"6.1.192": "6.1", "6.1.192-list2": "6.1", "6.1.192-list3": "6.1", "5.10.262": "5.10"}
PFN = 0xABCDE
BY_NUMBER = ("corrupt-pfn", "hard_offline")
"""Injections by the number of a page, which are reports that nobody consumed."""
OTHER_LINES = ("still referenced", "Failed to invalidate", "Unknown page state", "failed to unmap", "failed to split")
OTHER_STATES = ("not mapped", "compound")
"""What is printed and said of pages with references and mappings that no page of the fleet has (swap cache, slab)."""
LEAST = 400
"""Recorded handlings that are compared, over all recordings."""


def use_of(row):
    use, words = USES[row["page_type"]], row["state_details"]
    if "swap" in use:
        return use.format("dirty" if "dirty" in row["action_log"] else "clean")
    if "hugetlb" in use:
        return use.format(" free" if "free" in words else "")
    if "file" in use:
        mapped = "" if row["mapcount"] in ("0", "") else " mapped"
        return use.format("dirty" if "dirty" in words else "clean") + mapped
    return use


def first_handling(row):
    """The recorded lines of the first call of the handler, with its action line as the last."""
    lines = row["kernel_log"].split(" / ")
    mine = [line for line in lines if line.casefold().startswith("memory failure: pfn:")]
    ends = [n for n, line in enumerate(mine) if "recovery action" in line]
    return mine[: ends[0] + 1] if ends else []


def signal_rows(row, told):
    """The signals that the recorded lines tell of, as rows of a run."""
    sent = re.findall(r"(P\d)@inject:(SIG\w+)/(\w+)", row["signals"])
    codes = {who: (name, code) for who, name, code in sent}
    for number, who in enumerate(told):
        name, code = codes.get(who, ("SIGBUS", "BUS_MCEERR_AO"))
        yield who, {
            "process_class": "web", "process": number, "fault_id": 7, "signal": name, "code": code, "timing": "early",
        }  # fmt: skip


def predicted(row, recorded, profile):
    action = recorded[-1]
    page_type, result = re.fullmatch(r".*recovery action for (.*): (\w+)", action).groups()
    told = re.findall(r"(?:Sending SIGBUS to|forcibly killing) (\S+)", "\n".join(recorded))
    signals = dict(signal_rows(row, told))
    errno = 0 if result in ("Recovered", "Delayed") else EBUSY
    found = {"page_use": use_of(row), "page_type": page_type, "result": result, "errno": errno, "pfn": PFN}
    check = {"action": "memory_failure queued", "kernel_read": None}
    lines = list(handled_lines(Handled(0, found, check, tuple(signals.values()), False), switches_of(profile)))
    for who, signal in signals.items():
        lines = [line.replace(task_of(signal), who) for line in lines]
    return [line.replace(f"{PFN:#x}", "PFN") for line in lines]


def cases():
    for name, profile in RECORDINGS.items():
        for row in csv.DictReader(find_recording(Path(f"builtin:{name}")).open()):
            recorded = first_handling(row)
            strange = any(words in line for line in recorded for words in OTHER_LINES)
            strange |= "file" not in USES.get(row["page_type"], "") and any(
                words in row["state_details"] for words in OTHER_STATES
            )
            if recorded and row["page_type"] in USES and row["injection"] in BY_NUMBER and not strange:
                yield row, recorded, profile


def test_lines_about_a_handled_page_are_those_that_kernels_printed():
    found = [(row["id"], recorded, predicted(row, recorded, profile)) for row, recorded, profile in cases()]
    assert [(name, one, other) for name, one, other in found if one != other] == []
    assert len(found) >= LEAST
    assert len({tuple(one) for _, one, _ in found}) >= len(USES)


def test_a_late_kill_is_called_as_recorded():
    recorded = {
        re.sub("P0|ADDR", "", line)
        for row, _, _ in cases()
        for line in row["kernel_log"].split(" / ")
        if line.startswith("MCE: Killing P0") and line.endswith("ADDR")
    }
    assert recorded == {late_kill_line("", 0).removesuffix("0")}
