"""The severity of a machine-check record against a second reading of the rules, on every combination that matters."""

from __future__ import annotations

import itertools
from collections import Counter
from functools import cache
from typing import NamedTuple

import pytest

from node_sim.machine_check.severity import INTEL_ROWS, Bank, Context, Level, amd_severity, intel_severity
from tests.oracle import severity as oracle

VAL, OVER, UC, EN = 1 << 63, 1 << 62, 1 << 61, 1 << 60
MISCV, ADDRV, PCC, S, AR = 1 << 59, 1 << 58, 1 << 57, 1 << 56, 1 << 55
TCC, DEFERRED = 1 << 55, 1 << 44
STATUS_BITS = {
    "VAL": VAL,
    "OVER": OVER,
    "UC": UC,
    "EN": EN,
    "MISCV": MISCV,
    "ADDRV": ADDRV,
    "PCC": PCC,
    "S": S,
    "AR": AR,
}
RIPV, EIPV, MCIP = 1, 2, 4
MCG_BITS = {"RIPV": RIPV, "EIPV": EIPV, "MCIP": MCIP}
FILTERED = 1 << 12
"""The bit of MCACOD that says that corrected reports were filtered."""

GENERIC, SCRUB, LAST_SCRUB, WRITEBACK = 0x0090, 0x00C0, 0x00CF, 0x017A
LOAD, FETCH, CACHE = 0x0134, 0x0150, 0x0100
SIGNATURE = 0x0010 << 16 | SCRUB
CODES = {
    GENERIC: "generic",
    SCRUB: "scrub",
    LAST_SCRUB: "last scrub code",
    WRITEBACK: "L3 writeback",
    LOAD: "data load",
    FETCH: "instruction fetch",
    CACHE: "cache, generic",
    SIGNATURE: "patrol signature",
}
EVERYWHERE = (Context.USER, Context.KERNEL)
CONSUMERS = (Context.RECOVERABLE, Context.COPYIN, Context.SEAM)
"""Places that only a record with UC, S and AR can tell from the kernel."""


class Mode(NamedTuple):
    """How a record is asked for."""

    exception: bool
    ser: bool
    memory_failure: bool

    def in_words(self) -> str:
        return ", ".join(
            (
                "exception" if self.exception else "polled",
                "SER" if self.ser else "no SER",
                "CONFIG_MEMORY_FAILURE" if self.memory_failure else "no CONFIG_MEMORY_FAILURE",
            )
        )


class Difference(NamedTuple):
    """One combination on which the two readings disagree."""

    words: str
    found: object
    expected: object


class Result(NamedTuple):
    """What a comparison found."""

    compared: int
    differences: list[Difference]
    keys: frozenset[str]


def combinations(bits: tuple[int, ...]) -> list[int]:
    return [sum(chosen) for n in range(len(bits) + 1) for chosen in itertools.combinations(bits, n)]


def names(value: int, bits: dict[str, int]) -> str:
    return "+".join(name for name, bit in bits.items() if value & bit) or "none"


def in_words(profile: str, context: Context, bank: Bank, patrol: bool, how: str) -> str:
    code = bank.status & 0xFFFFFFFF
    words = f"{profile} {context.name}: {names(bank.status, STATUS_BITS)}, {CODES.get(code, hex(code))}, "
    return words + f"MCG {names(bank.mcgstatus, MCG_BITS)}, {how}" + (", patrol bank" if patrol else "")


def modes(profile: str) -> list[Mode]:
    asked = [Mode(True, True, True), Mode(True, False, True), Mode(True, True, False)]
    if profile in oracle.POLLED_GRADING:
        asked += [Mode(False, True, True), Mode(False, False, True)]
    return asked


@cache
def domain() -> tuple[tuple[Bank, bool], ...]:
    """All records, and whether their bank reports patrol scrubs; every code only where a code can matter.

    An invalid record is asked for with one code, one with a corrupt context with two: rules that come before any that
    looks at a code decide them.
    """
    plain = [(code, False) for code in CODES]
    all_codes = [*plain, (SIGNATURE, True), (SCRUB, True)]
    records = []
    for status in combinations(tuple(STATUS_BITS.values())):
        if not status & VAL:
            codes = [(LOAD, False)]
        elif status & PCC:
            codes = [(LOAD, False), (GENERIC, False)]
        else:
            codes = all_codes
        for (code, patrol), mcgstatus in itertools.product(codes, combinations(tuple(MCG_BITS.values()))):
            records.append((Bank(status=status | code, mcgstatus=mcgstatus), patrol))
    return tuple(records)


@cache
def consumed() -> tuple[tuple[Bank, bool], ...]:
    return tuple(
        (bank, patrol) for bank, patrol in domain() if bank.status & UC and bank.status & S and bank.status & AR
    )


@cache
def compare(profile: str) -> Result:
    compared, differences, keys = 0, [], set()
    for mode, context in itertools.product(modes(profile), Context):
        place = context.value
        asked = domain() if context in EVERYWHERE else consumed()
        for bank, patrol in asked:
            expected = oracle.intel(
                bank.status,
                bank.mcgstatus,
                place,
                profile,
                exception=mode.exception,
                ser=mode.ser,
                memory_failure=mode.memory_failure,
                patrol_signature_bank=patrol,
            )
            grade = intel_severity(
                bank,
                context,
                profile,
                exception=mode.exception,
                ser=mode.ser,
                memory_failure=mode.memory_failure,
                patrol_signature_bank=patrol,
            )
            found = grade.level.name, grade.key
            keys.add(found[1])
            if found != expected:
                words = in_words(profile, context, bank, patrol, mode.in_words())
                differences.append(Difference(words, found, expected))
        compared += len(asked)
    return Result(compared, differences, frozenset(keys))


def agree(differences: list[Difference], compared: int) -> None:
    """Fail with the first combination of each kind of difference."""
    kinds = Counter((found, expected) for _, found, expected in differences)
    first = {(found, expected): words for words, found, expected in reversed(differences)}
    lines = [
        f"{number} times {found} where the second reading says {expected}, first: {first[found, expected]}"
        for (found, expected), number in kinds.most_common(10)
    ]
    assert not lines, f"{len(differences)} of {compared} combinations differ\n" + "\n".join(lines)


def graded(status: int, context: Context, profile: str, mcgstatus: int = RIPV | EIPV | MCIP, **how: bool) -> tuple:
    grade = intel_severity(Bank(status=status, mcgstatus=mcgstatus), context, profile, **how)
    return grade.level.name, grade.key


@pytest.mark.parametrize("profile", oracle.PROFILES)
def test_every_combination_of_bits_is_graded_as_the_second_reading_says(profile):
    result = compare(profile)
    print(f"{profile}: {result.compared} combinations")
    agree(result.differences, result.compared)


def test_the_domain_covers_every_combination_of_bits():
    valid, corrupt, rest = 2**8 * 1, 2**7 * 2, 2**7 * 10
    records = 8 * (valid + corrupt + rest)
    assert len(domain()) == records
    assert len(consumed()) == records // 8
    total = sum(len(modes(profile)) for profile in oracle.PROFILES) * (2 * records + 3 * records // 8)
    print(f"{total} combinations")
    assert total == 1_055_488


def test_contexts_are_the_words_of_the_second_reading():
    assert [context.value for context in (*EVERYWHERE, *CONSUMERS)] == list(oracle.CONTEXTS)
    assert len(Context) == len(oracle.CONTEXTS)


def test_levels_are_the_nine_of_the_kernel():
    assert {level.name for level in Level} == {"NO", "UCNA", "DEFERRED", "KEEP", "SOME", "AO", "UC", "AR", "PANIC"}


def test_every_rule_decides_some_combination_in_some_kernel():
    decided = frozenset().union(*(compare(profile).keys for profile in oracle.PROFILES))
    assert decided == frozenset(oracle.KEYS)


def test_the_table_of_rules_has_exactly_the_keys_that_can_decide():
    assert {row.key for row in INTEL_ROWS} == set(oracle.KEYS)


@pytest.mark.parametrize("profile", oracle.PROFILES)
def test_the_tolerant_knob_changes_grades_only_where_the_second_reading_says(profile):
    compared, differences = 0, []
    statuses = [VAL | EN | bits for bits in combinations((OVER, UC, MISCV, ADDRV, S, AR))]
    asked = itertools.product(statuses, (LOAD, GENERIC), range(8), Context, (False, True), (0, 1, 3))
    for status, code, mcgstatus, context, ser, tolerant in asked:
        bank = Bank(status=status | code, mcgstatus=mcgstatus)
        how = {"exception": True, "ser": ser, "memory_failure": True, "tolerant": tolerant}
        expected = oracle.intel(bank.status, mcgstatus, context.value, profile, **how)
        grade = intel_severity(bank, context, profile, **how)
        compared += 1
        if (found := (grade.level.name, grade.key)) != expected:
            words = in_words(profile, context, bank, False, f"{'SER' if ser else 'no SER'}, tolerant={tolerant}")
            differences.append(Difference(words, found, expected))
    print(f"{profile}: {compared} combinations")
    agree(differences, compared)


@pytest.mark.parametrize("profile", oracle.PROFILES)
def test_the_filter_bit_of_the_code_makes_no_difference(profile):
    statuses = [VAL | EN | bits for bits in combinations((OVER, UC, MISCV, ADDRV, S, AR))]
    for status, code, context in itertools.product(statuses, CODES, EVERYWHERE):
        plain, filtered = graded(status | code, context, profile), graded(status | code | FILTERED, context, profile)
        assert plain == filtered, in_words(profile, context, Bank(status=status | code | FILTERED), False, "exception")


@pytest.mark.parametrize("profile", oracle.PROFILES)
def test_defaults_are_an_exception_with_recovery_in_a_kernel_with_the_handler(profile):
    for status, code in itertools.product(combinations((VAL, EN, UC, MISCV | ADDRV, S, AR)), (LOAD, SIGNATURE)):
        how = {"exception": True, "ser": True, "memory_failure": True, "patrol_signature_bank": False, "tolerant": 1}
        assert graded(status | code, Context.USER, profile) == graded(status | code, Context.USER, profile, **how)


USER_LOAD = VAL | UC | EN | MISCV | ADDRV | S | AR | LOAD


@pytest.mark.parametrize(
    ("profile", "context", "expected"),
    [
        ("2.6.32", Context.USER, ("PANIC", "ar unknown mcacod")),
        ("3.10", Context.USER, ("AR", "user load")),
        ("3.10", Context.KERNEL, ("PANIC", "ar unknown mcacod")),
        ("4.18", Context.RECOVERABLE, ("AR", "recoverable area")),
        ("4.18", Context.COPYIN, ("PANIC", "kernel load")),
        ("5.10", Context.COPYIN, ("AR", "recoverable area")),
        ("6.1", Context.SEAM, ("PANIC", "kernel load")),
        ("6.12", Context.SEAM, ("AR", "seam")),
        ("7.1", Context.KERNEL, ("PANIC", "kernel load")),
    ],
)
def test_a_consumed_load_is_recovered_where_that_kernel_learnt_to(profile, context, expected):
    assert graded(USER_LOAD, context, profile) == expected


AMD_BITS = {"OVER": OVER, "UC": UC, "PCC": PCC, "TCC": TCC, "DEFERRED": DEFERRED}
AMD_CONTEXTS = (Context.USER, Context.KERNEL, Context.RECOVERABLE, Context.COPYIN)


@pytest.mark.parametrize("profile", oracle.PROFILES)
def test_every_record_of_an_amd_processor_is_graded_as_the_second_reading_says(profile):
    compared, differences = 0, []
    bits = combinations(tuple(AMD_BITS.values()))
    flags = itertools.product((False, True), repeat=3)
    for status, context, (overflow_recovery, succor, smca) in itertools.product(bits, AMD_CONTEXTS, flags):
        bank = Bank(status=VAL | EN | status, mcgstatus=RIPV | EIPV | MCIP)
        cpu = {"overflow_recovery": overflow_recovery, "succor": succor, "smca": smca}
        expected = oracle.amd(
            bank.status, context.value, profile, **cpu, tcc=bool(status & TCC), mcgstatus=bank.mcgstatus
        )
        answer = amd_severity(bank, context, profile, **cpu)
        found = getattr(answer, "level", answer).name
        compared += 1
        if found != expected:
            features = "+".join(name for name, has in cpu.items() if has) or "no feature"
            words = f"{profile} {context.name}: {names(status, AMD_BITS)}, {features}"
            differences.append(Difference(words, found, expected))
    print(f"{profile}: {compared} combinations")
    assert compared == 2**5 * 4 * 2**3
    agree(differences, compared)
