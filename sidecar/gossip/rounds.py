"""Rounds of news: when, and to whom.

A round tells news to `gossip_fanout` random members, at most one in `gossip_interval_s`; there is no timer while there
is none. Evidence that is new to us does not wait for the interval. Both wait while the last rounds, at
`news_bytes_per_s`, are still being paid for: a storm of news costs so much and no more. Those who died a moment ago
are told too, so that they may refute.
"""

from __future__ import annotations

from collections import deque

from sidecar.gossip.claims import Identity, Status
from sidecar.gossip.voice import Voice

__all__ = ["Rounds"]

_DIED_MAX = 1024
"""Deaths of the last moments that are remembered: so that the dead can be told. More are not told in that time."""


class Rounds:
    """When news is told, and to whom.

    Args:
        voice: What the parts share.
    """

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._at_s: float | None = None
        self._last_s = float("-inf")
        self._died: deque[tuple[float, str]] = deque(maxlen=_DIED_MAX)
        """Who was declared dead, and when; the latest last."""

    def deadline(self) -> float | None:
        """When the next round is due; None while there is nothing to tell, or nobody."""
        return self._at_s

    def died(self, node: str, now_s: float) -> None:
        """A member was declared dead."""
        self._died.append((now_s, node))

    def pause(self) -> None:
        """Tell nobody anything: another process has our name."""
        self._at_s = None

    def tick(self, now_s: float) -> None:
        """Tell news, if it is time."""
        voice = self._voice
        self._at_s = None
        if not voice.lanes or not voice.table.reachable:
            voice.is_urgent = False
            return
        if now_s >= self._due_s():
            voice.is_urgent = False
            self._last_s = now_s
            told_bytes = sum(voice.tell_news(to, now_s) for to in self._targets(now_s))
            voice.pace.pay(told_bytes, now_s)
        if voice.lanes:
            self._at_s = self._due_s()

    def _due_s(self) -> float:
        paid_s = self._voice.pace.paid_s
        if self._voice.is_urgent:
            return paid_s
        return max(paid_s, self._last_s + self._voice.settings.gossip_interval_s)

    def _targets(self, now_s: float) -> list[Identity]:
        """Random members; those who died a moment ago among them, each as likely as one who lives.

        So a dead one hears as often in any mesh: some fifteen datagrams a second, by all others together. More would
        flood it when it comes back, and be lost to those who live.
        """
        voice = self._voice
        targets = voice.choose(voice.settings.gossip_fanout)
        dead = self._died_a_moment_ago(now_s)
        share = len(self._died) / (len(self._died) + len(voice.table.reachable))
        return [dead.pop() if dead and voice.rng.random() < share else target for target in targets]

    def _died_a_moment_ago(self, now_s: float) -> list[Identity]:
        """As many as are told in one round, of those who died so lately that they may not know it yet."""
        voice, died = self._voice, self._died
        long_ago_s = now_s - voice.settings.gossip_to_dead_s
        while died and died[0][0] <= long_ago_s:
            died.popleft()
        chosen = voice.rng.sample(died, min(voice.settings.gossip_fanout, len(died)))
        members = {node: voice.table.get(node) for _, node in chosen}
        return [
            member.claim.identity
            for member in members.values()
            if member is not None and member.status is Status.DEAD and member.since_s > long_ago_s
        ]
