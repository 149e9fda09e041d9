"""Who writes to the store: change sets whose halves tell when they are apart, and registers, one writer for each.

Change set N: routes of `a.pair.test` and `b.pair.test` lead to subset `gN` and say generation N; the rule that has the
subset, and no longer the one before, is in the same transaction. Register K answers with the number of its last write.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

from store.snapshot import Snapshot
from tests.simulation.whole.envoy import POISON
from tests.simulation.whole.store import StoreSite

__all__ = ["PAIR", "REGISTERS", "Writers", "generation_in", "register_authority"]

PAIR = ("a.pair.test", "b.pair.test")
REGISTERS = 3
SHOP = "shop.default.svc.cluster.local"
FOLDER = "ns/default"


@dataclass
class Writers:
    """All of them; each sees only what it was acknowledged."""

    site: StoreSite
    rng: random.Random
    generation: int = 0
    written: dict[int, int] = field(default_factory=dict)
    """Last number written to each register."""
    acknowledged: dict[int, int] = field(default_factory=dict)
    """Last number that each register's writer was told is written."""
    spoilt: set[int] = field(default_factory=set)
    """Registers whose last value is bad."""
    refused: int = 0
    """Writes that found no store."""

    def write_pair(self) -> None:
        """One change set."""
        if self._commit(self._pair(self.generation + 1)):
            self.generation += 1

    def write_register(self, number: int) -> None:
        """The next value of a register, good again if it was spoilt."""
        value = self.written.get(number, 0) + 1
        if self._commit({_register_key(number): _register(number, str(value))}):
            self.written[number] = self.acknowledged[number] = value
            self.spoilt.discard(number)

    def spoil(self, number: int) -> None:
        """Somebody writes what cannot be used: no JSON, an unknown field, or something that Envoy refuses."""
        kind = self.rng.randrange(4)
        if kind == 0:
            value = b'{"kind": "VirtualService'
        elif kind == 1:
            document = json.loads(_register(number, "0"))
            document["spec"]["htp"] = document["spec"].pop("http")
            value = json.dumps(document).encode()
        else:
            value = _register(number, POISON.decode())
        writes: dict[str, bytes | None] = {_register_key(number): value}
        if kind == 3:  # beside what is good, in one change set
            writes |= self._pair(self.generation + 1)
        if self._commit(writes):
            self.spoilt.add(number)
            self.generation += kind == 3

    def mend(self) -> None:
        """Write everything once more: the end of the faults. What a restore lost, its writers write again."""
        self.write_pair()
        for number in range(REGISTERS):
            self.write_register(number)

    def _pair(self, number: int) -> dict[str, bytes | None]:
        writes: dict[str, bytes | None] = {f"{FOLDER}/destinationrules/shop": _rule(number)}
        for authority in PAIR:
            name = authority.replace(".", "-")
            writes[f"{FOLDER}/virtualservices/{name}"] = _route(name, authority, number)
        return writes

    def _commit(self, writes: dict[str, bytes | None]) -> bool:
        if not self.site.is_up:
            self.refused += 1
            return False
        self.site.commit(writes)
        return True


def register_authority(number: int) -> str:
    """Whom to ask for a register's value."""
    return f"register-{number}.test"


def generation_in(snapshot: Snapshot, authority: str) -> str:
    """The generation that a route of the pair has in a snapshot; empty where it is not there."""
    entry = snapshot.get(f"{FOLDER}/virtualservices/{authority.replace('.', '-')}")
    if entry is None:
        return ""
    rules = json.loads(entry.value)["spec"]["http"]
    return str(rules[0]["headers"]["response"]["set"]["generation"])


def _register_key(number: int) -> str:
    return f"{FOLDER}/virtualservices/register-{number}"


def _document(kind: str, name: str, spec: dict[str, object]) -> bytes:
    return json.dumps(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "default"},
            "spec": spec,
        }
    ).encode()


def _route(name: str, authority: str, number: int) -> bytes:
    said = {"response": {"set": {"generation": str(number)}}}
    route = {"destination": {"host": SHOP, "subset": f"g{number}"}}
    spec: dict[str, object] = {"hosts": [authority], "http": [{"headers": said, "route": [route]}]}
    return _document("VirtualService", name, spec)


def _rule(number: int) -> bytes:
    detection = {
        "consecutive5xxErrors": 5,
        "interval": "1s",
        "baseEjectionTime": "10s",
        "maxEjectionPercent": 50,
    }
    return _document(
        "DestinationRule",
        "shop",
        {
            "host": SHOP,
            "trafficPolicy": {"outlierDetection": detection},
            "subsets": [{"name": f"g{number}", "labels": {"app": "shop"}}],
        },
    )


def _register(number: int, value: str) -> bytes:
    answer = {"directResponse": {"status": 200, "body": {"string": value}}}
    spec: dict[str, object] = {"hosts": [register_authority(number)], "http": [answer]}
    return _document("VirtualService", f"register-{number}", spec)
