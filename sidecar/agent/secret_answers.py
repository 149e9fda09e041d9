"""What people see of certificates: whose identity is held until when, which files are bad, and who needs them.

No key and no content is in it: names, serial numbers, paths, dates.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sidecar.certificates.keeping import Keeper
from sidecar.certificates.model import Identity, Leaf, SecretSource
from sidecar.node.node import Node
from sidecar.xds.events import ResourceRejected
from sidecar.xds.resource import TypeUrl

__all__ = ["certificate_troubles", "identities", "secrets_answer"]


def identities(node: Node, keeper: Keeper, wall_s: float) -> list[dict[str, Any]]:
    """The identity of each context that has one: what it is to be, what its certificate says, what is wrong.

    Args:
        node: The node.
        keeper: Its certificates.
        wall_s: Now, in seconds since 1970.
    """
    rows = []
    for context in node.contexts:
        if (identity := context.identity) is None:
            continue
        material = keeper.held.get(identity.certificate)
        leaf = None if material is None else material.leaf
        rows.append(
            {
                "context": context.name,
                "spiffe_id": identity.spiffe_id,
                "state": _state(identity, keeper),
                "names": [] if leaf is None else list(leaf.names),
                "serial": "" if leaf is None else leaf.serial,
                "ends_at": "" if leaf is None else _iso(leaf.not_after_s),
                "ends_at_s": None if leaf is None else leaf.not_after_s,
                "files": [*identity.certificate.files, *identity.authorities.files],
                "problem": _problem(identity, leaf, keeper, wall_s),
            }
        )
    return rows


def secrets_answer(node: Node, keeper: Keeper, now_s: float) -> dict[str, Any]:
    """How many secrets serve, and those whose files are bad."""
    return {
        "held": len(keeper.held),
        "broken": [
            {
                "name": source.name,
                "reason": trouble.reason,
                "since_s": round(now_s - trouble.since_s, 3),
                "keeps_old": source in keeper.held,
                "objects": sorted({str(one) for one in node.builder.naming(source)}),
            }
            for source, trouble in sorted(keeper.troubles.items())
            if trouble.is_told
        ],
    }


def certificate_troubles(node: Node, keeper: Keeper) -> tuple[ResourceRejected, ...]:
    """What has no certificate at all, as what Envoy refuses: nothing passes there until the files are good."""
    return tuple(
        ResourceRejected(
            TypeUrl.SECRET, source.name, "", trouble.reason, node.builder.naming(source)
        )
        for source, trouble in sorted(keeper.troubles.items())
        if trouble.is_told and source not in keeper.held
    )


def _state(identity: Identity, keeper: Keeper) -> str:
    """`held`, `kept` (the files are bad, older contents serve) or `missing`."""
    if not identity.secrets <= keeper.held.keys():
        return "missing"
    return "kept" if _told(identity.secrets, keeper) else "held"


def _told(secrets: frozenset[SecretSource], keeper: Keeper) -> list[str]:
    found = (keeper.troubles.get(source) for source in sorted(secrets))
    return [trouble.reason for trouble in found if trouble is not None and trouble.is_told]


def _problem(identity: Identity, leaf: Leaf | None, keeper: Keeper, wall_s: float) -> str:
    """What is wrong; empty when nothing is."""
    if reasons := _told(identity.secrets, keeper):
        return "; ".join(reasons)
    if leaf is not None and leaf.not_after_s <= wall_s:
        return f"the certificate ended at {_iso(leaf.not_after_s)}, and peers refuse it: have it renewed"
    if leaf is not None and identity.spiffe_id not in leaf.names:
        borne = ", ".join(leaf.names) or "no name"
        return (
            f"the certificate bears {borne}, and peers look for {identity.spiffe_id}: "
            "mend the settings (trust_domain, namespace, service_account) or have it issued anew"
        )
    return ""


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
