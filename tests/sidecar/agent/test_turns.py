"""Turns and alarms of shells: what order events are handled in, and when a deadline rings."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sidecar.agent.turns import Alarm, Turns


async def test_what_effects_bring_about_is_handled_after_them_and_in_order() -> None:
    done: list[str] = []

    def handle(event: str, _now_s: float) -> list[str]:
        return [f"{event}{number}" for number in (1, 2)] if len(event) == 1 else []

    def perform(effect: str) -> None:
        done.append(effect)
        if effect == "a1":
            assert not turns.take("b"), "it waits for its turn"
            assert not turns.take("c")

    turns = Turns[str, str](handle, perform)
    assert turns.take("a")
    assert done == ["a1", "a2", "b1", "b2", "c1", "c2"]


async def test_an_effect_that_fails_holds_up_no_later_event() -> None:
    done: list[str] = []

    def perform(effect: str) -> None:
        if effect == "bad":
            raise RuntimeError(effect)
        done.append(effect)

    turns = Turns[str, str](lambda event, _: [event], perform)
    with pytest.raises(RuntimeError, match="bad"):
        turns.take("bad")
    assert turns.take("good")
    assert done == ["good"]


async def test_an_alarm_rings_at_its_deadline_also_at_one_that_moved(
    autojump_clock: MockClock,
) -> None:
    began_s = trio.current_time()
    deadlines: list[float | None] = [began_s + 5]
    rung: list[float] = []

    def ring() -> None:
        rung.append(trio.current_time() - began_s)
        deadlines.append(None)

    alarm = Alarm(lambda: deadlines[-1], ring)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alarm.run)
        await trio.sleep(20)
        assert rung == [5]
        deadlines.append(began_s + 100)
        await trio.sleep(200)
        assert rung == [5], "nobody told it to look again"
        deadlines.append(began_s + 300)
        alarm.look_again()
        await wait_all_tasks_blocked()
        deadlines.append(began_s + 250)
        alarm.look_again()
        await trio.sleep(500)
        assert rung == [5, 250]
        nursery.cancel_scope.cancel()
