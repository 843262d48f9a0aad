"""Two faults that meet in a code word, by hand: who reads, where, for how long, how often, and how often unnoticed."""

from __future__ import annotations

import numpy as np
import pytest

from node_sim.codes import Mode
from node_sim.corrected.bursts import Active
from node_sim.corrected.windows import Reads
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import AddressMap
from node_sim.draws import Seed
from node_sim.ecc.judgement import Judgement, Meetings, bad_pages, dimms_of, judge_alone, judge_together
from node_sim.lives.uncorrected import _same_windows, together
from node_sim.names import SECOND_DEVICE, WIDER
from node_sim.server.hardware import Server
from node_sim.server.policy import Detection, Ecc, Policy
from node_sim.server.risk import Risk
from node_sim.units import FOREVER, NS_PER_HOUR
from tests.handmade import faults_of

SERVER = Server()
SEED = Seed.of(1)
POLICY = Policy(ecc=Ecc("chipkill"), detection=Detection(scrub_hours=24.0))
BANK = {"mode": int(Mode.BANK), "n_dq": 4}
ROUND_NS = 24 * NS_PER_HOUR


def judge(faults: FaultTable, policy: Policy = POLICY) -> tuple[Judgement, Meetings]:
    """Judge faults of which nothing is ever mapped out."""
    never = np.full(faults.tag.size, FOREVER)
    return judge_together(judge_alone(SEED, faults, policy.ecc), faults, dimms_of(faults), SERVER, policy, never)


def judged(*rows: dict[str, int]) -> tuple[Judgement, Meetings]:
    return judge(faults_of(*rows))


def met(meetings: Meetings) -> list[tuple[int, ...]]:
    """Reader, other, since when and until when."""
    return list(
        zip(*(meetings._asdict()[name].tolist() for name in ("reader", "other", "from_ns", "until_ns")), strict=True)
    )


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (1, 1, [(1, 0, NS_PER_HOUR, FOREVER)]),
        (1, 0, [(0, 1, NS_PER_HOUR, ROUND_NS)]),
        (0, 1, [(1, 0, NS_PER_HOUR, ROUND_NS)]),
        (0, 0, []),
    ],
)
def test_the_reads_of_a_hard_fault_fail_while_the_other_is_there_and_of_two_soft_ones_the_later_fails(
    first, second, expected
):
    found, meetings = judged(
        BANK | {"n_lines": 8, "hard": first},
        BANK | {"n_lines": 8, "hard": second, "device": 1, "time_ns": NS_PER_HOUR},
    )
    assert met(meetings) == expected
    assert found.uncorrected.tolist() == [False, not first and not second]


@pytest.mark.parametrize("second", [0, 1])
@pytest.mark.parametrize(("scrub_hours", "meet"), [(24.0, False), (0.0, True)])
def test_a_soft_fault_meets_those_of_the_next_round_only_without_a_scrubber(second, scrub_hours, meet):
    faults = faults_of(
        BANK | {"hard": 0, "time_ns": NS_PER_HOUR}, BANK | {"hard": second, "device": 1, "time_ns": ROUND_NS}
    )
    found, meetings = judge(faults, Policy(ecc=Ecc("chipkill"), detection=Detection(scrub_hours=scrub_hours)))
    assert met(meetings) == ([(1, 0, ROUND_NS, FOREVER)] if meet and second else [])
    assert found.uncorrected.tolist() == [False, meet and not second]


SEVERAL = (
    BANK | {"line": 1, "n_lines": 2, "n_rows": 9},
    BANK | {"line": 4, "n_lines": 4, "n_rows": 9, "device": 1, "time_ns": NS_PER_HOUR},
    BANK | {"n_lines": 8, "row": 3, "n_rows": 9, "device": 2, "time_ns": 2 * NS_PER_HOUR},
)


def extent(box: object, at: int) -> tuple[int, ...]:
    part = {name: int(cells[at]) for name, cells in box._asdict().items()}
    return part["row"], part["n_rows"], part["line"], part["n_lines"]


def test_a_soft_fault_that_meets_several_soft_ones_fails_where_it_meets_the_first():
    found, meetings = judged(*(row | {"hard": 0} for row in SEVERAL))
    assert met(meetings) == []
    assert found.uncorrected.tolist() == [False, False, True]
    assert found.alone.tolist() == [True, True, False]
    assert extent(found.box, 2) == (3, 6, 1, 2)


def test_a_hard_fault_that_meets_several_fails_where_it_meets_each_as_often_as_it_is_read_there():
    found, meetings = judged(*SEVERAL)
    assert not found.uncorrected.any()
    assert sorted(met(meetings)) == [(2, 0, 2 * NS_PER_HOUR, FOREVER), (2, 1, 2 * NS_PER_HOUR, FOREVER)]
    order = np.argsort(meetings.other)
    assert [extent(meetings.box, at) for at in order] == [(3, 6, 1, 2), (3, 6, 4, 4)]
    # Of the reader's 9 rows of 8 lines it shares 6 of 2, or 6 of 4. The other has 4 pins wrong in 8 beats.
    assert meetings.p[order] == pytest.approx(np.asarray([12, 24]) / 72 * (1 - 2.0**-32), rel=1e-12)


@pytest.mark.parametrize(
    ("code", "reader", "other", "bits"),
    [
        # Words of one beat: what the other has in the reader's beats.
        ("secded", {"beats": 0b1}, {"beats": 0b11}, 1),
        ("secded", {"beats": 0b111}, {"beats": 0b1110}, 2),
        # Of two beats, words 0 and 3 of the reader; two pins.
        ("chipkill", {"beats": 0b1000_0001}, {"beats": 0b0111_1110, "n_dq": 2}, 4),
        ("chipkill", {"beats": 0b1}, {"beats": 0b11, "n_dq": 3}, 6),
    ],
)
def test_both_are_wrong_at_a_read_unless_all_bits_of_the_other_in_the_words_of_the_reader_are_right(
    code, reader, other, bits
):
    faults = faults_of({"device": 1} | other, reader | {"time_ns": 1})
    _, meetings = judge(faults, Policy(ecc=Ecc(code)))
    assert met(meetings) == [(1, 0, 1, FOREVER)]
    assert meetings.p[0] == pytest.approx(1 - 0.5**bits, rel=1e-12)


def test_faults_without_a_word_in_common_do_not_meet():
    for code, beats in (("secded", 0b10), ("chipkill", 0b100)):
        faults = faults_of({"beats": 0b1}, {"beats": beats, "device": 1})
        found, meetings = judge(faults, Policy(ecc=Ecc(code)))
        assert met(meetings) == []
        assert not found.uncorrected.any()


def test_bad_pages_of_two_soft_faults_are_those_of_the_common_lines():
    rows = (
        BANK | {"n_lines": 100, "hard": 0},
        BANK | {"line": 40, "n_lines": 1, "device": 1, "time_ns": 1, "hard": 0},
    )
    faults, address_map = faults_of(*rows), AddressMap(SERVER)
    found = bad_pages(SEED, faults, judged(*rows)[0], address_map, mirroring=False)
    assert found.fault.tolist() == [1]
    place = address_map.place(64 * found.pfn[0] + np.arange(64))
    inside = (place.row == 0) & (place.bank == 0) & (place.rank == 0) & (place.channel == 0) & (place.socket == 0)
    assert 40 in place.line[inside & (place.dimm == 0)]


@pytest.mark.parametrize("hard", [0, 1])
def test_two_wrong_bytes_of_one_word_go_unnoticed_as_often_as_a_third_byte_explains_them(hard):
    # Any two symbols of RS(18,16) are determined by a third: 16 others x 255 values, of 255 x 255 errors.
    word = {"beats": 0b11, "hard": hard}
    found, meetings = judged(BANK | word, BANK | word | {"device": 1, "time_ns": 1})
    silent = meetings.silent if hard else found.p_sdc[1:]
    assert silent.tolist() == [pytest.approx(16 * 255 / 255**2, rel=1e-12)]


@pytest.mark.parametrize("mirroring", [False, True])
def test_a_soft_fault_that_fails_alone_meets_nobody_with_a_mirror_or_without(mirroring):
    # A soft column on four pins fails alone in all but 0.3 % of seeds. Of two wrong bits none goes unnoticed: where it
    # met the first fault, no word of it would be silently wrong.
    rows = ({"hard": 0}, {"hard": 0, "device": 1, "time_ns": 1, "n_dq": 4, "mode": int(Mode.COLUMN), "n_rows": 9})
    found, meetings = judge(faults_of(*rows), Policy(ecc=Ecc("secded", mirroring=mirroring)))
    assert met(meetings) == []
    assert found.uncorrected.tolist() == [False, True]
    assert found.alone.tolist() == [True, True]
    assert found.p_sdc[1] > 0
    assert extent(found.box, 1) == (0, 9, 0, 1)


# ---------------------------------------------------------------------------------------- what has grown


def family(*rows: tuple[int, dict[str, int]]) -> FaultTable:
    """Hard faults with their names in the DIMM."""
    return faults_of(*(row for _, row in rows))._replace(tag=np.asarray([tag for tag, _ in rows], np.int64))


def test_a_second_device_is_read_with_its_parent_from_its_start_on():
    for code in ("chipkill", "secded", "sddc_table"):
        policy = Policy(ecc=Ecc(code, risk=Risk(grown_low=1.0)))
        parent = {"beats": 0b10, "n_lines": 4, "n_rows": 5}
        faults = family((3, parent), (3 | SECOND_DEVICE, parent | {"device": 1, "time_ns": 5 * ROUND_NS}))
        _, meetings = judge(faults, policy)
        assert met(meetings) == [(0, 1, 5 * ROUND_NS, FOREVER)]
        assert extent(meetings.box, 0) == (0, 5, 0, 4)
        assert meetings.p.tolist() == [1.0]  # log-uniform between 1 and 1


def test_a_second_device_meets_nobody_but_its_parent():
    later = {"time_ns": 1}
    faults = family((3, {}), (3 | SECOND_DEVICE, later | {"device": 1}), (4, later | {"device": 2}))
    assert sorted(met(judge(faults)[1])) == [(0, 1, 1, FOREVER), (2, 0, 1, FOREVER)]


@pytest.mark.parametrize(("tag", "expected"), [(3 | WIDER, []), (4, [(1, 0, 1, FOREVER)])])
def test_a_fault_and_the_wider_one_it_grew_to_never_meet(tag, expected):
    # Under SECDED other pins of the same device would do; a stranger there does meet it.
    faults = family((3, {}), (tag, {"n_dq": 2, "time_ns": 1}))
    assert met(judge(faults, Policy(ecc=Ecc("secded")))[1]) == expected


def test_what_a_fault_has_grown_to_meets_strangers_but_not_its_second_device():
    later = {"time_ns": 1}
    faults = family(
        (3, {}), (3 | SECOND_DEVICE, later | {"device": 1}), (3 | WIDER, later | {"n_dq": 4}), (4, {"device": 2})
    )
    assert sorted(met(judge(faults)[1])) == [(0, 1, 1, FOREVER), (2, 3, 1, FOREVER), (3, 0, 0, FOREVER)]


# ---------------------------------------------------------------------------------------- which reads


def reads_of(*windows: tuple[int, int, int]) -> Reads:
    """Two reads in each window (fault, low, high): after 0.2 and 0.6 of its length.

    The times of two reads are 1 - (1 - u)^(1/2) and u^(1/2) of the window, with u = 0.36.
    """
    fault, low, high = (np.asarray(column, np.int64) for column in zip(*windows, strict=True))
    n = fault.size
    return Reads(
        Active(fault, low // ROUND_NS, low, high, high - low), np.full(n, 2.0), np.full(n, 0.36), np.zeros(n, np.bool_)
    )


def read_together(faults: FaultTable, reads: Reads, policy: Policy = POLICY) -> set[tuple[int, int]]:
    """Reads that can show both faults of the only pair: start of the window, and number of the read in it."""
    _, meetings = judge(faults, policy)
    assert meetings.reader.size == 1
    _, stretches = together(faults, meetings, reads)
    found = [
        (int(reads.active.low_ns[window]), read)
        for window, first, last in zip(stretches.window, stretches.first, stretches.last, strict=True)
        for read in range(first + 1, last + 1)
    ]
    assert len(set(found)) == len(found)
    return set(found)


def test_two_hard_faults_fail_only_while_both_are_active():
    faults = faults_of(BANK, BANK | {"device": 1})
    first, second = ROUND_NS, 3 * ROUND_NS
    reads = reads_of(
        # The other is active around the first read, between the two, on another day, and around the second read.
        (0, first + 100, first + 300),
        (0, first + 500, first + 550),
        (0, 2 * ROUND_NS, 2 * ROUND_NS + 1000),
        (0, second + 500, second + 900),
        # The reader reads at 200 and 600.
        (1, first, first + 1000),
        (1, second, second + 1000),
    )
    assert read_together(faults, reads) == {(first, 1), (second, 2)}


def test_reads_before_both_faults_have_started_do_not_count():
    faults = faults_of(BANK, BANK | {"device": 1, "time_ns": 400})
    reads = reads_of((0, 0, 2000), (1, 0, 1000))
    assert read_together(faults, reads) == {(0, 2)}


@pytest.mark.parametrize(
    ("hours", "expected"), [(3, {(0, 1), (0, 2)}), (10, {(0, 2)}), (20, set()), (25, {(ROUND_NS, 1), (ROUND_NS, 2)})]
)
def test_a_soft_fault_is_read_with_a_hard_one_until_its_round_of_the_scrubber_ends(hours, expected):
    # The hard one is read 4.8 and 14.4 hours after the start of each day.
    faults = faults_of(BANK, BANK | {"device": 1, "hard": 0, "time_ns": hours * NS_PER_HOUR})
    reads = reads_of(*((0, day * ROUND_NS, (day + 1) * ROUND_NS) for day in range(4)))
    assert read_together(faults, reads) == expected


def test_without_a_scrubber_a_soft_fault_is_read_with_a_hard_one_ever_after():
    faults = faults_of(BANK, BANK | {"device": 1, "hard": 0, "time_ns": 10 * NS_PER_HOUR})
    reads = reads_of(*((0, day * ROUND_NS, (day + 1) * ROUND_NS) for day in range(3)))
    unscrubbed = Policy(ecc=Ecc("chipkill"), detection=Detection(scrub_hours=0.0))
    later = {(day * ROUND_NS, read) for day in (1, 2) for read in (1, 2)}
    assert read_together(faults, reads, unscrubbed) == {(0, 2)} | later


def test_a_second_device_is_read_whenever_its_parent_is_though_it_has_no_windows_of_its_own():
    faults = family((0, {}), (SECOND_DEVICE, {"device": 1, "time_ns": 10 * NS_PER_HOUR}))
    reads = reads_of(*((0, day * ROUND_NS, (day + 1) * ROUND_NS) for day in range(3)))
    later = {(day * ROUND_NS, read) for day in (1, 2) for read in (1, 2)}
    assert read_together(faults, reads) == {(0, 2)} | later


def test_windows_of_another_fault_are_found_by_their_number():
    fault, window = np.asarray([0, 0, 2, 2, 5]), np.asarray([1, 5, 2, 5, 1])
    empty = np.zeros(5, np.int64)
    active = Active(fault, window, empty, empty, empty)
    other, mine = (part.ravel() for part in np.meshgrid([0, 1, 2, 5], np.arange(5)))
    at, known = _same_windows(active, other, mine)
    there = {(f, w): place for place, (f, w) in enumerate(zip(fault.tolist(), window.tolist(), strict=True))}
    expected = [there.get((f, int(window[w])), -1) for f, w in zip(other.tolist(), mine.tolist(), strict=True)]
    assert np.where(known, at, -1).tolist() == expected
