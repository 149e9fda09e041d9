"""Rows of `meshd peers`: members as one sidecar holds them, and as several do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshd.cli.troubles import duration
from store.errors import MeshError

__all__ = ["Sight", "notes_on_peers", "peer_cells", "sight_of"]

Json = Mapping[str, Any]

_REFUSED = {
    "datagram_not_opened": "datagrams were not opened: a host has another key, or another mesh id",
    "stream_not_opened": "calls were not opened: a host has another key, or another mesh id",
    "other_protocol": "frames were of a version of gossip that this one does not speak",
    "signature": "records were not signed by whom they name",
    "other_key": "records were signed with another key than their host's: a copied or reinstalled host, or a forger",
    "not_admitted": "records were of hosts that no admission record names",
}
"""What counters mean that a person should act on."""


def peer_cells(row: Json, *, is_wide: bool) -> list[str]:
    """One member."""
    standing: Json = row.get("standing") or {}
    told_s = standing.get("told_s")
    cells = [
        str(row.get("node", "")),
        str(row.get("status", "")),
        duration(row["since_s"]) if row.get("since_s") is not None else "",
        str(row.get("address", "")),
        str(standing.get("version", "")),
        str(standing.get("in_force") or ""),
        str(standing.get("sync", "")),
        f"{duration(told_s)} ago" if told_s is not None else "",
    ]
    if is_wide:
        cells += [
            str(row.get("epoch", "")),
            str(row.get("incarnation", "")),
            "degraded" if row.get("udp_degraded") else "ok",
            ",".join(row.get("accusers") or ()),
            str(row.get("key") or ""),
            str(row.get("trust") or "").replace("_", " "),
        ]
    return cells


def notes_on_peers(answer: Json) -> Iterator[str]:
    """What is to be said beside the table."""
    node, gossip = answer.get("node", ""), answer.get("gossip") or {}
    if gossip.get("state") != "on":
        yield f"gossip is off on {node}: {gossip.get('reason', '')}"
        return
    counts = answer.get("counts") or {}
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    yield f"as {node} sees it: {told} (itself among the living)"
    if answer.get("rival"):
        yield (
            f"error: another process at {answer['rival']} has the name {node} and began later; "
            "this one is silent until that one is gone: give one of them another `node`"
        )
    if answer.get("health"):
        yield (
            f"{node} is slow to hear itself (local health {answer['health']} of 7, 0 is well): "
            "it accuses others more slowly; look at its CPU and network"
        )
    yield from refusals(answer)


def refusals(answer: Json) -> Iterator[str]:
    """Counters that a person should act on, each in a sentence."""
    counters: dict[str, int] = {}
    own = answer.get("own") or {}
    for part in (own.get("dropped"), answer.get("counters"), answer.get("refused")):
        counters |= {str(name): int(count) for name, count in (part or {}).items()}
    for name, words in _REFUSED.items():
        if counters.get(name):
            yield f"{counters[name]} {words}"


@dataclass(frozen=True, slots=True)
class Sight:
    """How several sidecars hold each member."""

    held: Mapping[str, Mapping[str, str]]
    """By member, then by observer: the status."""
    observers: tuple[str, ...]
    """Those that answered and gossip."""
    silent: Mapping[str, str]
    """Those that did not, and why."""

    @property
    def disputed(self) -> list[str]:
        """Members that are not seen alike."""
        return [node for node, seen in self.held.items() if len(self._views(seen)) > 1]

    @property
    def is_well(self) -> bool:
        """Whether all are seen alive by all, and everybody answered."""
        is_alive = all(self._views(seen) <= {"alive", "left"} for seen in self.held.values())
        return is_alive and not self.disputed and not self.silent and bool(self.observers)

    def _views(self, seen: Mapping[str, str]) -> set[str]:
        views = {seen.get(observer, "unknown") for observer in self.observers}
        return {"alive" if view == "self" else view for view in views}

    def rows(self) -> list[list[str]]:
        """Rows of the table: members that are disputed or down first."""
        order = sorted(
            self.held, key=lambda node: (self._views(self.held[node]) == {"alive"}, node)
        )
        return [
            [node, *(self.held[node].get(observer, "unknown") for observer in self.observers)]
            for node in order
        ]

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON."""
        held = {node: dict(seen) for node, seen in self.held.items()}
        return {"held": held, "disputed": self.disputed, "silent": dict(self.silent)}


def sight_of(answers: Mapping[str, Json | MeshError]) -> Sight:
    """How those that answered hold everybody."""
    held: dict[str, dict[str, str]] = {}
    observers: list[str] = []
    silent: dict[str, str] = {}
    for node, answer in answers.items():
        if isinstance(answer, MeshError):
            silent[node] = answer.message
            continue
        gossip = answer.get("gossip") or {}
        if gossip.get("state") != "on":
            silent[node] = f"gossip is off there ({gossip.get('reason', '')})"
            continue
        observers.append(node)
        held.setdefault(node, {})[node] = "self"
        for row in answer.get("members") or ():
            held.setdefault(str(row.get("node")), {})[node] = str(row.get("status"))
    return Sight({node: held[node] for node in sorted(held)}, tuple(observers), silent)
