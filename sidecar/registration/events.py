"""Events and effects of the registration core (`sidecar.registration.expiry`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from store.objects.host import HostRegistration
from store.objects.mesh_config import RegistrationSettings

__all__ = [
    "Departure",
    "Effect",
    "Event",
    "GossipAlive",
    "HostKept",
    "HostLeft",
    "HostReturned",
    "RegistrationsChanged",
    "RegistrationsSeen",
    "RemovalsHalted",
    "RemovalsResumed",
    "RequestsSucceeded",
    "SettingsRead",
    "TimePassed",
]


@dataclass(frozen=True, slots=True)
class RegistrationsSeen:
    """The store was read at a newer revision."""

    registrations: Mapping[str, HostRegistration]
    """Every registration that the store holds now."""
    changed: frozenset[str] | None = None
    """Hosts that may differ from those seen before; None when it is not known (all are compared)."""
    was_watched: bool = True
    """Whether the store was watched since the last time. False after a restart from disk or a long absence: hosts
    that are gone since may have left at any time, so their number says nothing about the store."""


@dataclass(frozen=True, slots=True)
class RequestsSucceeded:
    """Requests to an endpoint on this host were answered just now."""

    host: str


@dataclass(frozen=True, slots=True)
class GossipAlive:
    """Gossip holds this host alive. Said again at least once in each grace period while it does."""

    host: str


@dataclass(frozen=True, slots=True)
class SettingsRead:
    """MeshConfig.registration, at the start and whenever it changed."""

    settings: RegistrationSettings


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The deadline has come."""


Event = RegistrationsSeen | RequestsSucceeded | GossipAlive | SettingsRead | TimePassed


class Departure(StrEnum):
    """Why workloads of a host are no longer in force."""

    WITHDRAWN = "withdrawn"
    """The host said so before its registration went."""
    EXPIRED = "expired"
    """Its registration ran out, and nothing spoke for it during the grace period."""


@dataclass(frozen=True, slots=True)
class RegistrationsChanged:
    """The registrations in force differ for these hosts: build the next mesh."""

    hosts: frozenset[str]


@dataclass(frozen=True, slots=True)
class HostKept:
    """A registration ran out and the host's serving workloads stay in force for now."""

    host: str
    workloads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HostReturned:
    """A host whose registration had run out registered again."""

    host: str
    away_s: float
    """Seconds since its registration ran out."""


@dataclass(frozen=True, slots=True)
class HostLeft:
    """Workloads of a host are no longer in force."""

    host: str
    workloads: tuple[str, ...]
    departure: Departure


@dataclass(frozen=True, slots=True)
class RemovalsHalted:
    """So many registrations ran out at once that the store is taken to be sick; nothing is removed."""

    ran_out: int
    """Hosts whose registration ran out."""
    known: int
    """Hosts known, those included."""


@dataclass(frozen=True, slots=True)
class RemovalsResumed:
    """Enough hosts are back, or none came for very long; grace periods begin anew."""


Effect = (
    RegistrationsChanged | HostKept | HostReturned | HostLeft | RemovalsHalted | RemovalsResumed
)
