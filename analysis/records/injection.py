"""A shell script that injects the errors of a host on a test machine.

**Models.** Records of machine checks by mce-inject (as software would see them: no exception is raised), handled pages
by hwpoison-inject, soft offlines by sysfs, panics by EINJ. In order, without the time between them.

**Leaves out.** Use of pages: the page of a number is used on the test machine for what that uses it. Records of the
firmware other than fatal ones.

**Assumes.** A machine without a page of a number refuses it.

**Sources.** Linux: arch/x86/kernel/cpu/mce/inject.c (debugfs: a write to ``bank`` injects), mm/hwpoison-inject.c,
Documentation/firmware-guide/acpi/apei/einj.rst (type 0x20: uncorrectable fatal memory error; params are address and
mask), Documentation/ABI/testing/sysfs-memory-page-offline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from analysis.hosts.kinds import HostKind
from analysis.hosts.lives import Life
from analysis.records.clock import WallClock
from analysis.records.moments import CheckSeen, Corrected, Handled, Moment, Offlined, Panicked, moments
from analysis.records.words import CheckWords, words_of_check, words_of_corrected
from node_sim.units import PAGE_SHIFT

TEST_MACHINE: Final = "hwpoison_test_machine"
"""What the command line of a test machine's kernel has."""
_BEGIN = """\
#!/bin/sh
# The errors of %(host)s, a server of a simulated run, for a TEST machine: what runs on it may be killed, or it stops.
# Without --i-understand nothing is done but to print what would be.
set -u
sure=no
panics=no
usage="usage: $0 [--i-understand [--with-panics]]"
for word in "$@"; do
    case $word in
    --i-understand) sure=yes ;;
    --with-panics) panics=yes ;;
    *)
        echo "$usage" >&2
        exit 2
        ;;
    esac
done
if [ "$sure" = yes ]; then
    if ! grep -qw %(mark)s /proc/cmdline; then
        echo "$0: refused: no %(mark)s on the kernel's command line; boot a test machine with it" >&2
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "$0: refused: not root" >&2
        exit 1
    fi
    for module in hwpoison_inject mce_inject einj; do
        modprobe -q "$module" || echo "$0: no module $module; what needs it fails" >&2
    done
else
    echo "$0: nothing is done without --i-understand; it would"
fi
debug=/sys/kernel/debug
memory=/sys/devices/system/memory
failed=0

# put VALUE FILE
put() {
    if [ "$sure" = no ]; then
        echo "  write $1 to $2"
    elif ! echo "$1" >"$2"; then
        echo "$0: cannot write $1 to $2" >&2
        failed=$((failed + 1))
    fi
}

# check TIME BANK STATUS ADDRESS MISC: a record of a machine check
check() {
    echo "$1 machine check"
    put sw "$debug/mce-inject/flags"
    put 0 "$debug/mce-inject/cpu"
    put "$3" "$debug/mce-inject/status"
    put "$4" "$debug/mce-inject/addr"
    put "$5" "$debug/mce-inject/misc"
    put "$2" "$debug/mce-inject/bank"
}

# poison TIME PFN: memory_failure() handles a page
poison() {
    echo "$1 memory failure"
    put "$2" "$debug/hwpoison/corrupt-pfn"
}

# offline TIME ADDRESS: a page is taken out of use
offline() {
    echo "$1 soft offline"
    put "$2" "$memory/soft_offline_page"
}

# panic TIME ADDRESS: an uncorrectable fatal memory error
panic() {
    if [ "$panics" = no ]; then
        echo "$1 panic: left out without --with-panics"
        return
    fi
    echo "$1 panic"
    put 0x20 "$debug/apei/einj/error_type"
    put "$2" "$debug/apei/einj/param1"
    put 0xfffffffffffff000 "$debug/apei/einj/param2"
    put 1 "$debug/apei/einj/error_inject"
}

"""
_END = """
if [ "$failed" -ne 0 ]; then
    echo "$0: $failed of the writes failed" >&2
    exit 1
fi
"""


def script(life: Life, name: str, kind: HostKind, seed: int, start_us: int, at_most: int) -> tuple[str, Counter[str]]:
    """Return the script of a host, and how many of each kind of event it injects.

    Args:
        life: Rows of the host.
        name: Its name.
        kind: What it is.
        seed: Seed of the run.
        start_us: When the time of the run is 0 [us since 1970].
        at_most: Records of a window of corrected errors.
    """
    clock, written = WallClock(start_us), Counter[str]()
    lines = []
    for moment in moments(life, kind, seed, at_most):
        for verb, values in _calls(moment, kind):
            lines.append(" ".join([verb, clock.text(clock.us(moment.time_ns), "T"), *values]))
            written[verb] += 1
    return _BEGIN % {"host": name, "mark": TEST_MACHINE} + "\n".join(lines) + "\n" + _END, written


def _calls(moment: Moment, kind: HostKind) -> Iterator[tuple[str, list[str]]]:
    if isinstance(moment, Corrected):
        yield "check", _of_words(words_of_corrected(moment, kind))
    elif isinstance(moment, CheckSeen) and moment.reason is None:
        words = words_of_check(moment, kind)
        if words is not None:
            yield "check", _of_words(words)
    elif isinstance(moment, Handled):
        yield "poison", [f"{moment.row['pfn']:#x}"]
    elif isinstance(moment, Offlined):
        yield "offline", [f"{moment.row['pfn'] << PAGE_SHIFT:#x}"]
    elif isinstance(moment, Panicked):
        yield "panic", [f"{(moment.pfn or 0) << PAGE_SHIFT:#x}"]


def _of_words(words: CheckWords) -> list[str]:
    return [str(words.bank), f"{words.word.status:#x}", f"{words.address:#x}", f"{words.word.misc:#x}"]
