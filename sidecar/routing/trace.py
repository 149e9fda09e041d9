"""A trace: where one request would go and why, as plain values that go through JSON unharmed.

The words of `meshd trace`: `sidecar.routing.explain` makes one, the status API sends it, `meshd.tracing` shows
it. Field names are the JSON's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache

from pydantic import TypeAdapter

from sidecar.mesh.model import Provenance

__all__ = [
    "DestinationStep",
    "EndpointStep",
    "Note",
    "Origin",
    "Outcome",
    "PassedOver",
    "RequestStep",
    "RouteStep",
    "Setting",
    "Trace",
    "VirtualHostStep",
    "from_json",
    "origin",
    "to_json",
]


@dataclass(frozen=True, slots=True)
class Origin:
    """The place in an object that a step comes from."""

    kind: str = ""
    """Kind of the object; empty where a default or a registration says it."""
    namespace: str = ""
    name: str = ""
    generation: int = 0
    """Generation of the object that is in force."""
    path: str = ""
    """Field path such as `spec.http[1].match[0]`, or the words for a default."""

    def __str__(self) -> str:
        if not self.kind:
            return self.path or "default"
        name = "/".join(part for part in (self.kind, self.namespace, self.name) if part)
        return f"{name}@{self.generation}" + (f" {self.path}" if self.path else "")


def origin(source: Provenance) -> Origin:
    """The origin that a provenance names."""
    if source.ref is None:
        return Origin(path=source.path)
    ref = source.ref
    return Origin(ref.kind.value, ref.namespace, ref.name, source.generation, source.path)


@dataclass(frozen=True, slots=True)
class RequestStep:
    """The request that is traced."""

    method: str
    scheme: str
    authority: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """Something that has a place in an object and does not hold for this request's host."""

    origin: Origin
    reason: str


@dataclass(frozen=True, slots=True)
class VirtualHostStep:
    """The virtual host that the authority chose."""

    name: str
    domain: str
    """The domain that fitted."""
    rule: str
    """How the authority led to it: which port rule, which name."""
    origins: tuple[Origin, ...] = ()
    """Service and VirtualServices that it was made from."""
    notes: tuple[Note, ...] = ()
    """Rules of the host that cannot hold here, and doubtful destinations."""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A route before the chosen one, and the first of its conditions that the request does not meet."""

    route: str
    origin: Origin
    reason: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that happens to the request on its way: timeout, retries, rewrite, fault and so on."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class RouteStep:
    """The route that takes the request."""

    name: str
    origin: Origin
    conditions: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True)
class EndpointStep:
    """One endpoint of a destination."""

    address: str
    """Address and port as connected to."""
    health: str
    weight: int = 1
    priority: int = 0
    locality: str = ""
    origin: Origin = Origin()
    secured: bool = False
    """Whether it is reached in mutual TLS because its own host has an identity."""


@dataclass(frozen=True, slots=True)
class DestinationStep:
    """One share of a split, or a mirror."""

    cluster: str
    percent: float
    """Share of the requests, 0 to 100."""
    policy: str = ""
    """How one of the endpoints is chosen."""
    policy_origin: Origin = Origin()
    """The DestinationRule that says so."""
    edits: tuple[str, ...] = ()
    """Header edits for this destination only."""
    endpoints: tuple[EndpointStep, ...] = ()
    problem: str = ""
    """Why requests to it fail; empty when nothing is wrong."""
    transport: str = ""
    """How connections are secured, and as whom; empty for plain text that no rule speaks of."""


class Outcome(StrEnum):
    """What becomes of the request."""

    FORWARD = "forward"
    REDIRECT = "redirect"
    ANSWER = "answer"
    NO_ROUTE = "no_route"
    """No virtual host or no route takes it: 404."""


@dataclass(frozen=True, slots=True)
class Trace:
    """All steps for one request."""

    request: RequestStep
    listener: str
    outcome: Outcome
    virtual_host: VirtualHostStep | None = None
    passed_over: tuple[PassedOver, ...] = ()
    route: RouteStep | None = None
    destinations: tuple[DestinationStep, ...] = ()
    mirrors: tuple[DestinationStep, ...] = ()
    status: int = 0
    """HTTP status that the sidecar itself answers with; 0 when a destination answers."""
    answer: str = ""
    """Body of that answer, or where a redirect leads."""
    context: str = ""
    """Workload context that the request leaves from; empty for a host with one."""
    label: str = field(default="")
    """(epoch, revision) of the mesh that was asked, where the asker gave it."""

    @property
    def is_routed(self) -> bool:
        """Whether some route takes the request."""
        return self.outcome is not Outcome.NO_ROUTE


@cache
def _adapter() -> TypeAdapter[Trace]:
    return TypeAdapter(Trace)


def to_json(trace: Trace) -> dict[str, object]:
    """The trace as plain JSON values."""
    document: dict[str, object] = _adapter().dump_python(trace, mode="json")
    return document


def from_json(document: Mapping[str, object]) -> Trace:
    """The trace that `to_json` wrote.

    Raises:
        pydantic.ValidationError: The document is something else, or of another version.
    """
    return _adapter().validate_python(document)
