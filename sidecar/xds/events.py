"""What goes into the delta-ADS session and what comes out of it: events, effects and its view.

The file to read first. Events are facts that the shell saw (a stream opened, Envoy asked, time passed) or
that the desired-state builder decided (`Desired`). Effects are what the shell must do; none of them can fail
from the session's point of view: a stream that breaks comes back as `StreamClosed`.
Source: Envoy's xDS protocol page, "Incremental xDS"; rules M1 to M14 in docs/xds.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.mesh.model import Provenance
from sidecar.xds.resource import DesiredChange, Resource, TypeUrl

__all__ = [
    "AskVirtualHosts",
    "DeltaRequest",
    "Desired",
    "Effect",
    "Event",
    "InForce",
    "ResourceRejected",
    "SendResponse",
    "SessionState",
    "SessionView",
    "StreamClosed",
    "StreamOpened",
    "Tick",
    "TypeView",
]


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """Envoy opened a stream. A stream that was open before it is forgotten: the newest wins."""

    stream: int
    """Number of the stream, never used twice in the life of a process."""


@dataclass(frozen=True, slots=True)
class StreamClosed:
    """A stream ended, for whatever reason. Ignored unless it is the present one."""

    stream: int
    """The number it was opened with."""


@dataclass(frozen=True, slots=True)
class DeltaRequest:
    """One `DeltaDiscoveryRequest`: subscriptions, an ACK or a NACK, or all of them at once."""

    stream: int
    """The stream it came on."""
    type_url: str
    """The type asked for; types that we do not serve are answered as "there is none"."""
    subscribe: tuple[str, ...] = ()
    """`resource_names_subscribe`, as sent."""
    unsubscribe: tuple[str, ...] = ()
    """`resource_names_unsubscribe`, as sent."""
    initial_versions: Mapping[str, str] = field(default_factory=dict)
    """`initial_resource_versions`: what Envoy holds. Only the first request of a type carries it."""
    nonce: str = ""
    """`response_nonce`: which response this acknowledges; empty when none."""
    error: str | None = None
    """Envoy's reason when it refused that response; None is an ACK."""
    node_id: str = ""
    """`node.id`; Envoy sends it on the first message of a stream only, whatever its type (M3)."""


@dataclass(frozen=True, slots=True)
class Desired:
    """What Envoy should have has changed; the first one also says that the state is known at all."""

    change: DesiredChange
    """The increment, and the label of the state that it leads to."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing happened, but the deadline has passed."""


Event = StreamOpened | StreamClosed | DeltaRequest | Desired | Tick


@dataclass(frozen=True, slots=True)
class SendResponse:
    """Send one `DeltaDiscoveryResponse`."""

    stream: int
    """The stream to send it on."""
    type_url: str
    """The type of everything in it."""
    nonce: str
    """Unique in the life of the session."""
    resources: tuple[Resource, ...]
    """Resources to add or change; one without body carries only its name and aliases."""
    removed: tuple[str, ...]
    """Names that do not exist, or no longer."""
    label: str
    """For `system_version_info`."""


@dataclass(frozen=True, slots=True)
class ResourceRejected:
    """Envoy refused this resource in this version. Told once; the bytes are not sent again."""

    type_url: TypeUrl
    """Type of the resource."""
    name: str
    """Its name."""
    version: str
    """The refused version."""
    detail: str
    """Envoy's words."""
    sources: tuple[Provenance, ...]
    """The objects it was made from."""
    conflict: bool = False
    """Whether the reason lies in a sibling or the host (a domain or a port that is taken), so that the same bytes
    may be accepted later; they are offered again when siblings change, and listeners also after a pause."""


@dataclass(frozen=True, slots=True)
class InForce:
    """Envoy has acknowledged everything up to this label that it holds or asked for; nothing warms.

    Told once per label, and again when a new stream has been brought to it.
    """

    label: str
    """Label of the `DesiredChange`."""


@dataclass(frozen=True, slots=True)
class AskVirtualHosts:
    """Traffic asked for virtual hosts that are not known yet; answer with a `Desired` that has them all.

    A name that must stay unknown is answered by a resource with an empty body: a name without any answer
    keeps its requests waiting (docs/xds.md, 12c).
    """

    names: tuple[str, ...]
    """Sorted names, each `<route config>/<authority>`."""


Effect = SendResponse | ResourceRejected | InForce | AskVirtualHosts


class SessionState(StrEnum):
    """How far Envoy is, in one word."""

    DETACHED = "detached"
    """No stream."""
    WAITING = "waiting"
    """Envoy is there, but what it should have is not known yet; nothing is answered."""
    SYNCING = "syncing"
    """Something is still to be sent or acknowledged."""
    WARMING = "warming"
    """Only Envoy's ACK of clusters is missing: it withholds that while one of them warms (M2)."""
    IN_FORCE = "in force"
    """All acknowledged."""


@dataclass(frozen=True, slots=True)
class TypeView:
    """Counts of one resource type."""

    desired: int
    """Resources that Envoy may have."""
    held: int
    """Resources that Envoy has been given on this stream or brought to it."""
    pending: int
    """Names still to be sent."""
    in_flight: int
    """Responses sent and not yet answered."""
    acks: int
    """Responses acknowledged since the session began."""
    nacks: int
    """Responses refused since the session began."""
    resources_sent: int
    """Resources sent since the session began."""


@dataclass(frozen=True, slots=True)
class SessionView:
    """What status shows of the session."""

    state: SessionState
    """How far Envoy is."""
    node_id: str
    """Envoy's node id; empty until it said so."""
    label: str
    """Label of what Envoy should have."""
    in_force: str
    """Last label that was wholly in force, also after the stream has gone; empty when none was."""
    warming_since_s: float | None
    """When the oldest unacknowledged cluster response was sent."""
    rejected: tuple[ResourceRejected, ...]
    """Resources that Envoy refuses now; their last accepted versions serve."""
    types: Mapping[TypeUrl, TypeView]
    """Counts by type."""
