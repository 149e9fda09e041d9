"""Which hosts began again from their disks, and when: what they said before does not bind them altogether.

A sidecar's last known good is written a moment after Envoy took it. One that is killed while etcd is away begins with
what is on the disk, and catches up from its peers.
"""

from __future__ import annotations

from collections.abc import Iterable

from chaos.history import FaultSpan

__all__ = ["DISK_S", "was_killed"]

DISK_S = 5.0
"""What was in force for so long is on the disk, also on a busy machine: a small mesh is written within a second."""
STARTED_S = 10.0
"""After a fault's end: a sidecar that it killed has started."""


def was_killed(faults: Iterable[FaultSpan], host: str, at_s: float) -> bool:
    """Whether a fault has killed this host's sidecar, so that it may just have begun again."""
    return any(
        f"sidecar@{host}" in fault.restarts and fault.began_s <= at_s <= fault.ended_s + STARTED_S
        for fault in faults
    )
