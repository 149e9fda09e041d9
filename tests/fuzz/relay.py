"""Targets: the relay's listener with any bytes on a connection, and its core with any words from any peer."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace
from functools import cache

import msgpack
import trio
from trio.testing import MockClock, memory_stream_pair

from sidecar.agent.gossip_sockets import Traffic
from sidecar.agent.gossip_streams import PREAMBLE_BYTES
from sidecar.agent.relay_streams import REQUEST_BYTES_MAX, RelayServer
from sidecar.gossip.keyring import NONCE_BYTES, Keyring, Purpose
from sidecar.gossip.signing import Signer
from sidecar.relay import Relay, RelaySettings, StoreLink
from sidecar.relay import events as on
from sidecar.relay.parcel import short_hash
from sidecar.relay.wire import WORD_BYTES_MAX, decode
from sidecar.standing.model import Standing, Sync
from store.errors import PeerError
from store.snapshot import Entry, Epoch, Snapshot
from tests.fuzz import sowing
from tests.fuzz.sowing import Source
from tests.fuzz.target import Target

__all__ = ["TARGETS"]

RING = Keyring("fuzzed", [bytes(range(32))])
EPOCH = Epoch(1, 0xC1)
NODES = ("a", "b", "c")
STEPS_MAX = 60


def _snapshots() -> tuple[Snapshot, ...]:
    rows = [Entry(f"ns/default/virtualservices/o{n}", b"{}" * 40, 1, n + 1, 1) for n in range(6)]
    found = [Snapshot.of(EPOCH, 10, rows)]
    for revision in (11, 12, 13):
        row = Entry(f"ns/default/virtualservices/new{revision}", b"{}", revision, revision, 1)
        found.append(found[-1].apply([row], [], revision))
    return tuple(found)


SNAPSHOTS = _snapshots()


async def _serve(content: bytes) -> None:
    """A connection whose first length has opened; then come whatever bytes."""
    source, asked = Source(content), list[bytes]()

    async def answer(_: str, body: bytes) -> bytes:
        assert len(body) <= REQUEST_BYTES_MAX
        asked.append(body)
        return body[::-1]

    server = RelayServer(lambda: RING, answer, Traffic())
    ours, theirs = memory_stream_pair()
    sealed = bytearray()
    bodies = [source.chunk(200) for _ in range(source.byte() % 4)]
    for body in bodies:
        for part in (len(body).to_bytes(4, "big"), body):
            sealed += RING.seal(part, Purpose.RELAY, bytes(NONCE_BYTES))
    rest = bytes(sealed[PREAMBLE_BYTES:]) + source.rest()
    size = len(bodies[0]) if bodies else int.from_bytes(content[:4].ljust(4, b"\0"), "big")
    await theirs.send_all(rest)
    await theirs.send_stream.aclose()
    with trio.CancelScope() as scope, contextlib.suppress(PeerError):
        await server.serve(ours, size, scope)  # type: ignore[arg-type] # a socket's stream in life
    assert asked == bodies[: len(asked)], "something was heard that nobody had sealed"
    assert server.connections == 0
    assert trio.current_time() < 60.0, "who says nothing is let go"


def serve(content: bytes) -> None:
    """Nothing but whole, short, sealed requests is handed in, and each connection ends."""
    trio.run(_serve, content, clock=MockClock(autojump_threshold=0))


@cache
def _signer(node: str) -> Signer:
    return Signer.from_seed(node.encode().ljust(32, b"\0"))


class _Play:
    """A core without etcd that hears what the bytes decide, and its rules."""

    def __init__(self, content: bytes) -> None:
        self.source = Source(content)
        self.now_s = 1000.0
        settings = replace(RelaySettings(), chunk_bytes=1024, parcel_bytes_max=1 << 20)
        rng = random.Random(len(content))
        self.core = Relay("me", rng, settings, mesh_id="fuzzed", signer=_signer("me"))
        self.calls: list[int] = [0]
        self.tell(on.SnapshotSeen(SNAPSHOTS[0], is_first_hand=False))
        self.tell(on.StoreSeen(StoreLink.AWAY))
        self.tell(
            on.MembersSeen({node: on.Peer(f"10.0.0.1:{n + 1}") for n, node in enumerate(NODES)})
        )

    def run(self) -> None:
        for _ in range(STEPS_MAX):
            if not self.source:
                break
            self.tell(self.event())
        view = self.core.snapshot()
        assert view.revision in {one.revision for one in SNAPSHOTS}, "content that etcd never had"
        assert view.serving <= RelaySettings().pulls_served

    def event(self) -> on.Event:
        source = self.source
        match source.byte() % 8:
            case 0:
                self.now_s += source.one_of((0.01, 0.3, 1.0, 4.0, 31.0, 700.0))
                return on.TimePassed()
            case 1 | 2:
                return self.standing()
            case 3:
                return on.PeerAsked(source.byte(), source.one_of(NODES), self.word())
            case 4 | 5 | 6:
                return on.PeerAnswered(source.one_of(self.calls), self.word())
            case _:
                return on.PeerFailed(source.one_of(self.calls))

    def standing(self) -> on.Event:
        """The truth, or anything: at most one node lies, as `attestations` of two allows."""
        source = self.source
        node, snapshot = source.one_of(NODES), source.one_of(SNAPSHOTS)
        revision, told = snapshot.revision, snapshot.hash[:32]
        if node == "c":
            revision, told = source.byte() * source.byte(), source.chunk(16).ljust(16, b"x").hex()
        sync = source.one_of(tuple(Sync))
        said = Standing(EPOCH, revision, told, 0, sync)
        return on.StandingHeard(node, said, _signer(node).public)

    def word(self) -> bytes:
        source = self.source
        match source.byte() % 4:
            case 0:
                return source.chunk(255)
            case 1:
                return sowing.packed(sowing.value(source))
            case 2:
                target = source.one_of(SNAPSHOTS)
                fields = {
                    "t": "w",
                    "c": EPOCH.cluster_id,
                    "g": short_hash(target),
                    "s": source.byte(),
                }
                return bytes(msgpack.packb(fields))
            case _:
                fields = {"t": source.one_of("okbzy"), "d": bytes(32), "s": source.byte()}
                fields |= {"l": source.byte() * 1024, "k": 1024, "i": source.byte(), "r": 5}
                fields |= {
                    "b": source.chunk(200) or b"x",
                    "g": source.chunk(32),
                    "a": 1,
                    "y": "busy",
                }
                return bytes(msgpack.packb(fields))

    def tell(self, event: on.Event) -> None:
        for effect in self.core.handle(event, self.now_s):
            match effect:
                case on.AskPeer(call, _, _, body):
                    self.calls = [*self.calls[-6:], call]
                    assert decode(body) is not None
                case on.AnswerPeer(_, body):
                    assert decode(body) is not None
                    assert len(body) <= WORD_BYTES_MAX
                case on.Adopt(snapshot):
                    assert snapshot.hash in {one.hash for one in SNAPSHOTS}
                case _:
                    pass


def play(content: bytes) -> None:
    """A core is told whatever the bytes decide: no content comes in force but what two honest hosts attest."""
    _Play(content).run()


_PLAYS = tuple(random.Random(seed).randbytes(400) for seed in range(30))

TARGETS = (
    Target("relay_stream", serve, (b"\3\5hello\2ab\0", b"", bytes(60), *_PLAYS[:6]), 1200),
    Target("relay_core", play, _PLAYS, 1500),
)
