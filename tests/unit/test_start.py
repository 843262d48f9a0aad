"""The start of a scenario dates the rows and changes none."""

import pytest

from fleet.run import is_planned
from fleet.scenario.decode import decode
from fleet.scenario.overrides import load_fleet
from fleet.scenario.start import start_complaint, start_utc
from fleet.stored.store import open_store
from node_sim.errors import ConfigError
from tests.fleets import busy_document, run_fleet


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2025-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
        ("2024-06-01 12:00:00.5+02:00", "2024-06-01T10:00:00.500000Z"),
        ("2024-12-31t23:30:00-01:00", "2025-01-01T00:30:00Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
    ],
)
def test_a_start_is_kept_in_utc(text, utc):
    assert start_complaint(text) is None
    assert start_utc(text) == utc


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2025",
        "2025-01-01",
        "2025-01-01T00:00:00",
        "2025-02-30T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "2150-01-01T00:00:00Z",
        "2025-01-01T00:00:00.1234567Z",
        "2025-01-01T25:00:00Z",
        "٢٠٢٥-01-01T00:00:00Z",
    ],
)
def test_what_is_no_start_is_refused_with_what_is_expected(text):
    with pytest.raises(ConfigError, match=r"test: start = '.*', expected a time from 1970 to 2149 with its zone"):
        decode("test", busy_document(10) | {"start": text})


def test_on_the_command_line_a_date_needs_no_quotes():
    fleet = load_fleet("baseline", {}, ("start=2024-02-29T00:00:00Z",), (), ())
    assert fleet.start == "2024-02-29T00:00:00Z"
    assert load_fleet("baseline", {}, (), (), ()).start == "2025-01-01T00:00:00Z"


def test_rows_and_the_hash_that_decides_them_do_not_know_the_start(tmp_path):
    early, late = (decode("test", busy_document(20) | {"start": f"{year}-01-01T00:00:00Z"}) for year in (1990, 2040))
    assert early.sha256() == late.sha256() == decode("test", busy_document(20)).sha256()
    manifests = [run_fleet(fleet, tmp_path / fleet.start[:4]) for fleet in (early, late)]
    assert manifests[0]["digests"] == manifests[1]["digests"]
    assert is_planned(open_store(tmp_path / "1990"), early)
    with pytest.raises(ConfigError, match="start 1990-01-01T00:00:00Z instead of 2040-01-01T00:00:00Z"):
        is_planned(open_store(tmp_path / "1990"), late)
