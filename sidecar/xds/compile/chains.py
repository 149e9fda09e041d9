"""Filter chains of one listener told apart: Envoy refuses a listener in which two chains meet the same connections.

Rules may well overlap (a server name in two blocks, an address twice). The first that takes a connection has it, as in
the routing table; later chains are left with what is left of theirs. Source: Envoy, FilterChainMatch.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from typing import NamedTuple

from sidecar.xds import protos as pb

__all__ = ["apart"]


class _Met(NamedTuple):
    """One kind of connection; None stands for any."""

    subnet: str | None
    server_name: str | None
    protocol: str | None


def apart(chains: Iterable[pb.FilterChain]) -> list[pb.FilterChain]:
    """The chains with no two of them meeting the same connections; what is left of one may need several."""
    taken: set[tuple[bytes, _Met]] = set()
    made: list[pb.FilterChain] = []
    for chain in chains:
        rest = _rest(chain.filter_chain_match)
        wanted = list(_meets(chain.filter_chain_match))
        left = list(dict.fromkeys(met for met in wanted if (rest, met) not in taken))
        taken.update((rest, met) for met in left)
        if len(left) == len(wanted):
            made.append(chain)
        else:
            made += _narrowed(chain, left)
    return made


def _meets(match: pb.FilterChainMatch) -> Iterable[_Met]:
    subnets = _or_any(_canonical(prefix) for prefix in match.prefix_ranges)
    for name in _or_any(match.server_names):
        for subnet in subnets:
            for protocol in _or_any(match.application_protocols):
                yield _Met(subnet, name, protocol)


def _or_any(values: Iterable[str]) -> list[str | None]:
    found: list[str | None] = list(values)
    return found or [None]


def _canonical(prefix: pb.CidrRange) -> str:
    return str(ip_network(f"{prefix.address_prefix}/{prefix.prefix_len.value}", strict=False))


def _rest(match: pb.FilterChainMatch) -> bytes:
    """What else a chain asks of a connection."""
    rest = pb.FilterChainMatch()
    rest.CopyFrom(match)
    for name in ("prefix_ranges", "server_names", "application_protocols"):
        rest.ClearField(name)
    return bytes(rest.SerializeToString(deterministic=True))


def _narrowed(chain: pb.FilterChain, left: list[_Met]) -> Iterable[pb.FilterChain]:
    """The chain for what is left: one for all server names that are left the same addresses and protocols."""
    by_name: dict[str | None, list[tuple[str | None, str | None]]] = {}
    for met in left:
        by_name.setdefault(met.server_name, []).append((met.subnet, met.protocol))
    groups: dict[tuple[tuple[str | None, str | None], ...], list[str | None]] = {}
    for name, places in by_name.items():
        for part in _products(places):
            groups.setdefault(part, []).append(name)
    for number, (part, names) in enumerate(groups.items()):
        made = pb.FilterChain()
        made.CopyFrom(chain)
        made.name = f"{chain.name}~{number}" if number else chain.name
        match = made.filter_chain_match
        for field in ("prefix_ranges", "server_names", "application_protocols"):
            match.ClearField(field)
        match.server_names.extend(name for name in names if name is not None)
        for subnet in dict.fromkeys(subnet for subnet, _ in part):
            if subnet is not None:
                address, _, bits = subnet.partition("/")
                match.prefix_ranges.add(address_prefix=address).prefix_len.value = int(bits)
        match.application_protocols.extend(
            dict.fromkeys(protocol for _, protocol in part if protocol is not None)
        )
        yield made


def _products(
    places: list[tuple[str | None, str | None]],
) -> Iterable[tuple[tuple[str | None, str | None], ...]]:
    """Addresses with the protocols that each is left, those with the same protocols together."""
    by_subnet: dict[str | None, list[str | None]] = {}
    for subnet, protocol in places:
        by_subnet.setdefault(subnet, []).append(protocol)
    groups: dict[tuple[str | None, ...], list[str | None]] = {}
    for subnet, protocols in by_subnet.items():
        groups.setdefault(tuple(protocols), []).append(subnet)
    for shared, subnets in groups.items():
        yield tuple((subnet, protocol) for subnet in subnets for protocol in shared)
