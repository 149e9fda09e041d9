"""Which derived things must be considered again when hosts change: a reverse index of host names.

A thing (a virtual host, a cluster, a gateway) is filed under every host name that it was derived from, present or
not; wildcard names among them overlap with others, so those are compared one by one, and there are few.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

from sidecar.mesh.model import HostName, MeshChange

__all__ = ["Dependencies"]

Thing = TypeVar("Thing", bound=Hashable)


class Dependencies(Generic[Thing]):
    """Things filed under the hosts that they depend on."""

    def __init__(self) -> None:
        self._hosts: dict[Thing, frozenset[HostName]] = {}
        self._exact: dict[HostName, set[Thing]] = {}
        self._wild: dict[HostName, set[Thing]] = {}

    def __len__(self) -> int:
        return len(self._hosts)

    def __contains__(self, thing: Thing) -> bool:
        return thing in self._hosts

    def __iter__(self) -> Iterator[Thing]:
        return iter(self._hosts)

    def file(self, thing: Thing, hosts: Iterable[HostName]) -> None:
        """Say which hosts a thing depends on from now on."""
        wanted = frozenset(hosts)
        before = self._hosts.get(thing, frozenset())
        for host in before - wanted:
            self._unfile(thing, host)
        for host in wanted - before:
            self._index(host).setdefault(host, set()).add(thing)
        self._hosts[thing] = wanted

    def forget(self, thing: Thing) -> None:
        """Take a thing out; unknown ones are ignored."""
        for host in self._hosts.pop(thing, frozenset()):
            self._unfile(thing, host)

    def touched(self, change: MeshChange) -> set[Thing]:
        """The things that a change may make different; costs what is touched, but for changed wildcards."""
        if change.everything:
            return set(self._hosts)
        found: set[Thing] = set()
        for host in change.hosts:
            found |= self._exact.get(host, set())
        for host, things in self._wild.items():
            if change.touches(host):
                found |= things
        if change.patterns:
            for host, things in self._exact.items():
                if change.touches(host):
                    found |= things
        return found

    def _index(self, host: HostName) -> dict[HostName, set[Thing]]:
        return self._wild if host.startswith("*") else self._exact

    def _unfile(self, thing: Thing, host: HostName) -> None:
        index = self._index(host)
        filed = index[host]
        filed.discard(thing)
        if not filed:
            del index[host]
