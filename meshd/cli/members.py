"""Other hosts, as gossip tells of them: is all well with each, what is not. The sibling of `meshd.cli.health`.

Pure: reads the JSON of `/v1/mesh` as it came. What is said here is hearsay with an age; a host's own status says more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshd.cli.troubles import Severity, Trouble, duration, worst_of

__all__ = ["Member", "alarms_of", "members_of", "state_of"]

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Member:
    """One other host, judged by what it told the mesh."""

    node: str
    """Its node id."""
    told: Json
    """Its row in the answer."""
    told_by: str
    """The sidecar of this machine that says so."""
    newest: int
    """Newest revision that is known in the mesh."""
    troubles: tuple[Trouble, ...] = ()
    """Worst first."""

    @property
    def is_well(self) -> bool:
        """Whether nothing is degraded."""
        return self.severity < Severity.DEGRADED

    @property
    def severity(self) -> int:
        """The worst of its troubles; 0 without any."""
        return worst_of(self.troubles)

    def as_json(self) -> dict[str, Any]:
        """What it told, with our judgement."""
        return {
            "node": self.node,
            "well": self.is_well,
            "troubles": [one.as_json() for one in self.troubles],
            "told_by": self.told_by,
            "told": {key: value for key, value in self.told.items() if key not in ("node", "own")},
        }

    def cells(self, newest: int = 0) -> list[str]:
        """The row of the table; `newest` is the newest revision of the mesh."""
        row, state = self.told, state_of(self.told)
        is_alive = row.get("status") == "alive"
        if not row.get("heard"):
            return [self.node, state, *["-"] * 8, _age(row)]
        in_force, received = (int(row.get(name) or 0) for name in ("in_force", "received"))
        return [
            self.node,
            state,
            str(in_force or "none"),
            str(received or "none"),
            str(max(0, max(newest, received) - in_force)),
            "current" if is_alive and row.get("sync") == "store" else "-",
            str(row.get("sync", "")) if is_alive else "-",
            "-",
            str(row.get("rejected", 0)),
            str(row.get("quarantined", 0)),
            _age(row),
        ]

    def wide_cells(self) -> list[str]:
        """More columns."""
        return ["", "", "", "", "", str(self.told.get("version", "")), ""]


def members_of(mesh: Json) -> list[Member]:
    """All other hosts that an answer tells of, but those that said goodbye."""
    newest = int((mesh.get("summary") or {}).get("newest") or 0)
    cluster = str((mesh.get("summary") or {}).get("cluster") or "")
    told_by = str(mesh.get("node", ""))
    alarms = alarms_of(mesh)
    found = []
    for row in mesh.get("members") or ():
        if row.get("own") or row.get("status") == "left":
            continue
        node = str(row.get("node", ""))
        troubles = [*_troubles(row, newest, cluster), *alarms.get(node, ())]
        troubles.sort(key=lambda one: -one.severity)
        found.append(Member(node, row, told_by, newest, tuple(troubles)))
    return found


def alarms_of(mesh: Json) -> dict[str, list[Trouble]]:
    """Troubles of single hosts that only their comparison shows, ourselves among them."""
    found: dict[str, list[Trouble]] = {}
    for alarm in mesh.get("alarms") or ():
        claims = alarm.get("claims") or {}
        told = "; ".join(f"{content[:12]}: {_some(nodes)}" for content, nodes in claims.items())
        trouble = Trouble(
            Severity.BROKEN,
            f"error: hosts have revision {alarm.get('revision')} of one etcd with different content",
            (
                told,
                "One side lost an event or follows a restored etcd: restart the sidecar of the smaller side; "
                "if it stays so, compare `meshd get all -A -o yaml` there and here.",
            ),
        )
        for nodes in claims.values():
            for node in nodes:
                found.setdefault(str(node), []).append(trouble)
    return found


def state_of(row: Json) -> str:
    """One word for how a host is, as far as it is known here."""
    status = str(row.get("status", ""))
    if status != "alive":
        return status
    if not row.get("heard"):
        return "silent"
    if row.get("sync") in ("held", "stale"):
        return str(row["sync"])
    in_force, received = (int(row.get(name) or 0) for name in ("in_force", "received"))
    if not in_force:
        return "none" if not received else "updating"
    return "in-force" if in_force >= received else "updating"


def _troubles(row: Json, newest: int, cluster: str) -> Iterator[Trouble]:
    status = row.get("status")
    for_s = f" for {duration(row['since_s'])}" if row.get("since_s") is not None else ""
    if status == "dead":
        yield Trouble(
            Severity.GONE,
            f"error: held dead{for_s}",
            (
                "If it is meant to be gone, it is forgotten by itself; `meshd peers` says who sees it how.",
            ),
        )
        return
    if status == "suspect":
        yield Trouble(Severity.DEGRADED, f"warning: does not answer{for_s}; suspected dead")
    if not row.get("heard"):
        yield Trouble(
            Severity.DEGRADED,
            "warning: nothing was heard of its configuration",
            ("Its version may be older, or its words are not believed: `meshd peers -o wide`.",),
        )
        return
    yield from _config_troubles(row, newest, cluster)


def _config_troubles(row: Json, newest: int, cluster: str) -> Iterator[Trouble]:
    in_force, received = (int(row.get(name) or 0) for name in ("in_force", "received"))
    if row.get("sync") == "held":
        yield Trouble(
            Severity.DEGRADED,
            "error: it holds off another etcd",
            ("If that is the right one: `meshd epoch accept` there.",),
        )
    elif row.get("cluster") != cluster:
        yield Trouble(
            Severity.DEGRADED,
            f"error: it follows etcd {row.get('cluster') or 'none'}, most hosts follow {cluster}",
        )
    elif row.get("sync") == "stale":
        yield Trouble(Severity.DEGRADED, "warning: it does not hear etcd; it serves what it has")
    elif not in_force:
        yield Trouble(Severity.BROKEN, "error: nothing is in force in its Envoy")
    elif in_force < received:
        yield Trouble(Severity.DEGRADED, "warning: its Envoy does not have the newest revision yet")
    elif received < newest:
        yield Trouble(
            Severity.NOTE, f"has received revision {received}; the newest known is {newest}"
        )
    if row.get("quarantined"):
        yield Trouble(
            Severity.DEGRADED,
            f"error: {row['quarantined']} objects are quarantined there",
            ("`meshd status` on that host says which and why.",),
        )
    if row.get("rejected"):
        yield Trouble(
            Severity.DEGRADED,
            f"error: its Envoy refuses {row['rejected']} resources",
            ("`meshd status` on that host says which and why.",),
        )


def _age(row: Json) -> str:
    told_s = row.get("told_s")
    return "never" if told_s is None else f"{duration(told_s)} ago"


def _some(nodes: Sequence[str]) -> str:
    shown = ", ".join(nodes[:5])
    return f"{shown} and {len(nodes) - 5} more" if len(nodes) > 5 else shown
