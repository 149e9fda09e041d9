"""Rows of `meshd epoch show`: which etcd is followed by whom, and who holds one off. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshd.cli.troubles import duration

__all__ = ["Etcd", "etcds_of", "held_here"]

Json = Mapping[str, Any]
_HERE = ("alive", "suspect")


@dataclass
class Etcd:
    """One etcd, by its cluster id in hexadecimal."""

    cluster: str
    hosts: list[str] = field(default_factory=list)
    """Those that follow it, by etcd itself or by peers."""
    holding: list[str] = field(default_factory=list)
    """Those that follow it, and hold off another one."""
    newest: int = 0
    """Newest revision that one of them has."""

    def cells(self) -> list[str]:
        """The row of the table."""
        some = ", ".join(self.holding[:5])
        more = f" and {len(self.holding) - 5} more" if len(self.holding) > 5 else ""
        return [self.cluster, str(len(self.hosts)), str(self.newest), some + more]

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON."""
        return {
            "cluster": self.cluster,
            "hosts": self.hosts,
            "newest": self.newest,
            "holding": self.holding,
        }


def etcds_of(mesh: Json) -> list[Etcd]:
    """What an answer of `/v1/mesh` tells of etcds; the one that most hosts follow first."""
    found: dict[str, Etcd] = {}
    for row in mesh.get("members") or ():
        cluster = str(row.get("cluster") or "")
        if row.get("status") not in _HERE or not cluster:
            continue
        etcd = found.setdefault(cluster, Etcd(cluster))
        etcd.hosts.append(str(row.get("node", "")))
        etcd.newest = max(etcd.newest, int(row.get("received") or 0))
        if row.get("sync") == "held":
            etcd.holding.append(str(row.get("node", "")))
    return sorted(found.values(), key=lambda etcd: (-len(etcd.hosts), etcd.cluster))


def held_here(status: Json) -> str:
    """What a sidecar of this machine holds off, in a sentence; empty where it holds nothing off."""
    config = status.get("config") or {}
    held = config.get("held")
    if not isinstance(held, Mapping):
        return ""
    store = status.get("store") or {}
    by_peers = held.get("by") == "peers"
    since = f" for {duration(store['since_s'])}" if "since_s" in store and not by_peers else ""
    seen = ", which peers follow" if by_peers else ""
    return (
        f"{status.get('node')} holds off etcd {held.get('cluster_id')}{seen}{since}: {held.get('reason')}; "
        f"it serves revision {config.get('revision_in_force')} of {str(config.get('epoch')).partition('.')[0]}"
    )
