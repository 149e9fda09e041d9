"""The kinds of object that the mesh knows, how they are spelt, and how one object is named.

The seven networking kinds are Istio's (networking.istio.io, all three served versions mean the same);
MeshConfig is ours (meshd.io/v1). Hosts' registrations are not objects that people publish: see
`store.objects.host`. Needs no pydantic, so that keys and names are cheap to import.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

__all__ = ["KINDS", "Kind", "KindNames", "ObjectRef", "kind_by_plural", "kind_named"]

ISTIO_VERSIONS = (
    "networking.istio.io/v1",
    "networking.istio.io/v1beta1",
    "networking.istio.io/v1alpha3",
)
MESHD_VERSIONS = ("meshd.io/v1",)


class Kind(StrEnum):
    """One kind of object, by the name that stands behind `kind:`."""

    VIRTUAL_SERVICE = "VirtualService"
    DESTINATION_RULE = "DestinationRule"
    GATEWAY = "Gateway"
    SERVICE_ENTRY = "ServiceEntry"
    WORKLOAD_ENTRY = "WorkloadEntry"
    WORKLOAD_GROUP = "WorkloadGroup"
    SIDECAR = "Sidecar"
    MESH_CONFIG = "MeshConfig"


@dataclass(frozen=True, slots=True)
class KindNames:
    """How one kind is spelt: in keys, on the command line, in `apiVersion`."""

    kind: Kind
    plural: str
    """Lower case plural: the folder of its keys in etcd and an accepted name on the command line."""
    short: tuple[str, ...]
    """Short names accepted on the command line, as kubectl has them for Istio's kinds."""
    api_versions: tuple[str, ...]
    """Accepted `apiVersion` values, newest first; they mean the same."""
    namespaced: bool = True
    """Whether the kind lives in a namespace; MeshConfig does not."""


class ObjectRef(NamedTuple):
    """The identity of one object. MeshConfig's namespace is the empty string."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(part for part in (self.kind.value, self.namespace, self.name) if part)


KINDS: dict[Kind, KindNames] = {
    row.kind: row
    for row in (
        KindNames(Kind.VIRTUAL_SERVICE, "virtualservices", ("vs",), ISTIO_VERSIONS),
        KindNames(Kind.DESTINATION_RULE, "destinationrules", ("dr",), ISTIO_VERSIONS),
        KindNames(Kind.GATEWAY, "gateways", ("gw",), ISTIO_VERSIONS),
        KindNames(Kind.SERVICE_ENTRY, "serviceentries", ("se",), ISTIO_VERSIONS),
        KindNames(Kind.WORKLOAD_ENTRY, "workloadentries", ("we",), ISTIO_VERSIONS),
        KindNames(Kind.WORKLOAD_GROUP, "workloadgroups", ("wg",), ISTIO_VERSIONS),
        KindNames(Kind.SIDECAR, "sidecars", ("sc",), ISTIO_VERSIONS),
        KindNames(
            Kind.MESH_CONFIG, "meshconfigs", ("mc", "mesh"), MESHD_VERSIONS, namespaced=False
        ),
    )
}

_BY_PLURAL = {names.plural: kind for kind, names in KINDS.items()}
_BY_ANY_NAME = {
    spelling.lower(): kind
    for kind, names in KINDS.items()
    for spelling in (kind.value, names.plural, *names.short)
}


def kind_by_plural(plural: str) -> Kind | None:
    """The kind whose keys lie in folder `plural`, or None."""
    return _BY_PLURAL.get(plural)


def kind_named(name: str) -> Kind | None:
    """The kind a person means by `name`: singular, plural or short name in any case, or None."""
    return _BY_ANY_NAME.get(name.lower())
