"""The `relay` part of the status: what is taken from peers and given to them, as plain JSON."""

from __future__ import annotations

from typing import Any

from sidecar.agent.relay_shell import RelayShell

__all__ = ["describe_off", "describe_relay"]


def describe_off(reason: str) -> dict[str, Any]:
    """There is no relay, and why."""
    return {"state": "off", "reason": reason}


def describe_relay(shell: RelayShell, now_s: float) -> dict[str, Any]:
    """The relay is on.

    Args:
        shell: It.
        now_s: Monotonic seconds.
    """
    view, adopted = shell.view(), shell.adopted
    target, held = view.target, view.held
    return {
        "state": "on",
        "sync": view.sync.value,
        "store": view.link.value,
        "watching": view.holds_watch,
        "revision": view.revision,
        "peers_at_store": view.at_store,
        "newer_told": view.told,
        "pulling": None
        if target is None
        else {
            "revision": target.revision,
            "from": view.source,
            "chunks": view.chunks,
            "chunks_all": view.chunks_all,
        },
        "adopted": None
        if adopted is None
        else {
            "revision": adopted.revision,
            "from": adopted.source,
            "attested_by": list(adopted.attested_by),
            "ago_s": round(now_s - adopted.at_s, 3),
        },
        "serving": view.serving,
        "held": None
        if held is None
        else {
            "cluster_id": f"{held.cluster_id:x}",
            "revision": held.revision,
            "reason": held.reason,
        },
        "left_alone": {node: round(left_s, 3) for node, left_s in view.left_alone},
        "counters": dict(view.counters),
    }
