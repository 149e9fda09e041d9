"""Cases that prove fields: objects, and what a real Envoy then does or holds.

A case says which fields it proves. What it asks and what it finds in Envoy's accepted configuration shows that they do
what they say; that it would not be so without them is shown in `field_claims`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from string import Template
from typing import Any

import yaml

from sidecar.mesh.model import Context
from store.objects.kinds import kind_named
from tests.harness import service_entries
from tests.harness.catalogs import Document
from tests.harness.field_envoy import Served
from tests.harness.fields import Path, expand
from tests.harness.worlds import WEB

__all__ = ["BASE", "SUBSETS", "Ask", "Case", "Holds", "ask", "holds", "read", "service"]


def service(
    name: str, *endpoints: tuple[str, str], port: str = "9080", protocol: str = "HTTP"
) -> str:
    """A service in the mesh, other documents may follow; endpoints are (port of loopback, label `version`)."""
    return service_entries.service(name, *endpoints, port=port, protocol=protocol, more="---")


BASE = service("a", ("$one", "v1"), ("$two", "v2")) + service("b", ("$three", "v1"))
"""Two services: `a` with v1 (server `one`) and v2 (`two`), and `b` (`three`)."""
SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: subsets-of-a, namespace: default}
spec:
  host: a
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
"""


@dataclass(frozen=True)
class Ask:
    """A request and what has to come back."""

    url: str
    """Authority and path, such as `a:9080/x`."""
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    at: str = "outbound"
    """Name of the port that it is sent to."""
    sni: str = ""
    """Server name to ask for by TLS; empty: plain text."""
    shows: str = ""
    """Client certificate to show."""
    newest: str = ""
    """Newest version of TLS."""
    oldest: str = ""
    """Oldest version of TLS."""
    ciphers: str = ""
    """Ciphers up to TLS 1.2."""
    curve: str = ""
    """Curve of the key exchange."""
    status: int = 200
    by: str = ""
    """Server that has to answer; empty: any."""
    saw: Mapping[str, str | None] = field(default_factory=dict)
    """What the server saw: `:path`, `:authority`, or a header; None: not there."""
    gives: Mapping[str, str | None] = field(default_factory=dict)
    """Headers of the answer; None: not there."""
    body: str | None = None
    """Body of the answer."""
    copies: str = ""
    """Server that has to get a copy, too."""
    hits: int = 0
    """How often that server is to be asked for it; 0: not counted."""
    times: int = 1
    least_s: float = 0.0
    """Shortest time that the answer may take."""


def ask(url: str, **fields: Any) -> Ask:
    """A request to the outbound listener, unless `at` says otherwise."""
    return Ask(url, **fields)


@dataclass(frozen=True)
class Holds:
    """What Envoy's accepted configuration has to contain."""

    kind: str
    """`cluster`, `endpoints`, `listener`, `host` (a virtual host, named by one of its domains) or `routes`."""
    name: str
    part: object
    """A part of it: of mappings these keys, of lists these items, numbers and texts as they are."""


def holds(kind: str, name: str, part: object) -> Holds:
    """A part of what `/config_dump` shows."""
    return Holds(kind, name, part)


@dataclass(frozen=True)
class Case:
    """One case; see the module's text."""

    name: str
    """The rule, in words."""
    proves: str
    """Fields, `Kind.path` separated by spaces, with braces for several: `Gateway.spec.servers[].{bind,hosts}`."""
    objects: str
    """YAML, with `$one` and the like for what is only known when it runs."""
    asks: tuple[Ask, ...] = ()
    accepted: tuple[Holds, ...] = ()
    services: str = BASE
    """Objects beside those of the case."""
    context: Context = WEB
    """On whose behalf."""
    has_identity: bool = False
    """Whether the workload has a certificate of the mesh, in `$folder/id`."""
    check: Callable[[Served], Awaitable[None]] | None = None
    """Anything that the others cannot say."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """More settings of the builder."""
    joins: str = ""
    """WorkloadGroup that this host is a member of; empty for none."""

    @property
    def paths(self) -> tuple[tuple[str, Path], ...]:
        """Kind and path of each field that is proven."""
        found = []
        for text in self.proves.split():
            for one in expand(text):
                kind, _, path = one.partition(".")
                found.append((kind, path))
        return tuple(found)

    def documents(self, places: Mapping[str, object]) -> list[Document]:
        """The objects, those of the case last."""
        return read(self.services, places) + self.subjects(places)

    def subjects(self, places: Mapping[str, object]) -> list[Document]:
        """The case's own objects."""
        return read(self.objects, places)


def read(text: str, places: Mapping[str, object]) -> list[Document]:
    """YAML with the places filled in; `apiVersion`, name and namespace may be left out."""
    return [
        _completed(document, number)
        for number, document in enumerate(
            yaml.load_all(Template(text).substitute(places), Loader=yaml.CSafeLoader)
        )
        if document
    ]


def _completed(document: dict[str, Any], number: int) -> Document:
    kind = kind_named(str(document["kind"]))
    assert kind is not None, document
    version = "meshd.io/v1" if kind.value == "MeshConfig" else "networking.istio.io/v1"
    made = {"apiVersion": version, **document, "kind": kind.value}
    name = "mesh" if kind.value == "MeshConfig" else f"case-{number}"
    metadata = {"name": name, "namespace": "default", **(document.get("metadata") or {})}
    if kind.value == "MeshConfig":
        del metadata["namespace"]
    return {**made, "metadata": metadata}
