"""Values that the tests of the relay share."""

from __future__ import annotations

import random

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecar.mesh.model import Locality
from sidecar.relay import RelaySettings
from sidecar.relay import events as on
from sidecar.relay.voice import Voice
from sidecar.relay.wire import Word, decode
from sidecar.standing.model import Standing, Sync
from store.snapshot import Entry, Epoch, Snapshot

__all__ = [
    "CLUSTER",
    "EPOCH",
    "Key",
    "answers",
    "asks",
    "entry",
    "line",
    "said",
    "standing",
    "voice_of",
]

CLUSTER = 0xC1
EPOCH = Epoch(1, CLUSTER)


class Key:
    """A host's private key."""

    def __init__(self, seed: int) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big"))
        self.public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign_bytes(self, message: bytes) -> bytes:
        return self._key.sign(message)


def entry(name: str, revision: int, value: bytes = b"{}") -> Entry:
    return Entry(f"ns/default/virtualservices/{name}", value, 1, revision, 1)


def line(first: int, count: int, *, objects: int = 10, epoch: Epoch = EPOCH) -> list[Snapshot]:
    """Snapshots of so many revisions in a row, each with one object more."""
    found = [Snapshot.of(epoch, first, [entry(f"o{number}", 5) for number in range(objects)])]
    for revision in range(first + 1, first + count):
        found.append(found[-1].apply([entry(f"new{revision}", revision)], [], revision))
    return found


def standing(snapshot: Snapshot, sync: Sync = Sync.STORE) -> Standing:
    revision = snapshot.revision
    return Standing(snapshot.epoch, revision, snapshot.hash[:32], revision, sync)


def said(revision: int, digit: str, sync: Sync = Sync.STORE, cluster: int = CLUSTER) -> Standing:
    """A standing whose hash is one digit, again and again."""
    return Standing(Epoch(1, cluster), revision, digit * 32, revision, sync)


def voice_of(*peers: str, settings: RelaySettings | None = None, seed: int = 1) -> Voice:
    voice = Voice("me", Locality(), settings or RelaySettings(), random.Random(seed))
    voice.peers = {name: on.Peer(f"{name}:7946") for name in peers}
    return voice


def asks(effects: list[on.Effect]) -> list[tuple[int, str, Word | None]]:
    """What is asked: number of the call, of whom, and what."""
    return [(e.call, e.node, decode(e.body)) for e in effects if isinstance(e, on.AskPeer)]


def answers(effects: list[on.Effect]) -> dict[int, Word | None]:
    """What is answered, by call."""
    return {e.call: decode(e.body) for e in effects if isinstance(e, on.AnswerPeer)}
