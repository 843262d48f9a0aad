"""No legal setting keeps one node busy for minutes without a word: what is too much is counted, and named."""

import numpy as np
import pytest

from node_sim.corrected import marks
from node_sim.draws import Seed
from node_sim.errors import ModelError
from node_sim.lives import steps
from node_sim.lives.block import simulate_block
from node_sim.server.hardware import Faults, Hardware
from node_sim.server.policy import Cordon, Ecc, PageOffline, Policy, Repair
from node_sim.units import NS_PER_YEAR

SEED, NODES = Seed.of(3), np.arange(100)
HARDWARE = Hardware(faults=Faults(fit_factor=20.0))


def simulate(policy: Policy) -> None:
    simulate_block(SEED, NODES, HARDWARE, (policy,), NS_PER_YEAR)


def test_looks_at_bad_pages_are_counted(monkeypatch):
    monkeypatch.setattr(steps, "WORK_MAX", 2000)
    with pytest.raises(ModelError, match=r"^node \d+: more than 2,000 looks at its [\d,]+ bad pages"):
        simulate(Policy(ecc=Ecc(code="secded"), repair=Repair(cordon=Cordon(ue=0))))


def test_looks_at_many_pages_count_where_steps_are_few(monkeypatch):
    monkeypatch.setattr(steps, "STEP_WORK", 0)
    monkeypatch.setattr(steps, "WORK_MAX", 500)
    with pytest.raises(ModelError, match="looks at its"):
        simulate(Policy(ecc=Ecc(code="secded"), repair=Repair(cordon=Cordon(ue=0))))


def test_pages_that_may_be_of_other_faults_are_counted(monkeypatch):
    monkeypatch.setattr(marks, "PAIRS_PER_LANE_MAX", 100)
    with pytest.raises(
        ModelError, match=r"^node \d+: [\d,]+ times a page that goes offline .* at most 100; raise page_off"
    ):
        simulate(Policy(page_offline=PageOffline(ce_threshold=1)))


def test_an_ordinary_node_is_far_from_too_much(monkeypatch):
    monkeypatch.setattr(steps, "WORK_MAX", steps.WORK_MAX // 10)
    monkeypatch.setattr(marks, "PAIRS_PER_LANE_MAX", marks.PAIRS_PER_LANE_MAX // 10)
    simulate(Policy(page_offline=PageOffline(ce_threshold=2)))
