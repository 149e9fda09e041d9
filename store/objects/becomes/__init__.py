"""What each field becomes: in Envoy's configuration, in our routing table, or in a registration.

The answer of `meshd explain` and a column of docs/fields.md. Words in backquotes that begin with a capital are messages
and fields of Envoy's API (v3), and a test looks each of them up there. Paths are those of `store.objects.fields.walk`,
without the mark of a list or map at their end.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from store.objects.becomes.edges import GATEWAY, SIDECAR
from store.objects.becomes.policies import DESTINATION_RULE
from store.objects.becomes.rules import VIRTUAL_SERVICE
from store.objects.becomes.services import SERVICE_ENTRY, WORKLOAD_ENTRY, WORKLOAD_GROUP
from store.objects.kinds import Kind

__all__ = ["becomes"]


def becomes(kind: Kind, path: str) -> str:
    """What a field becomes; empty for one that only holds others, and for kinds that are not Istio's.

    Args:
        kind: The kind of the object.
        path: Place in the object, `spec.http[].match[].headers{}.exact`.
    """
    return _table(kind).get(path.removesuffix("[]").removesuffix("{}").removeprefix("spec."), "")


@cache
def _table(kind: Kind) -> Mapping[str, str]:
    tables = {
        Kind.VIRTUAL_SERVICE: VIRTUAL_SERVICE,
        Kind.DESTINATION_RULE: DESTINATION_RULE,
        Kind.GATEWAY: GATEWAY,
        Kind.SERVICE_ENTRY: SERVICE_ENTRY,
        Kind.WORKLOAD_ENTRY: WORKLOAD_ENTRY,
        Kind.WORKLOAD_GROUP: WORKLOAD_GROUP,
        Kind.SIDECAR: SIDECAR,
    }
    return tables.get(kind, {})
