"""The checker of registers: what a register can say, and what it cannot."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import pytest

from chaos.checkers import registers
from chaos.checkers.registers import Kind, Operation, check_registers, is_linearizable
from chaos.history import FaultSpan, History, Outcome
from tests.chaos.histories import read, register_history, write

DEEP = 400


def told(history: History) -> str:
    return "\n".join(one.what for one in check_registers(history))


@pytest.mark.parametrize("seed", range(60))
def test_what_a_register_says_is_accepted(seed: int) -> None:
    assert told(register_history(seed)) == ""


def test_a_lost_write_is_found() -> None:
    history = History(
        writes=[write(0, 1, "", "a", revision=2), write(2, 3, "a", "b", revision=3)],
        reads=[read(4, 5, "a", 2)],
    )
    assert "k: a read found 'a'" in told(history)


def test_a_lost_update_is_found() -> None:
    """Both were acknowledged over the same value: one of them is gone."""
    history = History(
        writes=[
            write(0, 1, "", "a", revision=2),
            write(2, 4, "a", "b", revision=3),
            write(2, 4, "a", "c", revision=4),
        ]
    )
    assert "an acknowledged write was lost or reordered" in told(history)


def test_a_stale_read_is_found_and_one_that_overlaps_is_not() -> None:
    writes = [write(0, 1, "", "a", revision=2), write(2, 5, "a", "b", revision=3)]
    assert told(History(writes=writes, reads=[read(3, 4, "a", 2)])) == ""
    assert told(History(writes=writes, reads=[read(3, 4, "b", 3), read(4.1, 4.5, "a", 2)])) != ""
    assert told(History(writes=writes, reads=[read(6, 7, "a", 2)])) != ""


def test_a_write_of_unknown_outcome_may_have_happened_late_or_never() -> None:
    writes = [write(0, 1, "", "a", revision=2), write(2, 3, "a", "b", Outcome.UNKNOWN)]
    for value in ("a", "b"):
        assert told(History(writes=writes, reads=[read(9, 10, value)])) == ""
    again = [read(4, 5, "b"), read(6, 7, "a")]
    assert told(History(writes=writes, reads=again)) != ""


def test_a_conflict_without_a_reason_is_found() -> None:
    writes = [
        write(0, 1, "", "a", revision=2),
        write(2, 3, "a", "b", Outcome.CONFLICT),
    ]
    assert "a write over 'a' met a conflict" in told(History(writes=writes))


def test_what_certainly_failed_must_not_appear() -> None:
    writes = [write(0, 1, "", "a", Outcome.FAILED)]
    assert told(History(writes=writes, reads=[read(2, 3, "")])) == ""
    assert told(History(writes=writes, reads=[read(2, 3, "a")])) != ""


def test_revisions_that_contradict_time_are_found() -> None:
    history = History(
        writes=[
            write(0, 1, "", "a", revision=9, key="one"),
            write(2, 3, "", "b", revision=4, key="two"),
        ]
    )
    assert "acknowledged at revision" in told(history)


def test_a_value_that_another_revision_had_is_found() -> None:
    history = History(
        writes=[write(0, 1, "", "a", revision=2), write(0, 9, "a", "b", revision=3)],
        reads=[read(4, 5, "b", 2)],
    )
    assert "at revision 2 was read as 'b'" in told(history)


def test_a_restored_etcd_may_forget_what_came_after_the_backup_and_nothing_else() -> None:
    before = [write(0, 1, "", "a", revision=2), write(2, 3, "a", "b", revision=3)]
    restored = FaultSpan("etcd-restored", 1.5, 5.5, new_epoch=True, healing_s=5)
    forgot = [*before, write(6, 7, "a", "c", revision=3)]
    assert told(History(writes=forgot, faults=[restored])) == ""
    assert told(History(writes=forgot)) != ""
    again = [*forgot, write(8, 9, "a", "d", revision=4)]
    assert told(History(writes=again, faults=[restored])) != ""
    strange = [*before, write(6, 7, "z", "c", revision=3)]
    assert told(History(writes=strange, faults=[restored])) != ""
    spans = [*before, write(4, 7, "b", "c", revision=4), write(8, 9, "a", "d", revision=5)]
    assert told(History(writes=spans, faults=[restored])) == "", "it may have been before the end"


def test_a_restored_etcd_holds_what_was_acknowledged_before_the_backup() -> None:
    before = [write(0, 1, "", "a", revision=2), write(2, 3, "a", "b", revision=3)]
    restored = FaultSpan("etcd-restored", 4.5, 5.5, new_epoch=True, healing_s=5)
    kept = [*before, write(4, 4.6, "b", "c", revision=4), write(6, 7, "b", "d", revision=4)]
    assert told(History(writes=kept, faults=[restored])) == ""
    older = [*before, write(6, 7, "a", "d", revision=3)]
    assert "the write of 'd' over 'a'" in told(History(writes=older, faults=[restored]))
    emptied = [*before, write(6, 7, "", "d", revision=3)]
    assert told(History(writes=emptied, faults=[restored])) != ""
    unknown = [*before, write(3.4, 4.5, "b", "c", revision=None), write(6, 7, "c", "d", revision=4)]
    assert told(History(writes=unknown, faults=[restored])) == ""


def test_keys_are_judged_apart() -> None:
    history = History(
        writes=[write(0, 1, "", "a", revision=2, key="one")], reads=[read(2, 3, "", key="two")]
    )
    assert told(history) == ""


def test_a_search_that_is_given_up_is_no_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registers, "CONFIGURATIONS_MAX", 3)
    assert "the search was given up" in told(register_history(3))


@pytest.mark.parametrize("seed", range(DEEP))
def test_the_search_agrees_with_trying_every_order(seed: int) -> None:
    """Histories of six operations, half of them impossible."""
    rng = random.Random(seed)
    operations = []
    for number in range(6):
        call_s = rng.random() * 4
        kind = rng.choice([Kind.SET, Kind.SET, Kind.READ, Kind.REFUSED, Kind.MAYBE])
        value = rng.choice(["", "0", "1", "2"]) if kind is Kind.READ else str(number)
        expected = rng.choice(["", "0", "1", "2"])
        returns_s = math.inf if kind is Kind.MAYBE else call_s + rng.random() * 3
        operations.append(Operation(kind, call_s, returns_s, value, expected))
    assert is_linearizable(operations) is _by_trying(operations)


def _by_trying(operations: Sequence[Operation]) -> bool:
    certain = [one for one in operations if one.kind is not Kind.MAYBE]
    maybe = [one for one in operations if one.kind is Kind.MAYBE]
    for count in range(len(maybe) + 1):
        for some in itertools.combinations(maybe, count):
            if any(map(_is_possible, itertools.permutations([*certain, *some]))):
                return True
    return False


def _is_possible(order: Sequence[Operation]) -> bool:
    held = ""
    for number, one in enumerate(order):
        if any(later.return_s < one.call_s for later in order[number + 1 :]):
            return False
        after = one.step(held)
        if after is None:
            return False
        held = after
    return True
