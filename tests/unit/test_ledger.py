"""Which shards are tried again, how often, and in which order."""

import pytest

from fleet.engines.ledger import ATTEMPTS_MAX, Ledger, LostError
from fleet.progress import GivenUp, Reached, Retried
from fleet.stored.plan import Shard
from node_sim.errors import ExecutionError, TransientError

SHARDS = [Shard(number, 10 * number, 10) for number in range(4)]
LOST, FULL = LostError("its worker was lost"), TransientError("No space left on device")


def test_a_shard_that_failed_is_tried_after_all_others():
    ledger = Ledger(SHARDS)
    ledger.retry(ledger.take(), LOST)
    order = []
    while ledger.is_open():
        order.append(ledger.take())
        ledger.finish(order[-1])
    assert order == [*SHARDS[1:], SHARDS[0]]
    ledger.raise_first()


def test_a_ledger_is_open_while_a_shard_is_in_work():
    ledger = Ledger(SHARDS[:1])
    shard = ledger.take()
    assert ledger.is_open()
    assert not ledger.has_more()
    ledger.finish(shard)
    assert not ledger.is_open()


def test_lost_workers_do_not_count_while_others_are_finished():
    shards = [Shard(number, number, 1) for number in range(3 * ATTEMPTS_MAX)]
    ledger = Ledger(shards)
    unlucky, *others = [ledger.take() for _ in shards]
    for other in others:
        ledger.finish(other)
        ledger.retry(unlucky, LOST)
        assert ledger.take() == unlucky
    assert not ledger.failed


def test_a_shard_that_loses_every_worker_is_given_up_and_the_others_go_on():
    ledger = Ledger(SHARDS[:2])
    first, other = ledger.take(), ledger.take()
    for _ in range(ATTEMPTS_MAX):
        assert not ledger.failed
        ledger.retry(first, LOST)
        if ledger.has_more():
            assert ledger.take() == first
    assert list(ledger.failed) == [first]
    ledger.finish(other)
    assert not ledger.is_open()
    with pytest.raises(ExecutionError, match=r"shard 0: failed 3 times, at last: its worker was lost.*resume"):
        ledger.raise_first()


def test_a_second_shard_given_up_with_nothing_finished_between_ends_the_run():
    ledger = Ledger(SHARDS)
    for _ in range((ATTEMPTS_MAX - 1) * len(SHARDS) + 1):
        ledger.retry(ledger.take(), LOST)
    assert list(ledger.failed) == SHARDS[:1]
    second = ledger.take()
    with pytest.raises(ExecutionError, match="shard 1: failed 3 times"):
        ledger.retry(second, LOST)
    assert list(ledger.failed) == SHARDS[:1]


def test_a_store_that_fails_again_and_again_ends_the_run():
    ledger = Ledger(SHARDS[:1])
    for _ in range(ATTEMPTS_MAX - 1):
        ledger.retry(ledger.take(), FULL)
    with pytest.raises(ExecutionError, match="No space left on device"):
        ledger.retry(ledger.take(), FULL)


def test_every_attempt_is_told_of_and_what_becomes_of_it():
    told = []
    ledger = Ledger(SHARDS[:1], told.append)
    while ledger.is_open():
        ledger.retry(ledger.take(), LOST)
    assert list(ledger.failed) == SHARDS[:1]
    assert told == [Reached(0, 0, 0), Retried(0)] * (ATTEMPTS_MAX - 1) + [Reached(0, 0, 0), GivenUp(0)]


def test_the_first_of_several_failures_is_raised_and_the_others_are_named():
    ledger = Ledger(SHARDS)
    for _ in SHARDS:
        shard = ledger.take()
        ledger.fail(shard, ExecutionError(f"shard {shard.shard_id}"))
    with pytest.raises(ExecutionError, match="shard 0") as raised:
        ledger.raise_first()
    assert raised.value.__notes__ == ["failed, too: shard 1, 2, 3"]
