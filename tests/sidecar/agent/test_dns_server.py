"""The DNS server of a context: answers of its own, questions handed on, and what goes wrong on the way."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
import trio

from sidecar.agent import dns_server
from sidecar.agent.dns_server import DnsServer
from sidecar.dns.wire import read_question, refusal
from store.errors import InputError
from tests.harness.processes import free_port

QUERY = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + b"\x01x\0" + struct.pack("!2H", 1, 1)
OWN = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + b"\x03own\0" + struct.pack("!2H", 1, 1)


def answer(query: bytes, bytes_max: int) -> bytes | None:
    """Answers for `own` alone."""
    question = read_question(query)
    if question is None or question.name != "own":
        return None
    return refusal(question, 0)  # type: ignore[arg-type] # any answer will do


async def ask(port: int, query: bytes) -> bytes:
    with trio.fail_after(20), trio.socket.socket(type=trio.socket.SOCK_DGRAM) as client:
        await client.connect(("127.0.0.1", port))
        await client.send(query)
        return await client.recv(4096)


async def ask_tcp(port: int, query: bytes) -> bytes:
    with trio.fail_after(20):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            framed = struct.pack("!H", len(query)) + query
            await stream.send_all(framed[:3])
            await stream.send_all(framed[3:])
            head = await stream.receive_some(2)
            return await stream.receive_some(struct.unpack("!H", head)[0])


async def start(nursery: trio.Nursery, resolvers: Sequence[str]) -> tuple[DnsServer, int]:
    port = free_port()
    server = DnsServer(port, answer, lambda: resolvers)
    await nursery.start(server.run)
    return server, port


async def test_the_mesh_answers_over_udp_and_tcp(nursery: trio.Nursery) -> None:
    server, port = await start(nursery, ())
    assert (await ask(port, OWN))[:2] == b"\0\x07"
    assert (await ask_tcp(port, OWN))[:2] == b"\0\x07"
    assert (server.answered, server.forwarded) == (2, 0)


async def test_a_question_that_nobody_answers_fails_at_once_where_there_are_no_resolvers(
    nursery: trio.Nursery,
) -> None:
    server, port = await start(nursery, ())
    assert (await ask(port, QUERY))[3] & 0x0F == 2
    assert (await ask_tcp(port, QUERY))[3] & 0x0F == 2
    assert server.forwarded == 2


async def test_the_next_resolver_is_asked_when_one_is_silent_and_strangers_are_not_believed(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_server, "RESOLVER_S", 0.3)
    with (
        trio.socket.socket(type=trio.socket.SOCK_DGRAM) as silent,
        trio.socket.socket(type=trio.socket.SOCK_DGRAM) as talking,
    ):
        port = free_port()
        await silent.bind(("127.0.0.8", port))
        await talking.bind(("127.0.0.9", port))
        monkeypatch.setattr(dns_server, "_DNS_PORT", port)

        async def talk() -> None:
            query, sender = await talking.recvfrom(4096)
            await talking.sendto(b"\0\x08" + query[2:], sender)
            await talking.sendto(
                query[:2] + b"\x81\x80" + b"\0\1" + bytes(6) + b"\x01y\0\0\1\0\1", sender
            )
            await talking.sendto(query[:2] + b"\x81\x80" + query[4:] + b"true", sender)

        nursery.start_soon(talk)
        _, own = await start(nursery, ("127.0.0.8", "127.0.0.9"))
        assert (await ask(own, QUERY)).endswith(b"true")


async def test_bytes_that_are_no_question_do_not_end_the_server(nursery: trio.Nursery) -> None:
    _, port = await start(nursery, ())
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as client:
        await client.connect(("127.0.0.1", port))
        for noise in (b"", b"x", bytes(12), b"\xff" * 600):
            await client.send(noise)
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    await stream.send_all(b"\xff\xffhalf")
    await stream.aclose()
    assert (await ask(port, OWN))[:2] == b"\0\x07"


async def test_a_port_that_is_taken_is_said(nursery: trio.Nursery) -> None:
    _, port = await start(nursery, ())
    with pytest.raises(BaseExceptionGroup) as problems:
        async with trio.open_nursery() as other:
            await other.start(DnsServer(port, answer, tuple).run)
    found = problems.value
    while isinstance(found, BaseExceptionGroup):
        (found,) = found.exceptions
    assert isinstance(found, InputError)
    assert f"DNS port {port} of 127.0.0.1 cannot be bound" in str(found)
