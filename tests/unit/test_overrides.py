"""Values of the command line: words stay words, numbers become numbers."""

from __future__ import annotations

import pytest

from fleet.scenario import parse_value


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("kernel.profile", "3.10", "3.10"),
        ("group.x.kernel.profile", '"6.1"', "6.1"),
        ("faults.site", "denver", "denver"),
        ("ecc.ecs_threshold", "1024", 1024),
        ("faults.fit_factor", "3.10", 3.1),
        ("repair.replace_ecs", "true", True),
    ],
)
def test_a_value_is_a_word_where_its_setting_is_one(key, text, value):
    found = parse_value(key, text)
    assert (found, type(found)) == (value, type(value))
