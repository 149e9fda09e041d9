"""Where other members may be."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import trio
import trio.testing

from sidecar.agent import seeds as seeds_module
from sidecar.agent.seeds import Seeds


class Resolver(trio.abc.HostnameResolver):
    """Answers from a table that changes; a name that hangs never comes."""

    def __init__(self, **addresses: str) -> None:
        self.addresses = addresses

    async def getaddrinfo(self, host: Any, port: Any, *_: Any, **__: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name == "hangs":
            await trio.sleep_forever()
        if name not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        found = (self.addresses[name], int(port))
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", found)] * 2

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        raise NotImplementedError


async def test_names_are_resolved_anew_each_time() -> None:
    resolver = Resolver(peers="10.0.0.1")
    trio.socket.set_custom_hostname_resolver(resolver)
    seeds = Seeds(["dns:peers:7000", "10.0.0.9"])
    assert set(await seeds.find()) == {"10.0.0.1:7000", "10.0.0.9:7946"}
    resolver.addresses["peers"] = "10.0.0.2"
    assert set(await seeds.find()) == {"10.0.0.2:7000", "10.0.0.9:7946"}


async def test_names_that_nobody_knows_are_named_and_the_others_found() -> None:
    trio.socket.set_custom_hostname_resolver(Resolver())
    seeds = Seeds(["gone.example.com", "10.0.0.9"])
    assert await seeds.find() == ("10.0.0.9:7946",)
    assert seeds.unresolved == ("gone.example.com",)


async def test_a_resolver_that_hangs_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    trio.socket.set_custom_hostname_resolver(Resolver())
    seeds = Seeds(["hangs"], lambda: ["10.0.0.1:7946"])
    began = trio.current_time()
    assert await seeds.find() == ("10.0.0.1:7946",)
    assert trio.current_time() - began == pytest.approx(seeds_module.RESOLVE_WITHIN_S)


async def test_registered_hosts_are_seeds_but_not_what_is_no_address() -> None:
    registered = ["10.0.0.1:7946", "", "nowhere", "10.0.0.1:7946", "[fd00::1]:7000"]
    assert await Seeds([], lambda: registered).find() == ("10.0.0.1:7946", "[fd00::1]:7000")


async def test_no_more_seeds_than_there_may_be_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds_module, "ADDRESSES_MAX", 3)
    seeds = Seeds([], lambda: [f"10.0.0.{n}:7946" for n in range(1, 9)])
    assert len(await seeds.find()) == 3
