"""The route configurations of one workload context and the virtual hosts in them, as resources.

Virtual hosts always travel one by one (VHDS), each with the destinations that it names; the route configuration itself
holds the base virtual host `*`, or none where hosts are loaded on demand (docs/xds.md, 12f). A virtual host equal
to what was compiled last is not compiled again.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.routing.table import VirtualHost
from sidecar.xds.compile import compile_route_configuration, compile_virtual_host
from sidecar.xds.destinations import Destinations
from sidecar.xds.holdings import Holdings
from sidecar.xds.peers import PeerWord
from sidecar.xds.resource import TypeUrl

__all__ = ["RouteTables"]


class RouteTables:
    """Puts route configurations and virtual hosts of one context among the holdings.

    Args:
        context: Name of the context.
        holdings: Where resources are put.
        destinations: Where the destinations that routes name are kept.
    """

    def __init__(self, context: str, holdings: Holdings, destinations: Destinations) -> None:
        self._context = context
        self._holdings = holdings
        self._destinations = destinations
        self._hosts: dict[str, dict[str, tuple[VirtualHost, str | None]]] = {}
        self._bases: dict[str, tuple[VirtualHost, ...]] = {}

        self.peer_of: PeerWord = lambda _: None
        """What virtual hosts that are put from now on say of who sends."""

    def __contains__(self, route_config: str) -> bool:
        return route_config in self._bases

    def put_base(self, route_config: str, base: tuple[VirtualHost, ...]) -> None:
        """Have a route configuration with these base virtual hosts; others of it come one by one."""
        if self._bases.get(route_config) == base:
            return
        self._bases[route_config] = base
        self._holdings.put(compile_route_configuration(route_config, base, vhds=True))
        self._use(route_config, base)

    def put(
        self, route_config: str, vh: VirtualHost, *, asked: str | None = None, closed: bool = True
    ) -> None:
        """Have a virtual host in a route configuration.

        Args:
            route_config: Name of the route configuration.
            vh: The virtual host.
            asked: The authority that Envoy asked for, which then names it; else its own name does.
            closed: Whether Envoy may ask for virtual hosts there, so that it must hear that a request has no route.
        """
        name = asked or vh.name
        hosts = self._hosts.setdefault(route_config, {})
        peer = self.peer_of(vh)
        if hosts.get(name) == (vh, peer):
            return
        hosts[name] = (vh, peer)
        full_name = f"{route_config}/{name}"
        aliases = (full_name,) if asked else ()
        self._holdings.put(
            compile_virtual_host(
                vh, route_config, name=name, aliases=aliases, peer=peer, closed=closed
            )
        )
        self._use(full_name, (vh,))

    def drop(self, route_config: str, name: str) -> None:
        """No longer have a virtual host; unknown ones are ignored."""
        if self._hosts.get(route_config, {}).pop(name, None) is not None:
            full_name = f"{route_config}/{name}"
            self._holdings.drop(TypeUrl.VIRTUAL_HOST, full_name)
            self._use(full_name, ())

    def replace(
        self, route_config: str, virtual_hosts: Iterable[VirtualHost], *, base: VirtualHost
    ) -> None:
        """Have exactly these virtual hosts; one for `*` among them takes the place of `base`."""
        wanted = {vh.name: vh for vh in virtual_hosts if "*" not in vh.domains}
        everything = [vh for vh in virtual_hosts if "*" in vh.domains]
        self.put_base(route_config, tuple(everything[:1]) or (base,))
        for name in sorted(self._hosts.get(route_config, {}).keys() - wanted.keys()):
            self.drop(route_config, name)
        for name in sorted(wanted):
            self.put(route_config, wanted[name], closed=False)

    def drop_all(self, route_config: str) -> None:
        """No longer have a route configuration, nor anything in it."""
        for name in sorted(self._hosts.pop(route_config, {})):
            full_name = f"{route_config}/{name}"
            self._holdings.drop(TypeUrl.VIRTUAL_HOST, full_name)
            self._use(full_name, ())
        if self._bases.pop(route_config, None) is not None:
            self._holdings.drop(TypeUrl.ROUTES, route_config)
            self._use(route_config, ())

    def names(self, route_config: str) -> frozenset[str]:
        """Names of the virtual hosts in a route configuration, without its own."""
        return frozenset(self._hosts.get(route_config, ()))

    def _use(self, user: str, virtual_hosts: Iterable[VirtualHost]) -> None:
        keys = frozenset(key for vh in virtual_hosts for key in vh.cluster_keys)
        self._destinations.use((self._context, user), keys)
