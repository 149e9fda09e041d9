"""How records get from host to host: by a seeded model of delay and loss, or by the real gossip cores."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sidecar.gossip.records import Record
from sidecar.outlier.events import RecordHeard, Say
from sidecar.outlier.model import Observer
from tests.simulation.world import World

__all__ = ["Carrier", "ModelCarrier", "observers_of"]


class Carrier(Protocol):
    """Takes the words of one host to the others."""

    def say(self, node: str, epoch: int, say: Say) -> None:
        """A host says a page of its own."""


@dataclass
class ModelCarrier:
    """Spreads as an epidemic does: most hosts hear at once, some a round later, who missed it by anti-entropy."""

    world: World
    """The clock."""
    rng: random.Random
    hear: Callable[[str, RecordHeard], None]
    """Tells a host."""
    nodes: list[str]
    delay_s: tuple[float, float] = (0.002, 0.02)
    late_share: float = 0.1
    """Of hearers that the first wave misses; they hear in rounds of 0.2 s, each missing as many again."""
    groups: dict[str, int] = field(default_factory=dict)
    """Partition: hosts of different groups do not hear each other; those in none are in group 0."""
    said_bytes: int = 0
    """Bodies, each counted once."""
    said: int = 0
    _versions: dict[tuple[str, str, int], int] = field(default_factory=dict)
    _newest: dict[tuple[str, str, int], tuple[float, Record]] = field(default_factory=dict)
    _heard: dict[tuple[str, tuple[str, str, int]], tuple[int, int]] = field(default_factory=dict)

    def say(self, node: str, epoch: int, say: Say) -> None:
        """Versions count up; everybody of the same group hears, sooner or later."""
        key = (say.topic.value, node, say.page)
        self._versions[key] = self._versions.get(key, 0) + 1
        self.put(Record(say.topic, node, say.page, epoch, self._versions[key], say.body, b"", b""))

    def put(self, record: Record) -> None:
        """Let a record set out, whoever made it."""
        self.said += 1
        self.said_bytes += len(record.body)
        key = (record.topic.value, record.node, record.page)
        said_s = self.world.now_s
        self._newest[key] = (said_s, record)
        for node in self.nodes:
            if node != record.node and self.reaches(record.node, node):
                self._deliver(node, record, said_s)

    def reaches(self, source: str, target: str) -> bool:
        """Whether two hosts are on one side."""
        return self.groups.get(source, 0) == self.groups.get(target, 0)

    def catch_up(self, node: str) -> None:
        """Anti-entropy: a host hears all that it does not have (after a partition, or a start)."""
        self._heard = {key: known for key, known in self._heard.items() if key[0] != node}
        for (_, source, _), (said_s, record) in list(self._newest.items()):
            if source != node and self.reaches(source, node):
                self._deliver(node, record, said_s)

    def _deliver(self, node: str, record: Record, said_s: float) -> None:
        delay_s = self.rng.uniform(*self.delay_s)
        while self.rng.random() < self.late_share:
            delay_s += 0.2
        self.world.at(self.world.now_s + delay_s, lambda: self._arrive(node, record, said_s))

    def _arrive(self, node: str, record: Record, said_s: float) -> None:
        key = (node, (record.topic.value, record.node, record.page))
        order = (record.epoch, record.version)
        if not self.reaches(record.node, node) or order <= self._heard.get(key, (-1, -1)):
            return
        self._heard[key] = order
        age_ms = int((self.world.now_s - said_s) * 1000)
        self.hear(
            node,
            RecordHeard(
                Record(
                    record.topic,
                    record.node,
                    record.page,
                    record.epoch,
                    record.version,
                    record.body,
                    record.key,
                    record.signature,
                    age_ms,
                )
            ),
        )


def observers_of(nodes: Iterable[Observer], alive: Mapping[str, bool]) -> dict[str, Observer]:
    """All members, with those that do not count marked."""
    return {
        node.node: Observer(node.node, alive.get(node.node, True), node.locality, node.address)
        for node in nodes
    }
