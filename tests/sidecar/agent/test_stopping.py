"""The request to stop."""

from __future__ import annotations

import signal

import trio
from trio.testing import wait_all_tasks_blocked

from sidecar.agent.stopping import StopRequest


async def test_the_first_signal_is_the_request_and_later_ones_hurry_it() -> None:
    stop = StopRequest()
    send, signals = trio.open_memory_channel[int](9)
    hurried = 0

    async def count() -> None:
        nonlocal hurried
        while True:
            await stop.wait_again()
            hurried += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop.listen, signals)
        nursery.start_soon(count)
        await wait_all_tasks_blocked()
        assert not stop.is_asked
        send.send_nowait(signal.SIGINT)
        await stop.wait()
        assert (stop.number, hurried) == (signal.SIGINT, 0)
        for expected in (1, 2):
            send.send_nowait(signal.SIGTERM)
            await wait_all_tasks_blocked()
            assert (stop.number, hurried) == (signal.SIGINT, expected)
        nursery.cancel_scope.cancel()
