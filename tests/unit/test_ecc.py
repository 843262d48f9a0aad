"""Verdicts of the codes against enumerations, simulations of whole lines, and published tables."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from node_sim.catalog.designs import DESIGNS
from node_sim.codes import Mode
from node_sim.dram.faults import Cells
from node_sim.draws import Seed
from node_sim.ecc import block_codes
from node_sim.ecc.block_codes import BLOCK_CODES, BlockCode
from node_sim.ecc.read_risk import Readable, ReadRisk, read_risk, unnoticed_by_pins
from node_sim.ecc.verdicts import judge_pairs
from node_sim.server.policy import Ecc
from tests.oracle.catalog.block_codes import hsiao_columns, rs_two_symbol_outcomes
from tests.oracle.catalog.tables import read_table, rows_by

SECDED = "SECDED (72,64) Hsiao"
OUTCOMES = {(row["code"], row["error_in_one_codeword"]): row for row in read_table("ecc_outcomes")}
BY_MODE = rows_by("ecc_by_mode", "mode")
PINS = rows_by("dq_pins_per_fault", "mode")
DRAM_MODES = [name for name in BY_MODE if name != "TOTAL"]
ALPHA = 1e-6


def published(code: str, error: str) -> list[float]:
    row = OUTCOMES[code, error]
    return [float(row[name]) for name in ("p_ce", "p_due", "p_sdc")]


def columns(code: BlockCode) -> list[int]:
    return [int(column) for column in code.syndromes[:, 1]]


def silent_sets(checked: list[int], weight: int) -> float:
    """Share of all sets of columns whose sum is 0 or a column: slow, one set after the other."""
    good = {0, *checked}
    hit = total = 0
    for head in itertools.combinations(checked, weight - 2):
        start = 0
        for column in head:
            start ^= column
        rest = np.asarray(checked[checked.index(head[-1]) + 1 :] if head else checked, np.int64)
        first, second = np.triu_indices(rest.size, 1)
        sums = start ^ rest[first] ^ rest[second]
        hit += int(np.isin(sums, list(good)).sum())
        total += sums.size
    assert total == math.comb(len(checked), weight)
    return hit / total


def unnoticed(code: BlockCode, weight: int) -> float:
    """Share of the sets of so many bits that go unnoticed when all are wrong."""
    smaller = sum(math.comb(weight, n) * unnoticed(code, n) for n in range(2, weight))
    return float(code.unnoticed_subsets(weight) @ np.arange(1 << weight)) - smaller


# ---------------------------------------------------------------------------------------- the codes


def test_the_secded_code_has_hsiaos_columns_and_rows_as_even_as_can_be():
    found = columns(block_codes.hsiao_72_64())
    assert sorted(column.bit_count() for column in found) == [1] * 8 + [3] * 56 + [5] * 8
    assert len(set(found)) == 72
    ones = [sum(column >> row & 1 for column in found) for row in range(8)]
    assert set(ones) == {27}


@pytest.mark.parametrize("weight", [2, 3, 4])
def test_unnoticed_sets_of_bits_are_counted_as_a_slow_enumeration_counts_them(weight):
    found = unnoticed(block_codes.hsiao_72_64(), weight)
    assert found == pytest.approx(silent_sets(columns(block_codes.hsiao_72_64()), weight), abs=1e-12)


def test_three_and_four_wrong_bits_lie_where_hsiao_codes_can_lie():
    # The table does not say which eight columns of weight 5 it took; they move the third digit.
    rng = np.random.default_rng(72)
    others = [silent_sets(hsiao_columns(rng), 3) for _ in range(20)]
    three, four = (unnoticed(block_codes.hsiao_72_64(), weight) for weight in (3, 4))
    assert min(three, *others) == three == pytest.approx(0.5628, abs=5e-5)
    assert three <= published(SECDED, "3 random bits")[2] <= max(others)
    assert four == pytest.approx(published(SECDED, "4 random bits")[2], abs=2e-4)


def test_no_code_gives_both_tabulated_shares_of_three_and_four_wrong_bits():
    # Four columns with sum 0 are four triples whose sum is the fourth column, and all columns are odd. So three wrong
    # bits go unnoticed 4 C(72, 4) / C(72, 3) = 69 times as often as four: the table's 0.565 belongs to 0.0082, its
    # 0.0083 to 0.573. A search among matrices with even rows found 0.5628 to 0.5634 only.
    three, four = (unnoticed(block_codes.hsiao_72_64(), weight) for weight in (3, 4))
    assert three == pytest.approx(69 * four, rel=1e-12)
    assert 4 * math.comb(72, 4) / math.comb(72, 3) == 69
    tabulated = [published(SECDED, f"{n} random bits")[2] for n in (3, 4)]
    assert (tabulated[0] + 5e-4) / 69 < tabulated[1] - 5e-5


def test_a_whole_x8_chip_under_secded_has_the_tabulated_outcome():
    rng, lines = np.random.default_rng(8), 300_000
    code = block_codes.hsiao_72_64()
    chosen = rng.permuted(np.tile(np.arange(72), (lines, 1)), axis=1)[:, :8].T
    found = simulate_line(code, [rng.integers(0, 2, (lines, 1)) for _ in range(8)], chosen, 1)
    wrong = found[found > 0]
    for outcome, p in zip((1, 2, 3), published(SECDED, "x8 chip, 255 patterns equally likely"), strict=True):
        assert (wrong == outcome).mean() == pytest.approx(p, abs=4.9 * math.sqrt(p * (1 - p) / wrong.size) + 3e-4)


@pytest.mark.parametrize(("weight", "error"), [(3, "x4 nibble weight 3"), (4, "x4 nibble weight 4")])
def test_the_tabulated_nibbles_are_a_sample_of_the_sets_of_bits(weight, error):
    # 72 triples and 18 quadruples lie inside the nibbles of one matrix; the table averaged few matrices.
    p = unnoticed(block_codes.hsiao_72_64(), weight)
    inside = {3: 72, 4: 18}[weight]
    assert abs(published(SECDED, error)[2] - p) < 4.9 * math.sqrt(p * (1 - p) / inside)


@pytest.mark.parametrize(
    ("symbols", "code", "error"), [(18, "RS(18,16) 8-bit", ""), (10, "RS(10,8) 8-bit (DDR5 x4 subchannel)", "")]
)
def test_two_wrong_symbols_of_a_reed_solomon_code_have_the_tabulated_outcome(symbols, code, error):
    silent = block_codes.reed_solomon(symbols).unnoticed_in_two()[:, 1:, 1:].mean()
    assert silent == pytest.approx(float(rs_two_symbol_outcomes(symbols)["SDC"]), abs=1e-12)
    assert silent == pytest.approx((symbols - 2) / 255, abs=1e-12)
    assert [0.0, 1 - silent, silent] == pytest.approx(published(code, f"2 random chips{error}"), abs=5e-5)


def test_ssc_dsd_corrects_every_device_and_detects_every_pair():
    code = block_codes.ssc_dsd_36()
    alone = code.syndromes[:, 1:].ravel()
    assert (code.symbols, len(set(alone.tolist()))) == (36, 36 * 15)
    assert 0 not in alone
    assert not code.unnoticed_in_two().any()
    assert published("SSC-DSD, 36 symbols of 4 bits", "2 chips") == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("symbols", [10, 18])
def test_reed_solomon_corrects_every_single_symbol(symbols):
    alone = block_codes.reed_solomon(symbols).syndromes[:, 1:].ravel()
    assert len(set(alone.tolist())) == symbols * 255
    assert 0 not in alone


def test_two_wrong_bits_of_an_on_die_word_become_three_about_as_often_as_under_a_random_code():
    code = block_codes.on_die_136_128()
    found = columns(code)
    assert (len(set(found)), code.symbols) == (136, 136)
    assert found[:8] == [1 << bit for bit in range(8)]
    silent = unnoticed(code, 2)
    assert silent == pytest.approx(silent_sets(found, 2), abs=1e-12)
    # The table's 0.530 +- 0.004 is the mean and the spread of random codes.
    assert silent == pytest.approx(
        published("on-die SEC (136,128), random H", "2 bits in one 128-bit word")[2], abs=0.004
    )


# ---------------------------------------------------------------------------------------- lines


def simulate_line(code: BlockCode, errors: list[np.ndarray], devices: np.ndarray, words: int) -> np.ndarray:
    """Outcome of lines by decoding each word: 0 right, 1 CE, 2 DUE, 3 SDC.

    Args:
        code: The code.
        errors: Of each wrong device, symbol errors of shape ``(lines, words)``.
        devices: Symbols that are wrong, shape ``(len(errors), lines)``.
        words: Code words of a line.
    """
    correctable = {int(s) for s in code.syndromes[:, code.correctable].ravel()}
    syndrome = np.zeros_like(errors[0])
    for error, device in zip(errors, devices, strict=True):
        syndrome ^= code.syndromes[device[:, None], error]
    count = sum((error > 0).astype(int) for error in errors)
    looks_good = (syndrome == 0) | np.isin(syndrome, list(correctable))
    right, ce = count == 0, count == 1
    due = ~right & ~ce & ~looks_good
    sdc = ~right & ~ce & looks_good
    assert syndrome.shape[1] == words
    return np.select([due.any(axis=1), sdc.any(axis=1), ce.any(axis=1)], [2, 3, 1], 0)


def flips(rng: np.random.Generator, lines: int, words: int, masks: np.ndarray) -> np.ndarray:
    """Symbol errors: every bit of a mask is wrong with probability 1/2."""
    return rng.integers(0, 1 << 16, (lines, words)) & masks[:, None]


def cells(device: int, pins: int, beats: int) -> Cells:
    """One fault."""
    return Cells(*(np.full(1, value) for value in (device, pins.bit_count(), pins, beats.bit_count(), beats)))


PAIRS = [
    ((0, 0b1111, 0xFFFF), (1, 0b1111, 0xFFFF)),
    ((3, 0b0110, 0b1), (7, 0b1111, 0xFFFF)),
    ((5, 0b1100, 0b1), (2, 0b0011, 0b11)),
    ((4, 0b0011, 0b1001), (9, 0b1110, 0b11011)),
    ((8, 0b1111, 0b110), (1, 0b0100, 0b1111)),
]
"""Device, pins and beats of two faults."""


@pytest.mark.parametrize("name", ["chipkill", "ddr5", "ssc_dsd"])
@pytest.mark.parametrize("pair", PAIRS)
def test_lines_of_two_faulty_devices_are_judged_as_a_simulation_judges_them(name, pair):
    design, rng, lines = DESIGNS[name], np.random.default_rng(7), 400_000
    code = BLOCK_CODES[design.block_code]()
    devices = np.tile([[device] for device, _, _ in pair], (1, lines))
    errors = [np.zeros((lines, design.words), np.int64) for _ in pair]
    of_word = design.beats_per_word
    shared = [
        word
        for word in range(design.words)
        if all(beats >> (word * of_word) & ((1 << of_word) - 1) for *_, beats in pair)
    ]
    for found, (_, pins, beats) in zip(errors, pair, strict=True):
        for word in shared:
            masks = [pins << (4 * beat) for beat in range(of_word) if beats >> (word * of_word + beat) & 1]
            found[:, word] = flips(rng, lines, 1, np.full(lines, sum(masks)))[:, 0]
    found = simulate_line(code, errors, devices, design.words)
    failing = found[found > 1]
    fails, silent = judge_pairs(name, *(cells(*one) for one in pair))
    assert fails.all()
    assert stats.binomtest(int((failing == 3).sum()), failing.size, float(silent[0])).pvalue > ALPHA


def test_a_x4_chip_with_equally_likely_patterns_has_the_tabulated_outcome():
    unnoticed = unnoticed_by_pins("hsiao_72_64")
    patterns = [math.comb(4, n) / 15 for n in range(1, 5)]
    silent = sum(share * unnoticed[n] for n, share in enumerate(patterns, start=1))
    found = [patterns[0], 1 - patterns[0] - silent, silent]
    assert found == pytest.approx(published(SECDED, "x4 chip, 15 patterns equally likely"), abs=3e-4)


# ---------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("code", "a", "b", "fails"),
    [
        ("secded", (0, 0b0001, 0b1000), (1, 0b0001, 0b1000), True),  # two devices, the same beat
        ("secded", (0, 0b0001, 0b1000), (1, 0b0001, 0b10000), False),  # another beat is another code word
        ("secded", (0, 0b0001, 0b1000), (1, 0b0001, 0xFF), True),  # all beats are this one, too
        ("secded", (0, 0b0001, 0b1010), (1, 0b0001, 0b0110), True),  # one of two beats is the same
        ("secded", (0, 0b0001, 0b1001), (1, 0b0001, 0b0110), False),
        ("secded", (0, 0b0001, 0b1000), (0, 0b0010, 0b1000), True),  # two pins of one device
        ("secded", (0, 0b0001, 0b1000), (0, 0b0001, 0b1000), False),  # the same pin twice is one wrong bit
        ("chipkill", (0, 0b1111, 0b1000), (1, 0b0001, 0b0100), True),  # beats 2 and 3 are one code word
        ("chipkill", (0, 0b1111, 0b1000), (1, 0b0001, 0b10000), False),
        ("chipkill", (0, 0b1111, 0xFF), (0, 0b0001, 0xFF), False),  # one device is one symbol
        ("ssc_dsd", (0, 0b1111, 0xF), (35, 0b0001, 0b10), True),
        ("ddr5", (0, 0b1111, 0xFFFF), (1, 0b0001, 0b1000), False),  # the device corrects the single bit itself
        ("ddr5", (0, 0b1111, 0xFFFF), (1, 0b0001, 0b1001), True),
    ],
)
def test_faults_that_meet_fail_when_the_code_word_they_share_holds_too_much(code, a, b, fails):
    assert judge_pairs(code, cells(*a), cells(*b))[0].tolist() == [fails]


def test_two_wrong_bits_of_secded_are_always_detected():
    assert judge_pairs("secded", cells(0, 0b0001, 0xFF), cells(1, 0b0001, 0xFF))[1].tolist() == [0.0]


MANY = 2_000


def risk_alone(code: str, mode: Mode, n_dq: int, beats: int, command_retry: bool = False) -> ReadRisk:
    """Risks of many faults of a kind."""
    n = np.full(MANY, 1)
    made = Cells(0 * n, n_dq * n, ((1 << n_dq) - 1) * n, beats.bit_count() * n, beats * n)
    faults = Readable(np.arange(MANY), 0 * n, int(mode) * n, n > 0, made)
    return read_risk(Seed.of(4), faults, Ecc(code, command_retry=command_retry))


def unsurvivable(code: str, name: str) -> float:
    """FIT of a mode that the code does not correct at every read, with renormalised pin shares."""
    beats = 1 if name in ("bit", "word", "column") else 255
    pins = [float(PINS[name][f"dq{n}"]) for n in (1, 2, 3, 4)] if name in PINS else [1.0, 0.0, 0.0, 0.0]
    lost = [(risk_alone(code, Mode[name.upper()], n_dq, beats).p > 0).mean() for n_dq in (1, 2, 3, 4)]
    return float(BY_MODE[name]["fit_jaguar"]) * sum(np.multiply(pins, lost)) / sum(pins)


@pytest.mark.parametrize("name", DRAM_MODES)
def test_the_fit_secded_does_not_survive_is_that_of_the_table_by_mode(name):
    expected = float(BY_MODE[name]["fit_not_survivable_secded_pin_aware"])
    assert unsurvivable("secded", name) == pytest.approx(expected, abs=0.005)


def test_secded_does_not_survive_20_fit():
    lost = sum(unsurvivable("secded", name) for name in DRAM_MODES)
    assert lost == pytest.approx(float(BY_MODE["TOTAL"]["fit_not_survivable_secded_pin_aware"]), abs=0.05)


@pytest.mark.parametrize("code", ["chipkill", "ssc_dsd", "ddr5"])
def test_a_code_over_devices_survives_every_single_device_fault(code):
    assert sum(unsurvivable(code, name) for name in DRAM_MODES) == 0.0


def test_without_a_code_every_fault_is_silent():
    for mode in Mode:
        risk = risk_alone("none", mode, 2, 1)
        assert (risk.p == 1.0).all()
        assert (risk.silent == 1.0).all()


@pytest.mark.parametrize("code", [name for name in DESIGNS if name != "none"])
def test_a_command_address_fault_that_stays_is_always_detected_and_never_corrected(code):
    risk = risk_alone(code, Mode.COMMAND_ADDRESS, 4, 255)
    assert (risk.p == 1.0).all()
    assert not risk.silent.any()
