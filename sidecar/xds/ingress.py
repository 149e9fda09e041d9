"""What stands before the applications of this host: a listener and a cluster for each of their ports.

The ports that a host registers have a listener each, where peers find it. A Sidecar's `ingress` says more of those that
it names (by the port of the service or of the application): where the application really listens, what it speaks, its
limits. An ingress port that nothing is registered for, or with `captureMode: NONE`, gets a listener of its own. Limits
towards an application: the ingress listener's, else `inboundConnectionPool`, else those of the DestinationRule for the
service (Istio's sidecar.proto, core/listener_inbound.go, core/cluster_builder.go buildInboundCluster).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from sidecar.certificates.model import Identity
from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, Protocol, Provenance
from sidecar.mesh.protocols import declared_protocol
from sidecar.mesh.view import View
from sidecar.routing.table import InboundKey
from sidecar.xds.compile import Bind, InboundPort
from sidecar.xds.compile.inbound import ends_tls
from store.objects.connection_pool import ConnectionPoolSettings
from store.objects.sidecar import CaptureMode, IstioIngressListener
from store.objects.tls import ServerTLSSettings

__all__ = ["LocalPort", "local_ports"]

LOOPBACK = "127.0.0.1"
_ANYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class LocalPort:
    """One port of a local application as it is to be served."""

    port: InboundPort
    """Where it listens, and where the application does."""
    pool: ConnectionPoolSettings | None = None
    """Limits towards the application; None for none."""
    tls: ServerTLSSettings | None = None
    """TLS that clients from outside the mesh use (Sidecar `ingress[].tls`)."""
    sources: tuple[Provenance, ...] = ()
    """Objects that say so; empty for what follows from the registration alone."""
    addressed: int = 0
    """Port that captured connections to it name, wherever its application really listens; 0 for none."""


def local_ports(
    mesh: Mesh, registered: Iterable[InboundPort], contexts: Iterable[Context], address: str
) -> tuple[LocalPort, ...]:
    """Every port that is to be served on this host, those that are registered first.

    Args:
        mesh: The mesh.
        registered: Ports of the workloads that this host registers.
        contexts: Workload contexts of this host: their Sidecars may open ports as well.
        address: This host's address, where ports without `bind` are opened.
    """
    contexts = tuple(contexts)
    owners = _Owners(mesh, is_gateway=bool(contexts) and all(one.is_gateway for one in contexts))
    made: dict[InboundKey, LocalPort] = {}
    named: set[tuple[Provenance, int]] = set()
    for port in registered:
        view = owners.view(port.namespace, port.labels, port.identity)
        found = _ingress(view, port)
        if found is not None and found[1].capture_mode is not CaptureMode.NONE:
            named.add((view.sidecar_scope.source, found[0]))
        made[port.key] = _registered(view, port, found)
    for context in contexts:
        owners.view(context.namespace, context.labels, context.identity)
    for view in owners.views.values():
        for own in _opened(view, named, address):
            made.setdefault(own.port.key, own)
    return tuple(made.values())


@dataclass(slots=True)
class _Owners:
    """The mesh as each workload of this host sees it: which Sidecar and which rules speak for it."""

    mesh: Mesh
    is_gateway: bool
    """Whether this host is a gateway, which no Sidecar is for."""
    views: dict[tuple[str, tuple[tuple[str, str], ...]], View] = field(default_factory=dict)
    """By namespace and labels."""

    def view(self, namespace: str, labels: Mapping[str, str], identity: Identity | None) -> View:
        """The view of a workload of this namespace with these labels and the first identity that comes with them."""
        owner = namespace, tuple(sorted(labels.items()))
        known = self.views.get(owner)
        if known is None or (known.context.identity is None and identity is not None):
            context = Context("", namespace, labels, identity=identity, is_gateway=self.is_gateway)
            self.views[owner] = View(self.mesh, context)
        return self.views[owner]


def _ingress(view: View, port: InboundPort) -> tuple[int, IstioIngressListener] | None:
    """The ingress listener that names a registered port, with its place."""
    spec = view.sidecar_scope.spec
    for wanted in (port.number, port.app_port):
        for position, listener in enumerate(spec.ingress if spec is not None else ()):
            if wanted and listener.port.number == wanted:
                return position, listener
    return None


def _registered(
    view: View, port: InboundPort, found: tuple[int, IstioIngressListener] | None
) -> LocalPort:
    scope = view.sidecar_scope
    pool, source = _pool_of_rule(view, port)
    if scope.spec is not None and scope.spec.inbound_connection_pool is not None:
        pool, source = (
            scope.spec.inbound_connection_pool,
            scope.source._replace(path="spec.inboundConnectionPool"),
        )
    if found is None:
        said = () if pool is None else (source,)
        return LocalPort(port, pool, sources=said, addressed=port.app_port)
    position, listener = found
    at = scope.source._replace(path=f"spec.ingress[{position}]")
    address, number = _application(listener, port.bind.address)
    served = replace(
        port, app_address=address, app_port=number, protocol=_spoken(listener, port.protocol)
    )
    sources = (at,) if pool is None or listener.connection_pool is not None else (at, source)
    limits = listener.connection_pool or pool
    return LocalPort(served, limits, listener.tls, sources, addressed=port.app_port)


def _opened(view: View, named: set[tuple[Provenance, int]], address: str) -> Iterator[LocalPort]:
    """Ports that a Sidecar opens beside those that are registered."""
    scope = view.sidecar_scope
    if scope.spec is None:
        return
    for position, listener in enumerate(scope.spec.ingress):
        number = listener.port.number or 0
        if not number or (scope.source, position) in named:
            continue
        where = Bind(listener.bind or address, number)
        app_address, app_port = _application(listener, address)
        port = InboundPort(
            InboundKey(number),
            where,
            app_address,
            app_port,
            _spoken(listener, Protocol.AUTO),
            namespace=view.context.namespace,
            labels=view.context.labels,
            identity=view.context.identity,
        )
        yield LocalPort(
            port,
            listener.connection_pool or scope.spec.inbound_connection_pool,
            listener.tls,
            (scope.source._replace(path=f"spec.ingress[{position}]"),),
            addressed=number,
        )


def _pool_of_rule(
    view: View, port: InboundPort
) -> tuple[ConnectionPoolSettings | None, Provenance]:
    """Limits of the DestinationRule for the workload's own service."""
    if not port.service:
        return None, Provenance(None)
    host = view.resolve_host(port.service, port.namespace)
    policy = view.policy(host, port.number, "")
    return policy.connection_pool, policy.source


def _application(listener: IstioIngressListener, address: str) -> tuple[str, int]:
    """Where the application listens: `defaultEndpoint`, in which any address stands for this host's own."""
    told = listener.default_endpoint or ""
    number = listener.port.number or 0
    if told.startswith("unix://"):
        return told.removeprefix("unix://"), 0
    if not told:
        return LOOPBACK, number
    host, _, port = told.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    return address if host in _ANYWHERE else host or LOOPBACK, int(port)


def _spoken(listener: IstioIngressListener, otherwise: Protocol) -> Protocol:
    """What the application speaks: as declared; TLS that ends here leaves HTTP or bytes."""
    declared = declared_protocol(listener.port.protocol)
    if declared is Protocol.AUTO:
        return otherwise
    if not ends_tls(listener.tls):
        return declared
    return {Protocol.HTTPS: Protocol.HTTP, Protocol.TLS: Protocol.TCP}.get(declared, declared)
