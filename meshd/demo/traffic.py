"""Real requests of the demo, where they went, and whether that is where they should have gone."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, abc

__all__ = ["TIMEOUT_S", "Door", "Question", "ask", "deviations", "send", "went_to"]

AT_ONCE = 8
"""Requests under way at the same time."""
TIMEOUT_S = 10.0
SIGMAS = 5.0
"""How far a count may lie from its share: chance goes further once in a million runs."""


@dataclass(frozen=True, slots=True)
class Question:
    """Some requests of one kind, and where they should go."""

    asked: str
    """In words, for people."""
    url: str
    count: int
    shares: Mapping[str, float]
    """Share of the requests by place (see `went_to`); what is not named gets none. All of it is 1."""
    headers: Mapping[str, str] = field(default_factory=dict)
    door: str = "sidecars"
    """`sidecars`: in turn through the outbound listener of each host; `direct`: straight to the address."""


@dataclass(frozen=True, slots=True)
class Door:
    """How requests leave this program."""

    proxies: Sequence[str] = ()
    """Outbound listeners, used in turn; empty: straight to the host."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Host name -> address, instead of DNS."""
    tls: ssl.SSLContext | None = None


class _Addresses(abc.AbstractResolver):
    """Names that this program knows the addresses of."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:  # noqa: ARG002 - the interface has it
        """The one address of `host`; OSError for others."""
        if host not in self._addresses:
            raise OSError(f"the demo knows no address of {host}")
        address = self._addresses[host]
        entry = {"hostname": host, "host": address, "port": port, "family": socket.AF_INET}
        return [{**entry, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        """Nothing is held."""


async def send(question: Question, door: Door) -> Counter[str]:
    """Send the requests; where each went, counted."""
    counts: Counter[str] = Counter()
    numbers = iter(range(question.count))
    resolver = _Addresses(door.addresses) if door.addresses else None
    connector = TCPConnector(resolver=resolver, limit=AT_ONCE)
    async with ClientSession(
        connector=connector, timeout=ClientTimeout(total=TIMEOUT_S)
    ) as session:

        async def worker() -> None:
            for number in numbers:
                proxy = door.proxies[number % len(door.proxies)] if door.proxies else None
                place = await ask(
                    session, question.url, question.headers, proxy=proxy, tls=door.tls
                )
                counts[place] += 1

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return counts


async def ask(
    session: ClientSession,
    url: str,
    headers: Mapping[str, str] | None = None,
    *,
    proxy: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> str:
    """Send one request; where it went, in words: see `went_to`. What fails has a name, too."""
    try:
        async with session.get(url, headers=headers, proxy=proxy, ssl=tls or True) as reply:
            if reply.content_type != "application/json":
                return f"HTTP {reply.status}"
            return went_to(await reply.json())
    except (ClientError, OSError, TimeoutError) as problem:
        return "refused" if isinstance(problem, (ClientError, OSError)) else "no answer"


def went_to(answer: Mapping[str, Any]) -> str:
    """Where a request went, from the answer of a sample service: `productpage v1 > reviews v2 > ratings v1`.

    Of several services behind one, the one that has versions is named; an error anywhere below is always named.
    """
    if "error" in answer:
        return f"{answer.get('service', '?')} failed: {answer['error']}"
    name = f"{answer.get('service', '?')} {answer.get('version', '?')}"
    if client := answer.get("client"):
        name += f" (client {client})"
    calls: Mapping[str, Any] = answer.get("calls", {})
    below = {service: went_to(reply) for service, reply in calls.items()}
    for text in below.values():
        if "failed:" in text:
            return f"{name} > {text}"
    shown = below.get("reviews") or next(iter(below.values()), "")
    return f"{name} > {shown}" if shown else name


def deviations(counts: Mapping[str, int], question: Question) -> list[str]:
    """What is not as it should be; empty when all is."""
    total = sum(counts.values())
    found = []
    for place, share in question.shares.items():
        count, expected = counts.get(place, 0), share * total
        slack = SIGMAS * math.sqrt(total * share * (1 - share))
        if abs(count - expected) > slack:
            wanted = f"{expected:.0f}" if not slack else f"{expected:.0f} give or take {slack:.0f}"
            found.append(f"{place}: {count} of {total} requests, should be {wanted}")
    for place, count in counts.items():
        if place not in question.shares:
            found.append(f"{place}: {count} of {total} requests, should be none")
    return found
