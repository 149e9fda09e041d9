"""The `gossip` part of the status: what a person or a metric wants to know, as plain JSON."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sidecar.agent.gossip_shell import GossipShell
from sidecar.gossip import Status
from sidecar.gossip.signing import fingerprint

__all__ = ["describe", "describe_off"]


def describe_off(reason: str) -> dict[str, Any]:
    """Gossip is off, and why."""
    return {"state": "off", "reason": reason}


def describe(
    shell: GossipShell, *, public_key: bytes, unresolved: Sequence[str], problems: Sequence[str]
) -> dict[str, Any]:
    """Gossip is on.

    Args:
        shell: It.
        public_key: This host's own.
        unresolved: Seeds whose names could not be resolved.
        problems: What a person should mend.
    """
    view, traffic = shell.view(), shell.traffic
    members = Counter(member.status for member in view.members)
    state = "left" if view.has_left else "name_taken" if view.rival is not None else "on"
    return {
        "state": state,
        "address": shell.address,
        "node": view.identity.node,
        "epoch": view.identity.epoch,
        "incarnation": view.incarnation,
        "members": {status.value: members[status] for status in Status},
        "health": view.health,
        "queued": view.queued,
        "queued_by_class": dict(view.queued_by_class),
        "records_refused": dict(view.refused),
        "admission": {"is_closed": view.is_closed, "own_key_admitted": view.is_admitted},
        "rival": None if view.rival is None else view.rival.address,
        "keys": list(shell.keys.fingerprints()),
        "key_file": str(shell.keys.path),
        "public_key": base64.b64encode(public_key).decode(),
        "fingerprint": fingerprint(public_key),
        "unresolved_seeds": list(unresolved),
        "problems": list(problems),
        "traffic": [
            {"direction": direction, "kind": kind, "packets": count, "bytes": traffic.octets[key]}
            for key, count in sorted(traffic.packets.items())
            for direction, kind in (key,)
        ],
        "dropped": {**dict(sorted(traffic.dropped.items())), **dict(view.counters)},
    }
