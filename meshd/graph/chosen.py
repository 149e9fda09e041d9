"""What of a mesh is drawn when one host is asked for: that host, and whatever leads to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sidecar.mesh.names import matches
from sidecar.mesh.view import View
from sidecar.routing.authority import parse_authority
from sidecar.routing.build import outbound_virtual_host
from sidecar.routing.table import ClusterKey, TcpRoute, VirtualHost

__all__ = ["Choice", "choice_of"]

_CATCH_ALL = frozenset({"allow_any", "block_all"})


@dataclass(frozen=True, slots=True)
class Choice:
    """The host that was asked for."""

    names: frozenset[str]
    """Full names that it may have."""
    port: int | None
    """The one port that is wanted; None for all."""
    virtual_hosts: frozenset[str]
    """Virtual hosts that answer it for the client, by name."""

    def has_host(self, host: VirtualHost) -> bool:
        """Whether a virtual host answers it, or may send requests to it."""
        if host.name in self.virtual_hosts or self._has_destination(host.cluster_keys):
            return True
        name, _, port = host.name.rpartition(":")
        name, port = (name, port) if port.isdigit() else (host.name, "")
        if self.port is not None and port != str(self.port):
            return False
        return any(name != "*" and matches(name, wanted) for wanted in self.names)

    def has_connection(self, route: TcpRoute) -> bool:
        """Whether a route for connections leads to it."""
        keys = (one.cluster for one in route.clusters if isinstance(one.cluster, ClusterKey))
        return self._has_destination(keys)

    def _has_destination(self, keys: Iterable[ClusterKey]) -> bool:
        return any(str(key.host) in self.names and self.port in (None, key.port) for key in keys)


def choice_of(view: View, text: str) -> Choice:
    """The host that a person means by `text`: a name, short or full, maybe with a port.

    Args:
        view: The mesh as the client sees it; its names are completed as for that client.
        text: As in a URL, or a wildcard host of an object.
    """
    wanted = parse_authority(text)
    names = {wanted.host}
    service = view.service_for_authority(wanted.host)
    if service is not None:
        names.add(service.host)
    elif wanted.host:
        names.update(view.authority_hosts(wanted.host))
    answering = outbound_virtual_host(view, text)
    found = frozenset({answering.name}) - _CATCH_ALL
    return Choice(frozenset(names), wanted.port, found)
