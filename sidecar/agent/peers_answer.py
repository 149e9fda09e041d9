"""Members and their configuration as plain JSON: what `/v1/peers`, `/v1/mesh` and `/v1/in-force?scope=mesh` answer.

Pure translation. Ages are seconds before the answer, so that no reader needs our clock.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from sidecar.gossip import GossipView, MemberView, Status
from sidecar.standing.model import Standing
from sidecar.standing.view import MemberStanding, StandingsView, WaitView

__all__ = ["gossip_counts", "mesh_answer", "peers_answer", "wait_answer"]

_HERE = (Status.ALIVE, Status.SUSPECT)


def peers_answer(gossip: GossipView, standings: StandingsView, now_s: float) -> dict[str, Any]:
    """Who this host holds for a member, and how."""
    known = {row.node: row for row in standings.members}
    return {
        "address": gossip.identity.address,
        "epoch": gossip.identity.epoch,
        "incarnation": gossip.incarnation,
        "health": gossip.health,
        "queued": gossip.queued,
        "rival": None if gossip.rival is None else gossip.rival.address,
        "counters": dict(gossip.counters),
        "refused": dict(gossip.refused),
        "records": gossip.records_held,
        "key": gossip.key,
        "admitted": gossip.is_admitted,
        "closed": gossip.is_closed,
        "counts": gossip_counts(gossip),
        "members": [
            _member(row, known.get(row.identity.node), now_s)
            for row in sorted(gossip.members, key=lambda row: row.identity.node)
        ],
    }


def gossip_counts(gossip: GossipView) -> dict[str, int]:
    """Members by status, ourselves among the living."""
    counts = Counter(row.status.value for row in gossip.members)
    counts[Status.ALIVE.value] += 1
    return {status.value: counts[status.value] for status in Status}


def mesh_answer(
    own_node: str, standings: StandingsView, gossip: GossipView | None, now_s: float
) -> dict[str, Any]:
    """The configuration of all members, alarms, versions, and how many have the newest in force."""
    rows = [_own_row(own_node, standings.own)]
    statuses = {} if gossip is None else {row.identity.node: row for row in gossip.members}
    heard = {row.node: row for row in standings.members}
    for node in sorted(statuses):
        row = heard.get(node)
        member = statuses[node]
        rows.append(
            {
                "node": node,
                "own": False,
                "status": member.status.value,
                "since_s": _ago(member.since_s, now_s),
                "address": member.identity.address,
                **_words(row, now_s),
            }
        )
    return {
        "members": rows,
        "alarms": [
            {
                "kind": "hashes-differ",
                "cluster": f"{alarm.cluster_id:x}",
                "revision": alarm.revision,
                "claims": {content: list(nodes) for content, nodes in alarm.claims.items()},
            }
            for alarm in standings.alarms
        ],
        "versions": {version: list(nodes) for version, nodes in standings.versions.items()},
        "unreadable": standings.unreadable,
        "summary": _summary(rows),
    }


def wait_answer(
    own_node: str,
    revision: int,
    standings: StandingsView,
    view: WaitView,
    now_s: float,
    *,
    is_own_certain: bool = True,
) -> dict[str, Any]:
    """How far a revision is on its way into force everywhere.

    `is_own_certain` is false where this host is not, or has such a revision and may not have noticed that etcd lives
    anew: then what others say of such revisions is as uncertain.
    """
    pending: dict[str, str] = {node: where.value for node, where in view.pending.items()}
    met = list(view.met)
    if own_node in met and not is_own_certain:
        pending |= dict.fromkeys(met, "uncertain")
        met = []
    heard = {row.node: row for row in standings.members}
    rows = []
    for node in sorted({*view.met, *view.pending, *view.gone}):
        state = "gone" if node in view.gone else pending.get(node, "in-force")
        is_own = node == own_node
        words = _own_words(standings.own) if is_own else _words(heard.get(node), now_s)
        rows.append({"node": node, "own": is_own, "state": state, **words})
    return {
        "scope": "mesh",
        "revision": revision,
        "in_force": len(met),
        "waited_for": len(met) + len(pending),
        "lagging": pending,
        "gone": list(view.gone),
        "members": rows,
    }


def _member(row: MemberView, words: MemberStanding | None, now_s: float) -> dict[str, Any]:
    who = row.identity
    return {
        "node": who.node,
        "status": row.status.value,
        "since_s": _ago(row.since_s, now_s),
        "address": who.address,
        "epoch": who.epoch,
        "incarnation": row.incarnation,
        "accusers": list(row.accusers),
        "udp_degraded": row.udp_degraded,
        "key": row.key,
        "trust": None if row.basis is None else row.basis.value,
        "standing": None
        if words is None or words.standing is None
        else {**_standing(words.standing), "told_s": _ago(words.said_s, now_s)},
    }


def _own_row(node: str, own: Standing | None) -> dict[str, Any]:
    who = {"node": node, "own": True, "status": Status.ALIVE.value, "since_s": None, "address": ""}
    return {**who, **_own_words(own)}


def _own_words(own: Standing | None) -> dict[str, Any]:
    return {"heard": own is not None, "told_s": 0.0, **_standing(own)}


def _words(row: MemberStanding | None, now_s: float) -> dict[str, Any]:
    """What a member said of itself. `heard`: whether its present life did."""
    return {
        "heard": row is not None and row.standing is not None and row.is_current,
        "told_s": None if row is None else _ago(row.said_s, now_s),
        **_standing(None if row is None else row.standing),
    }


def _standing(standing: Standing | None) -> dict[str, Any]:
    if standing is None:
        return {}
    epoch = standing.epoch
    return {
        "cluster": "" if epoch is None else f"{epoch.cluster_id:x}",
        "received": standing.received,
        "hash": standing.received_hash,
        "in_force": standing.in_force,
        "sync": standing.sync.value,
        "quarantined": standing.quarantined,
        "rejected": standing.rejected,
        "withheld": list(standing.withheld),
        "version": standing.version,
    }


def _summary(rows: list[dict[str, Any]]) -> Mapping[str, Any]:
    """Of those that are here: how many have in force what the newest of the most followed etcd is."""
    here = [row for row in rows if row["status"] in _HERE]
    clusters = Counter(row["cluster"] for row in here if row.get("cluster"))
    cluster = clusters.most_common(1)[0][0] if clusters else ""
    same = [row for row in here if row.get("cluster") == cluster]
    newest = max((row["received"] for row in same), default=0)
    current = [row["node"] for row in same if row["in_force"] >= newest > 0]
    return {
        "members": len(here),
        "cluster": cluster,
        "newest": newest,
        "in_force": len(current),
        "lagging": sorted({row["node"] for row in here} - set(current)),
    }


def _ago(then_s: float, now_s: float) -> float | None:
    """Seconds since then; None when it never was."""
    return round(max(0.0, now_s - then_s), 3) if math.isfinite(then_s) else None
