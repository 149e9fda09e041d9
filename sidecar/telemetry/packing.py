"""One tag that carries all that a request is counted by: how Envoy is told to write it, and how it is read again.

    reporter;owner;cluster;response code;response flags;gRPC status;principal;peer

Each tag of a metric costs every request a formatted text and a look-up, so all of them are one, and what is the same
for all requests of a listener is not written out but looked up when the numbers are read: `owner` is the workload
context of an outbound listener, or the port of an inbound one. Source: Envoy, access log command operators.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

__all__ = [
    "ANY_DESTINATION",
    "ANY_SOURCE",
    "PEER_HEADER",
    "Observer",
    "Packed",
    "Reporter",
    "http_format",
    "tcp_format",
    "unpack",
]

PEER_BYTES_MAX = 200
"""Longest word of a peer about itself that is counted by."""
PEER_HEADER = "x-meshd-peer"
"""Request header by which a sidecar names the workload that it sends for."""

_SEPARATOR = ";"


class Reporter(StrEnum):
    """On which side of a request it was counted; Istio's words."""

    SOURCE = "source"
    DESTINATION = "destination"


@dataclass(frozen=True, slots=True)
class Observer:
    """Who counts: the listener's part of the tag."""

    reporter: Reporter
    """Outbound and gateway listeners are the source's, inbound ones the destination's."""
    owner: str = ""
    """Name of the workload context, or number of the local workload's port."""


ANY_SOURCE = Observer(Reporter.SOURCE)
"""The only workload context of a host."""
ANY_DESTINATION = Observer(Reporter.DESTINATION)
"""A port of this host that nothing is registered for."""


class Packed(NamedTuple):
    """The tag, taken apart. Empty where Envoy had nothing to say."""

    reporter: Reporter
    owner: str
    cluster: str
    code: str
    flags: str
    grpc_status: str
    principal: str
    """SPIFFE id of the other side, where mutual TLS proved it."""
    peer: str
    """The other side's own word, see `PEER_HEADER`."""


def http_format(observer: Observer) -> str:
    """The tag's value for requests, in Envoy's command operators."""
    if observer.reporter is Reporter.SOURCE:
        ends = ("%UPSTREAM_PEER_URI_SAN%", "")
    else:
        ends = ("%DOWNSTREAM_PEER_URI_SAN%", f"%REQ({PEER_HEADER}):{PEER_BYTES_MAX}%")
    return _joined(observer, "%RESPONSE_CODE%", "%RESPONSE_FLAGS%", "%GRPC_STATUS_NUMBER%", *ends)


def tcp_format(observer: Observer) -> str:
    """The tag's value for connections whose bytes are not read."""
    side = "UPSTREAM" if observer.reporter is Reporter.SOURCE else "DOWNSTREAM"
    return _joined(observer, "", "%RESPONSE_FLAGS%", "", f"%{side}_PEER_URI_SAN%", "")


def _joined(observer: Observer, *fields: str) -> str:
    cluster = "%UPSTREAM_CLUSTER_RAW%" if observer.reporter is Reporter.SOURCE else ""
    return _SEPARATOR.join((observer.reporter.value, observer.owner, cluster, *fields))


def unpack(text: str) -> Packed | None:
    """The tag taken apart; None for a text that is none of ours. What a peer says of itself may hold anything."""
    fields = text.split(_SEPARATOR, len(Packed._fields) - 1)
    if len(fields) != len(Packed._fields) or fields[0] not in tuple(Reporter):
        return None
    empty = ["" if field == "-" else field for field in fields[1:]]
    return Packed(Reporter(fields[0]), *empty)
