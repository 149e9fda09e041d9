"""Carries the relay's questions and answers between hosts, over the network that gossip uses, as TCP would."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sidecar.relay import events as on

if TYPE_CHECKING:
    from tests.simulation.whole.host import Sidecar
    from tests.simulation.whole.world import Whole

__all__ = ["Ways"]


@dataclass
class _Asked:
    sidecar: Sidecar
    call: int


@dataclass
class Ways:
    """Between all hosts."""

    whole: Whole
    _calls: int = 0
    _waiting: dict[int, _Asked] = field(default_factory=dict)

    def ask(self, source: str, ask: on.AskPeer) -> None:
        """A host asks another, which its address names."""
        sidecar = self.whole.places[source].sidecar
        assert sidecar is not None
        self._calls += 1
        number, clock = self._calls, self.whole.clock
        self._waiting[number] = _Asked(sidecar, ask.call)
        clock.at(clock.now_s + ask.timeout_s, lambda: self._failed(number))
        there_s = clock.net.stream(source, ask.address)
        if there_s is not None:
            clock.at(clock.now_s + there_s, lambda: self._arrive(number, source, ask))

    def answer(self, source: str, call: int, body: bytes) -> None:
        """A host answers a question that it was brought."""
        asked, clock = self._waiting.get(call), self.whole.clock
        if asked is None:
            return
        back_s = clock.net.stream(source, asked.sidecar.name)
        if back_s is not None:
            clock.at(clock.now_s + back_s, lambda: self._answered(call, body))

    def _arrive(self, number: int, source: str, ask: on.AskPeer) -> None:
        peer = self.whole.places[ask.address].sidecar
        if peer is not None:
            peer.sources.tell_relay(on.PeerAsked(number, source, ask.body))

    def _answered(self, number: int, body: bytes) -> None:
        asked = self._waiting.pop(number, None)
        if asked is not None and asked.sidecar.lives:
            asked.sidecar.sources.tell_relay(on.PeerAnswered(asked.call, body))

    def _failed(self, number: int) -> None:
        asked = self._waiting.pop(number, None)
        if asked is not None and asked.sidecar.lives:
            asked.sidecar.sources.tell_relay(on.PeerFailed(asked.call))
