"""What an expression looks at: series, windows, offsets, clocks, and what cannot be judged host by host."""

import pytest

from analysis.alerts.expression import duration_ns, reach_of
from node_sim.units import NS_PER_DAY, NS_PER_HOUR, NS_PER_S

CE = "node_edac_correctable_errors_total"


def seconds(times):
    return [one / NS_PER_S for one in times]


@pytest.mark.parametrize(
    ("text", "s"),
    [("5m", 300), ("1h30m", 5400), ("1d", 86_400), ("2w", 1_209_600), ("1y", 31_536_000), ("250ms", 0.25)],
)
def test_durations_are_those_of_prometheus(text, s):
    assert duration_ns(text) == s * NS_PER_S


@pytest.mark.parametrize(
    ("expression", "names", "windows_s", "offsets_s"),
    [
        ('increase(node_edac_correctable_errors_total{job="a [9d] or b"}[1m]) > 0', {CE}, [60], [0]),
        ("a > 0 and on (instance, job) increase(b[1d] offset 2d) >= 10", {"a", "b"}, [86_400], [0, 172_800]),
        ("sum without (controller) (max_over_time(a:b[1d])) > 1e+06", {"a:b"}, [86_400], [0]),
        ("a unless ignoring (x) b * on (instance) group_left (release) c", {"a", "b", "c"}, [], [0]),
        ("node_load1 > 0x1f or vector(1) == bool 2", {"node_load1"}, [], [0]),
    ],
)  # fmt: skip
def test_series_windows_and_offsets_are_found(expression, names, windows_s, offsets_s):
    found = reach_of(expression)
    assert found.names == names
    assert seconds(found.windows_ns) == windows_s
    assert seconds(found.offsets_ns) == offsets_s
    assert not found.dense
    assert not found.refused


def test_a_clock_may_change_the_answer_so_long_after_a_boot_as_a_number_or_a_product_says():
    found = reach_of("node_time_seconds - node_boot_time_seconds < 24 * 3600")
    assert {24 * NS_PER_S, NS_PER_HOUR, NS_PER_DAY} <= set(found.clocks_ns)
    assert reach_of("node_boot_time_seconds < 3600").clocks_ns == ()
    assert NS_PER_HOUR in reach_of("time() - node_boot_time_seconds < 3600").clocks_ns


@pytest.mark.parametrize(
    "expression",
    [
        "time() - node_boot_time_seconds > 7 * 24 * 60 * 60",
        "(time() - node_boot_time_seconds) / 60 / 60 / 24 > 7",
        "time() - node_boot_time_seconds > 14 * 24 * 3600 / 2",
        "(time() - node_boot_time_seconds) / (24 * 60 * 60) > 7",
    ],
)
def test_chains_of_products_and_quotients_are_times_since_a_boot(expression):
    assert 7 * NS_PER_DAY in reach_of(expression).clocks_ns


@pytest.mark.parametrize(
    "expression",
    ["avg_over_time(a[1h]) > 1", "max_over_time(a[1d:5m]) > 1", "predict_linear(a[1h], 60) > 1", "irate(a[5m]) > 0"],
)
def test_functions_that_weigh_samples_need_all_of_them(expression):
    assert reach_of(expression).dense


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("absent(a)", "absent() names no instance"),
        ("node_time_seconds % 86400 < 3600", "% of a clock changes with the time of day"),
        ("a * (time() % 86400) < 3600", "% of a clock changes with the time of day"),
        ("sum(a) > 1", "it aggregates over instances"),
        ("sum by (job) (a) > 1", "it aggregates over instances"),
        ("max without (instance) (a) > 1", "it aggregates over instances"),
        ("a > 0 and on (job) hour() > 5", "hour() changes with the time of day"),
        ("a offset -5m > 1", "a negative offset looks ahead"),
        ("a @ 1600000000.000 > 1", "@ looks at a fixed time"),
        ("max by (instance, job) (a) > 1", ""),
        ("sum without (controller) (a) > 1", ""),
    ],
)
def test_rules_that_cannot_be_judged_host_by_host_say_why(expression, why):
    assert reach_of(expression).refused == why


def test_a_match_of_names_stands_for_all_series():
    assert reach_of('{__name__=~"node_edac_.*"} > 0').names == frozenset()
