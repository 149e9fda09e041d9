"""An OpenTelemetry collector for tests: takes spans by OTLP over gRPC and keeps them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from tests.harness.processes import wait_until

__all__ = ["SPANS_S", "Collector", "Span"]

SPANS_S = 30.0
"""Envoy sends spans every five seconds."""
_SCOPES = ResourceSpans.DESCRIPTOR.fields_by_number[2].name
"""`scope_spans`, or what it was called before; its number and content are the same."""
_METHOD = "opentelemetry.proto.collector.trace.v1.TraceService"


@dataclass(frozen=True)
class Span:
    """One span, as far as tests look at it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    attributes: Mapping[str, str]


class Collector:
    """Use as a context manager."""

    def __init__(self) -> None:
        self.port = 0
        """Where it listens on loopback."""
        self._spans: list[Span] = []
        self._lock = threading.Lock()

    @property
    def spans(self) -> list[Span]:
        """All that came."""
        with self._lock:
            return list(self._spans)

    def wait_for(self, count: int, **attributes: str) -> list[Span]:
        """Wait until so many spans with these attributes (dots written as `__`) have come; returns them."""
        wanted = {name.replace("__", "."): value for name, value in attributes.items()}

        def found() -> list[Span]:
            have = [span for span in self.spans if wanted.items() <= span.attributes.items()]
            return have if len(have) >= count else []

        return wait_until(found, SPANS_S, f"{count} spans with {wanted}")

    def __enter__(self) -> Collector:
        self._threads = ThreadPoolExecutor(2)
        self._server = grpc.server(self._threads)
        handler = grpc.unary_unary_rpc_method_handler(
            self._take,
            request_deserializer=otlp.ExportTraceServiceRequest.FromString,
            response_serializer=otlp.ExportTraceServiceResponse.SerializeToString,
        )
        methods = grpc.method_handlers_generic_handler(_METHOD, {"Export": handler})
        self._server.add_generic_rpc_handlers((methods,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait()
        self._threads.shutdown()

    def _take(
        self, request: otlp.ExportTraceServiceRequest, _: grpc.ServicerContext
    ) -> otlp.ExportTraceServiceResponse:
        with self._lock:
            for resource in request.resource_spans:
                service = _texts(resource.resource.attributes).get("service.name", "")
                for scope in getattr(resource, _SCOPES):
                    self._spans += [_span(service, span) for span in scope.spans]
        return otlp.ExportTraceServiceResponse()


def _span(service: str, span: object) -> Span:
    made: Span = Span(
        service=service,
        name=span.name,  # type: ignore[attr-defined] # generated, without types
        trace_id=span.trace_id.hex(),  # type: ignore[attr-defined] # generated, without types
        span_id=span.span_id.hex(),  # type: ignore[attr-defined] # generated, without types
        parent_id=span.parent_span_id.hex(),  # type: ignore[attr-defined] # generated, without types
        kind=span.kind,  # type: ignore[attr-defined] # generated, without types
        attributes=_texts(span.attributes),  # type: ignore[attr-defined] # generated, without types
    )
    return made


def _texts(attributes: object) -> dict[str, str]:
    return {one.key: str(one.value.string_value) for one in attributes}  # type: ignore[attr-defined] # generated, without types
