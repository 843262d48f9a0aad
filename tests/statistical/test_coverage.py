"""Do 95 % intervals have the truth in them 95 times of 100? Every estimator, on thousands of simulated fleets.

The truth is the estimate of all fleets together. Its own error is that of a fleet by the root of their number, a
thirtieth or less, which costs less than one interval of a thousand.
"""

import pytest

from tests.coverage import AT_LEAST, SIZES, measure, table

BLOCKS = 51
"""5,100 fleets of 2,000 and 1,020 of 10,000 nodes."""


@pytest.mark.long
def test_no_interval_of_any_estimator_is_shown_to_hold_the_truth_less_often_than_93_times_in_100(capsys):
    found = measure(BLOCKS, first_seed=5000)
    with capsys.disabled():
        print("", *table(found), sep="\n")
    assert {nodes for nodes, _ in found} == set(SIZES)
    assert all(one.fleets >= 1000 for (_, (kind, *_)), one in found.items() if kind == "difference")
    assert {key: one for key, one in found.items() if one.bound < AT_LEAST} == {}
