"""`trace --offline`: what a sidecar would answer, computed from the store by the sidecar's own cores.

Knows no health but the registered one: what a sidecar learnt from its Envoy is not in etcd.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from meshd.cli.catalogs import load_catalog
from meshd.cli.session import Session
from sidecar.balancing.balancer import Balancer
from sidecar.certificates.model import Identity, presumed_identity
from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, Locality
from sidecar.mesh.view import View
from sidecar.routing.asking import request_asked
from sidecar.routing.explain import explain, explain_at_gateway
from sidecar.routing.explain_connection import CONNECTION_SCHEMES
from sidecar.routing.match import Request
from sidecar.routing.trace import Trace
from store.errors import NotFoundError

if TYPE_CHECKING:
    from store.catalog import Catalog

__all__ = ["trace_offline"]


def trace_offline(
    session: Session,
    node: str | None,
    labels: Mapping[str, str],
    query: Sequence[tuple[str, str]],
    gateway_port: int | None = None,
) -> Trace:
    """The trace of a request that leaves a workload, or reaches a gateway.

    Args:
        session: This run; its namespace is the workload's, unless `node` is registered.
        node: Host whose registered workload sends; None: a workload with `labels`.
        labels: Labels of the workload; those of the registered one where there are none.
        query: `method`, `url` and `header` pairs, as the status API takes them.
        gateway_port: Port of the gateway that the request reaches; None: it leaves a workload.

    Raises:
        NotFoundError: No such host is registered.
        InputError: The URL makes no request.
    """
    request = _request(query)
    with session.store() as client:
        catalog = load_catalog(client)
    context = _context(session, catalog, node, labels, is_gateway=gateway_port is not None)
    # Whether a host captures is its own setting; connections are asked about where they are.
    context = replace(context, is_captured=request.scheme in CONNECTION_SCHEMES)
    view = View(Mesh.build(catalog, catalog.hosts), context)
    if gateway_port is not None:
        trace = explain_at_gateway(view, request, Balancer(view), gateway_port)
    else:
        trace = explain(view, request, Balancer(view))
    label = (
        f"{catalog.snapshot.epoch}@{catalog.snapshot.revision}"
        if catalog.snapshot is not None
        else ""
    )
    return replace(trace, label=label)


def _context(
    session: Session,
    catalog: Catalog,
    node: str | None,
    labels: Mapping[str, str],
    *,
    is_gateway: bool,
) -> Context:
    """On whose behalf the request leaves."""
    if node is None:
        identity = _presumed(session.namespace, "default")
        return Context("", session.namespace, labels, identity=identity, is_gateway=is_gateway)
    registration = catalog.hosts.get(node)
    if registration is None:
        has = ", ".join(sorted(catalog.hosts)) or "none"
        raise NotFoundError(
            f'no host "{node}" is registered in the store',
            hint=f"Registered: {has}. Without --from, -n and -l describe the workload",
        )
    first = next(iter(registration.workloads), None)
    namespace = first.namespace if first is not None else session.namespace
    namespace = session.namespace_given or namespace
    account = (first.service_account if first is not None else "") or "default"
    return Context(
        "",
        namespace,
        labels or (first.labels if first is not None else {}),
        service_account=account,
        identity=_presumed(namespace, account),
        locality=Locality.parse(registration.locality),
        network=registration.network,
        is_gateway=is_gateway,
    )


def _presumed(namespace: str, account: str) -> Identity:
    """Who the workload would be; its trust domain, and whether its files are there, are known on its host alone."""
    return presumed_identity(f"spiffe://<trust domain>/ns/{namespace}/sa/{account}")


def _request(query: Sequence[tuple[str, str]]) -> Request:
    """The request that the status API would make of the same query."""
    fields = {name: value for name, value in query if name != "header"}
    headers = [value for name, value in query if name == "header"]
    return request_asked(fields["method"], fields["url"], headers)
