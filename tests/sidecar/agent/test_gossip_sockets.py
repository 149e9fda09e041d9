"""The sockets of gossip."""

from __future__ import annotations

import socket

import pytest

from sidecar.agent.gossip_addresses import joined
from sidecar.agent.gossip_sockets import open_sockets
from sidecar.gossip.frames import DATAGRAM_BYTES_MAX
from store.errors import InputError
from tests.harness.processes import wait_until_async


async def test_udp_and_tcp_have_one_port() -> None:
    sockets = open_sockets("127.0.0.1", 0)
    assert sockets.udp.getsockname()[1] == sockets.tcp.socket.getsockname()[1] == sockets.port
    sockets.close()


async def test_ipv6_is_spoken_where_it_is() -> None:
    try:
        sockets = open_sockets("::1", 0)
    except InputError:
        pytest.skip("this machine has no IPv6")
    assert sockets.send(joined("::1", sockets.port), b"hello") == ""
    assert await wait_until_async(sockets.receive, 10, "the datagram") == b"hello"
    sockets.close()


async def test_an_address_of_another_host_is_refused() -> None:
    with pytest.raises(InputError, match=r"192\.0\.2\.1:7946: Cannot assign.*gossip\.bind"):
        open_sockets("192.0.2.1", 7946)


async def test_what_is_too_long_arrives_as_too_long() -> None:
    sockets = open_sockets("127.0.0.1", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(bytes(DATAGRAM_BYTES_MAX + 500), ("127.0.0.1", sockets.port))
    found = await wait_until_async(sockets.receive, 10, "the datagram")
    assert found is not None
    assert len(found) == DATAGRAM_BYTES_MAX + 1
    assert sockets.receive() is None
    sockets.close()


@pytest.mark.parametrize("address", ["", "nowhere", "127.0.0.1:0", "127.0.0.1:99999", "[::1]"])
async def test_what_is_no_address_is_counted_and_not_sent(address: str) -> None:
    sockets = open_sockets("127.0.0.1", 0)
    assert sockets.send(address, b"body") == "unreachable"
    sockets.close()
