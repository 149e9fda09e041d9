"""What goes into a node and what comes out of it. The file to read first.

A node composes the cores: catalog, registrations, mesh, views, desired-state builder. The daemon feeds it what
the store and Envoy say, and carries out its effects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.certificates.model import Material, SecretSource
from sidecar.mesh.model import Context
from sidecar.node.participants import ObservedCluster
from sidecar.outlier.events import EndpointName, Imposed
from sidecar.outlier.model import Destination, DestinationFacts, Place
from sidecar.registration.record import OwnWorkload
from sidecar.xds.compile import InboundPort
from sidecar.xds.events import ResourceRejected
from sidecar.xds.resource import DesiredChange
from store.catalog.generations import Compacted, Recall
from store.catalog.parts import CatalogMemory
from store.objects.host import HostRegistration
from store.snapshot import Entry, Snapshot

__all__ = [
    "PUT_OFF_FROM",
    "CompareRegistration",
    "Desire",
    "Effect",
    "EndpointsJudged",
    "EnvoyAsked",
    "EnvoyEjected",
    "EnvoyEnded",
    "EnvoyForgot",
    "EnvoyInForce",
    "EnvoyRejected",
    "Event",
    "HostsAnswered",
    "HostsHeldAlive",
    "JudgeSome",
    "KeepLastGood",
    "LocalPortsChanged",
    "LookUp",
    "LookedUp",
    "ParticipantsChanged",
    "SecretsRead",
    "SiblingsChanged",
    "SnapshotArrived",
    "Source",
    "Tick",
    "Transition",
    "WantSecrets",
]


PUT_OFF_FROM = 3_000
"""Keys from which on a load judges only what is asked for at once (some 0.3 s of judging), and the rest afterwards."""


class Source(StrEnum):
    """Where a snapshot came from."""

    ETCD = "etcd"
    DISK = "disk"
    PEERS = "peers"
    """Other hosts sent it while etcd was out of reach; its hash is attested (`sidecar.relay`)."""


@dataclass(frozen=True, slots=True)
class SnapshotArrived:
    """The Mirror published a snapshot, or the last known good one was read from disk."""

    snapshot: Snapshot
    source: Source


@dataclass(frozen=True, slots=True)
class LookedUp:
    """The answer to `LookUp`."""

    recall: Recall
    answer: Entry | Compacted | None


@dataclass(frozen=True, slots=True)
class EnvoyAsked:
    """Traffic asked for virtual hosts, by `<route config>/<authority>`."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EnvoyInForce:
    """Envoy has acknowledged everything of the state labelled so."""

    label: str


@dataclass(frozen=True, slots=True)
class EnvoyRejected:
    """Envoy refused a resource."""

    rejected: ResourceRejected


@dataclass(frozen=True, slots=True)
class HostsAnswered:
    """Requests to endpoints of these hosts succeeded lately: they live, whatever their leases say."""

    hosts: frozenset[str]


@dataclass(frozen=True, slots=True)
class HostsHeldAlive:
    """Gossip holds these hosts alive, whatever their leases say. Said again and again while it does."""

    hosts: frozenset[str]


@dataclass(frozen=True, slots=True)
class EndpointsJudged:
    """Shared ejection decided: all that is imposed on endpoints from now on, in the place of what was before."""

    imposed: Mapping[EndpointName, Imposed]


@dataclass(frozen=True, slots=True)
class EnvoyEjected:
    """All that Envoy's own detector has ejected now, (cluster, endpoint), to when that ends (monotonic seconds)."""

    until_s: Mapping[tuple[str, Place], float]


@dataclass(frozen=True, slots=True)
class EnvoyEnded:
    """Envoy's process ended, and nobody here had asked it to; another one is started."""

    status: int | None
    """Exit status, negative for a signal; None where it is not known."""


@dataclass(frozen=True, slots=True)
class EnvoyForgot:
    """Envoy's process started anew: it has ejected nothing."""


@dataclass(frozen=True, slots=True)
class JudgeSome:
    """There is time to judge objects that nothing here has asked for yet."""

    count: int
    """How many at most."""


@dataclass(frozen=True, slots=True)
class LocalPortsChanged:
    """The ports of this host's own workloads are these from now on."""

    ports: tuple[InboundPort, ...]
    workloads: tuple[OwnWorkload, ...] = ()
    """The workloads themselves."""
    contexts: tuple[Context, ...] = ()
    """On whose behalf requests leave; the same names as before. Empty: as before."""


@dataclass(frozen=True, slots=True)
class SecretsRead:
    """All that files give of the secrets that are wanted now, in the place of what they gave before."""

    materials: Mapping[SecretSource, Material]
    """Contents by secret."""
    broken: frozenset[SecretSource] = frozenset()
    """Secrets whose files give nothing."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The deadline has passed."""


Event = (
    SnapshotArrived
    | LookedUp
    | EnvoyAsked
    | EnvoyInForce
    | EnvoyRejected
    | HostsAnswered
    | HostsHeldAlive
    | EndpointsJudged
    | EnvoyEjected
    | EnvoyEnded
    | EnvoyForgot
    | JudgeSome
    | LocalPortsChanged
    | SecretsRead
    | Tick
)


@dataclass(frozen=True, slots=True)
class Desire:
    """Hand this change to the ADS session (its label even when nothing changed)."""

    change: DesiredChange


@dataclass(frozen=True, slots=True)
class LookUp:
    """Find the earlier value that this asks for; answer with `LookedUp`."""

    recall: Recall


@dataclass(frozen=True, slots=True)
class KeepLastGood:
    """This snapshot is in force in Envoy: keep it on disk, with what a restart must remember."""

    snapshot: Snapshot
    """What is in force."""
    memory: CatalogMemory
    """What the catalog remembers beside it."""
    kept: Mapping[str, HostRegistration] = field(default_factory=dict)
    """Registrations that are in force although they ran out: the store holds them no more."""
    is_judged: bool = True
    """Whether every object in it was found valid that `memory` does not name."""


@dataclass(frozen=True, slots=True)
class CompareRegistration:
    """This is what the store holds under this host's own key: mend it where it is not what was written."""

    entry: Entry | None
    """The key's value; None when the store does not hold it."""
    revision: int
    """Revision of the snapshot that was looked into."""


@dataclass(frozen=True, slots=True)
class ParticipantsChanged:
    """Destinations that take part in shared ejection and are used here: all of them, in the place of those before."""

    facts: Mapping[Destination, DestinationFacts]
    """Policy and endpoints of each."""
    clusters: Mapping[str, ObservedCluster]
    """Envoy's clusters of them, by name."""


@dataclass(frozen=True, slots=True)
class WantSecrets:
    """Look after the files of these secrets, and of no others.

    Answered with `SecretsRead` at once, and again whenever they give others.
    """

    sources: frozenset[SecretSource]


@dataclass(frozen=True, slots=True)
class SiblingsChanged:
    """The file of the endpoints that send as this host does is to hold this."""

    text: str


@dataclass(frozen=True, slots=True)
class Transition:
    """Something changed that a person may want to read in the log."""

    event: str
    """A fixed snake_case phrase."""
    facts: Mapping[str, object] = field(default_factory=dict)
    level: str = "info"
    """`error`: a person must act; `warning`: degraded; `info`: a change of state."""


Effect = (
    Desire
    | LookUp
    | KeepLastGood
    | CompareRegistration
    | ParticipantsChanged
    | SiblingsChanged
    | WantSecrets
    | Transition
)
