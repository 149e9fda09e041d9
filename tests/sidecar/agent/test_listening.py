"""Waiting for local applications: every port counts, and what is waited for is said."""

from __future__ import annotations

import socket

import trio

from sidecar.agent.listening import wait_listening


def bound() -> socket.socket:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    return taken


def places(*sockets: socket.socket) -> list[tuple[str, int]]:
    return [("127.0.0.1", one.getsockname()[1]) for one in sockets]


async def test_it_waits_for_the_last_port_of_the_last_application() -> None:
    first, second, third = bound(), bound(), bound()
    port = second.getsockname()[1]
    said: list[str] = []
    with first, second, third:
        first.listen()
        third.listen()
        async with trio.open_nursery() as nursery:
            done = trio.Event()

            async def wait() -> None:
                await wait_listening(places(first, second, third), said.append)
                done.set()

            nursery.start_soon(wait)
            while not said:  # noqa: ASYNC110 - the list has no event
                await trio.sleep(0.01)
            assert not done.is_set()
            second.listen()
            with trio.fail_after(10):
                await done.wait()
    assert set(said) == {f"the application does not accept connections on 127.0.0.1:{port} yet"}


async def test_there_is_nothing_to_wait_for_without_ports() -> None:
    said: list[str] = []
    await wait_listening([], said.append)
    assert said == []
