"""Records of the firmware and of AMD processors against a second reading of sections 10.4 and 11.1 and of amd.c."""

from __future__ import annotations

import itertools

import pytest

from node_sim.machine_check.exception import Arrival, amd_deferred, amd_exception, has_physical_address
from node_sim.machine_check.firmware import Cper, Taken, take_record
from node_sim.machine_check.severity import Bank, Context

PROFILES = ("2.6.32", "3.10", "4.18", "5.10", "6.1", "6.12", "7.1")
VAL, UC, EN, ADDRV, PADDRV, DEFERRED, POISON = (1 << bit for bit in (63, 61, 60, 58, 54, 44, 43))
RIPV, EIPV, MCIP = 1, 2, 4
SOFT_OFFLINE_SINCE = PROFILES.index("4.18")
"""3.11 to 3.14."""


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("severity", Cper)
def test_a_record_of_the_firmware_does_what_the_table_says(severity, profile):
    for exceeded, configured in itertools.product((False, True), repeat=2):
        expected = Taken()
        if severity is Cper.FATAL:
            expected = Taken(panic="Fatal hardware error")
        elif configured and profile != "2.6.32" and severity is Cper.RECOVERABLE:
            expected = Taken(calls_handler=True)
        elif configured and exceeded and severity is Cper.CORRECTED:
            expected = Taken(soft_offline=PROFILES.index(profile) >= SOFT_OFFLINE_SINCE)
        assert take_record(severity, profile, threshold_exceeded=exceeded, memory_failure=configured) == expected


USABLE = {
    # profile: by ADDRV alone, with POISON, with PADDRV
    "2.6.32": (True, True, True),
    "3.10": (True, True, True),
    "4.18": (True, True, True),
    "5.10": (True, True, True),
    "6.1": (True, True, True),
    "6.12": (False, True, False),
    "7.1": (False, True, True),
}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_address_of_an_amd_record_is_usable_as_that_kernel_checks_it(profile):
    found = tuple(has_physical_address(Bank(VAL | ADDRV | bit), profile) for bit in (0, POISON, PADDRV))
    assert found == USABLE[profile]
    assert not any(has_physical_address(Bank(VAL | bit), profile) for bit in (0, POISON, PADDRV))


READ = Bank(VAL | UC | EN | ADDRV | POISON, mcgstatus=RIPV | EIPV | MCIP)
AR = Arrival(calls_handler=True, action_required=True)


def seen(arrival):
    return arrival._replace(notes="")


def amd(bank, context, profile, **how):
    return seen(amd_exception(bank, context, profile, **{"succor": True, "overflow_recovery": True, **how}))


@pytest.mark.parametrize("profile", PROFILES[2:])
def test_a_read_of_a_user_task_is_handled_for_that_task(profile):
    assert amd(READ, Context.USER, profile) == AR


@pytest.mark.parametrize("profile", PROFILES)
def test_without_succor_only_kernels_that_do_not_know_it_survive(profile):
    panics = amd(READ, Context.USER, profile, succor=False).panic is not None
    assert panics is (profile not in ("2.6.32", "3.10"))


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("4.18", Arrival(panic="Fatal local machine check")),
        ("5.10", AR._replace(signals_task=True)),
        ("6.1", Arrival(calls_handler=True, copied=True)),
        ("7.1", Arrival(calls_handler=True, copied=True)),
    ],
)
def test_a_copy_from_user_is_survived_as_on_intel(profile, expected):
    assert amd(READ, Context.COPYIN, profile) == expected


@pytest.mark.parametrize("profile", PROFILES[2:])
def test_a_read_without_usable_address_is_a_plain_signal_where_the_kernel_checks(profile):
    nameless = Bank(READ.status & ~(ADDRV | POISON), mcgstatus=READ.mcgstatus)
    expected = Arrival(plain_sigbus=True) if profile in ("6.12", "7.1") else AR
    assert amd(nameless, Context.USER, profile) == expected


@pytest.mark.parametrize("profile", PROFILES[2:])
def test_an_exception_for_a_deferred_or_corrected_error_is_left_to_the_poller(profile):
    for status in (VAL | EN | ADDRV, VAL | EN | ADDRV | DEFERRED):
        assert amd(Bank(status), Context.USER, profile) == Arrival()


@pytest.mark.parametrize("profile", PROFILES)
def test_a_corrected_error_never_reaches_the_handler(profile):
    for interrupt in (False, True):
        assert not amd_deferred(Bank(VAL | EN | ADDRV | PADDRV), profile, interrupt=interrupt).calls_handler


@pytest.mark.parametrize("profile", PROFILES)
def test_a_deferred_error_whose_page_is_known_is_acted_on_by_the_poller_and_lately_by_interrupt(profile):
    record = Bank(VAL | EN | ADDRV | PADDRV | POISON | DEFERRED)
    polled, interrupt = (amd_deferred(record, profile, interrupt=how).calls_handler for how in (False, True))
    assert polled is (profile in ("5.10", "6.1", "6.12", "7.1"))
    assert interrupt is (profile == "7.1")
