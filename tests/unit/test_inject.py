"""Single injections: every page, kernel and event ends with an answer that hangs together."""

from __future__ import annotations

import itertools

import pytest

from node_sim.errors import ConfigError
from node_sim.hwpoison.inject import ACCESSES, EVENTS, PAGES, RULES, inject
from node_sim.hwpoison.profiles import PROFILE_NAMES


@pytest.mark.parametrize("kernel", PROFILE_NAMES)
def test_every_step_names_a_rule_and_every_counted_line_is_in_the_statistics(kernel):
    for page, event in itertools.product(PAGES, EVENTS):
        found = inject(page, kernel_name=kernel, event=event, processes=("unset:handler",), then=ACCESSES)
        assert {step["rule"] for step in found["steps"]} <= set(RULES)
        assert found["statistics"].get("total", 0) == sum(
            count for name, count in found["statistics"].items() if name != "total"
        )
        assert (found["page_type"] is None) == (found["result"] is None)


def test_all_wrong_names_are_reported_at_once():
    with pytest.raises(ConfigError) as error:
        inject("nothing", kernel_name="5.4", event="boom", then=("jump",))
    assert [line.split(":")[0] for line in str(error.value).splitlines()] == [
        "--page nothing",
        "--kernel 5.4",
        "--event boom",
        "--then jump",
    ]


def test_a_process_must_have_a_known_policy_and_disposition():
    with pytest.raises(ConfigError, match=r"--process sooner:never: expected POLICY\[:DISPOSITION\]"):
        inject("anonymous", processes=("sooner:never",))


def test_recovery_off_panics_with_the_kernels_text():
    found = inject("anonymous", recovery=False)
    assert found["panic"] == "Kernel panic - not syncing: Memory failure on page 1234"
    assert inject("anonymous", recovery=False, kernel_name="3.10")["panic"].endswith("from trap 18 on page 1234")


@pytest.mark.parametrize("disposition", ["default", "blocked", "ignored"])
def test_a_forced_signal_kills_whoever_does_not_handle_it(disposition):
    found = inject("anonymous", event="ar", processes=(f"late:{disposition}",), then=("read",))
    assert found["later"] == [{"what": "read", "answer": "process is dead"}]


def test_madvise_is_an_action_required_event_since_6_11():
    codes = {
        kernel: [
            got["code"]
            for got in inject("anonymous", kernel_name=kernel, event="madvise", processes=("late:handler",))["signals"]
        ]
        for kernel in ("6.1", "6.12", "7.1")
    }
    assert codes == {"6.1": [], "6.12": ["BUS_MCEERR_AR"], "7.1": ["BUS_MCEERR_AR"]}


def test_an_io_error_reaches_every_descriptor_since_4_13_and_one_before():
    once = inject("file-dirty-unmapped", kernel_name="3.10", then=("fsync", "fsync"))["later"]
    assert [entry["answer"] for entry in once] == ["EIO", "0"]
