"""Verdicts of the codes against enumerations of a Hsiao (72,64) and a Reed-Solomon code, and published tables."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from node_sim.codes import Mode
from node_sim.dram.ecc import (
    CHIPKILL_TWO_SYMBOLS,
    CODES,
    MAX_DQ,
    SECDED_BY_WEIGHT,
    classify,
    classify_pair,
    verdict_table,
)
from tests.oracle.catalog.block_codes import hsiao_columns, nibble_outcomes, rs_two_symbol_outcomes
from tests.oracle.catalog.tables import read_table, rows_by

SECDED = "SECDED (72,64) Hsiao"
OUTCOMES = {(row["code"], row["error_in_one_codeword"]): row for row in read_table("ecc_outcomes")}
BY_MODE = rows_by("ecc_by_mode", "mode")
PINS = rows_by("dq_pins_per_fault", "mode")
DRAM_MODES = [name for name in BY_MODE if name != "TOTAL"]
MATRICES = 300
HALF_DIGIT = 5e-5


def published(code: str, error: str) -> list[float]:
    row = OUTCOMES[code, error]
    return [float(row[name]) for name in ("p_ce", "p_due", "p_sdc")]


def spread(weight: int, outcome: str) -> np.ndarray:
    """Share of an outcome for many arrangements of the matrix."""
    rng = np.random.default_rng(72)
    return np.asarray([float(nibble_outcomes(hsiao_columns(rng), weight)[outcome]) for _ in range(MATRICES)])


@pytest.mark.parametrize("weight", [1, 2])
def test_one_and_two_wrong_bits_have_the_same_outcome_under_every_hsiao_matrix(weight):
    rng = np.random.default_rng(64)
    found = [nibble_outcomes(hsiao_columns(rng), weight) for _ in range(20)]
    assert all(tuple(one.values()) == SECDED_BY_WEIGHT[weight] for one in found)


@pytest.mark.parametrize("weight", [3, 4])
def test_three_and_four_wrong_bits_of_a_nibble_are_never_corrected(weight):
    assert spread(weight, "CE").max() == 0.0
    assert SECDED_BY_WEIGHT[weight][0] == 0.0


def test_the_share_of_silent_triples_lies_inside_what_the_choice_of_the_matrix_allows():
    # A matrix has 72 triples inside nibbles; the share differs from matrix to matrix by this spread.
    silent = spread(3, "SDC")
    p = SECDED_BY_WEIGHT[3][2]
    assert silent.min() < p < silent.max()
    assert p == pytest.approx(silent.mean(), abs=4.9 * silent.std() / np.sqrt(MATRICES))


def test_the_share_of_silent_quadruples_lies_inside_what_the_choice_of_the_matrix_allows():
    # A matrix has 18 quadruples, of which at most a few have syndrome zero: shares are multiples of 1/18.
    silent = spread(4, "SDC")
    assert silent.min() <= SECDED_BY_WEIGHT[4][2] < silent.max()
    assert SECDED_BY_WEIGHT[4][2] == pytest.approx(silent.mean(), abs=4.9 * silent.std() / np.sqrt(MATRICES))


@pytest.mark.parametrize(
    ("weight", "error"), [(1, "1 bit"), (2, "2 bits"), (3, "x4 nibble weight 3"), (4, "x4 nibble weight 4")]
)
def test_outcomes_by_weight_are_those_of_the_table(weight, error):
    assert list(SECDED_BY_WEIGHT[weight]) == published(SECDED, error)


def test_a_whole_chip_with_random_patterns_has_the_tabulated_outcome_under_secded():
    expected = published(SECDED, "x4 chip, 15 patterns equally likely")
    assert list(classify("secded", Mode.BANK, 4)) == pytest.approx(expected, abs=HALF_DIGIT)


@pytest.mark.parametrize("n_dq", [1, 2, 3, 4])
def test_secded_averages_over_all_patterns_of_the_faulty_pins(n_dq):
    patterns = [pattern.bit_count() for pattern in range(1, 2**n_dq)]
    mean = np.mean([SECDED_BY_WEIGHT[weight] for weight in patterns], axis=0)
    assert list(classify("secded", Mode.ROW, n_dq)) == pytest.approx(mean.tolist(), abs=1e-12)


def test_two_random_symbols_of_rs_18_16_are_miscorrected_in_16_of_255_cases():
    assert rs_two_symbol_outcomes()["SDC"] == Fraction(16, 255)


def test_the_chipkill_pair_verdict_is_that_of_the_enumeration():
    silent = float(rs_two_symbol_outcomes()["SDC"])
    assert list(CHIPKILL_TWO_SYMBOLS) == pytest.approx([0.0, 1.0 - silent, silent], abs=HALF_DIGIT)


def test_the_chipkill_pair_verdict_is_that_of_the_table():
    assert list(CHIPKILL_TWO_SYMBOLS) == published("RS(18,16) 8-bit", "2 random chips")


@pytest.mark.parametrize(
    ("code", "same_device", "verdict"),
    [
        ("none", False, (0.0, 0.0, 1.0)),
        ("none", True, (0.0, 0.0, 1.0)),
        ("secded", False, (0.0, 1.0, 0.0)),
        ("secded", True, (0.0, 1.0, 0.0)),
        ("chipkill", True, (1.0, 0.0, 0.0)),
        ("chipkill", False, CHIPKILL_TWO_SYMBOLS),
    ],
)
def test_two_faults_that_meet_are_judged_by_code_and_device(code, same_device, verdict):
    assert tuple(classify_pair(code, same_device)) == verdict


def not_survivable_fit(code: str, name: str) -> float:
    """FIT of a mode that the code does not correct at every read, with renormalised pin shares."""
    pins = [float(PINS[name][f"dq{n}"]) for n in (1, 2, 3, 4)] if name in PINS else [1.0, 0.0, 0.0, 0.0]
    lost = [sum(classify(code, Mode[name.upper()], n)[1:]) > 0 for n in (1, 2, 3, 4)]
    share = sum(pin for pin, bad in zip(pins, lost, strict=True) if bad) / sum(pins)
    return float(BY_MODE[name]["fit_jaguar"]) * share


@pytest.mark.parametrize("name", DRAM_MODES)
def test_the_fit_secded_does_not_survive_is_that_of_the_table_by_mode(name):
    expected = float(BY_MODE[name]["fit_not_survivable_secded_pin_aware"])
    assert not_survivable_fit("secded", name) == pytest.approx(expected, abs=0.005)


def test_the_fit_secded_does_not_survive_adds_up_to_19_8():
    assert sum(not_survivable_fit("secded", name) for name in DRAM_MODES) == pytest.approx(19.8, abs=0.1)


def test_chipkill_survives_every_single_device_fault():
    assert sum(not_survivable_fit("chipkill", name) for name in DRAM_MODES) == 0.0


def test_without_a_code_every_fault_is_silent():
    assert {tuple(classify("none", mode, n)) for mode in Mode for n in (1, 2, 3, 4)} == {(0.0, 0.0, 1.0)}


@pytest.mark.parametrize("code", ["secded", "chipkill"])
def test_a_command_address_fault_is_always_detected_and_never_corrected(code):
    assert {tuple(classify(code, Mode.COMMAND_ADDRESS, n)) for n in (1, 2, 3, 4)} == {(0.0, 1.0, 0.0)}


@pytest.mark.parametrize("code", CODES)
def test_probabilities_of_a_verdict_add_up_to_one(code):
    assert verdict_table(code).sum(axis=-1) == pytest.approx(1.0, abs=1e-12)
    assert verdict_table(code).min() >= 0.0


@pytest.mark.parametrize("code", CODES)
def test_the_verdict_table_is_the_scalar_definition(code):
    table = verdict_table(code)
    assert table.shape == (len(Mode), MAX_DQ + 1, 3)
    for mode in Mode:
        for n_dq in range(MAX_DQ + 1):
            assert tuple(table[mode, n_dq]) == tuple(classify(code, mode, max(1, n_dq)))
