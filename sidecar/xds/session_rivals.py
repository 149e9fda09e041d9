"""Which virtual hosts have to travel in one response: those between which a domain moves.

Envoy refuses a response in which two have one domain, and a domain that nobody has is answered 404: so what gives a
domain up and what takes it go together, or wait together. Source: docs/xds.md, "Virtual hosts travel by VHDS".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sidecar.xds.session_channel import Channel

__all__ = ["rivals"]


def rivals(channel: Channel) -> Mapping[str, tuple[str, ...]]:
    """For each waiting name that shares a domain with others that wait, all of them, itself included.

    Domains of now and of what Envoy has accepted count alike.
    """
    first: dict[tuple[str, str], str] = {}
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.get(name, name) != name:
            name = leader[name]
        return name

    for name in channel.pending:
        routes = name.rpartition("/")[0]
        for domain in _domains(channel, name):
            other = first.setdefault((routes, domain), name)
            one, two = find(name), find(other)
            if one != two:
                leader[one] = two
            if other != name:
                leader.setdefault(two, two)
    groups: dict[str, list[str]] = {}
    for name in leader:
        groups.setdefault(find(name), []).append(name)
    return {name: tuple(group) for group in groups.values() for name in group}


def _domains(channel: Channel, name: str) -> Iterable[str]:
    ledger = channel.ledger
    for resource in (ledger.target(name), ledger.accepted.get(name), ledger.given_up.get(name)):
        if resource is not None:
            yield from resource.domains
