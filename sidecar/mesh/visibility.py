"""Who may see an object: `exportTo` turned into audiences.

An audience is the key of an index bucket, so that what a namespace sees is read from three buckets instead of
being filtered out of the whole mesh. Rules: Istio pkg/config/visibility and push_context.go
(initVirtualServices, setDestinationRules, initServiceRegistry).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

__all__ = [
    "PUBLIC",
    "Audience",
    "Reach",
    "audiences",
    "audiences_seen_by",
    "export_list",
    "seen_by",
]


class Reach(StrEnum):
    """How an object came to be visible in a namespace; also the order in which Istio reads them."""

    PRIVATE = "private"
    EXPORTED = "exported"
    PUBLIC = "public"


class Audience(NamedTuple):
    """A set of namespaces that sees an object."""

    reach: Reach
    namespace: str = ""
    """The namespace, empty for PUBLIC."""


PUBLIC = Audience(Reach.PUBLIC)
"""Every namespace."""


def export_list(
    export_to: Sequence[str] | None, default: Sequence[str], namespace: str
) -> tuple[str, ...]:
    """The namespaces that see an object of `namespace`: `*` alone, `~` alone (nobody), or names, sorted.

    Args:
        export_to: The object's own `exportTo`; None or empty means the default.
        default: MeshConfig's default for the kind; empty means `*`.
        namespace: Namespace of the object: what `.` stands for.
    """
    entries = set(export_to or default or ("*",))
    if "*" in entries:
        return ("*",)
    if "~" in entries:
        return ("~",)
    return tuple(sorted({namespace if entry == "." else entry for entry in entries}))


def audiences(exported: Sequence[str], namespace: str) -> tuple[Audience, ...]:
    """The index buckets of an object of `namespace` whose resolved export list is `exported`."""
    if "*" in exported:
        return (PUBLIC,)
    return tuple(
        Audience(Reach.PRIVATE if entry == namespace else Reach.EXPORTED, entry)
        for entry in exported
        if entry != "~"
    )


def audiences_seen_by(namespace: str) -> tuple[Audience, Audience, Audience]:
    """What a workload of `namespace` sees, in Istio's order: private, exported to it, public."""
    return (
        Audience(Reach.PRIVATE, namespace),
        Audience(Reach.EXPORTED, namespace),
        PUBLIC,
    )


def seen_by(exported: Sequence[str], namespace: str) -> bool:
    """Whether a workload of `namespace` sees an object whose resolved export list is `exported`."""
    return "*" in exported or namespace in exported
