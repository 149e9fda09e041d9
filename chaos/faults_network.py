"""Faults of cables: cuts, one-way cuts, flapping, loss."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import TypedDict

import trio

from chaos.faults import NETWORK, Fault, Plan, all_etcd, every
from chaos.netns import cut, cut_one_way, lose
from chaos.rig import ETCD, LEASE_S, Rig

__all__ = ["NETWORK_PLANS"]

FLAP_S = 1.5
LONG_LEASES = 10


class _Between(TypedDict):
    hosts: tuple[str, ...]
    backends: tuple[str, ...]
    permits: tuple[str, ...]


def _imposed(name: str, rules: Sequence[str], **facts: object) -> Fault:
    return Fault(
        start=lambda rig: rig.network.impose(name, rules),
        stop=lambda rig: rig.network.lift(name),
        **facts,  # type: ignore[arg-type] # fields of Fault, by name
    )


def _split(rig: Rig, rng: random.Random, groups: int) -> Fault:
    """Hosts and etcd members are dealt out; the largest part of etcd may still have a majority."""
    names = [*rig.hosts, *ETCD]
    rng.shuffle(names)
    parts = [rig.addresses(names[number::groups]) for number in range(groups)]
    rules = []
    for number, part in enumerate(parts):
        for other in parts[number + 1 :]:
            rules += cut(part, other)
    return _imposed("split", rules, permits=NETWORK)


def _one(rig: Rig, rng: random.Random) -> str:
    return rng.choice(sorted(rig.hosts))


def _between(victim: str) -> _Between:
    """What a host that is cut off explains: its own requests fail, and those of others to it."""
    return {"hosts": (victim,), "backends": (victim,), "permits": NETWORK}


def _others(rig: Rig, name: str) -> list[str]:
    return rig.addresses([host for host in rig.hosts if host != name])


def _isolated(rig: Rig, rng: random.Random) -> Fault:
    victim = _one(rig, rng)
    rules = cut(rig.addresses([victim]), [*_others(rig, victim), *all_etcd(rig)])
    return _imposed("isolate-all", rules, **_between(victim))


def _no_etcd(rig: Rig, rng: random.Random) -> Fault:
    """Nothing that requests need is cut: none may fail."""
    return _imposed("isolate-etcd", cut(rig.addresses([_one(rig, rng)]), all_etcd(rig)))


def _no_peers(rig: Rig, rng: random.Random) -> Fault:
    victim = _one(rig, rng)
    rules = cut(rig.addresses([victim]), _others(rig, victim))
    return _imposed("isolate-peers", rules, **_between(victim))


def _one_way(rig: Rig, rng: random.Random) -> Fault:
    victim = _one(rig, rng)
    rules = cut_one_way(_others(rig, victim), rig.addresses([victim]))
    return _imposed("one-way", rules, **_between(victim))


def _no_gossip(rig: Rig, rng: random.Random) -> Fault:
    """Only gossip is cut, at everybody: requests go on by what each host sees alone."""
    rules = [f"ip protocol {word} {word} dport 7946 drop" for word in ("udp", "tcp")]
    return _imposed("no-gossip", rules)


async def _flap(victim: str, rig: Rig) -> None:
    rules = cut(rig.addresses([victim]), [*_others(rig, victim), *all_etcd(rig)])
    while True:
        rig.network.impose("flapping", rules)
        await trio.sleep(FLAP_S)
        rig.network.impose("flapping", ())
        await trio.sleep(FLAP_S)


def _flapping(rig: Rig, rng: random.Random) -> Fault:
    victim = _one(rig, rng)
    return Fault(
        start=lambda rig: rig.network.impose("flapping", ()),
        stop=lambda rig: rig.network.lift("flapping"),
        during=partial(_flap, victim),
        **_between(victim),
    )


def _loss(percent: int, rig: Rig, rng: random.Random) -> Fault:
    return _imposed(f"loss-{percent}", lose(percent), permits=NETWORK)


def _poisoned(rig: Rig, rng: random.Random) -> Fault:
    """One host's requests reach nobody; gossip and etcd do: it sees everybody fail, and must not be believed."""
    victim = _one(rig, rng)
    rule = f"ip saddr {rig.network.address(victim)} tcp dport {{ 15006, 15007 }} drop"
    return _imposed("poisoned-observer", [rule], hosts=(victim,), permits=NETWORK)


NETWORK_PLANS = every(
    Plan("split-two", "the mesh falls into two parts", partial(_split, groups=2)),
    Plan("split-three", "the mesh falls into three parts", partial(_split, groups=3)),
    Plan(
        "etcd-cut-long",
        "a host is cut off from etcd alone for ten lease lives",
        _no_etcd,
        lasts_s=LEASE_S * LONG_LEASES,
    ),
    Plan("isolate-all", "a host is cut off from everybody", _isolated),
    Plan("isolate-etcd", "a host is cut off from etcd", _no_etcd),
    Plan("isolate-peers", "a host is cut off from its peers", _no_peers),
    Plan("one-way", "a host hears nothing from its peers, who hear it", _one_way),
    Plan("no-gossip", "gossip is cut everywhere", _no_gossip),
    Plan("flapping", "a host's cable goes in and out", _flapping, lasts_s=15.0),
    Plan("loss-10", "one packet in ten is lost", partial(_loss, 10)),
    Plan("loss-30", "three packets in ten are lost", partial(_loss, 30)),
    Plan("poisoned-observer", "a host's requests reach nobody", _poisoned),
)
"""Faults of the network."""
