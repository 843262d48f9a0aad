"""Two faults that meet in a code word, by hand: which one counts, where, for how long, and how often unnoticed."""

from __future__ import annotations

import numpy as np
import pytest

from node_sim.codes import Mode
from node_sim.dram.geometry import AddressMap
from node_sim.draws import Seed
from node_sim.ecc.judgement import Judgement, bad_pages, dimms_of, judge_alone, judge_together
from node_sim.server.hardware import Server
from node_sim.server.policy import Detection, Ecc, Policy
from node_sim.units import FOREVER, NS_PER_HOUR
from tests.handmade import faults_of

SERVER = Server()
POLICY = Policy(ecc=Ecc("chipkill"), detection=Detection(scrub_hours=24.0))
BANK = {"mode": int(Mode.BANK), "n_dq": 4}


def judged(*rows: dict[str, int]) -> Judgement:
    faults = faults_of(*rows)
    never = np.full(len(rows), FOREVER)
    return judge_together(judge_alone(faults, POLICY.ecc), faults, dimms_of(faults), SERVER, POLICY, never)


@pytest.mark.parametrize(("first", "second"), [(1, 1), (1, 0), (0, 1), (0, 0)])
def test_the_words_of_two_faults_stay_wrong_only_if_both_faults_stay(first, second):
    found = judged(
        BANK | {"n_lines": 8, "hard": first},
        BANK | {"n_lines": 8, "hard": second, "device": 1, "time_ns": NS_PER_HOUR},
    )
    assert found.uncorrected.tolist() == [False, True]
    assert found.stays.tolist() == [bool(first), bool(first and second)]


def test_a_fault_that_meets_several_fails_where_it_meets_the_first():
    found = judged(
        BANK | {"line": 1, "n_lines": 2, "n_rows": 9},
        BANK | {"line": 4, "n_lines": 4, "n_rows": 9, "device": 1, "time_ns": NS_PER_HOUR, "hard": 0},
        BANK | {"n_lines": 8, "row": 3, "n_rows": 9, "device": 2, "time_ns": 2 * NS_PER_HOUR},
    )
    assert found.uncorrected.tolist() == [False, False, True]
    assert found.alone.tolist() == [True, True, False]
    box = {name: int(part[2]) for name, part in found.box._asdict().items()}
    assert (box["row"], box["n_rows"], box["line"], box["n_lines"]) == (3, 6, 1, 2)
    assert found.stays[2]


def test_bad_pages_of_two_faults_are_those_of_the_common_lines():
    rows = (BANK | {"n_lines": 100}, BANK | {"line": 40, "n_lines": 1, "device": 1, "time_ns": 1})
    faults, address_map = faults_of(*rows), AddressMap(SERVER)
    found = bad_pages(Seed.of(1), faults, judged(*rows), address_map, mirroring=False)
    assert found.fault.tolist() == [1]
    place = address_map.place(64 * found.pfn[0] + np.arange(64))
    inside = (place.row == 0) & (place.bank == 0) & (place.rank == 0) & (place.channel == 0) & (place.socket == 0)
    assert 40 in place.line[inside & (place.dimm == 0)]


def test_two_wrong_bytes_of_one_word_go_unnoticed_as_often_as_a_third_byte_explains_them():
    # Any two symbols of RS(18,16) are determined by a third: 16 others x 255 values, of 255 x 255 errors.
    word = {"beats": 0b11}
    found = judged(BANK | word, BANK | word | {"device": 1, "time_ns": 1})
    assert found.p_sdc[1] == pytest.approx(16 * 255 / 255**2, rel=1e-12)
