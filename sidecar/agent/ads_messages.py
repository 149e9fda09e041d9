"""The messages of the delta-ADS dialogue on the wire: our words to protobuf, Envoy's to ours.

Source: Envoy, aggregated discovery service, incremental variant (discovery.proto).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envoy.service.discovery.v3 import discovery_pb2

from sidecar.agent.envoy_program import GENERATION
from sidecar.xds.events import DeltaRequest, SendResponse

if TYPE_CHECKING:
    from sidecar.xds.resource import Resource

__all__ = ["decode_request", "encode_response", "generation_of"]


def encode_response(response: SendResponse) -> Any:
    """The wire message of a response. A resource without body carries name and aliases alone."""
    return discovery_pb2.DeltaDiscoveryResponse(
        system_version_info=response.label,
        type_url=response.type_url,
        nonce=response.nonce,
        resources=[_resource(resource) for resource in response.resources],
        removed_resources=response.removed,
    )


def _resource(resource: Resource) -> Any:
    message = discovery_pb2.Resource(
        name=resource.name, version=resource.version, aliases=resource.aliases
    )
    if resource.body:
        message.resource.type_url = resource.type_url
        message.resource.value = resource.body
    return message


def decode_request(stream: int, request: Any) -> DeltaRequest:
    """A request on the stream of this number, as a value."""
    failed = request.HasField("error_detail")
    return DeltaRequest(
        stream=stream,
        type_url=request.type_url,
        subscribe=tuple(request.resource_names_subscribe),
        unsubscribe=tuple(request.resource_names_unsubscribe),
        initial_versions=dict(request.initial_resource_versions),
        nonce=request.response_nonce,
        error=request.error_detail.message if failed else None,
        node_id=request.node.id,
    )


def generation_of(node: Any) -> int:
    """The restart epoch of the Envoy that says that it is this node."""
    fields = node.metadata.fields
    return int(fields[GENERATION].number_value) if GENERATION in fields else 0
