"""Compilers: values of the routing table and the balancer in, xDS resources out.

Plain functions, no state, the same bytes for the same values in every process. What becomes of them, and which of
them Envoy should have, is `sidecar.xds.desired`.
"""

from sidecar.xds.compile.clusters import (
    compile_black_hole,
    compile_cluster,
    compile_inbound_cluster,
    compile_original_destination,
    compile_passthrough,
    is_dynamic,
    needs_endpoints,
)
from sidecar.xds.compile.encoding import alias_only
from sidecar.xds.compile.endpoints import ImposedByPlace, compile_endpoints
from sidecar.xds.compile.inbound import compile_inbound_listener
from sidecar.xds.compile.listeners import (
    Bind,
    InboundPort,
    compile_http_egress,
    compile_outbound_listener,
    compile_tcp_egress,
)
from sidecar.xds.compile.options import CompileOptions, DnsFamily
from sidecar.xds.compile.routes import compile_route_configuration, compile_virtual_host

__all__ = [
    "Bind",
    "CompileOptions",
    "DnsFamily",
    "ImposedByPlace",
    "InboundPort",
    "alias_only",
    "compile_black_hole",
    "compile_cluster",
    "compile_endpoints",
    "compile_http_egress",
    "compile_inbound_cluster",
    "compile_inbound_listener",
    "compile_original_destination",
    "compile_outbound_listener",
    "compile_passthrough",
    "compile_route_configuration",
    "compile_tcp_egress",
    "compile_virtual_host",
    "is_dynamic",
    "needs_endpoints",
]
