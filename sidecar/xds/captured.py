"""Listeners for captured connections of one context, kept up to date service by service.

Each service has shares in places (address and port); a change touches the services that it names, and those touch
their places. A place whose content is the same is not compiled again. HTTP needs no more here than that its port is
known: its hosts are the business of the route configuration, and are loaded when asked for in a large mesh. Places of
TCP and TLS are all loaded: Envoy has no listeners on demand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sidecar.mesh.model import HostName, MeshChange
from sidecar.mesh.view import View
from sidecar.routing.capture import (
    CapturedPlace,
    CapturedPort,
    Share,
    age_of_share,
    captured_port,
    http_shares,
    shares_of,
)
from sidecar.routing.originals import unclaimed
from sidecar.routing.table import ClusterKey, TcpRoute
from sidecar.xds import protos as pb
from sidecar.xds.compile import CompileOptions
from sidecar.xds.compile.capture import (
    CaptureBind,
    compile_entry,
    compile_place,
    compile_places,
    place_chains,
    place_name,
)
from sidecar.xds.dependencies import Dependencies
from sidecar.xds.destinations import Destinations
from sidecar.xds.holdings import Holdings
from sidecar.xds.resource import TypeUrl

__all__ = ["Captured"]


@dataclass(slots=True)
class _Places:
    """What is met where, by the services that say so."""

    shares: dict[CapturedPlace, dict[HostName, Share]]
    """All but those of `plain`."""
    plain: dict[CapturedPlace, dict[HostName, Share]]
    """Shares that only say that a port speaks HTTP: of thousands one is enough to make the place."""
    of_host: dict[HostName, Mapping[CapturedPlace, Share]]
    made: dict[CapturedPlace, CapturedPort]

    def put(self, host: HostName, wanted: Mapping[CapturedPlace, Share]) -> set[CapturedPlace]:
        """Give a service these shares in the place of those it had; returns the places that may differ."""
        before = self.of_host.pop(host, {})
        if wanted:
            self.of_host[host] = wanted
        dirty = {
            place
            for place in before.keys() | wanted.keys()
            if before.get(place) != wanted.get(place)
        }
        for place in dirty:
            for filed in (self.shares, self.plain):
                filed.get(place, {}).pop(host, None)
            share = wanted.get(place)
            if share is not None:
                filed = self.plain if share.is_plain_http else self.shares
                filed.setdefault(place, {})[host] = share
        return dirty

    def shares_at(self, place: CapturedPlace, view: View) -> list[Share]:
        """The shares that make a place: of those that are plain the oldest, where its age matters.

        What is plain was read from objects that nobody may have judged yet: only one that serves stands for the others.
        """
        shares = list(self.shares.get(place, {}).values())
        plain: Iterable[Share] = self.plain.get(place, {}).values()
        if any(share.speaks_first for share in shares):
            plain = sorted(plain, key=age_of_share)
        standing = next((share for share in plain if _serves(view, share)), None)
        return shares if standing is None else [*shares, standing]

    def forget(self, place: CapturedPlace) -> None:
        """Let go of a place that no service is at any more."""
        for filed in (self.shares, self.plain):
            if not filed.get(place, True):
                del filed[place]


class Captured:
    """See the module's text.

    Args:
        context: Name of the context; empty on a host with one.
        bind: Where redirected connections of the context arrive.
        alone: Whether this host has one context: then each place has a listener of its own.
        holdings: Where listeners are put.
        destinations: Where the destinations of TCP routes are kept.
    """

    def __init__(
        self,
        context: str,
        bind: CaptureBind,
        holdings: Holdings,
        destinations: Destinations,
        *,
        alone: bool,
    ) -> None:
        self.route_config = f"captured.{context}" if context else "captured"
        """Name of its route configuration, and of its entry."""
        self._context = context
        self._bind = bind
        self._alone = alone
        self._holdings = holdings
        self._destinations = destinations
        self._options: CompileOptions | None = None
        self._places = _Places({}, {}, {}, {})
        self._chains: dict[CapturedPlace, tuple[pb.FilterChain, ...]] = {}
        self._depends: Dependencies[HostName] = Dependencies()
        self._rest: TcpRoute | None = None

    def update(self, view: View, change: MeshChange, options: CompileOptions) -> None:
        """Follow a change of the mesh; `options` are facts about this host, with the telemetry in force."""
        rest = unclaimed(view)
        renewed = (rest, options) != (self._rest, self._options)
        self._rest, self._options = rest, options
        dirty: set[CapturedPlace] = set()
        for host in self._touched(view, change):
            dirty |= self._take(view, host)
        changed = self._merge(view, sorted(dirty))
        if renewed:
            changed |= set(self._places.made)
            self._use("rest", rest.clusters_named)
        if self._alone:
            self._put_places(changed, rest, options, renewed=renewed)
        elif changed or renewed:
            self._put_context(changed, rest, options, renewed=renewed)

    def _touched(self, view: View, change: MeshChange) -> Iterable[HostName]:
        if change.everything:
            return sorted(set(view.hosts()) | set(self._places.of_host))
        return sorted(self._depends.touched(change) | change.hosts | change.patterns)

    def _take(self, view: View, host: HostName) -> set[CapturedPlace]:
        """Put a service's shares in the place of those it had; returns the places that may differ."""
        shares: dict[CapturedPlace, Share] = {}
        for place, share in _shares(view, host):
            shares.setdefault(place, share)
        dirty = self._places.put(host, shares)
        if not shares:
            self._depends.forget(host)
        elif not all(share.is_plain_http for share in shares.values()):
            routes = (route for share in shares.values() for route in share.routes)
            targets = {key.host for route in routes for key in route.clusters_named}
            self._depends.file(host, targets | {host})
        return dirty

    def _merge(self, view: View, dirty: Iterable[CapturedPlace]) -> set[CapturedPlace]:
        """Make the dirty places anew; returns those that are different now."""
        places, changed = self._places, set()
        for place in dirty:
            shares = places.shares_at(place, view)
            if not shares:
                places.forget(place)
                if places.made.pop(place, None) is not None:
                    changed.add(place)
                    self._use(_user(place), ())
                continue
            found = captured_port(place, shares)
            if places.made.get(place) != found:
                places.made[place] = found
                changed.add(place)
                self._use(_user(place), found.cluster_keys)
        return changed

    def _put_places(
        self,
        changed: Iterable[CapturedPlace],
        rest: TcpRoute,
        options: CompileOptions,
        *,
        renewed: bool,
    ) -> None:
        entry, ipv6 = self.route_config, self._bind.ipv6
        if renewed:
            self._holdings.put(compile_entry(entry, self._bind, rest, entry, options))
        for place in sorted(changed):
            found = self._places.made.get(place)
            if found is None or not (found.routes or found.http):
                name = place_name(entry, CapturedPort(place))
                self._holdings.drop(TypeUrl.LISTENER, name)
                continue
            made = compile_place(entry, found, rest, self.route_config, ipv6=ipv6, options=options)
            self._holdings.put(made)

    def _put_context(
        self,
        changed: Iterable[CapturedPlace],
        rest: TcpRoute,
        options: CompileOptions,
        *,
        renewed: bool,
    ) -> None:
        """Put the listener together again, where any of its chains is different now."""
        made, is_different = self._places.made, renewed
        for place in changed:
            found = made.get(place)
            chains = () if found is None else place_chains(found, self.route_config, options)
            is_different = is_different or chains != self._chains.get(place, ())
            self._chains[place] = chains
            if not chains:
                del self._chains[place]
        if not is_different:
            return
        places = [(made[place], self._chains[place]) for place in sorted(self._chains)]
        self._holdings.put(
            compile_places(self.route_config, self._bind, places, rest, self.route_config, options)
        )

    def _use(self, user: str, keys: Iterable[ClusterKey]) -> None:
        self._destinations.use((self._context, user), keys)


def _shares(view: View, host: HostName) -> Iterable[tuple[CapturedPlace, Share]]:
    """What the service of a host has where; most speak HTTP alone and need not be built for that."""
    facts = view.plain_http(host)
    if facts is not None:
        return http_shares(view, host, facts)
    service = view.service(host)
    return shares_of(view, service) if service is not None else ()


def _serves(view: View, share: Share) -> bool:
    """Whether what a plain share was read from is valid; where judging an object was put off, it is looked at now.

    No object stands behind a service that workloads alone make by registering: what they say was judged as it came.
    """
    if share.source.ref is None:
        return True
    found = view.mesh.objects.get(share.source.ref)
    return found is not None and found.serves


def _user(place: CapturedPlace) -> str:
    return f"captured {place.address} {place.port}"
