"""Two faults in one code word: how often they meet between scrubs, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from node_sim.codes import Mode
from node_sim.dram.faults import Cells, FaultTable, Habit
from node_sim.dram.geometry import Footprint
from node_sim.dram.page_order import PageOrder
from node_sim.draws import Seed
from node_sim.ecc.judgement import Judgement, Meetings, dimms_of, judge_alone, judge_together
from node_sim.server.hardware import Server
from node_sim.server.policy import Detection, Ecc, Policy
from node_sim.units import FOREVER

SEED = Seed.of(8)
ALPHA = 1e-6
PAIRS = 400_000
HOUR_NS = 3600 * 10**9
HORIZON_H, SCRUB_H = 1000, 50
SAME_WORD = {
    # The same beat, and not the same pin of the same device; of chipkill the same pair of beats, another device.
    "secded": 1 / 8 * (1 - 1 / 72),
    "chipkill": 1 / 4 * (1 - 1 / 18),
}


def pairs_of_bits(hard: tuple[bool, bool]) -> FaultTable:
    """Pairs of wrong bits in one line, each pair in a node of its own, at independent uniform times."""
    rng, n = np.random.default_rng(7), 2 * PAIRS
    zero, one = np.zeros(n, np.int64), np.ones(n, np.int64)
    return FaultTable(
        node_id=np.repeat(np.arange(PAIRS), 2),
        tag=np.tile([0, 1], PAIRS),
        time_ns=rng.integers(0, HORIZON_H * HOUR_NS, n),
        mode=zero + int(Mode.BIT),
        hard=np.tile(hard, PAIRS),
        habit=Habit(np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n, np.bool_)),
        cells=Cells(rng.integers(0, 18, n), one, 1 << rng.integers(0, 4, n), one, 1 << rng.integers(0, 8, n)),
        box=Footprint(zero, zero, zero, zero, zero, one, one, one, one),
        order=PageOrder(zero, one),
        n_pages=one,
        first_pfn=zero,
    )


def judged(faults: FaultTable, policy: Policy) -> tuple[Judgement, Meetings]:
    """Which faults make uncorrectable words together if nothing is ever mapped out."""
    never = np.full(faults.time_ns.size, FOREVER)
    alone = judge_alone(SEED, faults, policy.ecc)
    return judge_together(alone, faults, dimms_of(faults), Server(), policy, never)


@pytest.mark.parametrize("code", SAME_WORD)
@pytest.mark.parametrize(
    ("hard", "together"),
    [
        ((True, True), 1.0),
        # Soft on hard always; hard on soft only before the next scrub begins.
        ((True, False), 0.5 + SCRUB_H / HORIZON_H / 2),
        ((False, False), SCRUB_H / HORIZON_H),
    ],
)
def test_faults_of_one_line_accumulate_at_the_closed_form_rate(code, hard, together):
    check_rate(code, hard, float(SCRUB_H), together)


@pytest.mark.parametrize("code", SAME_WORD)
@pytest.mark.parametrize("hard", [(True, True), (True, False), (False, False)])
def test_with_the_scrubber_off_soft_faults_stay(code, hard):
    check_rate(code, hard, 0.0, 1.0)


def check_rate(code: str, hard: tuple[bool, bool], scrub_hours: float, together: float) -> None:
    policy, faults = Policy(ecc=Ecc(code=code), detection=Detection(scrub_hours=scrub_hours)), pairs_of_bits(hard)
    found, meetings = judged(faults, policy)
    # Two soft faults leave wrong words; a hard one among them is read while the other is there.
    if any(hard):
        assert not found.uncorrected.any()
        count = meetings.reader.size
        check_meetings(faults, meetings, scrub_hours)
    else:
        assert not meetings.reader.size
        count = int(found.uncorrected.sum())
    p = SAME_WORD[code] * together
    assert 2 * stats.norm.sf(abs(count - PAIRS * p) / math.sqrt(PAIRS * p * (1 - p))) > ALPHA


def check_meetings(faults: FaultTable, meetings: Meetings, scrub_hours: float) -> None:
    """Check who reads, how often both are wrong, since when and how long."""
    reader, other = meetings.reader, meetings.other
    assert np.unique(reader // 2).size == reader.size
    assert (reader // 2 == other // 2).all()
    assert faults.hard[reader].all()
    assert (meetings.p == 0.5).all()  # the other is one bit, which is wrong at every second read
    from_ns = np.maximum(faults.time_ns[reader], faults.time_ns[other])
    assert (meetings.from_ns == from_ns).all()
    if faults.hard.all() or not scrub_hours:
        assert (meetings.until_ns == FOREVER).all()
        return
    # A soft fault is at any place of its round. If it is the later one, on average half a round is left of it; if both
    # start in one round, the later of them leaves a third.
    assert not faults.hard[other].any()
    left = (meetings.until_ns - from_ns) / HOUR_NS / SCRUB_H
    later = faults.time_ns[other] > faults.time_ns[reader]
    free = later & (faults.time_ns[reader] // HOUR_NS // SCRUB_H < faults.time_ns[other] // HOUR_NS // SCRUB_H)
    for mine, law in ((free, stats.uniform()), (~free, stats.beta(1, 2))):
        assert stats.kstest(left[mine], law.cdf).pvalue > ALPHA / 2


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_the_verdict_does_not_depend_on_how_many_pairs_are_judged_at_a_time(at_once, monkeypatch):
    policy, faults = Policy(ecc=Ecc(code="secded")), pairs_of_bits((True, False)).take(slice(0, 4000))
    crowded = faults._replace(node_id=faults.node_id // 5, tag=np.arange(4000) % 10)
    whole, meetings = judged(crowded, policy)
    monkeypatch.setattr("node_sim.ecc.judgement.PAIRS_AT_ONCE", at_once)
    assert whole.uncorrected.any()
    assert meetings.reader.size > 100
    again, same = judged(crowded, policy)
    assert (again.uncorrected == whole.uncorrected).all()
    # In one order for each reader, whichever DIMMs are judged along with its own.
    for mine in (meetings, same):
        assert np.unique(np.stack((mine.reader, mine.other)), axis=1).shape[1] == mine.reader.size
    meetings, same = (mine.take(np.argsort(mine.reader, kind="stable")) for mine in (meetings, same))
    for name in ("reader", "other", "p", "silent", "from_ns", "until_ns"):
        assert (same._asdict()[name] == meetings._asdict()[name]).all(), name
