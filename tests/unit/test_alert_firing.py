"""The state machine of alerts against one that goes step by step, as Prometheus does; times to warn by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analysis.alerts.answers import spans
from analysis.alerts.firing import Firing, firings, merged


def step_by_step(present, hold, keep):
    """Whether an alert fires at each step: states of rules/alerting.go, one alert, times in steps."""
    state, active_at, kept_since, fires = "inactive", 0, None, []
    for now, is_there in enumerate(present):
        if is_there:
            kept_since = None
            if state == "inactive":
                state, active_at = "pending", now
        else:
            going_on = False
            if state == "firing" and keep > 0:
                kept_since = now if kept_since is None else kept_since
                going_on = now - kept_since < keep
            if not going_on:
                state = "inactive"
        if state == "pending" and now - active_at >= hold:
            state = "firing"
        fires.append(state == "firing")
    return fires


def spans_of(present):
    found = []
    for now, is_there in enumerate(present):
        if is_there and found and found[-1][1] == now - 1:
            found[-1] = (found[-1][0], now)
        elif is_there:
            found.append((now, now))
    return found


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 6), st.integers(0, 6))
def test_alerts_fire_when_those_of_prometheus_do(present, hold, keep):
    fires = [False] * len(present)
    for one in firings(spans_of(present), hold, keep, len(present)):
        assert one.start < one.end
        for now in range(one.start, one.end):
            fires[now] = True
    assert fires == step_by_step(present, hold, keep)


def test_an_alert_fires_once_it_has_been_pending_for_so_long_and_not_a_step_earlier():
    assert firings([(3, 7)], 5, 0, 20) == []
    assert firings([(3, 8)], 5, 0, 20) == [Firing(8, 9)]
    assert firings([(3, 9), (12, 30)], 5, 0, 31) == [Firing(8, 10), Firing(17, 31)]


def test_an_alert_goes_on_for_so_long_and_an_answer_at_its_last_step_is_the_same_alert():
    assert firings([(1, 2)], 0, 3, 20) == [Firing(1, 6)]
    assert firings([(1, 2), (6, 6)], 0, 3, 20) == [Firing(1, 10)]
    assert firings([(1, 2), (7, 7)], 0, 3, 20) == [Firing(1, 6), Firing(7, 11)]
    assert firings([(1, 2)], 0, 30, 20) == [Firing(1, 20)]


def test_alerts_of_a_host_that_overlap_or_touch_are_one_episode():
    assert merged([Firing(5, 7), Firing(1, 3), Firing(3, 4), Firing(6, 9)]) == [Firing(1, 4), Firing(5, 9)]


def test_an_answer_stays_until_the_next_evaluation_and_others_say_nothing():
    assert spans(np.asarray([0, 10, 20, 30]), np.asarray([10, 20, 15, 99], np.int64), 50) == [(10, 29)]
    assert spans(np.asarray([0, 10, 20, 30]), np.asarray([30, 0], np.int64), 50) == [(0, 9), (30, 49)]
    assert spans(np.asarray([0, 10]), np.asarray([], np.int64), 50) == []
