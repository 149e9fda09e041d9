"""Large worlds: members that are there already, and what is measured of them.

Joining one after the other costs the square of their number. Where joining is not what is measured, each member of
`joined` is given its table in one answer to its join, the same bytes to all; everything after is the real protocol.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sidecar.gossip import LAN, GossipSettings, Identity, Status, frames
from sidecar.gossip import events as on
from sidecar.gossip.claims import Claim
from tests.simulation.checkers import Checker
from tests.simulation.world import Host, World

__all__ = ["FalseDeaths", "Traffic", "agree_within", "joined", "rates", "traffic"]


class FalseDeaths:
    """Counts members that run and are declared dead, once for each time that this is said of them."""

    def __init__(self) -> None:
        self.dead: set[tuple[Identity, int]] = set()
        """Identity and incarnation: how many other members believe it does not count."""
        self.suspected: set[tuple[Identity, int]] = set()
        self.held_dead = 0
        """Members that came to hold one of them dead, each counted."""

    def saw(self, world: World, host: Host, effect: on.Effect) -> None:
        """Note a change that concerns one who runs."""
        if not isinstance(effect, on.MemberChanged):
            return
        subject = world.hosts.get(effect.identity.node)
        if subject is None or not subject.runs:
            return
        if effect.after is Status.DEAD:
            self.dead.add((effect.identity, effect.incarnation))
            self.held_dead += 1
        elif effect.after is Status.SUSPECT:
            self.suspected.add((effect.identity, effect.incarnation))


def joined(
    n: int, seed: int, settings: GossipSettings = LAN, checkers: Sequence[Checker] = ()
) -> World:
    """A world of n hosts, `n0` to `n<n-1>`, that hold each other alive since this moment."""
    world = World(seed, settings, checkers)
    world.seeds = lambda host: ()
    hosts = [world.start(f"n{number}") for number in range(n)]
    lives = [host.core.snapshot().identity for host in hosts]
    rows = [Claim(identity, Status.ALIVE, 0) for identity in lives]
    messages: list[frames.Message] = [frames.Exchange(0), *rows]
    table = [frames.encode_message(message) for message in messages]
    # Nobody is given a table by itself, so two bodies are needed: all others have it from the first.
    answers = [frames.encode(frames.Sender(lives[place], 0), table) for place in (0, min(1, n - 1))]
    with _decoded_once():
        for place, host in enumerate(hosts if n > 1 else []):
            _join(world, host, answers[0 if place else 1])
    world.seeds = lambda host: [h.address for h in hosts[:3]]
    return world


def _join(world: World, host: Host, answer: bytes) -> None:
    found = host.core.handle(on.SeedsFound(("10.255.255.255:7946",)), world.now_s)
    call = next(effect.call for effect in found if isinstance(effect, on.CallPeer))
    host.core.handle(on.PeerAnswered(call, answer), world.now_s)
    world.give(host, on.TimePassed())


@contextmanager
def _decoded_once() -> Iterator[None]:
    """Read the same bytes once, and share what was read: it is never changed."""
    decode = frames.decode
    read: dict[bytes, frames.Frame | None] = {}

    def remembering(body: bytes) -> frames.Frame | None:
        if body not in read:
            read[body] = decode(body)
        return read[body]

    frames.decode = remembering
    try:
        yield
    finally:
        frames.decode = decode


def agree_within(world: World, size: int, within_s: float) -> float | None:
    """Seconds until all who run hold the same `size` members, themselves included; looked at ten times a second."""
    start_s = world.now_s
    hosts = [host for host in world.hosts.values() if host.runs]

    def agree() -> bool:
        digest = hosts[0].core.digest
        return all(host.core.digest == digest for host in hosts) and all(
            len(host.core.snapshot().names(Status.ALIVE, Status.SUSPECT)) == size - 1
            for host in hosts[:: max(1, len(hosts) // 10)]
        )

    while not agree():
        if world.now_s - start_s >= within_s:
            return None
        world.run(0.1)
    return world.now_s - start_s


@dataclass(frozen=True)
class Traffic:
    """What a member sends, a second."""

    datagrams: float
    bytes: float
    """IP and UDP headers included, and exchanges over TCP."""
    wakes: float


def traffic(world: World) -> dict[str, tuple[int, int, int]]:
    """Counters of all who run, for `rates`."""
    return {
        host.name: (host.datagrams_out, host.bytes_out + host.bytes_streamed, host.wakes)
        for host in world.hosts.values()
        if host.runs
    }


def rates(
    before: dict[str, tuple[int, int, int]], world: World, for_s: float
) -> tuple[Traffic, Traffic]:
    """The mean over all members, and the highest of any, since these counters were taken."""
    after = traffic(world)
    spent = [
        tuple((now - then) / for_s for now, then in zip(after[name], counters, strict=True))
        for name, counters in before.items()
        if name in after
    ]
    columns = list(zip(*spent, strict=True))
    means = [math.fsum(column) / len(column) for column in columns]
    return Traffic(*means), Traffic(*(max(column) for column in columns))
