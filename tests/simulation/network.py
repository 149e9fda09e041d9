"""A fake network: seeded loss, delay, duplication, reordering, one-way cuts, blocked UDP, MTU."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Network"]


@dataclass
class Network:
    """What happens to what is sent. Change its fields while the world runs."""

    rng: random.Random
    loss: float = 0.0
    """Share of datagrams lost; of TCP segments too, which costs time there."""
    delay_s: tuple[float, float] = (0.0002, 0.002)
    duplication: float = 0.0
    """Share of datagrams delivered once more, up to `copies` times."""
    copies: int = 1
    reordering: float = 0.0
    """Share of datagrams delayed by up to `reorder_s` more."""
    reorder_s: float = 0.3
    mtu: int = 65_000
    cuts: set[tuple[str, str]] = field(default_factory=set)
    """Ordered pairs of hosts between which nothing passes."""
    udp_cuts: set[tuple[str, str]] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)
    """Hosts that nothing reaches."""
    loss_into: dict[str, float] = field(default_factory=dict)
    """Loss on the way into single hosts."""
    groups: dict[str, int] = field(default_factory=dict)
    """Partition: hosts of different groups do not reach each other; those in none are in group 0."""

    def split(self, *groups: Iterable[str]) -> None:
        """Part the hosts."""
        self.groups = {host: number for number, group in enumerate(groups) for host in group}

    def heal(self) -> None:
        """End partitions and cuts."""
        self.groups = {}
        self.cuts.clear()
        self.udp_cuts.clear()
        self.deaf.clear()

    def passes(self, source: str, target: str) -> bool:
        """Whether anything goes this way at all."""
        return (
            target not in self.deaf
            and (source, target) not in self.cuts
            and self.groups.get(source, 0) == self.groups.get(target, 0)
        )

    def datagram(self, source: str, target: str, size: int) -> list[float]:
        """Delays of the copies that arrive."""
        if not self.passes(source, target) or (source, target) in self.udp_cuts or size > self.mtu:
            return []
        delays: list[float] = []
        for _ in range(self._copies()):
            if self.rng.random() < max(self.loss, self.loss_into.get(target, 0.0)):
                continue
            delay_s = self.rng.uniform(*self.delay_s)
            if self.reordering and self.rng.random() < self.reordering:
                delay_s += self.rng.uniform(0, self.reorder_s)
            delays.append(delay_s)
        return delays

    def stream(self, source: str, target: str) -> float | None:
        """Delay of a request or an answer over TCP; None when the two cannot talk."""
        if not (self.passes(source, target) and self.passes(target, source)):
            return None
        delay_s = 2 * self.rng.uniform(*self.delay_s)
        while self.loss and self.rng.random() < self.loss:
            delay_s += 0.2  # a segment is sent again
        return delay_s

    def _copies(self) -> int:
        if self.duplication and self.rng.random() < self.duplication:
            return 1 + self.rng.randint(1, self.copies)
        return 1
