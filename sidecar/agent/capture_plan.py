"""From settings to a plan of capture: names of users and groups become numbers, workloads become ports.

Reads what only this machine knows: its users, where control groups are mounted, its resolvers. Every problem is told
at once, with the place in the settings.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from pathlib import Path

from sidecar.agent.host_facts import HostFacts
from sidecar.agent.resolvers import system_resolvers
from sidecar.agent.settings import ContextSettings, SidecarSettings
from sidecar.capture.plan import CapturePlan, Cgroup, Inbound, Outbound, Selection, problems
from sidecar.capture.ranges import PortRange, parse_network, parse_ports
from store.errors import InputError

__all__ = ["capture_plan", "cgroup_place"]

CGROUP_ROOT = Path("/sys/fs/cgroup")
"""Where nft looks for control groups, whatever is mounted where."""


def capture_plan(settings: SidecarSettings) -> CapturePlan:
    """The plan that the settings ask for.

    Raises:
        InputError: It cannot be told to the kernel; says every reason.
    """
    wrong: list[str] = []
    options = settings.capture
    if settings.role == "gateway":
        wrong.append("role: a gateway takes what is sent to it, and has no listeners for capture")
    ports = settings.capture_ports()
    selections = tuple(
        _selection(one, ports[one.name], options.dns, wrong)
        for one in settings.effective_contexts()
    )
    plan = CapturePlan(
        selections=selections,
        own_users=_numbers("capture.user", (options.user,), _user, wrong),
        own_ports=_own_ports(settings),
        outbound=_outbound(settings) if options.outbound else None,
        inbound=_inbound(settings) if options.inbound and _has_inbound(settings) else None,
        dns=options.dns,
        dns_servers=tuple(ip_address(one) for one in options.dns_servers or system_resolvers()),
        enforce=options.enforce,
    )
    wrong += [] if wrong else problems(plan)
    if wrong:
        raise InputError("this cannot be captured:\n  " + "\n  ".join(wrong))
    return plan


def _selection(
    context: ContextSettings, ports: tuple[int, int], dns: bool, wrong: list[str]
) -> Selection:
    where = f"context {context.name}" if context.name else "contexts"
    return Selection(
        context=context.name,
        outbound_port=ports[0],
        dns_port=ports[1] if dns else 0,
        users=_numbers(f"{where} users", context.users, _user, wrong),
        groups=_numbers(f"{where} groups", context.groups, _group, wrong),
        cgroups=tuple(_cgroups(f"{where} cgroups", context.cgroups, wrong)),
    )


def _numbers(
    where: str, names: Iterable[str], look_up: Callable[[str], int], wrong: list[str]
) -> tuple[int, ...]:
    found = []
    for name in names:
        if name.isascii() and name.isdigit():
            found.append(int(name))
            continue
        try:
            found.append(look_up(name))
        except KeyError:
            wrong.append(f'{where}: there is no "{name}" on this machine')
    return tuple(found)


def _user(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


def _group(name: str) -> int:
    return grp.getgrnam(name).gr_gid


def _cgroups(where: str, paths: Iterable[str], wrong: list[str]) -> Iterable[Cgroup]:
    place = cgroup_place(Path("/proc/self/mounts").read_text(encoding="utf-8"))
    for path in paths:
        inside = path.strip("/")
        if place is None:
            wrong.append(
                f'{where}: "{path}": control groups of version 2 are not mounted below {CGROUP_ROOT}'
            )
        elif not inside or not (CGROUP_ROOT / place / inside).is_dir():
            wrong.append(
                f'{where}: there is no control group "{path}" below {CGROUP_ROOT / place}; '
                "it must exist when the rules are installed"
            )
        else:
            yield Cgroup(inside, place)


def cgroup_place(mounts: str) -> str | None:
    """Where version 2 is mounted below /sys/fs/cgroup, with a slash at its end; None where it is not.

    Args:
        mounts: The text of /proc/self/mounts.
    """
    for line in mounts.splitlines():
        _, where, kind, *_ = line.split()
        path = Path(where)
        if kind == "cgroup2" and path.is_relative_to(CGROUP_ROOT):
            inside = str(path.relative_to(CGROUP_ROOT))
            return "" if inside == "." else f"{inside}/"
    return None


def _outbound(settings: SidecarSettings) -> Outbound:
    options = settings.capture
    return Outbound(
        include_ports=_ports(options.include_ports),
        exclude_ports=_ports(options.exclude_ports),
        include_ranges=tuple(parse_network(text) for text in options.include_ranges),
        exclude_ranges=tuple(parse_network(text) for text in options.exclude_ranges),
        loopback=options.loopback,
    )


def _has_inbound(settings: SidecarSettings) -> bool:
    return bool(settings.capture.inbound_ports or any(one.ports for one in settings.workloads))


def _inbound(settings: SidecarSettings) -> Inbound:
    options = settings.capture
    told = _ports(options.inbound_ports) or tuple(
        PortRange(number, number)
        for workload in settings.workloads
        for number in (port.app_port or port.number for port in workload.ports)
    )
    excluded = _ports(options.exclude_inbound_ports)
    ports = tuple(one for one in told if not any(_covers(other, one) for other in excluded))
    return Inbound(options.inbound_port, ports)


def _covers(one: PortRange, other: PortRange) -> bool:
    return one.first <= other.first and other.last <= one.last


def _ports(texts: Iterable[str]) -> tuple[PortRange, ...]:
    return tuple(parse_ports(text) for text in texts)


def _own_ports(settings: SidecarSettings) -> tuple[int, ...]:
    """Every port on which the sidecar or its Envoy listens by settings."""
    ports = {one.outbound_port for one in settings.effective_contexts()}
    ports |= {port for pair in settings.capture_ports().values() for port in pair}
    ports |= HostFacts(settings, "127.0.0.1").inbound_port_numbers
    return tuple(sorted(ports | {settings.capture.inbound_port}))
