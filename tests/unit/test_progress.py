"""What is said of how far a run is, and when; the clock is the test's own."""

from types import SimpleNamespace

import pytest

import fleet.engines.local
from fleet.commands.progress import PERIOD_S, Headway, Lines, drawn_bar, shown_progress
from fleet.engines.choice import EngineChoice
from fleet.metrics import RunCollector
from fleet.progress import Committed, GivenUp, Kept, Reached, Retried
from fleet.run import resume_run, start_run
from fleet.stored.exported import IN_FLIGHT
from fleet.stored.manifest import COMMON_ARM, commit_path
from fleet.stored.plan import Shard
from node_sim.errors import TransientError
from tests.fleets import busy_fleet


def shard(nodes):
    return SimpleNamespace(shard=Shard(0, 0, nodes))


class Clock:
    """A clock that is set."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


def lines_of(events, *, always, nodes=1_000_000, end_s=None):
    """Tell events at their times [s]; the run ends with the last of them, or at a time."""
    clock = Clock()
    begun_s = clock.now_s
    shown = Lines(nodes, always=always, clock_s=clock, time_of_day=lambda: "12:03:10")
    for time_s, event in events:
        clock.now_s = begun_s + time_s
        shown.tell(event)
    clock.now_s = begun_s + (events[-1][0] if end_s is None else end_s)
    shown.end()


def test_a_line_says_what_the_requirement_shows():
    count = Headway(1_000_000)
    for event in (Committed(shard(400_000)), Retried(0), Committed(shard(20_000)), Retried(0)):
        count.add(event)
    assert count.line(8.2) == "420,000 of 1,000,000 nodes, 51,000/s, 11 s left, 2 retries"


@pytest.mark.parametrize(
    ("done", "passed_s", "line"),
    [
        (1, 10.0, "1 of 1,000 nodes, 0.1/s, 2.8 h left, 0 retries"),
        (99, 10.0, "99 of 1,000 nodes, 9.9/s, 91 s left, 0 retries"),
        (100, 60.0, "100 of 1,000 nodes, 1.7/s, 9 min left, 0 retries"),
        (1_000, 4_000.0, "1,000 of 1,000 nodes, 0.2/s, in 67 min, 0 retries"),
        (0, 10.0, "0 of 1,000 nodes, 0 retries"),
    ],
)
def test_rates_and_times_have_as_many_digits_as_are_read(done, passed_s, line):
    count = Headway(1_000)
    count.add(Committed(shard(done)))
    assert count.line(passed_s) == line


@pytest.mark.parametrize("step_s", [0.1, 1.0, 3.0, 9.99, 10.0, 25.0])
def test_lines_come_at_most_every_ten_seconds_and_at_the_end(step_s, capsys):
    n_events = 100
    lines_of([(step_s * n, Committed(shard(10_000))) for n in range(1, n_events + 1)], always=False)
    lines = capsys.readouterr().err.splitlines()
    seconds = n_events * step_s
    assert min(n_events, seconds / (PERIOD_S + step_s)) - 1 <= len(lines) <= seconds / PERIOD_S + 1
    assert len(lines) == len(set(lines))
    if seconds > PERIOD_S:
        assert lines[-1].startswith("12:03:10 1,000,000 of 1,000,000 nodes, ")


def test_a_run_of_ten_seconds_has_a_line_only_if_it_is_asked_for(capsys):
    events = [(PERIOD_S - 1, Committed(shard(1_000_000)))]
    lines_of(events, always=False, end_s=PERIOD_S)
    assert capsys.readouterr().err == ""
    lines_of(events, always=True, end_s=PERIOD_S)
    assert capsys.readouterr().err == "12:03:10 1,000,000 of 1,000,000 nodes, 100,000/s, in 10 s, 0 retries\n"
    lines_of(events, always=False, end_s=PERIOD_S + 1)
    assert capsys.readouterr().err.count("\n") == 1


def test_the_rate_is_of_nodes_done_since_the_process_began(capsys):
    lines_of([(0.1, Kept(shard(400_000)))] * 2 + [(20.0, Committed(shard(20_000)))], always=False)
    assert capsys.readouterr().err == "12:03:10 820,000 of 1,000,000 nodes, 1,000/s, 3 min left, 0 retries\n"


def test_what_was_committed_before_is_no_news(capsys):
    lines_of([(PERIOD_S + 5, Kept(shard(1_000_000)))], always=True)
    assert capsys.readouterr().err == ""


def test_a_retry_is_said_while_nothing_is_done(capsys):
    lines_of([(PERIOD_S, Retried(0))], always=False)
    assert capsys.readouterr().err == "12:03:10 0 of 1,000,000 nodes, 1 retry\n"


def test_a_bar_takes_its_time_left_from_nodes_done_since_the_process_began(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    clock = Clock()
    with drawn_bar(10_000_000, clock) as tell:
        for _ in range(3):
            tell(Kept(shard(3_000_000)))
        for _ in range(2):
            clock.now_s += 10
            tell(Committed(shard(100_000)))
        tell(Retried(0))
    last = capsys.readouterr().err
    assert "0:01:20" in last
    assert "9,200,000 nodes, 1 retry" in last


@pytest.mark.parametrize(("kind", "shown"), [("none", False), ("auto", False), ("plain", True), ("bar", True)])
def test_off_a_terminal_a_short_run_shows_only_what_is_asked_for(kind, shown, capsys):
    with shown_progress(kind, 100) as tell:
        tell(Committed(shard(100)))
    text = capsys.readouterr().err
    assert bool(text) == shown
    assert ("\x1b" in text) == (kind == "bar")


def test_without_standard_error_nothing_is_shown(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    for kind in ("auto", "bar", "plain", "none"):
        with shown_progress(kind, 100) as tell:
            tell(Committed(shard(100)))


def test_driver_and_exporter_learn_of_shards_and_of_those_tried_again(tmp_path, monkeypatch):
    simulate, failures = fleet.engines.local.simulate_shard, [TransientError("No space left on device")] * 2

    def failing_twice(job, one, tell):
        if failures:
            raise failures.pop()
        return simulate(job, one, tell)

    monkeypatch.setattr(fleet.engines.local, "simulate_shard", failing_twice)
    made, told = busy_fleet(60), []
    start_run(made, 1, tmp_path / "run", EngineChoice(workers=1), 20, told.append)
    assert [type(event) for event in told if not isinstance(event, Reached)] == [Retried] * 2 + [Committed] * 3
    collector = RunCollector(made.arms, tuple(group.name for group in made.groups), 3, 60, {})
    for event in told:
        collector.add(event)
    values = {sample.name: sample.value for family in collector.collect() for sample in family.samples}
    assert values["hwpoison_fleet_shard_retries_total"] == 2
    assert values["hwpoison_fleet_shards_committed"] == 3
    assert values["hwpoison_fleet_nodes_committed"] == 60
    (tmp_path / "run" / "run.json").unlink()
    (tmp_path / "run" / commit_path(1)).unlink()
    told.clear()
    resume_run(tmp_path / "run", EngineChoice(workers=1), told.append)
    assert [type(event) for event in told if not isinstance(event, Reached)] == [Kept, Kept, Committed]


def in_flight(collector):
    found = {sample.name: sample.value for family in collector.collect() for sample in family.samples}
    return tuple(found[f"hwpoison_fleet_{name}"] for name in IN_FLIGHT)


def test_blocks_of_shards_are_in_flight_until_they_are_committed(tmp_path):
    made, told, clock = busy_fleet(60), [], Clock()
    start_run(made, 1, tmp_path / "run", EngineChoice(workers=1), 30, told.append)
    collector = RunCollector(made.arms, tuple(group.name for group in made.groups), 2, 60, {}, clock)
    seen = []
    for event in told:
        clock.now_s += 1.0
        collector.add(event)
        seen.append(in_flight(collector))
    ends = [n for n, event in enumerate(told) if isinstance(event, Committed)]
    assert [seen[n] for n in ends] == [(0, 0, 0, 0.0)] * 2
    begins, before = [0, ends[0] + 1], [n - 1 for n in ends]
    assert [seen[n] for n in begins] == [(1, 0, 0, 0.0)] * 2
    for begin, last, end in zip(begins, before, ends, strict=True):
        stored = sum(part.rows for part in told[end].receipt.parts if part.arm == COMMON_ARM)
        assert seen[last][:2] == (1, 30)
        assert seen[last][2] >= stored > 0
        assert seen[last][3] == last - begin >= 2
        assert list(seen[begin:end]) == sorted(seen[begin:end])


def test_the_lag_is_of_the_oldest_attempt_and_what_failed_is_not_in_flight():
    clock = Clock()
    collector = RunCollector(("a",), ("g",), 3, 30, {}, clock)
    steps = [Reached(0, 0, 0), Reached(1, 0, 0), Reached(0, 5, 7), Retried(0), Reached(0, 0, 0), GivenUp(1), Retried(0)]
    seen = []
    for event in steps:
        collector.add(event)
        clock.now_s += 10.0
        seen.append(in_flight(collector))
    assert seen == [
        (1, 0, 0, 10),
        (2, 0, 0, 20),
        (2, 5, 7, 30),
        (1, 0, 0, 30),
        (2, 0, 0, 40),
        (1, 0, 0, 20),
        (0, 0, 0, 0),
    ]


def test_what_is_in_flight_says_no_line(capsys):
    lines_of(
        [(PERIOD_S, Reached(0, 0, 0)), (2 * PERIOD_S, Reached(0, 10, 10)), (3 * PERIOD_S, GivenUp(0))], always=True
    )
    assert capsys.readouterr().err == ""
