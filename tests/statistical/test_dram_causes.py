"""Which fault fails alone and which two meet: ``dram`` against a loop over lifetimes, and against fleets."""

from __future__ import annotations

import math
from itertools import groupby

import numpy as np
import pytest
from scipy import integrate

from analysis.estimators.reliability import exact_proportion, reliability_document
from node_sim.catalog.designs import DESIGNS
from node_sim.codes import Mode
from node_sim.dram.faults import simulate_faults
from node_sim.draws import Seed
from node_sim.ecc.judgement import judge_alone
from node_sim.one_dimm.counts import LifetimeCounts
from node_sim.one_dimm.lifetimes import draw_damage, draw_lifetimes
from node_sim.one_dimm.question import Question
from node_sim.one_dimm.simulate import judge, simulate_lifetimes
from node_sim.server.hardware import Faults, Hardware, Server
from node_sim.server.policy import Ecc
from node_sim.units import NS_PER_YEAR
from tests.oracle.dram_pairs import Design, causes
from tests.oracle.fault_growth import Box, Fault
from tests.oracle.read_codes import risk_by_pins
from tests.statistical.test_lifetimes import question

SEED = Seed.of(77)
SIGMAS = 4.9
"""Two-sided 1e-6."""


def faults_one_by_one(asked: Question, nodes: int) -> list[list[Fault]]:
    """Faults of each lifetime that has any, in order of time."""
    drawn = draw_lifetimes(SEED, asked, np.arange(nodes))
    cells, box = draw_damage(SEED, asked, drawn)
    columns = (drawn.lifetime, drawn.node_id, drawn.tag, drawn.time_ns, drawn.mode, drawn.hard)
    columns += (cells.device, cells.pins, cells.beats)
    boxes = [Box(*row) for row in zip(*(part.tolist() for part in box), strict=True)]
    rows = [
        (lifetime, Fault(node, tag, time, Mode(mode), hard, 0.0, 0.0, 0.0, False, *rest, place))
        for (lifetime, node, tag, time, mode, hard, *rest), place in zip(
            zip(*(column.tolist() for column in columns), strict=True), boxes, strict=True
        )
    ]
    return [[fault for _, fault in some] for _, some in groupby(rows, key=lambda row: row[0])]


@pytest.mark.parametrize(
    "options",
    [
        {"ecc": "chipkill", "scrub_hours": 2000.0, "extents": "whole"},
        {"ecc": "chipkill", "scrub_hours": 0.0, "rows": 64, "columns": 16, "fit_factor": 100.0},
        {"ecc": "secded", "scrub_hours": 24.0, "extents": "whole", "rows": 16, "columns": 8, "fit_factor": 8.0},
        {"ecc": "ssc_dsd", "chips": 36, "scrub_hours": 24.0, "extents": "whole", "ranks": 2, "fit_factor": 10.0},
        {"ecc": "ddr5", "chips": 10, "scrub_hours": 24.0, "extents": "whole", "fit_factor": 150.0},
        {"ecc": "none", "fit_factor": 2.0},
    ],
    ids=lambda options: f"{options['ecc']}-{options.get('extents', 'partial')}",
)
def test_causes_are_those_that_a_walk_through_each_lifetime_finds(options):
    asked = question(**{"rules": "codes", "chips": None, "fit_factor": 20.0, **options})
    nodes = 2_000
    counts = simulate_lifetimes(SEED, asked, 4 * nodes)
    design = Design(asked.code, asked.dimm, asked.scrub_ns)
    expected = causes(SEED, iter(faults_one_by_one(asked, nodes)), design)
    for outcome in (0, 1):
        found = {(mode,): int(counts.alone[outcome, mode]) for mode in Mode}
        found |= {(a, b): int(counts.met[outcome, a, b]) for a in Mode for b in Mode}
        assert {cause: n for cause, n in found.items() if n} == +expected[outcome]
    assert sum(expected[0].values()) > 300
    assert len(expected[0]) >= 6
    if options["ecc"] in ("secded", "chipkill", "none"):
        assert sum(expected[1].values()) >= 10


def test_causes_add_up_to_the_failures_and_their_shares_to_one():
    counts = simulate_lifetimes(SEED, question(rules="codes", extents="whole", fit_factor=20.0), 40_000)
    found = reliability_document(counts, 1.0)
    for outcome, row in (("p_ue", 1), ("p_sdc", 2)):
        cells = found["causes"][outcome]["alone"] + found["causes"][outcome]["met"]
        assert (
            found["causes"][outcome]["lifetimes"] == sum(cell["count"] for cell in cells) == counts.by_year[row].sum()
        )
        assert sum(cell["share"]["value"] for cell in cells) == pytest.approx(1.0)
        n = len([mode for mode in Mode if counts.faults[mode]])
        assert len(cells) == n + n * (n + 1) // 2


def test_the_probability_in_a_year_is_what_the_years_differ_by():
    counts = simulate_lifetimes(SEED, question(rules="codes", ecc="secded", years=2.5), 200_000)
    years = reliability_document(counts, 1.0)["by_year"]
    assert [entry["year"] for entry in years] == [1.0, 2.0, 2.5]
    for name in ("p_any", "p_ue", "p_sdc"):
        steps = np.diff([0.0] + [entry[name]["value"] for entry in years])
        assert [entry["in_year"][name]["value"] for entry in years] == pytest.approx(steps, abs=1e-12)


def test_no_share_is_given_of_nothing():
    modes = len(Mode)
    nothing = LifetimeCounts(
        10, 1.0, np.ones(modes, np.int64), np.zeros((3, 1), np.int64), np.zeros((3, modes), np.int64),
        np.zeros((2, modes), np.int64), np.zeros((2, modes, modes), np.int64),
    )  # fmt: skip
    cell = reliability_document(nothing, 1.0)["causes"]["p_ue"]["met"][0]
    assert cell == {"modes": ["bit", "bit"], "count": 0, "share": None}
    assert exact_proportion(0, 10).value == 0.0


# ------------------------------------------------------------------------------------------- one law of SECDED


CLASSES = [(mode, n_dq) for mode in (Mode.ROW, Mode.BANK, Mode.COLUMN, Mode.MULTI_RANK) for n_dq in (3, 4)]


def silent_by_class_in_dram(asked: Question, nodes: int) -> dict[tuple[Mode, int], tuple[int, int]]:
    """Uncorrectable and silent lifetimes whose only fault is of the class."""
    drawn = draw_lifetimes(SEED, asked, np.arange(nodes))
    _, of, count = np.unique(drawn.lifetime, return_inverse=True, return_counts=True)
    drawn = drawn.take(np.flatnonzero(count[of] == 1))
    uncorrected, silent = (np.isin(drawn.lifetime, found.lifetime) for found in judge(SEED, asked, drawn))
    n_dq = draw_damage(SEED, asked, drawn)[0].n_dq
    some = {kind: (drawn.mode == kind[0]) & (n_dq == kind[1]) for kind in CLASSES}
    return {kind: (int(uncorrected[those].sum()), int(silent[those].sum())) for kind, those in some.items()}


def test_the_share_of_silent_reads_under_secded_is_the_same_in_a_fleet_and_in_dram():
    # Fleet: mean silent share of the faults of another seed. Each of 16 checks is false with probability 1e-6 at most.
    found = silent_by_class_in_dram(question(ecc="secded", rules="codes", chips=None, fit_factor=10.0), 300_000)
    hardware = Hardware(Server(part="ddr2_1gb_x4"), Faults(rates="ddr2_jaguar", fit_factor=200.0, frailty_variance=0.0))
    faults = simulate_faults(Seed.of(5), np.arange(3000), hardware, NS_PER_YEAR)
    fleet = judge_alone(Seed.of(5), faults, Ecc("secded")).risk.silent
    for (mode, n_dq), (lost, silent) in found.items():
        those = (faults.mode == mode) & (faults.cells.n_dq == n_dq)
        mean, spread = fleet[those].mean(), fleet[those].std() / math.sqrt(those.sum())
        assert min(lost, those.sum()) > 100
        error = math.hypot(math.sqrt(mean * (1 - mean) / lost), spread)
        assert abs(silent / lost - mean) < SIGMAS * error, (mode, n_dq)
        fault = Fault(0, 0, 0, mode, True, 0.0, 0.0, 0.0, False, 0, (1 << n_dq) - 1, 255, Box(*(0,) * 5, *(1,) * 4))
        law, _ = integrate.quad(
            lambda u, one=fault: risk_by_pins(one, u).silent, 0, 1, points=(0.1, 0.25, 0.5, 0.75, 0.9)
        )
        assert abs(silent / lost - law) < SIGMAS * math.sqrt(law * (1 - law) / lost), (mode, n_dq)


def test_every_code_over_devices_is_asked_about_pairs_only():
    for code, design in DESIGNS.items():
        if design.block_code and not design.by_bits and code != "sddc_locator":
            counts = simulate_lifetimes(SEED, question(ecc=code, rules="codes", chips=None, fit_factor=20.0), 4_000)
            assert not counts.alone.any()
