"""Speaks for the whole mesh: tells the others what this host has in force, and hears it of them.

A thin shell around `sidecar.standing.standings.Standings`. It always runs; without gossip it knows of this host
only, and says why. What the rest of gossip is asked for by people (members, keys) is passed on to `GossipPort` as it
is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Protocol

import trio

from sidecar.agent.bell import Bell
from sidecar.agent.log import log
from sidecar.agent.turns import Alarm
from sidecar.gossip import GossipView
from sidecar.gossip import events as heard
from sidecar.gossip.records import Topic
from sidecar.standing import events as on
from sidecar.standing.codec import encode
from sidecar.standing.model import Standing
from sidecar.standing.standings import Standings
from sidecar.standing.view import StandingsView, WaitView
from store.errors import ConflictError

__all__ = ["GossipPort", "KeyringChanged", "KeysPort", "MeshWide"]

LOOK_AGAIN_S = 2.0
"""How often our own standing is looked at though nothing happened: that the store falls silent is no event."""
GOSSIP_OFF = "gossip is not configured"


class KeysPort(Protocol):
    """The shared keys, to look at."""

    path: Path
    error: str
    """Why the file as it is now is not in use; empty when it is."""

    def fingerprints(self) -> tuple[str, ...]:
        """Of all keys, the sealing one first."""
        ...


class KeyringChanged(Protocol):
    """What became of the keys."""

    @property
    def changed(self) -> bool:
        """False when they were so already."""
        ...

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Of all keys now, the sealing one first."""
        ...


class GossipPort(Protocol):
    """What is wanted of gossip; `sidecar.agent.gossip_shell.GossipShell` is one."""

    @property
    def keys(self) -> KeysPort:
        """The shared keys."""
        ...

    def listen(self, callback: Callable[[heard.Effect], None]) -> None:
        """Tell this one from now on."""
        ...

    def view(self) -> GossipView:
        """What gossip holds now."""
        ...

    def say(self, topic: Topic, page: int, body: bytes) -> None:
        """Say something of this host."""
        ...

    def ask(self, topic: Topic, nodes: Iterable[str]) -> None:
        """Ask these members directly."""
        ...

    def keyring_install(self, key: str) -> KeyringChanged:
        """Open with this key too. Raises InputError."""
        ...

    def keyring_use(self, which: str) -> KeyringChanged:
        """Seal with this key. Raises InputError."""
        ...

    def keyring_remove(self, which: str) -> KeyringChanged:
        """Forget this key. Raises InputError."""
        ...


class MeshWide:
    """What this host knows of the configuration of all.

    Args:
        node: This host.
        own: What is true of it now.
        changed: Rings whenever that may have changed.
        off: Why there is no gossip, until `join` is called.
    """

    def __init__(
        self, node: str, own: Callable[[], Standing], changed: Bell, *, off: str = GOSSIP_OFF
    ) -> None:
        self.node = node
        self.off = off
        """Why there is no gossip; of no meaning when there is."""
        self._own = own
        self._changed = changed
        self._core = Standings(node)
        self._gossip: GossipPort | None = None
        self._said: Standing | None = None
        self._numbers = count(1)
        self._met: dict[int, trio.Event] = {}
        self._alarm = Alarm(self._core.deadline, lambda: self._handle(on.TimePassed()))

    @property
    def gossip(self) -> GossipPort | None:
        """Gossip; None where it is off."""
        return self._gossip

    def joined(self) -> GossipPort:
        """Gossip.

        Raises:
            ConflictError: It is off here.
        """
        if self._gossip is None:
            raise ConflictError(
                f"gossip is off on {self.node}: {self.off}",
                hint="Give it a key (`meshd keyring generate`) and the setting gossip.key_file",
            )
        return self._gossip

    def join(self, gossip: GossipPort) -> None:
        """Take part from now on; before `gossip` runs, so that nothing is missed."""
        self._gossip = gossip
        gossip.listen(self._heard)
        if self._said is not None:
            gossip.say(Topic.STANDING, 0, encode(self._said))

    def standings(self) -> StandingsView:
        """What is known of everybody."""
        return self._core.view()

    async def run(self) -> None:
        """Say what changes here, and ask those that are waited for, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_own)
            nursery.start_soon(self._alarm.run)

    async def wait(
        self, revision: int, cluster_id: int | None, timeout_s: float
    ) -> tuple[bool, WaitView]:
        """Wait until every member has the revision in force; whether that came to be in time, and how far it is."""
        number = next(self._numbers)
        met = self._met[number] = trio.Event()
        try:
            self._look()
            self._handle(on.WaitBegan(number, revision, cluster_id))
            with trio.move_on_after(timeout_s):
                await met.wait()
            return met.is_set(), self._core.wait_view(number)
        finally:
            del self._met[number]
            self._handle(on.WaitEnded(number))

    # -- what happens ---------------------------------------------------------------------------

    def _look(self) -> None:
        own = self._own()
        if own != self._said:
            self._said = own
            self._handle(on.OwnChanged(own))

    async def _follow_own(self) -> None:
        while True:
            self._look()
            with trio.move_on_after(LOOK_AGAIN_S):
                await self._changed.rung()

    def _heard(self, told: heard.Effect) -> None:
        """Gossip tells something."""
        match told:
            case heard.RecordHeard(record) if record.topic is Topic.STANDING:
                self._handle(on.RecordHeard(record))
            case heard.RecordDropped(Topic.STANDING, node):
                self._handle(on.RecordDropped(node))
            case heard.MemberChanged():
                self._handle(told)
            case _:
                pass

    def _handle(self, event: on.Event) -> None:
        for effect in self._core.handle(event, trio.current_time()):
            self._perform(effect)
        self._alarm.look_again()

    def _perform(self, effect: on.Effect) -> None:
        match effect:
            case on.Say():
                if self._gossip is not None:
                    self._gossip.say(Topic.STANDING, 0, effect.body)
            case on.AskRecords():
                if self._gossip is not None:
                    self._gossip.ask(Topic.STANDING, effect.nodes)
            case on.WaitMet():
                self._met[effect.wait].set()
            case on.HashesDiffer():
                log.error(
                    "mesh_content_differs",
                    cluster_id=f"{effect.cluster_id:x}",
                    revision=effect.revision,
                    claims={content: list(nodes) for content, nodes in effect.claims.items()},
                )
            case on.HashesAgree():
                log.info(
                    "mesh_content_agrees",
                    cluster_id=f"{effect.cluster_id:x}",
                    revision=effect.revision,
                )
