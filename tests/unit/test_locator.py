"""Verdicts of the locator code against closed forms, null spaces, and the table that was enumerated before."""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest

from fleet.scenario.fleet import Group
from node_sim.draws import Seed
from node_sim.ecc.locator import (
    DEVICES,
    LOCATOR_CODES,
    POLYNOMIALS,
    LocatorCode,
    mask_risk,
    mask_risks,
    product,
    risk_table,
)
from node_sim.ecc.read_risk import read_risk
from node_sim.ecc.verdicts import judge_pairs
from node_sim.errors import ConfigError
from node_sim.names import WIDER
from node_sim.server.hardware import Server
from node_sim.server.policy import Ecc
from tests.handmade import faults_of
from tests.oracle import locator as oracle
from tests.oracle.catalog.tables import read_table

SIGMAS = 4.9
BITS = sorted(POLYNOMIALS)
VARIANTS = list(LOCATOR_CODES)
CODES = [pytest.param(LOCATOR_CODES[variant](bits), id=f"{variant}-{bits}") for variant in VARIANTS for bits in BITS]
TABLES = [
    pytest.param(variant, bits, id=f"{variant}-{bits}", marks=[pytest.mark.long] * (variant == "random" and bits > 12))
    for variant in VARIANTS
    for bits in BITS
]
"""Codes whose tables of all masks are read: each takes seconds, so that of the random ones two are left to long."""
WHOLE = [pytest.param(variant, marks=[pytest.mark.long] * (variant == "random")) for variant in VARIANTS]
DRAWS, CHUNK = 128, 1 << 14
"""Errors are drawn in 128 chunks: 2.1 million for each variant."""
ALL_PINS, ALL_BEATS = 0b1111, 0xFF
ROWS = read_table("locator_code")
PATTERNS = [row for row in ROWS if row["beats"] != "-"]
UNIFORM = {
    row["code"]: float(row["p_uncorrectable_given_error"]) for row in ROWS if row["dq"] == "uniform 32-bit error"
}
PINS = {"1": [0b0001, 0b0010, 0b0100, 0b1000], "2 adjacent": [0b0011, 0b0110, 0b1100], "4": [0b1111]}
TABULATED_MASKS, SAMPLES = 300, 1 << 14
"""Masks drawn for each row of the table (its shares are multiples of 1/300), and errors of each large one."""


def crosses(pins: int) -> bool:
    return pins & 0b0011 > 0 and pins & 0b1100 > 0


def beat_masks(n: int) -> list[int]:
    return [mask for mask in range(1 << 8) if mask.bit_count() == n]


@cache
def second_reading(code: LocatorCode) -> list[list[int]]:
    return oracle.columns((code.bits, code.x, code.y))


@cache
def with_random_coefficients(bits: int, seed: int) -> LocatorCode:
    x, y = np.random.default_rng(seed).integers(1, 1 << bits, (2, DEVICES)).tolist()
    assert len(set(x)) == len(set(y)) == DEVICES
    return LocatorCode(bits, tuple(x), tuple(y))


def drawn_errors(seed: int, n: int = CHUNK) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 1 << 32, n)


def silent(code: LocatorCode, one: int, error: np.ndarray, other: int, another: np.ndarray) -> np.ndarray:
    """``is_silent`` of many pairs of errors."""
    parity, locator = error ^ another, code.locators(error)[one] ^ code.locators(another)[other]
    return ((code.locators(parity) == locator).sum(axis=0) == 1) | ((parity == 0) & (locator == 0))


# ---------------------------------------------------------------------------------------- fields


@pytest.mark.parametrize("bits", [12, 16])
def test_small_fields_multiply_as_logarithms_add(bits):
    powers, _ = oracle.logarithms(bits)
    assert len(set(powers)) == len(powers) == 2**bits - 1
    rng = np.random.default_rng(bits)
    for a, b in zip(rng.integers(0, 1 << bits, 3000).tolist(), rng.integers(0, 1 << 16, 3000).tolist(), strict=True):
        assert product(a, b, bits) == oracle.multiply(a, b, bits)


def test_the_large_field_multiplies_as_long_division_does():
    rng = np.random.default_rng(32)
    for a, b in rng.integers(0, 1 << 32, (3000, 2)).tolist():
        assert product(a, b, 32) == oracle.multiply(a, b, 32)


def test_the_large_field_has_x_as_a_primitive_element():
    def power(exponent: int) -> int:
        found, square = 1, 2
        for place in range(exponent.bit_length()):
            found = product(found, square, 32) if exponent >> place & 1 else found
            square = product(square, square, 32)
        return found

    order, factors = 2**32 - 1, (3, 5, 17, 257, 65537)
    assert math.prod(factors) == order
    assert power(order) == 1
    assert all(power(order // factor) != 1 for factor in factors)


# ---------------------------------------------------------------------------------------- one device


@pytest.mark.parametrize("code", CODES)
def test_coefficients_differ_and_are_elements_of_the_field(code):
    for some in (code.x, code.y):
        assert len(set(some)) == len(some) == DEVICES
        assert min(some) > 0
        assert max(some) < 1 << code.bits


@pytest.mark.parametrize("bits", BITS)
def test_structured_coefficients_are_powers_of_alpha_and_their_squares(bits):
    code, powers = LOCATOR_CODES["structured"](bits), [oracle.remainder(1 << d, bits) for d in range(2 * DEVICES)]
    assert code.x == tuple(powers[:DEVICES])
    assert code.y == tuple(powers[::2])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("bits", [16, 32])
def test_every_error_inside_one_half_is_corrected_in_every_device(bits, variant):
    halves = np.arange(1, 1 << 16)
    for errors in (halves, halves << 16):
        assert not LOCATOR_CODES[variant](bits).uncorrected(errors).any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_of_a_half_12_bits_locate_all_but_the_15_multiples_of_the_polynomial(variant):
    halves = np.arange(1, 1 << 16)
    multiples = np.asarray([oracle.remainder(half, 12) == 0 for half in halves.tolist()])
    assert multiples.sum() == 15
    for errors in (halves, halves << 16):
        assert (LOCATOR_CODES[variant](12).uncorrected(errors) == multiples).all()


def test_an_error_across_the_halves_is_taken_for_one_of_the_device_that_solves_the_equation():
    # Devices 0 and 1: (1 + α) a = (1 + α)^2 b. With b = 1, pin 2 in beat 0, a = 1 + α is pin 0 in beats 0 and 1.
    code, error = LOCATOR_CODES["structured"](16), 0b11 | 1 << 16
    assert [code.corrects(device, error) for device in range(DEVICES)] == [False, False] + [True] * 16
    assert code.located(error, code.locator(0, error)) == [0, 1]


@pytest.mark.parametrize("code", CODES)
def test_the_verdicts_of_many_errors_are_the_scalar_definition(code):
    bad = oracle.bad_errors(second_reading(code), ALL_PINS, 0b11111 if code.bits < 32 else ALL_BEATS, 3)
    errors = np.concatenate([drawn_errors(5, 40), bad[:: max(1, bad.size // 40)], [1, (1 << 32) - 1]])
    found = code.uncorrected(errors)
    assert found[3].sum() >= min(bad.size, 40)
    for device in (0, 3, 17):
        assert [not code.corrects(device, error) for error in errors.tolist()] == found[device].tolist()


def test_a_structured_code_leaves_one_error_for_each_other_device_and_each_half_but_0():
    code = LOCATOR_CODES["structured"](16)
    bad = oracle.bad_errors(second_reading(code), ALL_PINS, ALL_BEATS, 5)
    assert bad.size == 17 * 65535
    assert code.uncorrected(bad[::29])[5].all()
    assert UNIFORM["any, r = 16"] == pytest.approx(bad.size / (2**32 - 1), abs=5e-8)


@pytest.mark.parametrize("variant", VARIANTS)
def test_17_of_65536_uniform_errors_are_not_corrected(variant):
    code = LOCATOR_CODES[variant](16)
    found = sum(int(code.uncorrected(drawn_errors(chunk))[chunk % DEVICES].sum()) for chunk in range(DRAWS))
    expected = DRAWS * CHUNK * 17 / 65536
    assert abs(found - expected) < 4 * math.sqrt(expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_17_of_4096_uniform_errors_are_not_corrected_with_12_bits(variant):
    code, chunks = LOCATOR_CODES[variant](12), 36
    found = sum(int(code.uncorrected(drawn_errors(chunk))[chunk % DEVICES].sum()) for chunk in range(chunks))
    expected = chunks * CHUNK * 17 / 4096
    assert abs(found - expected) < 4 * math.sqrt(expected)
    assert UNIFORM["any, r = 12"] == pytest.approx(17 / 4096, abs=5e-6)


def test_random_coefficients_of_32_bits_leave_17_of_the_four_billion_errors_on_average():
    codes = [LOCATOR_CODES["random"](32)] + [with_random_coefficients(32, seed) for seed in range(11)]
    bad = [[oracle.bad_errors(second_reading(code), ALL_PINS, ALL_BEATS, d) for d in (0, 8, 17)] for code in codes]
    for code, by_device in zip(codes, bad, strict=True):
        for device, errors in zip((0, 8, 17), by_device, strict=True):
            assert code.uncorrected(errors)[device].all()
    sizes = np.asarray([[errors.size for errors in by_device] for by_device in bad])
    assert abs(sizes.mean() - 17) < SIGMAS * sizes.mean(axis=1).std(ddof=1) / math.sqrt(len(codes))
    assert UNIFORM["any, r = 32"] == pytest.approx(17 / 2**32, abs=5e-11)


def test_32_bits_do_not_help_structured_coefficients_with_narrow_errors():
    few, many = (LOCATOR_CODES["structured"](bits) for bits in (16, 32))
    for mask in ((0b0110, 0b11), (0b0110, 0b1001), (0b1111, 0b1)):
        assert mask_risks(*mask, many).tolist() == mask_risks(*mask, few).tolist()
    # The table says 17/2^32 for any coefficients. But a = (1 + α^k) b has an a for all b of degree below 16 - k.
    risk = oracle.risk(second_reading(many), ALL_PINS, ALL_BEATS, 0)
    assert risk >= sum(2 ** (16 - k) - 1 for k in range(1, 16)) / (2**32 - 1) > 3000 * UNIFORM["any, r = 32"]


# ---------------------------------------------------------------------------------------- two devices


@pytest.mark.parametrize("variant", WHOLE)
def test_18_of_65536_pairs_of_uniform_errors_are_silent(variant):
    code = LOCATOR_CODES[variant](16)
    pairs = itertools.cycle(itertools.permutations(range(DEVICES), 2))
    found = 0
    for chunk, (one, other) in zip(range(DRAWS), pairs, strict=False):
        found += int(silent(code, one, drawn_errors(2 * chunk), other, drawn_errors(2 * chunk + 1)).sum())
    expected = DRAWS * CHUNK * 18 / 65536
    assert abs(found - expected) < 4 * math.sqrt(expected)
    (row,) = (row for row in ROWS if row["dq"].startswith("two devices"))
    assert abs(float(row["p_uncorrectable_given_error"]) - 18 / 65536) < 5e-8


@pytest.mark.parametrize("code", CODES)
def test_the_verdicts_of_many_pairs_are_the_scalar_definition(code):
    one, other = drawn_errors(1), drawn_errors(2)
    found = silent(code, 4, one, 9, other)
    some = np.concatenate([np.flatnonzero(found)[:30], np.arange(60)])
    scalar = [code.is_silent((4, int(one[i])), (9, int(other[i]))) for i in some]
    assert scalar == found[some].tolist()
    assert any(scalar) == (code.bits < 32)


def test_two_errors_that_add_up_to_one_of_a_third_device_are_silent():
    # Parity e + f and locator L_0(e) + L_1(f) are those of e + f in device 2 if (L_0 + L_2)(e) = (L_1 + L_2)(f).
    code = LOCATOR_CODES["structured"](16)
    powers, logarithm = oracle.logarithms(16)
    x = code.x
    f = 0x00B7
    e = powers[(logarithm[x[1] ^ x[2]] + logarithm[f] - logarithm[x[0] ^ x[2]]) % 65535]
    assert code.located(e ^ f, code.locator(0, e) ^ code.locator(1, f)) == [2]
    assert code.is_silent((0, e), (1, f))
    assert code.is_silent((1, f), (0, e))
    assert not code.is_silent((0, e), (1, f ^ 1))


def test_two_errors_that_look_like_one_of_either_of_two_other_devices_are_detected():
    # s = e + f is bad in devices 2 and 3: (α^2 + α^3) = α^2 (1 + α), so a = α^2 (1 + α) for b = 1.
    # With e in half a, L_0(e) + L_1(e + s) = L_2(s) is (x_0 + x_1) e = L_1(s) + L_2(s).
    code = LOCATOR_CODES["structured"](16)
    powers, logarithm = oracle.logarithms(16)
    s = 0b1100 | 1 << 16
    e = powers[logarithm[code.locator(1, s) ^ code.locator(2, s)] - logarithm[code.x[0] ^ code.x[1]]]
    assert code.located(s, code.locator(0, e) ^ code.locator(1, e ^ s)) == [2, 3]
    assert not code.is_silent((0, e), (1, e ^ s))


def test_equal_errors_of_two_devices_are_detected_unless_their_locators_are_equal_too():
    code = LOCATOR_CODES["structured"](16)
    assert not code.is_silent((0, 0b1), (1, 0b1))
    bad = 0b11 | 1 << 16
    assert code.is_silent((0, bad), (1, bad))  # parity and locator are 0: the line looks right
    assert not code.is_silent((0, bad), (2, bad))


@pytest.mark.parametrize("pair", [((3, 1), (3, 2)), ((3, 0), (4, 1)), ((3, 1), (4, 0))])
def test_a_pair_is_two_devices_with_an_error_each(pair):
    with pytest.raises(AssertionError):
        LOCATOR_CODES["structured"](16).is_silent(*pair)


@pytest.mark.parametrize("error", [0, -1, 1 << 32])
def test_an_error_is_some_of_32_bits(error):
    with pytest.raises(AssertionError):
        LOCATOR_CODES["structured"](16).corrects(0, error)


# ---------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize("code", CODES)
def test_risks_of_masks_of_up_to_14_bits_are_the_sizes_of_null_spaces(code):
    rng = np.random.default_rng(code.bits)
    masks = [
        (int(pins), int(beats)) for pins, beats in zip(rng.integers(1, 16, 60), rng.integers(1, 256, 60), strict=True)
    ]
    small = [mask for mask in masks if mask[0].bit_count() * mask[1].bit_count() <= 14]
    assert max(pins.bit_count() * beats.bit_count() for pins, beats in small) >= 12
    for pins, beats in small[:20]:
        for device in (0, 11):
            expected = oracle.risk(second_reading(code), pins, beats, device)
            assert mask_risk(pins, beats, device, code) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("mask", [(0b0110, 0xFF), (0b1111, 0x0F), (0b1110, 0b1110111), (0b0011, 0xFF), (0b1000, 0xFF)])
def test_risks_of_larger_masks_are_the_sizes_of_null_spaces_too(mask, code):
    risks = mask_risks(*mask, code)
    expected = [oracle.risk(second_reading(code), *mask, device) for device in (0, 7, 16)]
    assert risks[[0, 7, 16]] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("code", [code for code in CODES if not code.id.endswith("12")])
def test_the_risk_of_a_whole_device_is_the_size_of_the_null_spaces_of_32_bits(code):
    expected = oracle.risk(second_reading(code), ALL_PINS, ALL_BEATS, 9)
    assert mask_risk(ALL_PINS, ALL_BEATS, 9, code) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("mask", [(0b0110, 0b111), (0b1011, 0b10010), (0b1111, 0b101)])
def test_risks_are_shares_of_the_errors_that_the_scalar_definition_does_not_correct(mask, code):
    pins, beats = mask
    places = [8 * pin + beat for pin in range(4) for beat in range(8) if pins >> pin & 1 and beats >> beat & 1]
    errors = [
        sum(1 << place for at, place in enumerate(places) if some >> at & 1) for some in range(1, 1 << len(places))
    ]
    for device in (2, 13):
        bad = sum(not code.corrects(device, error) for error in errors)
        assert mask_risk(pins, beats, device, code) == pytest.approx(bad / len(errors), rel=1e-12)


def test_the_risk_of_one_device_is_its_element():
    code = LOCATOR_CODES["structured"](16)
    risks = mask_risks(0b0110, 0b11, code)
    assert [mask_risk(0b0110, 0b11, device, code) for device in range(DEVICES)] == risks.tolist()
    assert len(set(risks.tolist())) > 1


# ---------------------------------------------------------------------------------------- the table


@cache
def risks_across(code: LocatorCode, dq: str, n_beats: int) -> np.ndarray:
    """Exact risks of all masks across the halves in all devices."""
    masks = [(pins, beats) for pins in PINS[dq] if crosses(pins) for beats in beat_masks(n_beats)]
    if not masks:
        return np.zeros(1)
    if not is_large(dq, n_beats):
        return np.concatenate([mask_risks(*mask, code) for mask in masks])
    if dq == "4":
        return np.full(DEVICES, 17 * 65535 / (2**32 - 1))  # as tested above for one device
    return np.asarray([oracle.risk(second_reading(code), *mask, device) for mask in masks for device in range(DEVICES)])


def is_large(dq: str, n_beats: int) -> bool:
    return int(dq[0]) * n_beats > 14


def tabulated(row: dict[str, str]) -> tuple[float, float, float]:
    """Return the risk across the halves, the share of masks across them, and the share of these with any bad error."""
    risk, across = float(row["p_where_both_halves_are_hit"]), float(row["share_of_masks_across_halves"])
    with_any = float(row["share_of_masks_with_any_uncorrectable_pattern"])
    return risk, across, with_any / across if across else with_any


@pytest.mark.parametrize("row", PATTERNS, ids=lambda row: f"{row['code'][:6]}-{row['dq']}-{row['beats']}")
def test_the_table_is_a_sample_of_all_masks(row):
    # Where coefficients are random, those of the table are others than ours: their spread comes in addition.
    risk, across, with_any = tabulated(row)
    random, n_beats = row["code"].startswith("random"), int(row["beats"])
    masks = [crosses(pins) for pins in PINS[row["dq"]]]
    assert abs(across - np.mean(masks)) <= SIGMAS * np.std(masks) / math.sqrt(TABULATED_MASKS)
    codes = [with_random_coefficients(16, seed) for seed in range(12)] if random else [LOCATOR_CODES["structured"](16)]
    p = np.asarray([risks_across(code, row["dq"], n_beats) for code in codes])
    shows = 1 - (1 - p) ** SAMPLES if is_large(row["dq"], n_beats) else (p > 0).astype(float)
    noise = p.mean() / SAMPLES if is_large(row["dq"], n_beats) else 0.0
    n_across = max(1, round(TABULATED_MASKS * across))
    for value, by_code, variance in (
        (risk, p, p.var(axis=1).mean() + noise),
        (with_any, shows, (shows.mean(axis=1) * (1 - shows.mean(axis=1))).mean()),
    ):
        between_codes = by_code.mean(axis=1).var(ddof=1) if random else 0.0
        assert abs(value - by_code.mean()) <= SIGMAS * math.sqrt(variance / n_across + between_codes) + 0.01 * value


def test_the_code_with_random_coefficients_is_one_of_many():
    for dq, n_beats in (("2 adjacent", 4), ("4", 2)):
        others = [risks_across(with_random_coefficients(16, seed), dq, n_beats).mean() for seed in range(12)]
        ours = risks_across(LOCATOR_CODES["random"](16), dq, n_beats).mean()
        assert abs(ours - np.mean(others)) < SIGMAS * np.std(others, ddof=1)


@cache
def classes(code: LocatorCode) -> dict[tuple[int, int, bool], tuple[float, float]]:
    return {row[:3]: row[3:] for row in risk_table(code)}


@pytest.mark.parametrize(("variant", "bits"), TABLES)
def test_the_risk_table_is_the_mean_over_the_masks_of_each_kind_by_null_spaces(variant, bits):
    code = LOCATOR_CODES[variant](bits)
    kinds = [(1, False), (2, False), (2, True), (3, True), (4, True)]
    rows = classes(code)
    assert sorted(rows) == sorted((n_dq, n_beats, across) for n_dq, across in kinds for n_beats in range(1, 9))
    for n_dq, sets in ((2, [0b0110]), (3, [0b0111, 0b1110]), (4, [0b1111])):
        for n_beats in (1, 2, 7) if n_dq == 2 else (1, 2):
            masks = [(pins, beats) for pins in sets for beats in beat_masks(n_beats)]
            risks = [oracle.risk(second_reading(code), *mask, device) for mask in masks for device in range(DEVICES)]
            expected = np.mean(risks), np.mean(np.asarray(risks) > 0)
            assert rows[n_dq, n_beats, True] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("variant", "bits"), TABLES)
def test_inside_one_half_nothing_is_lost_but_multiples_of_the_polynomial_of_12_bits(variant, bits):
    inside = {kind: risk for kind, (risk, _) in classes(LOCATOR_CODES[variant](bits)).items() if not kind[2]}
    assert any(inside.values()) == (bits == 12)
    assert inside[2, 8, False] == pytest.approx(15 / 65535 if bits == 12 else 0.0)


@pytest.mark.parametrize("variant", WHOLE)
def test_more_bits_of_the_locator_never_lose_more_of_a_class(variant):
    tables = [classes(LOCATOR_CODES[variant](bits)) for bits in (12, 16, 32)]
    for short, long in itertools.pairwise(tables):
        assert all(short[kind][0] >= long[kind][0] for kind in short)
        assert any(short[kind][0] > 2 * long[kind][0] > 0 for kind in short)


@pytest.mark.parametrize(("variant", "bits"), TABLES)
def test_fleets_read_the_risk_of_a_fault_from_its_class(variant, bits):
    rows = classes(LOCATOR_CODES[variant](bits))
    kinds = list(itertools.product((0b0001, 0b1100, 0b0110, 0b0111, 0b1110, 0b1111), (1, 0b1010, 0xFF)))
    made = faults_of(*({"n_dq": pins.bit_count(), "beats": beats} for pins, beats in kinds))
    made = made._replace(cells=made.cells._replace(pins=np.asarray([pins for pins, _ in kinds])))
    for tag in (made.tag, made.tag | WIDER):
        risk = read_risk(Seed.of(1), made._replace(tag=tag), Ecc("sddc_locator", locator_bits=bits, variant=variant))
        expected = [rows[pins.bit_count(), beats.bit_count(), crosses(pins)][0] for pins, beats in kinds]
        assert risk.p.tolist() == expected
        assert not risk.silent.any()


@pytest.mark.parametrize(("bits", "share"), [(12, 18 / 4096), (16, 18 / 65536), (32, 18 / 2**32)])
def test_two_devices_are_silent_as_often_as_they_look_like_one_of_18(bits, share):
    two = faults_of({"device": 0, "n_dq": 4}, {"device": 5, "n_dq": 4}).cells
    for code, expected in (("sddc_locator", share), ("sddc_table", 18 / 65536)):
        fails, silent = judge_pairs(code, two.take(np.asarray([0])), two.take(np.asarray([1])), bits)
        assert (fails.tolist(), silent.tolist()) == ([True], [expected])


@pytest.mark.parametrize("part", ["ddr4_8gb_x8", "ddr5_16gb_x4"])
def test_the_code_needs_18_devices_of_4_pins(part):
    with pytest.raises(ConfigError, match="sddc_locator"):
        Group(ecc=Ecc("sddc_locator"), server=Server(part=part))


@pytest.mark.parametrize("settings", [{"locator_bits": 14}, {"variant": "linear"}])
def test_other_locators_are_not_known(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        Ecc("sddc_locator", **settings)
