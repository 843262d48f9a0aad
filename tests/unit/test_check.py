"""Checks of a run: they pass what was simulated as it says, and fail what was not; theory against other oracles."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy import integrate, stats

from analysis import open_run
from analysis.checks.check import all_passed, check_run, checks_json, statistical
from analysis.checks.faults import fault_checks
from analysis.checks.laws import law_checks
from analysis.checks.verdict import ALPHA, count, law, share, spread
from analysis.theory import dimm_law, expected_growth, expected_hard, hazard, neutron_flux, soft_factor
from fleet.run import open_plan
from fleet.scenario.decode import decode
from fleet.stored.manifest import PLAN, RUN, content_sha256, seal
from node_sim.codes import Mode
from node_sim.dram.ageing import hazard as simulated_hazard
from node_sim.dram.cosmic import flux_relative
from node_sim.dram.rates import fault_rates, soft_scale
from node_sim.server.hardware import Faults, Hardware, Server
from node_sim.units import NS_PER_YEAR
from tests.fleets import counting_document, run_fleet

AGEING = {"infant_factor": 2.0, "wearout_factor": 2.0, "oldest_years": 3.0}
ODD = (
    Hardware(),
    Hardware(Server(part="ddr5_16gb_x4", ranks=2), Faults(site="bogota", sun="active", alpha_share=0.3)),
    Hardware(Server(part="ddr2_1gb_x4"), Faults(rates="ddr2_jaguar", bit_factor=8.8, site="leadville", sun="quiet")),
    Hardware(Server(), Faults(speed_ratio=1.5, fit_factor=0.27, thermal_share=0.2, thermal_factor=3.0, lane_fit=9.0)),
)


def settings_of(fleet):
    hardware = [dataclasses.asdict(group.hardware) for group in fleet.groups]
    return hardware, [[policy.ecc.code for policy in group.policies] for group in fleet.groups]


def checked(root):
    """All checks of a run, by its plan."""
    return check_run(open_run(root), *settings_of(open_plan(root)[0]))


def document(**faults):
    """Three arms of which two replace DIMMs, one all of them; groups of four codes."""
    found = counting_document(100, 15.0)
    found["years"] = 1.5
    found["arm"] = {"default": {}, "replace": {"set": {"repair.replace_ce": 10}}, "panic": found["arm"]["no_recovery"]}
    for group in found["group"].values():
        group["faults"] |= faults
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check") / "run"
    run_fleet(decode("check", document()), folder)
    return folder


def tampered(root, folder, change):
    """A copy of a run whose plan says something else, with all seals in order."""
    folder.mkdir()
    for path in root.rglob("*"):
        copy = folder / path.relative_to(root)
        copy.mkdir(exist_ok=True) if path.is_dir() else copy.write_bytes(path.read_bytes())
    plan = unsealed(root / PLAN)
    change(plan["scenario"])
    plan["scenario_sha256"] = decode("tampered", plan["scenario"]).sha256()
    sealed = seal(plan)
    of_plan = {"plan_sha256": content_sha256(sealed)}
    (folder / PLAN).write_text(json.dumps(sealed))
    run = unsealed(root / RUN) | of_plan | {"scenario_sha256": plan["scenario_sha256"]}
    (folder / RUN).write_text(json.dumps(seal(run)))
    for path in (folder / "commit").iterdir():
        path.write_text(json.dumps(seal(unsealed(path) | of_plan)))
    return folder


def unsealed(path):
    """A document of a run without its seal."""
    return {key: value for key, value in json.loads(path.read_text()).items() if key != "seal"}


def test_a_run_passes_all_checks(root):
    checks = checked(root)
    assert [check for check in checks if not check.passed(statistical(checks))] == []
    for words in ("share of soft", "times of", "slots of", "widen", "intermittent", "DIMMs with", "second device"):
        assert sum(words in check.quantity and check.z is not None for check in checks) == 4, words
    assert sum(check.z is None for check in checks) > 40


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        ({"fit_factor": 30.0}, "faults"),
        ({"fit_factor": 7.5}, "faults"),
        ({"site": "leadville"}, "soft"),
        ({"frailty_variance": 0.0}, "DIMMs with hard faults"),
        ({"intermittent_share": 0.8}, "intermittent"),
        ({"growth": {"factor": 2.9}}, "widen"),
        (AGEING, "hard faults"),
    ],
)
def test_a_run_whose_plan_says_something_else_fails(root, tmp_path, change, failing):
    def rewrite(scenario):
        for group in scenario["group"].values():
            group["faults"] |= change

    checks = checked(tampered(root, tmp_path / "other", rewrite))
    failed = [check.quantity for check in checks if not check.passed(statistical(checks))]
    assert any(failing in quantity for quantity in failed), failed
    assert not all_passed(checks)
    assert not checks_json(checks)["passed"]


def test_dimms_that_are_replaced_are_watched_as_long_as_they_stand(root):
    """Without regard to replacement, far more is expected than is there."""
    run, (hardware, _) = open_run(root), settings_of(open_plan(root)[0])
    soft = [check for check in fault_checks(run, hardware) if "soft faults, bit" in check.quantity]
    for check, group, one in zip(soft, run.groups, hardware, strict=True):
        dimms = group.nodes * one["server"]["sockets"] * one["server"]["channels"] * one["server"]["dimms_per_channel"]
        all_along = dimm_law(one["server"], one["faults"], 1.5).soft[Mode.BIT] * dimms * 1.5
        assert 0.2 * all_along < check.expected < all_along
    assert sum(check.expected for check in soft) < 0.999 * sum(
        dimm_law(one["server"], one["faults"], 1.5).soft[Mode.BIT] * group.nodes * 1.5
        * one["server"]["sockets"] * one["server"]["channels"] * one["server"]["dimms_per_channel"]
        for group, one in zip(run.groups, hardware, strict=True)
    )  # fmt: skip


def test_a_code_that_is_weaker_than_said_is_found(root):
    run, (_, codes) = open_run(root), settings_of(open_plan(root)[0])
    wrong = [["chipkill"] * len(one) for one in codes]
    failed = [check.quantity for check in law_checks(run, wrong) if check.p < 1.0]
    assert any("secded: errors that chipkill corrects, uncorrected" in quantity for quantity in failed)


@pytest.mark.parametrize("name", ["signals", "machine_checks", "memory_failures", "lifecycle"])
def test_rows_that_are_missing_break_laws(root, name):
    run = open_run(root)
    table, arm = run.table, run.arms[0]
    lost = 0

    def without(which, of_arm=None, columns=None, filters=None):
        nonlocal lost
        found = table(which, of_arm, columns, filters)
        if which == name and of_arm == arm and found.num_rows:
            lost += 1
            return found.slice(1)
        return found

    object.__setattr__(run, "table", without)
    failed = [check.quantity for check in law_checks(run, settings_of(open_plan(root)[0])[1]) if check.p < 1.0]
    assert lost
    assert failed
    assert all(quantity.startswith(arm) for quantity in failed)


@pytest.mark.parametrize("hardware", ODD)
def test_rates_are_those_of_the_simulation_though_nothing_is_shared(hardware):
    settings = dataclasses.asdict(hardware)
    found, rates = dimm_law(settings["server"], settings["faults"], 2.0), fault_rates(hardware)
    assert soft_factor(settings["faults"]) == pytest.approx(soft_scale(hardware.faults))
    assert sum(found.soft.values()) == pytest.approx(rates.soft_per_year)
    assert sum(found.hard.values()) == pytest.approx(rates.hard_per_year)
    for mode, hard, per_year in zip(rates.mode, rates.hard, rates.per_year, strict=True):
        assert (found.hard if hard else found.soft)[Mode(int(mode))] == pytest.approx(per_year)
    assert float(found.hard_by(2.0)) == pytest.approx(2.0 * rates.hard_per_year)


def test_the_flux_is_that_of_the_simulation_which_is_held_against_parma():
    for altitude in (0.0, 1609.0, 3109.0):
        for cutoff in (2.08, 8.4, 17.2):
            for sun in ("quiet", "active"):
                assert neutron_flux(altitude, cutoff, sun) == pytest.approx(flux_relative(altitude, cutoff, sun))


def test_the_hazard_is_the_bathtub_of_the_simulation_and_its_mean_over_ages_by_quadrature():
    faults = Faults(**AGEING)
    years = np.asarray([0.0, 0.4, 1.0, 1.2, 2.0, 5.0])
    settings = dataclasses.asdict(faults)
    assert hazard(years, settings) == pytest.approx(simulated_hazard(faults, (years * NS_PER_YEAR).astype(np.int64)))
    found = dimm_law(dataclasses.asdict(Server()), settings, 1.5)
    mean, _ = integrate.dblquad(lambda t, a: float(hazard(np.asarray(t + a), settings)) / 3.0, 0.0, 3.0, 0.0, 1.5)
    assert float(found.hard_by(1.5)) == pytest.approx(mean * sum(found.hard.values()), rel=1e-3)


def test_expected_hard_faults_of_frail_dimms_follow_from_a_gamma_mixture():
    """By brute force over the mixture: the mean of w given n faults by the exposure M."""
    law_of = dimm_law(dataclasses.asdict(Server()), dataclasses.asdict(Faults(fit_factor=400.0)), 1.0)
    v, rate = law_of.frailty_variance, float(law_of.hard_by(1.0))
    w = stats.gamma(1.0 / v, scale=v).ppf((np.arange(100_000) + 0.5) / 100_000)
    for n, begin, end in ((0, 0.0, 1.0), (1, 0.2, 0.3), (4, 0.5, 1.0)):
        times = np.linspace(begin, end, 201)
        weights = [w**n * np.exp(-w * rate * t) for t in times]
        wanted = integrate.simpson([rate * (w @ one) / one.sum() for one in weights], x=times)
        found = expected_hard(law_of, np.asarray([begin]), np.asarray([end]), np.asarray([n]))[0]
        assert found == pytest.approx(wanted, rel=2e-3)


def test_expected_growth_is_the_cumulated_hazard_of_a_log_uniform_time():
    shares, hours = np.asarray([0.3, 0.3, 0.3, 0.3]), np.asarray([1.0, 24.0, 240.0, 1e9])
    wanted = [0.0, 0.0, -np.log(1 - 0.3 * np.log(10.0) / np.log(1000.0)), -np.log(0.7)]
    assert expected_growth(shares, 24.0, 24_000.0, hours) == pytest.approx(wanted)


def test_verdicts_are_exact_probabilities():
    one = count("x", 10.0, 22)
    assert one.p == pytest.approx(2 * stats.poisson(10).sf(21))
    assert stats.norm.sf(one.z) * 2 == pytest.approx(one.p)
    assert count("x", 10.0, 2).z < 0.0
    wide = count("x", 10.0, 22, 100.0)
    assert wide.p > one.p
    assert share("x", 0.5, 0, 20).p == pytest.approx(2 * 0.5**20)
    assert share("x", 0.5, 0, 0) is None
    flat = spread("x", np.full(4, 30.0), np.asarray([30.0, 30.0, 30.0, 60.0]))
    assert flat.p == pytest.approx(stats.chi2(4).sf(30.0))
    assert spread("x", np.full(4, 1.0), np.ones(4)) is None
    assert count("x", 0.0, 1).p == 0.0
    assert count("x", 0.0, 0).passed(100)
    assert not law("x", 1).passed(1)


def test_the_level_is_shared_out():
    found = count("x", 100.0, 145)
    assert found.p < ALPHA
    assert not found.passed(1)
    assert found.passed(100)
