"""Under which address peers reach this host."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from sidecar.agent.own_address import ADDRESS_WITHIN_S, ANYWHERE, find_address, own_address
from sidecar.agent.settings import SidecarSettings
from sidecar.agent.settings_layers import from_layers, layers


def settings(**told: Any) -> SidecarSettings:
    return from_layers(layers(None, {}, {"node": "vm-1", **told}))


def test_an_address_that_is_told_is_taken() -> None:
    assert own_address(settings(address="10.1.2.3")) == "10.1.2.3"


def test_without_one_the_address_is_where_the_way_to_etcd_begins() -> None:
    told = settings(etcd={"endpoints": ["http://127.0.0.1:2379"]})
    assert own_address(told) == "127.0.0.1"


async def test_where_names_cannot_be_looked_up_in_time_the_default_route_decides(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """A host that boots without DNS must come up, and must not register an address of loopback."""
    over = threading.Event()
    asked: list[str] = []

    def slow(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        if host == "etcd.example.com":
            over.wait(20)
            raise socket.gaierror("no answer")
        return [(socket.AF_INET, socket.SOCK_DGRAM, 0, "", ("127.0.0.9", 9))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    began_s = trio.current_time()
    try:
        told = settings(etcd={"endpoints": ["http://etcd.example.com:2379"]})
        assert await find_address(told) == "127.0.0.1"
        assert trio.current_time() - began_s == pytest.approx(ADDRESS_WITHIN_S)
        assert ANYWHERE[0] in asked
    finally:
        over.set()
