"""A plan of capture as one nftables script.

The script is one transaction of the kernel: it makes the table if it is not there, removes it with all that it holds,
and makes it anew, so that installing twice is installing once and nobody sees half of it. Rules are in the order of
reading: what is never captured, then whose it is. Family: `inet`, which holds IPv4 and IPv6 at once.

Source: nft(8); kernel, netfilter hooks and their order (destination NAT before filtering).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sidecar.capture.plan import TABLE, CapturePlan, Outbound, Selection
from sidecar.capture.ranges import Network, PortRange

__all__ = ["removal", "ruleset"]

INDENT = "    "
DNS_PORT = 53

_OPENS = "tcp flags & (syn | ack) == syn"
"""A connection that begins: one that is open when the rules are installed goes on as it was."""
_EXCLUDED_V4, _EXCLUDED_V6 = "excluded_ipv4", "excluded_ipv6"
_INCLUDED_V4, _INCLUDED_V6 = "included_ipv4", "included_ipv6"
_EXCLUDED_PORTS, _INCLUDED_PORTS = "excluded_ports", "included_ports"
_OWN_PORTS, _INBOUND_PORTS = "own_ports", "inbound_ports"
_DNS_V4, _DNS_V6 = "dns_servers_ipv4", "dns_servers_ipv6"


def removal() -> str:
    """The script that removes everything, also where there is nothing."""
    return f"table inet {TABLE}\ndelete table inet {TABLE}\n"


def ruleset(plan: CapturePlan) -> str:
    """The script that installs a plan in the place of whatever was installed before."""
    parts = [*_sets(plan)]
    if plan.outbound is not None or plan.dns:
        parts.append(_chain("outbound", "type nat hook output priority -100", _outbound(plan)))
    if plan.inbound is not None:
        parts.append(
            _chain(
                "inbound",
                "type nat hook prerouting priority -100",
                [*_inbound(), _redirect("", plan.inbound.port, "inbound")],
            )
        )
    if plan.enforce and plan.outbound is not None:
        lines = _enforce_outbound(plan)
        parts.append(_chain("enforce_outbound", "type filter hook output priority 0", lines))
    if plan.enforce and plan.inbound is not None:
        lines = _enforce_inbound()
        parts.append(_chain("enforce_inbound", "type filter hook input priority 0", lines))
    return f"{removal()}table inet {TABLE} {{\n" + "".join(parts) + "}\n"


def _sets(plan: CapturePlan) -> Iterator[str]:
    outbound = plan.outbound or Outbound()
    yield from _networks(_EXCLUDED_V4, _EXCLUDED_V6, outbound.exclude_ranges)
    yield from _networks(_INCLUDED_V4, _INCLUDED_V6, outbound.include_ranges, both=True)
    yield from _ports(_EXCLUDED_PORTS, outbound.exclude_ports)
    yield from _ports(_INCLUDED_PORTS, outbound.include_ports)
    if outbound.loopback:
        yield from _ports(_OWN_PORTS, (PortRange(port, port) for port in plan.own_ports))
    yield from _ports(_INBOUND_PORTS, plan.inbound.ports if plan.inbound is not None else ())
    if plan.dns:
        servers = [str(server) for server in plan.dns_servers]
        yield from _set(_DNS_V4, "ipv4_addr", [one for one in servers if ":" not in one])
        yield from _set(_DNS_V6, "ipv6_addr", [one for one in servers if ":" in one])


def _networks(
    v4: str, v6: str, networks: Iterable[Network], *, both: bool = False
) -> Iterator[str]:
    """One set for each family; `both`: where either is named the other is made too, empty."""
    given = sorted(
        {(one.version, int(one.network_address), one.prefixlen, str(one)) for one in networks}
    )
    forced = both and bool(given)
    for version, name in ((4, v4), (6, v6)):
        texts = [text for found, _, _, text in given if found == version]
        yield from _set(name, f"ipv{version}_addr", texts, forced=forced)


def _ports(name: str, ports: Iterable[PortRange]) -> Iterator[str]:
    yield from _set(name, "inet_service", [str(one) for one in sorted(set(ports))])


def _set(name: str, kind: str, elements: list[str], *, forced: bool = False) -> Iterator[str]:
    if not elements and not forced:
        return
    lines = [f"type {kind}; flags interval; auto-merge;"]
    if elements:
        lines.append(f"elements = {{ {', '.join(elements)} }};")
    body = "".join(f"{INDENT * 2}{line}\n" for line in lines)
    yield f"{INDENT}set {name} {{\n{body}{INDENT}}}\n"


def _chain(name: str, hook: str, lines: Iterable[str]) -> str:
    body = "".join(f"{INDENT * 2}{line}\n" for line in (f"{hook}; policy accept;", *lines))
    return f"{INDENT}chain {name} {{\n{body}{INDENT}}}\n"


def _own(plan: CapturePlan) -> list[str]:
    """Nothing of the sidecar itself, whatever else is said."""
    lines = []
    if plan.own_users:
        lines.append(
            f'meta skuid {_numbers(plan.own_users)} counter return comment "the sidecar\'s own"'
        )
    if plan.own_groups:
        lines.append(
            f'meta skgid {_numbers(plan.own_groups)} counter return comment "the sidecar\'s own"'
        )
    return lines


def _outbound(plan: CapturePlan) -> list[str]:
    lines = _own(plan)
    if plan.dns:
        lines += [line for one in plan.ordered() for line in _dns(plan, one)]
    outbound = plan.outbound
    if outbound is None:
        return lines
    lines.append("meta l4proto != tcp return")
    if outbound.loopback:
        if plan.own_ports:
            lines.append(f"fib daddr type local tcp dport @{_OWN_PORTS} return")
    else:
        lines.append("fib daddr type local return")
    lines += _exempt(outbound, "tcp dport")
    for one in plan.ordered():
        lines += [_redirect(match, one.outbound_port, one.label) for match in _matches(one)]
    return lines


def _exempt(outbound: Outbound, port: str) -> list[str]:
    """Destinations that are left alone; `port` is how the destination port is read."""
    lines = []
    families = (("ip", 4, _EXCLUDED_V4, _INCLUDED_V4), ("ip6", 6, _EXCLUDED_V6, _INCLUDED_V6))
    for word, version, excluded, included in families:
        if any(one.version == version for one in outbound.exclude_ranges):
            lines.append(f"{word} daddr @{excluded} return")
        if outbound.include_ranges:
            lines.append(f"{word} daddr != @{included} return")
    if outbound.exclude_ports:
        lines.append(f"{port} @{_EXCLUDED_PORTS} return")
    if outbound.include_ports:
        lines.append(f"{port} != @{_INCLUDED_PORTS} return")
    return lines


def _dns(plan: CapturePlan, one: Selection) -> Iterator[str]:
    """Queries go to the selection's own answers; before anything else, since resolvers are often on loopback."""
    places = [""]
    if plan.dns_servers:
        versions = {server.version for server in plan.dns_servers}
        places = [f"ip daddr @{_DNS_V4}"] * (4 in versions) + [f"ip6 daddr @{_DNS_V6}"] * (
            6 in versions
        )
    for match in _matches(one):
        for place in places:
            wanted = " ".join(
                part
                for part in (match, place, f"meta l4proto {{ tcp, udp }} th dport {DNS_PORT}")
                if part
            )
            yield f'{wanted} counter redirect to :{one.dns_port} comment "DNS of {one.label}"'


def _matches(one: Selection) -> Iterator[str]:
    """Conditions on the sender; any of them suffices."""
    for cgroup in one.cgroups:
        yield f'socket cgroupv2 level {cgroup.level} "{cgroup.place}{cgroup.path}"'
    if one.users:
        yield f"meta skuid {_numbers(one.users)}"
    if one.groups:
        yield f"meta skgid {_numbers(one.groups)}"
    if one.has_everybody:
        yield ""


def _redirect(match: str, port: int, label: str) -> str:
    condition = f"{match} " if match else ""
    return f'{condition}{_OPENS} counter redirect to :{port} comment "{label}"'


def _inbound() -> list[str]:
    return [
        'iifname "lo" return',
        "fib daddr type != local return",
        f"tcp dport != @{_INBOUND_PORTS} return",
    ]


def _enforce_outbound(plan: CapturePlan) -> list[str]:
    """What the selections send, is not redirected, and leaves this host."""
    assert plan.outbound is not None
    lines = [
        *_own(plan),
        "ct status dnat return",
        "ct direction reply return",
        "fib daddr type local return",
        "meta l4proto { icmp, ipv6-icmp } return",
    ]
    if not plan.dns:
        lines.append(f"meta l4proto {{ tcp, udp }} th dport {DNS_PORT} return")
    lines += _exempt(plan.outbound, "meta l4proto { tcp, udp } th dport")
    for one in plan.ordered():
        for match in _matches(one):
            condition = f"{match} " if match else ""
            lines.append(f'{condition}counter drop comment "{one.label} past the sidecar"')
    return lines


def _enforce_inbound() -> list[str]:
    """What arrives for an application and has not been through the sidecar."""
    return [
        'iifname "lo" return',
        "ct status dnat return",
        "ct direction reply return",
        f'tcp dport @{_INBOUND_PORTS} counter drop comment "past the sidecar"',
    ]


def _numbers(values: Iterable[int]) -> str:
    return f"{{ {', '.join(str(value) for value in sorted(set(values)))} }}"
