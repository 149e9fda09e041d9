"""Gossip at work: the core (`sidecar.gossip`) with sockets, clock, keys and disk around it.

Everything that comes in is handled in trio's thread, in the call that brings it. What waits in the socket is handed in
before the core is told that a deadline has come: a frame that waits may be the answer that a timer is about to miss.
Effects that speak to the rest of the sidecar go to whoever listens (`listen`), in order.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import trio

from sidecar.agent.gossip_addresses import joined
from sidecar.agent.gossip_keys import EpochFile, KeyringFile
from sidecar.agent.gossip_sockets import GossipSockets, Traffic, open_sockets
from sidecar.agent.gossip_streams import CallServer, ServeRelay, call_peer
from sidecar.agent.log import log
from sidecar.agent.seeds import Seeds
from sidecar.agent.turns import Turns
from sidecar.gossip import LAN, Gossip, GossipSettings, GossipView, Identity, Status
from sidecar.gossip import events as on
from sidecar.gossip.frames import DATAGRAM_BYTES_MAX
from sidecar.gossip.keyring import NONCE_BYTES, Purpose
from sidecar.gossip.records import RECORD_BODY_BYTES_MAX, Topic
from sidecar.gossip.signing import Signer
from store.errors import InputError, PeerError

__all__ = ["GossipShell", "KeyringChange", "Place", "Told"]

DRAINED_MAX = 512
"""Datagrams handed in before time is looked at again: who floods the socket must not stop our own probes."""
CALLS_MAX = 64
"""Calls of our own under way; beyond, they fail at once."""
KEYS_LOOKED_AT_S = 5.0
"""Between looks at the keyring file's time of change."""

Told = (
    on.MemberChanged
    | on.RecordHeard
    | on.RecordDropped
    | on.RecordRefused
    | on.ProbeEnded
    | on.UdpDegraded
    | on.NameConflict
    | on.IdentityChanged
    | on.PeerRefused
    | on.LeaveSpread
)
"""Effects that tell something; all others are the shell's to do."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where this host is found."""

    node: str
    """Its name in the mesh."""
    advertise: str
    """IP address that peers reach it under."""
    bind: str = "0.0.0.0"
    """IP address to listen on."""
    port: int = 7946
    """Of UDP and TCP; 0: any that is free."""


@dataclass(frozen=True, slots=True)
class KeyringChange:
    """What became of the keys."""

    changed: bool
    """False when they were so already."""
    fingerprints: tuple[str, ...]
    """Of all keys now, the sealing one first."""


class GossipShell:
    """One member. The port is bound when it is made, so that its address is known; `run` begins to speak.

    Args:
        place: Where it is found.
        keys: The shared keys.
        signer: This host's own key.
        epochs: Remembers the boot epoch.
        seeds: Where others may be.
        settings: The protocol's settings.

    Raises:
        InputError: The port is in use, or the address to listen on is none of this host's.
    """

    def __init__(
        self,
        place: Place,
        *,
        keys: KeyringFile,
        signer: Signer,
        epochs: EpochFile,
        seeds: Seeds,
        settings: GossipSettings = LAN,
    ) -> None:
        self._keys = keys
        self._epochs = epochs
        self._seeds = seeds
        self._sockets: GossipSockets = open_sockets(place.bind, place.port)
        self.address = joined(place.advertise, self._sockets.port)
        """`address:port` under which peers find this host."""
        self.traffic = Traffic()
        """What went through the sockets."""
        identity = Identity(place.node, self.address, epochs.next_epoch())
        rng = random.Random(os.urandom(16))
        self._core = Gossip(identity, rng, settings, signer=signer, mesh_id=keys.mesh_id)
        self._settings = settings
        self._turns = Turns[on.Event, on.Effect](self._core.handle, self._perform)
        self._answers: dict[int, bytes] = {}
        self._calls = 0
        self._calling = 0
        self._is_seeking = False
        self._has_left = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._timer = trio.CancelScope()
        self._listeners: list[Callable[[Told], None]] = []
        self._server = CallServer(lambda: self._keys.keyring, self._called, self.traffic)

    # -- for the rest of the sidecar ------------------------------------------------------------

    def listen(self, callback: Callable[[Told], None]) -> None:
        """Tell this one from now on. Called in trio's thread; it may call `say` and `ask`."""
        self._listeners.append(callback)

    def serve_relay(self, serve: ServeRelay) -> None:
        """Hand connections of the relay to this one from now on."""
        self._server.relay = serve

    def view(self) -> GossipView:
        """What gossip holds now."""
        return self._core.snapshot()

    def say(self, topic: Topic, page: int, body: bytes) -> None:
        """Say something of this host; an empty body withdraws it.

        Raises:
            InputError: The body is longer than a record may be.
        """
        if len(body) > RECORD_BODY_BYTES_MAX:
            raise InputError(
                f"a record of topic {topic.value} has {len(body)} bytes; at most {RECORD_BODY_BYTES_MAX} are spread"
            )
        self._handle(on.SayRecord(topic, page, body))

    def ask(self, topic: Topic, nodes: Iterable[str]) -> None:
        """Ask these members directly for their newest word; what is new comes as `RecordHeard`."""
        self._handle(on.AskRecords(topic, tuple(nodes)))

    def trust(self, trusted: on.TrustSet) -> None:
        """Believe these hosts' keys from now on."""
        self._handle(trusted)

    def seeds_changed(self) -> None:
        """More seeds may be known than before: look at them now, where there is nobody yet."""
        if not self._core.snapshot().names(Status.ALIVE, Status.SUSPECT):
            self._find_seeds()

    @property
    def keys(self) -> KeyringFile:
        """The shared keys, to look at; changed by the three below."""
        return self._keys

    def keyring_install(self, key: str) -> KeyringChange:
        """Open with this key (base64) too; written to the keyring file first.

        Raises:
            InputError: It is no key, there are too many, or the file cannot be written. Nothing changed then.
        """
        return KeyringChange(self._keys.install(key), self._keys.fingerprints())

    def keyring_use(self, which: str) -> KeyringChange:
        """Seal with this key, named by its text or its fingerprint. Raises InputError as `keyring_install`."""
        return KeyringChange(self._keys.use(which), self._keys.fingerprints())

    def keyring_remove(self, which: str) -> KeyringChange:
        """Forget this key, named by its text or its fingerprint. Raises InputError: it seals, or as above."""
        return KeyringChange(self._keys.remove(which), self._keys.fingerprints())

    async def leave(self) -> None:
        """Say goodbye and wait until it is told; at most `leave_s`."""
        with trio.move_on_after(self._settings.leave_s + 1):
            self._handle(on.LeaveAsked())
            await self._has_left.wait()

    # -- life -----------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take part until cancelled. `started` once it listens; the port is free again when it ends."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._server.run, self._sockets)
                nursery.start_soon(self._pump)
                nursery.start_soon(self._watch_keys)
                self._handle(on.Started())
                task_status.started()
        finally:
            self._nursery = None
            self.close()

    def close(self) -> None:
        """Free the port; where `run` was called, it does so itself."""
        self._sockets.close()

    async def _watch_keys(self) -> None:
        """Take keys up that were changed by hand in the file."""
        while True:
            await trio.sleep(KEYS_LOOKED_AT_S)
            if self._keys.refresh():
                if self._keys.error:
                    log.error("gossip_keyring_refused", reason=self._keys.error)
                else:
                    log.info("gossip_keyring_changed", keys=self._keys.fingerprints())
                    self.seeds_changed()  # who had the wrong key is alone, and need not be any longer

    async def _pump(self) -> None:
        """Hand in what arrives, then say when a deadline has come."""
        while True:
            deadline = self._core.deadline()
            with trio.CancelScope(deadline=math.inf if deadline is None else deadline) as timer:
                self._timer = timer
                await trio.lowlevel.wait_readable(self._sockets.udp)
            self._drain()
            deadline = self._core.deadline()
            if deadline is not None and deadline <= trio.current_time():
                self._handle(on.TimePassed())

    def _drain(self) -> None:
        for _ in range(DRAINED_MAX):
            sealed = self._sockets.receive()
            if sealed is None:
                return
            self.traffic.count("in", "datagram", len(sealed))
            if len(sealed) > DATAGRAM_BYTES_MAX:
                self.traffic.dropped["datagram_too_long"] += 1
                continue
            body = self._keys.keyring.open(sealed, Purpose.DATAGRAM)
            if body is None:
                self.traffic.dropped["datagram_not_opened"] += 1
                continue
            self._handle(on.DatagramReceived(body))

    # -- events and effects ---------------------------------------------------------------------

    def _handle(self, event: on.Event) -> None:
        """Tell the core, and do what it asks for. Events that effects bring about come after them."""
        if not self._turns.take(event):
            return
        deadline = self._core.deadline()
        self._timer.deadline = math.inf if deadline is None else deadline

    def _perform(self, effect: on.Effect) -> None:
        match effect:
            case on.SendDatagram():
                self._send(effect)
            case on.CallPeer():
                self._call(effect)
            case on.AnswerPeer():
                self._answers[effect.call] = effect.body
            case on.FindSeeds():
                self._find_seeds()
            case _:
                if isinstance(effect, on.IdentityChanged):
                    self._epochs.keep(effect.identity.epoch)
                elif isinstance(effect, on.LeaveSpread):
                    self._has_left.set()
                for callback in self._listeners:
                    callback(effect)

    def _send(self, effect: on.SendDatagram) -> None:
        keyring = self._keys.keyring
        sealed = keyring.seal(effect.body, Purpose.DATAGRAM, os.urandom(NONCE_BYTES))
        if failure := self._sockets.send(effect.address, sealed):
            self.traffic.dropped[f"datagram_{failure}"] += 1
        else:
            self.traffic.count("out", "datagram", len(sealed))

    def _called(self, body: bytes) -> bytes | None:
        """Answer a request that came in over TCP."""
        self._calls += 1
        call = self._calls
        self._handle(on.PeerCalled(call, body))
        return self._answers.pop(call, None)

    def _call(self, effect: on.CallPeer) -> None:
        if self._nursery is None or self._calling >= CALLS_MAX:
            self._handle(on.PeerFailed(effect.call))
            return
        self._calling += 1
        self._nursery.start_soon(self._ask_peer, effect)

    async def _ask_peer(self, effect: on.CallPeer) -> None:
        outcome: on.Event = on.PeerFailed(effect.call)
        try:
            with trio.move_on_after(effect.timeout_s) as scope:
                body = await call_peer(
                    effect.address, self._keys.keyring, effect.body, self.traffic
                )
                outcome = on.PeerAnswered(effect.call, body)
        except (OSError, ValueError):
            self.traffic.dropped["call_failed"] += 1
        except PeerError as problem:
            self.traffic.dropped[f"answer_{problem.message}"] += 1
        finally:
            self._calling -= 1
        if scope.cancelled_caught:
            self.traffic.dropped["call_timed_out"] += 1
        self._handle(outcome)

    def _find_seeds(self) -> None:
        if self._nursery is None or self._is_seeking:
            return
        self._is_seeking = True
        self._nursery.start_soon(self._seek)

    async def _seek(self) -> None:
        try:
            found = await self._seeds.find()
        finally:
            self._is_seeking = False
        self._handle(on.SeedsFound(found))
