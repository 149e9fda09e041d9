"""The faults: how each is brought about and healed on a rig, and which failures of requests it explains.

A fault is a value; what it does is in three functions of the rig: `start`, `stop`, and for faults that go on doing
something, `during`. Its victims are chosen by the seed, before it begins. The words of `permits` are those of
`chaos.checkers.requests`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from chaos.rig import ETCD, Host, Rig

__all__ = ["NETWORK", "Fault", "Plan", "all_etcd", "every", "in_thread", "victim"]

Deed = Callable[[Rig], None]
NETWORK = ("unreachable", "none", "timeout", "5xx")
"""What requests over a broken link meet: no connection, no answer in time, an endpoint that gave up."""


async def _nothing(rig: Rig) -> None:
    """A fault that only waits."""


def _no_deed(rig: Rig) -> None:
    """Nothing to do."""


@dataclass(frozen=True)
class Fault:
    """One fault with its victims."""

    start: Deed = _no_deed
    stop: Deed = _no_deed
    during: Callable[[Rig], Awaitable[None]] = _nothing
    """Goes on while the fault lasts; cancelled at its end."""
    hosts: tuple[str, ...] = ()
    """Whose requests may fail by it."""
    backends: tuple[str, ...] = ()
    """Whose answers may fail by it. With no hosts either: everybody's."""
    permits: tuple[str, ...] = ()
    felt_s: float = math.inf
    """How long after its beginning requests may fail by it, though it goes on."""
    restarts: tuple[str, ...] = ()
    new_epoch: bool = False


@dataclass(frozen=True)
class Plan:
    """A kind of fault: makes one, with victims of its choice."""

    name: str
    title: str
    make: Callable[[Rig, random.Random], Fault]
    lasts_s: float = 12.0
    is_over_by_itself: bool = False
    """Whether it ends when it has done what it does, before its time."""
    is_lone: bool = False
    """Whether it is kept out of mixtures: it needs the rig for itself, or shows nothing beside others."""
    lacks: Callable[[], str] = str
    """What this machine lacks for it, with the cure; empty: nothing."""


def every(*plans: Plan) -> dict[str, Plan]:
    """Plans by name."""
    return {plan.name: plan for plan in plans}


def victim(rig: Rig, rng: random.Random) -> Host:
    """A host of chance."""
    return rig.hosts[rng.choice(sorted(rig.hosts))]


def all_etcd(rig: Rig) -> list[str]:
    """Addresses of all etcd members."""
    return rig.addresses(ETCD)


async def in_thread(deed: Callable[[], object]) -> None:
    """Do something that waits for processes."""
    await trio.to_thread.run_sync(deed)
