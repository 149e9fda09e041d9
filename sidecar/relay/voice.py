"""What all parts of the relay share: who we are, who can be asked, how to ask and to answer, what was counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from sidecar.mesh.model import Locality
from sidecar.relay import events as on
from sidecar.relay.settings import RelaySettings
from sidecar.relay.wire import Word, encode
from store.mirror.events import Severity

__all__ = ["Randomness", "Voice"]

_T = TypeVar("_T")


class Randomness(Protocol):
    """Where jitter and choices come from; `random.Random` is one."""

    def uniform(self, a: float, b: float, /) -> float:
        """A number between `a` and `b`."""

    def choice(self, seq: Sequence[_T], /) -> _T:
        """One of these."""

    def sample(self, population: Sequence[_T], k: int) -> list[_T]:
        """So many of these."""


class Voice:
    """How the relay speaks.

    Args:
        node: Who we are.
        locality: Where we are.
        settings: What may be turned.
        rng: Seeded randomness.
    """

    def __init__(
        self, node: str, locality: Locality, settings: RelaySettings, rng: Randomness
    ) -> None:
        self.node = node
        self.locality = locality
        self.settings = settings
        self.rng = rng
        self.peers: Mapping[str, on.Peer] = {}
        """Who can be asked."""
        self.effects: list[on.Effect] = []
        """What the event that is being handled brings about."""
        self.counters: Counter[str] = Counter()
        """What happened so far, by name; the names are few and fixed."""
        self._calls = 0

    def ask(self, node: str, word: Word) -> int:
        """Ask a member, who must be among `peers`; returns the number of the call."""
        self._calls += 1
        address = self.peers[node].address
        timeout_s = self.settings.answer_timeout_s
        self.effects.append(on.AskPeer(self._calls, node, address, encode(word), timeout_s))
        return self._calls

    def answer(self, call: int, word: Word) -> None:
        """Answer a request."""
        self.effects.append(on.AnswerPeer(call, encode(word)))

    def report(
        self, name: str, severity: Severity = Severity.INFO, **facts: str | int | float
    ) -> None:
        """Say something that a person may want to know."""
        self.effects.append(on.Report(name, severity, facts))

    def near(self, node: str) -> bool:
        """Whether a member is in our zone."""
        peer = self.peers[node]
        return peer.locality[:2] == self.locality[:2]
