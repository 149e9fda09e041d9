"""Gossip that a test speaks for: it holds the members that it is told to hold, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sidecar.gossip import GossipView, Identity, MemberView, Status
from sidecar.gossip import events as heard
from sidecar.gossip.records import Record, Topic
from sidecar.gossip.settings import LAN
from sidecar.standing.codec import encode
from sidecar.standing.model import Standing
from store.errors import InputError

__all__ = ["FakeGossip", "FakeKeys"]


class FakeKeys:
    """Keys that are their own fingerprints."""

    def __init__(self) -> None:
        self.path = Path("/etc/meshd/gossip.keys")
        self.error = ""
        self.held = ["one"]

    def fingerprints(self) -> tuple[str, ...]:
        return tuple(self.held)


@dataclass(frozen=True)
class Changed:
    """What became of the keys."""

    changed: bool
    fingerprints: tuple[str, ...]


class FakeGossip:
    """See the module's text.

    Args:
        node: This host.
        now: The clock that ages count by.
    """

    def __init__(self, node: str = "me", now: Callable[[], float] = lambda: 0.0) -> None:
        self.identity = Identity(node, "10.0.0.9:7946", 7)
        self._now = now
        self.keys = FakeKeys()
        self.members: dict[str, MemberView] = {}
        self.said: list[tuple[Topic, int, bytes]] = []
        self.asked: list[tuple[Topic, tuple[str, ...]]] = []
        self._listeners: list[Callable[[heard.Effect], None]] = []
        self._versions = 0

    def listen(self, callback: Callable[[heard.Effect], None]) -> None:
        self._listeners.append(callback)

    def tell(self, effect: heard.Effect) -> None:
        """Gossip tells something."""
        for callback in self._listeners:
            callback(effect)

    def member(self, node: str, status: Status = Status.ALIVE, epoch: int = 1) -> None:
        """A member comes to be held so."""
        before = self.members.get(node)
        identity = Identity(node, f"10.0.0.{len(node)}:7946", epoch)
        accusers = ("x",) if status is Status.SUSPECT else ()
        self.members[node] = MemberView(identity, status, 0, self._now(), accusers, False)
        was = None if before is None else before.status
        self.tell(heard.MemberChanged(identity, was, status, 0, accusers))

    def hear(self, node: str, standing: Standing, *, epoch: int = 1, age_ms: int = 0) -> None:
        """A member says its standing."""
        self._versions += 1
        body = encode(standing)
        record = Record(Topic.STANDING, node, 0, epoch, self._versions, body, b"", b"", age_ms)
        self.tell(heard.RecordHeard(record))

    def view(self) -> GossipView:
        from random import Random

        from sidecar.gossip.machine import Gossip

        empty = Gossip(self.identity, Random(1), LAN).snapshot()
        fields = {name: getattr(empty, name) for name in empty.__dataclass_fields__}
        return GossipView(**{**fields, "members": tuple(self.members.values())})

    def say(self, topic: Topic, page: int, body: bytes) -> None:
        self.said.append((topic, page, body))

    def ask(self, topic: Topic, nodes: Iterable[str]) -> None:
        self.asked.append((topic, tuple(nodes)))

    def keyring_install(self, key: str) -> Changed:
        if key == "bad":
            raise InputError("a gossip key is not base64")
        is_new = key not in self.keys.held
        self.keys.held += [key] if is_new else []
        return Changed(is_new, self.keys.fingerprints())

    def keyring_use(self, which: str) -> Changed:
        if which not in self.keys.held:
            raise InputError("this gossip key is not installed here")
        self.keys.held.sort(key=lambda key: key != which)
        return Changed(True, self.keys.fingerprints())

    def keyring_remove(self, which: str) -> Changed:
        is_there = which in self.keys.held
        if is_there:
            self.keys.held.remove(which)
        return Changed(is_there, self.keys.fingerprints())
