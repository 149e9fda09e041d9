"""What is to be captured, as a value: whose connections, which of them, and to which of the sidecar's ports.

Decides whether such a plan is one that can be told to the kernel: two contexts must not claim the same traffic. Users
and groups are numbers here, and control groups are paths as nftables wants them: names are looked up by the shell.

The sidecar's own traffic is known by its user (or group), not by a mark on its sockets. To set a mark a process needs
a capability that our Envoy does without; sockets of gRPC and of resolver libraries cannot be marked at all; and one
that is not marked would go round for ever. A user holds for every socket of the sidecar, of Envoy and their children.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from sidecar.capture.ranges import Network, PortRange

__all__ = [
    "TABLE",
    "Address",
    "CapturePlan",
    "Cgroup",
    "Inbound",
    "Outbound",
    "Selection",
    "problems",
]

TABLE = "meshd_capture"
"""The one table (family inet) that holds all our rules: removing it removes them all."""

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Cgroup:
    """A control group of version 2; whatever is below it belongs to it."""

    path: str
    """Path below the mount point, without leading slash: `mesh.slice/shop.slice`."""
    place: str = ""
    """Where version 2 is mounted below /sys/fs/cgroup, with a slash at its end; empty where it is there itself."""

    @property
    def level(self) -> int:
        """Depth of the path: which ancestor of a socket's group is compared."""
        return self.path.count("/") + 1


@dataclass(frozen=True, slots=True)
class Selection:
    """One workload context: whose traffic it has, and the ports of its sidecar's listeners."""

    context: str
    """Name of the context; empty on a host with one."""
    outbound_port: int
    """Port of its capture listener."""
    dns_port: int = 0
    """Port of its DNS answers; 0 where there are none."""
    users: tuple[int, ...] = ()
    """User ids whose traffic it has."""
    groups: tuple[int, ...] = ()
    """Group ids (the first group of a process)."""
    cgroups: tuple[Cgroup, ...] = ()
    """Control groups."""

    @property
    def has_everybody(self) -> bool:
        """Whether it has all traffic that no other selection has."""
        return not (self.users or self.groups or self.cgroups)

    @property
    def label(self) -> str:
        """Its name for people."""
        return f"context {self.context}" if self.context else "the only context"


@dataclass(frozen=True, slots=True)
class Outbound:
    """Which connections that leave are captured; nothing said means all TCP but that to this host itself."""

    include_ports: tuple[PortRange, ...] = ()
    """Only these destination ports; empty for all."""
    exclude_ports: tuple[PortRange, ...] = ()
    """Never these."""
    include_ranges: tuple[Network, ...] = ()
    """Only these destinations; empty for all."""
    exclude_ranges: tuple[Network, ...] = ()
    """Never these."""
    loopback: bool = False
    """Also connections to this host's own addresses."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """Which connections that arrive are captured."""

    port: int
    """Port of the sidecar's inbound capture listener."""
    ports: tuple[PortRange, ...]
    """Ports of the applications: only connections to these are captured."""


@dataclass(frozen=True, slots=True)
class CapturePlan:
    """Everything that the rules follow from."""

    selections: tuple[Selection, ...]
    """Contexts; the one for everybody else, if any, is told last."""
    own_users: tuple[int, ...] = ()
    """Users of the sidecar and its Envoy: their traffic is never captured."""
    own_groups: tuple[int, ...] = ()
    """Groups of the same."""
    own_ports: tuple[int, ...] = ()
    """Ports on which the sidecar and its Envoy listen: connections to them are never captured."""
    outbound: Outbound | None = None
    """What leaves; None: nothing of it."""
    inbound: Inbound | None = None
    """What arrives; None: nothing of it."""
    dns: bool = False
    """Whether DNS queries are captured."""
    dns_servers: tuple[Address, ...] = ()
    """Only queries to these resolvers; empty for all."""
    enforce: bool = False
    """Whether traffic of the selections that would bypass the sidecar is dropped."""

    def ordered(self) -> tuple[Selection, ...]:
        """Selections by control group, then user, then group, then everybody: the first that fits has a connection."""
        return tuple(sorted(self.selections, key=_generality))


def _generality(one: Selection) -> tuple[int, str]:
    rank = 0 if one.cgroups else 1 if one.users else 2 if one.groups else 3
    return rank, one.context


def problems(plan: CapturePlan) -> tuple[str, ...]:
    """Why a plan cannot be told to the kernel, one sentence each; empty when it can."""
    return tuple(_problems(plan))


def _problems(plan: CapturePlan) -> Iterator[str]:
    if not (plan.own_users or plan.own_groups):
        yield "no user or group of the sidecar is named: its own traffic would be captured and go round for ever"
    if plan.outbound is None and plan.inbound is None and not plan.dns:
        yield "neither outbound, inbound nor DNS traffic is to be captured: nothing is left to do"
    if plan.inbound is not None and not plan.inbound.ports:
        yield "no inbound port is named, and no local workload has one"
    everybody = [one.label for one in plan.selections if one.has_everybody]
    if len(everybody) > 1:
        yield f"{' and '.join(everybody)} both have everybody: name users, groups or control groups"
    yield from _twice("user", ((user, one) for one in plan.selections for user in one.users))
    yield from _twice("group", ((group, one) for one in plan.selections for group in one.groups))
    yield from _twice(
        "control group", ((cgroup.path, one) for one in plan.selections for cgroup in one.cgroups)
    )
    for one in plan.selections:
        own = sorted(set(one.users) & set(plan.own_users))
        if own:
            yield f"user {own[0]} of {one.label} is the sidecar's own: give the sidecar a user of its own"
        if plan.dns and not one.dns_port:
            yield f"{one.label} has no port for DNS"


def _twice(what: str, claims: Iterable[tuple[object, Selection]]) -> Iterator[str]:
    pairs = list(claims)
    counted = Counter(claimed for claimed, _ in pairs)
    for claimed, times in counted.items():
        if times > 1:
            names = " and ".join(one.label for found, one in pairs if found == claimed)
            yield f"{what} {claimed} is in {names}"
