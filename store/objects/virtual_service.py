"""VirtualService: where requests to a host go.

Source: istio/api networking/v1alpha3/virtual_service.proto. The parts of HTTP rules have modules of their own
and can be imported from here.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from store.objects.base import MeshObject, Model
from store.objects.destination import Destination, PortSelector
from store.objects.http_actions import (
    Delegate,
    HeaderOperations,
    Headers,
    HTTPBody,
    HTTPDirectResponse,
    HTTPMirrorPolicy,
    HTTPRedirect,
    HTTPRetry,
    HTTPRewrite,
    Percent,
    RedirectPortSelection,
    RegexRewrite,
)
from store.objects.http_faults import (
    CorsPolicy,
    FaultAbort,
    FaultDelay,
    HTTPFaultInjection,
    UnmatchedPreflights,
)
from store.objects.http_match import HTTPMatchRequest
from store.objects.http_route import HTTPRoute, HTTPRouteDestination
from store.objects.kinds import Kind
from store.objects.scalars import Int32, Items, Maybe, UInt32
from store.objects.strings import StringMatch

__all__ = [
    "CorsPolicy",
    "Delegate",
    "Destination",
    "FaultAbort",
    "FaultDelay",
    "HTTPBody",
    "HTTPDirectResponse",
    "HTTPFaultInjection",
    "HTTPMatchRequest",
    "HTTPMirrorPolicy",
    "HTTPRedirect",
    "HTTPRetry",
    "HTTPRewrite",
    "HTTPRoute",
    "HTTPRouteDestination",
    "HeaderOperations",
    "Headers",
    "L4MatchAttributes",
    "Percent",
    "PortSelector",
    "RedirectPortSelection",
    "RegexRewrite",
    "RouteDestination",
    "StringMatch",
    "TCPRoute",
    "TLSMatchAttributes",
    "TLSRoute",
    "UnmatchedPreflights",
    "VirtualService",
    "VirtualServiceSpec",
]


class RouteDestination(Model):
    """One of the destinations that share the connections of a TCP or TLS rule."""

    destination: Destination
    """Where the connections go."""
    weight: Maybe[Int32] = None
    """Share of the connections, relative to the sum of all weights; default 0, ignored where alone."""


class L4MatchAttributes(Model):
    """Conditions on a connection; all of a block must hold, and one block of the list is enough."""

    destination_subnets: Items[str] = ()
    """Addresses or CIDRs of the destination."""
    port: Maybe[UInt32] = None
    """Only on this port; left out: any."""
    source_subnet: Maybe[str] = None
    """Deprecated; has no effect."""
    source_labels: dict[str, str] = Field(default_factory=dict)
    """Only for client workloads with these labels; no effect at gateways."""
    gateways: Items[str] = ()
    """Only at these gateways (`mesh`: sidecars); default: those of the VirtualService."""
    source_namespace: Maybe[str] = None
    """Only for client workloads of this namespace; no effect at gateways."""


class TLSMatchAttributes(Model):
    """Conditions on a TLS connection that is passed through unread."""

    sni_hosts: Items[str]
    """Server names (SNI), wildcards allowed; each must lie within one of the VirtualService's hosts."""
    destination_subnets: Items[str] = ()
    """Addresses or CIDRs of the destination."""
    port: Maybe[UInt32] = None
    """Only on this port; left out: any."""
    source_labels: dict[str, str] = Field(default_factory=dict)
    """Only for client workloads with these labels; no effect at gateways."""
    gateways: Items[str] = ()
    """Only at these gateways (`mesh`: sidecars); default: those of the VirtualService."""
    source_namespace: Maybe[str] = None
    """Only for client workloads of this namespace; no effect at gateways."""


class TLSRoute(Model):
    """One rule for TLS connections that are passed through unread."""

    match: Items[TLSMatchAttributes]
    """Blocks of conditions, one of which must hold."""
    route: Items[RouteDestination] = ()
    """Destinations, by weight."""


class TCPRoute(Model):
    """One rule for connections of which nothing is known but their addresses."""

    match: Items[L4MatchAttributes] = ()
    """Blocks of conditions, one of which must hold; empty: always."""
    route: Items[RouteDestination] = ()
    """Destinations, by weight."""


class VirtualServiceSpec(Model):
    """What a VirtualService says."""

    hosts: Items[str] = ()
    """Names that clients address: fully qualified, short (completed with the object's own namespace),
    wildcard (`*.example.com`, `*`), or IP at gateways. Empty: a delegate."""
    gateways: Items[str] = ()
    """Gateways (`namespace/name`, or `name` in the same namespace) that apply these rules; the word
    `mesh` stands for all sidecars. Default `["mesh"]`."""
    http: Items[HTTPRoute] = ()
    """Rules for HTTP, HTTP/2 and gRPC; the first that matches decides."""
    tls: Items[TLSRoute] = ()
    """Rules for TLS that is passed through, by SNI; the first that matches decides."""
    tcp: Items[TCPRoute] = ()
    """Rules for other TCP; the first that matches decides."""
    export_to: Items[str] = ()
    """Namespaces that may use these rules: `*` (all), `.` (its own), or names.
    Default: MeshConfig's `defaultVirtualServiceExportTo`, else `*`."""


class VirtualService(MeshObject):
    """A VirtualService object."""

    expected_kind: ClassVar[Kind | None] = Kind.VIRTUAL_SERVICE

    spec: VirtualServiceSpec
    """Where requests to the hosts go."""
