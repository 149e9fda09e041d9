"""Which hosts began again from their disks, and when: what they said before does not bind them altogether.

A sidecar's last known good is written a moment after Envoy took it. One that is killed while etcd is away begins with
what is on the disk, and catches up from its peers.
"""

from __future__ import annotations

from collections.abc import Iterable

from chaos.history import FaultSpan, History

__all__ = ["DISK_S", "felt_until_s", "was_killed"]

DISK_S = 2.0
"""What was in force for so long is on the disk, also on a busy machine: a small mesh is written within a second."""
STARTS_S = 60.0
"""Within this time a sidecar that was killed has started, on a machine that is busy with several rigs."""
SILENT_S = 1.5
"""Between two looks at a host, where nothing answered in between."""
STARTED_S = 10.0
"""After a fault's end: a sidecar that it killed has started."""


def was_killed(faults: Iterable[FaultSpan], host: str, at_s: float) -> bool:
    """Whether a fault has killed this host's sidecar, so that it may just have begun again."""
    return any(
        f"sidecar@{host}" in fault.restarts and fault.began_s <= at_s <= fault.ended_s + STARTED_S
        for fault in faults
    )


def felt_until_s(fault: FaultSpan, history: History) -> float:
    """Until when requests may fail by a fault: where it killed a sidecar and its Envoy, until the new ones speak."""
    until_s = min(fault.ended_s, fault.began_s + fault.felt_s)
    for host in fault.hosts:
        if {f"sidecar@{host}", f"envoy@{host}"} <= set(fault.restarts):
            until_s = max(until_s, _back_s(history, host, fault.began_s))
    return until_s


def _back_s(history: History, host: str, killed_s: float) -> float:
    """When a host's new sidecar first said something, within a time; that of the kill, where it did not."""
    before_s = killed_s
    for look in sorted(history.looks, key=lambda one: one.at_s):
        if look.host != host or look.at_s < killed_s:
            continue
        if look.at_s > killed_s + STARTS_S:
            break
        if look.at_s - before_s > SILENT_S:
            return look.at_s
        before_s = look.at_s
    return killed_s
