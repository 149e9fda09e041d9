"""What meshd stores but does not put in force: each such field is warned of, never passed over in silence.

Two tables: what has no effect yet, and what has none in Istio either, so that none is to be expected. They are data:
a row names fields by path (`[]` for every item of a list, `[*]` for every entry of a map), optionally only some values
of them. A row goes when its field is put in force.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache

from pydantic import BaseModel

from store.diagnostics import Path
from store.objects.base import MeshObject
from store.objects.kinds import Kind
from store.validation.findings import Findings

__all__ = [
    "CLAIM",
    "CLAIMS_ARE_NOT_READ",
    "NEITHER",
    "NOT_IN_FORCE",
    "NOT_IN_ISTIO",
    "NO_EFFECT",
    "Unsupported",
    "check_support",
]


NO_EFFECT = "has no effect yet"
"""Said of a field of which nothing is in force."""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """Fields of one kind that have no effect."""

    kind: Kind
    """The kind."""
    paths: tuple[str, ...]
    """Where they are."""
    values: tuple[object, ...] = ()
    """Only these values have no effect; empty: none has."""
    effect: str = NO_EFFECT
    """What it does, for fields that do a part of what they say."""
    instead: str = ""
    """What to do until then."""
    partly: bool = False
    """It does a part of what it says, and `effect` says which."""


_VS, _DR, _GW = Kind.VIRTUAL_SERVICE, Kind.DESTINATION_RULE, Kind.GATEWAY
_SC = Kind.SIDECAR

_POLICIES = ("spec.trafficPolicy", "spec.subsets[].trafficPolicy")
_PORT_POLICIES = tuple(f"{policy}.portLevelSettings[]" for policy in _POLICIES)


def _in_policies(field: str) -> tuple[str, ...]:
    return tuple(f"{place}.{field}" for place in (*_POLICIES, *_PORT_POLICIES))


NOT_IN_FORCE: tuple[Unsupported, ...] = ()
"""Everything that is stored and shown but has no effect yet: nothing, but for matches on claims of tokens (below)."""

CLAIM = "@request.auth.claims"
"""How the name of a header begins that stands for a claim of a token."""
CLAIMS_ARE_NOT_READ = "claims of tokens are not read yet"

NEITHER = "Istio itself does not implement this: it has no effect there, and none here"
"""Said of a field that has no effect in Istio either."""

NOT_IN_ISTIO: tuple[Unsupported, ...] = (
    Unsupported(
        _VS,
        ("spec.tcp[].match[].sourceSubnet",),
        effect=NEITHER,
        instead="match on sourceLabels or sourceNamespace",
    ),
    Unsupported(
        _DR,
        _in_policies("loadBalancer.backendUtilization"),
        effect=NEITHER,
        instead="take loadBalancer.simple: LEAST_REQUEST, which is also what stays in force",
    ),
    Unsupported(
        _SC,
        (
            "spec.inboundConnectionPool.http.h2UpgradePolicy",
            "spec.ingress[].connectionPool.http.h2UpgradePolicy",
        ),
        effect="is not for requests that arrive: it has no effect on them in Istio, and none here",
        instead="declare the port's protocol HTTP2 or GRPC",
    ),
    Unsupported(
        _GW,
        ("spec.servers[].tls.tlsCertificates[].caCertificates",),
        effect=NEITHER,
        instead="set tls.caCertificates",
    ),
    Unsupported(
        Kind.WORKLOAD_GROUP,
        ("spec.template.address",),
        effect="each host registers an address of its own, in Istio as here",
        instead="remove it",
    ),
    Unsupported(
        _GW,
        ("spec.servers[].defaultEndpoint",),
        effect=NEITHER,
        instead="bind a VirtualService to the Gateway",
    ),
    Unsupported(
        _GW,
        ("spec.servers[].port.protocol",),
        values=("UDP",),
        effect="is not implemented by Istio itself: the port is opened for TCP, there as here",
        instead="take TCP",
    ),
)
"""What Istio's API has and Istio does not put in force (read in istio/istio 86c9f01f). Here neither: objects must mean
the same in both."""


class _Step:
    """One place in the shape of a kind: the rows that end here, and where the others go on."""

    def __init__(self) -> None:
        self.rows: list[Unsupported] = []
        self.below: dict[str, _Step] = {}

    def at(self, path: str) -> _Step:
        """The step that a path of the table leads to, made where it is not there yet."""
        step = self
        for name in path.replace("[*]", ".*").replace("[]", ".*").split("."):
            step = step.below.setdefault(name, _Step())
        return step


def _tree(rows: Iterable[Unsupported]) -> _Step:
    """Rows as one tree, so that an object is walked once, whatever their number."""
    root = _Step()
    for row in rows:
        for path in row.paths:
            root.at(path).rows.append(row)
    return root


@cache
def _steps(kind: Kind, table: tuple[Unsupported, ...]) -> _Step:
    return _tree(row for row in table if row.kind is kind)


@cache
def _claims() -> _Step:
    """Where headers are matched on."""
    matched = "spec.http[].match[]"
    return _tree([Unsupported(_VS, (f"{matched}.headers[*]", f"{matched}.withoutHeaders[*]"))])


def check_support(model: MeshObject, found: Findings) -> None:
    """Warn of each field of an object that is given and has no effect."""
    for code, table in (("MESH0290", NOT_IN_FORCE), ("MESH0291", NOT_IN_ISTIO)):
        for row, at, value in _walk(model, _steps(model.kind, table), ()):
            text = value.value if isinstance(value, Enum) else value
            word = text.upper() if isinstance(text, str) else text
            if row.values and word not in row.values:
                continue
            message = f"{text} {row.effect}" if row.values else f"accepted, but {row.effect}"
            found.add(code, at, message, row.instead, at_key=not row.values)
    if model.kind is Kind.VIRTUAL_SERVICE:
        _check_claims(model, found)


def _walk(value: object, step: _Step, at: Path) -> Iterator[tuple[Unsupported, Path, object]]:
    """Each value that is given at a path of the table, with its row and its own path."""
    if step.rows and value is not None and value != () and value != {}:
        for row in step.rows:
            yield row, at, value
    for name, below in step.below.items():
        if name == "*":
            if isinstance(value, tuple):
                for index, item in enumerate(value):
                    yield from _walk(item, below, (*at, index))
            elif isinstance(value, Mapping):
                for key, item in value.items():
                    yield from _walk(item, below, (*at, str(key)))
        elif isinstance(value, BaseModel):
            attribute = _attribute(type(value), name)
            if attribute in value.model_fields_set:
                yield from _walk(getattr(value, attribute), below, (*at, name))


@cache
def _attribute(model: type[BaseModel], name: str) -> str:
    """The Python name of a field."""
    for attribute, field in model.model_fields.items():
        if (field.alias or attribute) == name:
            return attribute
    raise AssertionError(f"{model.__name__} has no field {name}")


def _check_claims(model: MeshObject, found: Findings) -> None:
    """Matches on claims of tokens: they are headers by place, but not by meaning."""
    for _, at, _ in _walk(model, _claims(), ()):
        if str(at[-1]).startswith(CLAIM):
            holds = "always holds" if "withoutHeaders" in at else "never matches"
            message = f"{CLAIMS_ARE_NOT_READ}, so that this {holds}"
            found.add("MESH0290", at, message, "match on a header", at_key=True)
