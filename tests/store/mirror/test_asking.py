"""Numbers of reads and streams: which answers are still waited for."""

from __future__ import annotations

from store.mirror import events as on
from store.mirror.asking import Asking
from store.mirror.status import Counters


def test_only_the_newest_read_is_waited_for_until_it_is_answered() -> None:
    ask = Asking(Counters())
    assert not ask.is_reading
    ask.read_everything()
    ask.read_key("hosts/a", 7)
    assert ask.effects == [on.List(1), on.ReadKey(2, "hosts/a", 7)]
    assert (ask.is_awaited(1), ask.is_awaited(2)) == (False, True)
    ask.answered()
    assert not ask.is_reading
    assert not ask.is_awaited(2)


def test_a_stream_that_is_closed_takes_the_read_with_it() -> None:
    ask = Asking(Counters())
    ask.open_watch(8)
    ask.read_keys()
    assert ask.is_open(1)
    ask.close()
    ask.close()
    assert ask.effects == [on.OpenWatch(1, 8), on.ListKeysOnly(1), on.CloseWatch(1)]
    assert (ask.is_open(1), ask.is_latest(1), ask.is_reading) == (False, True, False)


def test_a_stream_that_broke_need_not_be_closed_and_its_number_does_not_return() -> None:
    counters = Counters()
    ask = Asking(counters)
    ask.open_watch(8)
    ask.forget()
    ask.close()
    ask.open_watch(9)
    assert ask.effects == [on.OpenWatch(1, 8), on.OpenWatch(2, 9)]
    assert (ask.is_latest(1), ask.is_open(2), counters.streams) == (False, True, 2)
