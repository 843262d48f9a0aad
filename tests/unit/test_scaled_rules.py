"""Alert rules at other speeds: windows divided, never below four scrapes, and what was stretched is said."""

import re

import pytest
import yaml

from fleet.commands.scaled_rules import scaled_rules, scrape_interval_s
from tests.deployed import DEPLOY

RULES = (DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)([a-z]+)", text).groups()
    return int(number) * SECONDS[unit]


def by_name(text):
    groups = yaml.safe_load(text)["groups"]
    return {rule["alert"]: rule | {"interval": group.get("interval")} for group in groups for rule in group["rules"]}


def windows(rule):
    """All durations of a rule in Prometheus' own time, offsets aside."""
    waits = [rule[key] for key in ("for", "keep_firing_for") if key in rule]
    return [seconds(text) for text in [*re.findall(r"\[(\w+)\]", rule["expr"]), *waits]]


def offsets(rule):
    return [seconds(text) for text in re.findall(r"offset (\w+)", rule["expr"])]


def uptimes(rule):
    return [int(text) for text in re.findall(r"node_boot_time_seconds < (\d+)", rule["expr"])]


@pytest.mark.parametrize("speed", [2, 7, 60, 240, 3600, 86_400.5, 1e6])
@pytest.mark.parametrize("scrape_s", [5, 15])
def test_windows_are_divided_but_hold_four_scrapes(speed, scrape_s):
    before, after = by_name(RULES), by_name(scaled_rules(RULES, speed, scrape_s))
    assert before.keys() == after.keys()
    for name, rule in before.items():
        for old, new in zip(windows(rule), windows(after[name]), strict=True):
            assert new == pytest.approx(max(old / speed, 4 * scrape_s), abs=0.001)
            assert new >= 4 * scrape_s


def test_at_60_they_are_these():
    rules = by_name(scaled_rules(RULES, 60, 5))
    assert "increase(node_edac_correctable_errors_total[1m]) >= 100" in rules["HostMemoryCorrectedErrorBurst"]["expr"]
    assert rules["HostMemoryCorrectedErrorBurst"]["keep_firing_for"] == "24m"
    growth = rules["HostMemoryCorrectedErrorGrowth"]
    assert re.findall(r"\[(\w+)\](?: offset (\w+))?", growth["expr"]) == [("24m", ""), ("24m", "24m"), ("24m", "48m")]
    assert growth["interval"] == "5s"
    assert rules["HostEdacSilent"]["for"] == "20s"
    assert all(uptime == 3600 for rule in rules.values() for uptime in uptimes(rule))


@pytest.mark.parametrize("speed", [60, 3600, 86_400])
def test_windows_that_follow_each_other_still_do(speed):
    rule = by_name(scaled_rules(RULES, speed, 15))["HostMemoryCorrectedErrorGrowth"]
    (window, *more), (second, third) = windows(rule)[:3], offsets(rule)
    assert [window] * 2 == more
    assert (second, third) == (window, 2 * window)


def test_where_a_window_is_stretched_the_clock_of_hosts_the_text_and_a_comment_say_so():
    text = scaled_rules(RULES, 3600, 15)
    rules = by_name(text)
    head = text.split("groups:")[0]
    assert "# HostMemoryUncorrectedError: 1h cannot be cut below 4 scrapes, 60h of the fleet." in head
    assert "# HostMemoryCorrectedErrorGrowth: 1d cannot be cut below 4 scrapes, 60h of the fleet." in head
    assert "# HostEdacSilent: 15m cannot be cut below 4 scrapes, 60h of the fleet." in head
    for rule in rules.values():
        assert all(uptime == 60 * 3600 for uptime in uptimes(rule))
        assert "60h" in rule["annotations"]["description"]
        assert not re.search(r"\b1[hd]\b|\b15m\b", rule["annotations"]["description"])


def test_what_is_not_stretched_is_not_spoken_of():
    text = scaled_rules(RULES, 60, 15)
    assert [line for line in text.splitlines() if "cannot be cut" in line] == [
        "# HostEdacSilent: 15m cannot be cut below 4 scrapes, 1h of the fleet."
    ]
    for name, rule in by_name(text).items():
        if name != "HostEdacSilent":
            assert rule["annotations"] == by_name(RULES)[name]["annotations"]


def test_thresholds_labels_and_comments_stay():
    masked = re.compile(r"(?<=\[)\w+(?=\])|(?<=offset )\w+|(?<=for: )\w+|(?<=interval: )\w+|(?<=for )(?:15|20)m")
    after = scaled_rules(RULES, 60, 5)
    assert masked.sub("", after).endswith(masked.sub("", RULES))


def test_the_interval_of_scrapes_is_that_of_the_configuration():
    assert scrape_interval_s("global:\n  scrape_interval: 15s\n  scrape_timeout: 5s\n") == 15
    assert scrape_interval_s("global:\n  scrape_interval: 1m\n") == 60
    assert scrape_interval_s((DEPLOY / "prometheus" / "config" / "serve.yml").read_text()) == 15
