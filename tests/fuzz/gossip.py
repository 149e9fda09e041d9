"""Targets of gossip: frames, sealing, and the whole core."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from functools import cache

from sidecar.gossip import LAN, Gossip, Identity, Keyring, Purpose, Record, Signer, Topic, frames
from sidecar.gossip import events as on
from sidecar.gossip.claims import Claim, Status
from sidecar.gossip.keyring import NONCE_BYTES
from sidecar.gossip.signing import verify
from sidecar.gossip.table import digest_of
from tests.fuzz import sowing
from tests.fuzz.sowing import NODES, Source
from tests.fuzz.target import Target

__all__ = ["TARGETS"]

MESH = "fuzzed"
MEMBERS_MAX, RECORDS_MAX = 12, 20
SETTINGS = replace(LAN, members_max=MEMBERS_MAX, records_max=RECORDS_MAX)
STEPS_MAX = 60


def read_frame(content: bytes) -> None:
    """Any bytes are a frame or none; a frame is said again without loss."""
    for body in (content, sowing.frame(Source(content))):
        frame = frames.decode(body)
        if frame is None:
            continue
        encoded = [frames.encode_message(message) for message in frame.messages]
        again = frames.decode(frames.encode(frame.sender, encoded))
        assert again == replace(frame, ignored=0)
        assert frame.ignored + len(frame.messages) <= len(body), "more messages than bytes"


KEY = bytes(range(32))
RING = Keyring(MESH, [bytes(32), KEY])
STRANGERS = (Keyring("another", [KEY]), Keyring(MESH, [bytes(reversed(range(32)))]))
SEALED = RING.seal(b"what is sealed", Purpose.DATAGRAM, bytes(NONCE_BYTES))


def open_sealed(content: bytes) -> None:
    """Nothing opens but what was sealed with a key of ours, for this mesh and this purpose."""
    for purpose in Purpose:
        assert content == SEALED or RING.open(content, purpose) is None
    mask = content[: len(SEALED)].ljust(len(SEALED), b"\0")
    changed = bytes(one ^ other for one, other in zip(SEALED, mask, strict=True))
    opened = RING.open(changed, Purpose.DATAGRAM)
    assert (opened is not None) == (changed == SEALED)
    for stranger in STRANGERS:
        sealed = stranger.seal(content, Purpose.DATAGRAM, content[:12].ljust(12, b"\0"))
        assert RING.open(sealed, Purpose.DATAGRAM) is None


@cache
def signer(node: str) -> Signer:
    return Signer.from_seed(node.encode().ljust(32, b"\0")[:32])


class _Play:
    """A core that hears what the bytes decide, and its rules."""

    def __init__(self, content: bytes) -> None:
        self.source = Source(content)
        self.now_s = 1000.0
        self.calls: list[int] = [0]
        self.admitted: dict[str, bytes] | None = None
        identity = Identity("me", "10.0.0.1:7946", 3)
        rng = random.Random(len(content))
        self.core = Gossip(identity, rng, SETTINGS, signer=signer("me"), mesh_id=MESH)
        self.tell(on.Started())

    def run(self) -> None:
        for _ in range(STEPS_MAX):
            if not self.source:
                break
            self.tell(self.event())
        for _ in range(5):  # whatever was heard, time goes on
            due_s = self.core.deadline()
            if due_s is None:
                break
            self.now_s = max(self.now_s, due_s)
            self.catch_up()
        self.hold()

    def catch_up(self) -> None:
        """Let be done what is due. A probe that ends may confirm a suspicion, whose time is over by that."""
        for _ in range(4):
            self.tell(on.TimePassed())
            due_s = self.core.deadline()
            if due_s is None or due_s > self.now_s:
                return
        raise AssertionError("a timer that is always due")

    def event(self) -> on.Event:
        source = self.source
        match source.byte() % 16:
            case 0:
                due_s = self.core.deadline()
                self.now_s = max(self.now_s, self.now_s if due_s is None else due_s)
                return on.TimePassed()
            case 1:
                self.now_s += source.one_of((0.01, 0.3, 1.0, 5.0, 31.0, 400.0, 43_300.0, 90_000.0))
                return on.TimePassed()
            case 2 | 3 | 4 | 5:
                return on.DatagramReceived(sowing.frame(source))
            case 6:
                return on.DatagramReceived(sowing.frame(source, also=self.records()))
            case 7:
                return on.DatagramReceived(source.chunk(255))
            case 8:
                return on.PeerCalled(source.byte(), sowing.frame(source, source.one_of("xup")))
            case 9 | 10:
                call = source.one_of(self.calls)
                body = sowing.frame(source, source.one_of("xuaz"), also=self.records())
                return on.PeerAnswered(call, body)
            case 11:
                return on.PeerFailed(source.one_of(self.calls))
            case 12:
                return on.SeedsFound(("10.0.0.2:7946", "10.0.0.1:7946")[: source.byte() % 3])
            case 13:
                topic, page = source.one_of(tuple(Topic)), source.byte() % 8
                return on.SayRecord(topic, page, source.chunk(200))
            case 14:
                return on.AskRecords(source.one_of(tuple(Topic)), NODES)
            case _:
                return self.rare()

    def rare(self) -> on.Event:
        match self.source.byte() % 8:
            case 0:
                return on.LeaveAsked()
            case 1:
                self.admitted = {node: signer(node).public for node in NODES[:3]}
                return on.TrustSet(self.admitted, is_closed=True)
            case 2:
                self.admitted = None
                return on.TrustSet({}, is_closed=False)
            case _:
                return on.TimePassed()

    def records(self) -> list[bytes]:
        """Records with right signatures, perhaps by the wrong host."""
        source, made = self.source, []
        for _ in range(source.byte() % 3):
            node, by = source.one_of(NODES), source.one_of(NODES)
            topic, page = source.one_of(tuple(Topic)), source.byte() % 8
            epoch, version = source.byte() % 9, 1 + source.byte()
            bare = Record(topic, node, page, epoch, version, source.chunk(99), b"", b"")
            made.append(frames.encode_message(signer(by).sign(bare, MESH)))
        return made

    def tell(self, event: on.Event) -> None:
        for effect in self.core.handle(event, self.now_s):
            match effect:
                case on.SendDatagram(_, body):
                    assert len(body) <= frames.BODY_BYTES_MAX
                    readable(body)
                case on.CallPeer(call, _, body):
                    self.calls = [*self.calls[-6:], call]
                    readable(body)
                case on.AnswerPeer(_, body):
                    readable(body)
                case on.RecordHeard(record):
                    self.believed(record)
                case _:
                    pass

    def believed(self, record: Record) -> None:
        assert verify(record, MESH), "a record that nobody signed"
        assert len(record.body) <= 700
        if self.admitted is not None and record.node != "me":
            assert self.admitted.get(record.node) == record.key, "another key than the admitted one"
        if record.node == "me":
            assert record.key == signer("me").public

    def hold(self) -> None:
        view = self.core.snapshot()
        names = [member.identity.node for member in view.members]
        assert len(set(names)) == len(names) <= MEMBERS_MAX
        assert "me" not in names
        assert view.queued <= MEMBERS_MAX + 2 * RECORDS_MAX
        assert view.records_held <= RECORDS_MAX
        assert view.identity.node == "me"
        digest = digest_of(Claim(view.identity, Status.ALIVE, view.incarnation))
        for member in view.members:
            if member.status in (Status.ALIVE, Status.SUSPECT):
                digest ^= digest_of(Claim(member.identity, Status.ALIVE, member.incarnation))
        assert view.digest == digest
        due_s = self.core.deadline()
        assert due_s is None or math.isfinite(due_s)


def readable(body: bytes) -> None:
    """What we send is what we can read."""
    frame = frames.decode(body)
    assert frame is not None
    assert not frame.ignored


def play(content: bytes) -> None:
    """A core is told whatever the bytes decide."""
    _Play(content).run()


_ME = frames.Sender(Identity("n1", "10.0.0.2:7946", 2), 1)
_RECORD = signer("n1").sign(Record(Topic.STANDING, "n1", 0, 2, 1, b"body", b"", b""), MESH)
_MESSAGES: tuple[frames.Message, ...] = (
    frames.Ping(1, "me", 2),
    frames.Ack(1, 2),
    frames.Nack(1),
    frames.PingRequest(1, "n2", "10.0.0.3:7946"),
    Claim(Identity("n2", "10.0.0.3:7946", 4), Status.SUSPECT, 3, ("n1", "n3")),
    Claim(Identity("n3", "10.0.0.4:7946", 4), Status.DEAD, 3, age_ms=9),
    frames.Exchange(7),
    frames.Refusal("no"),
    frames.RecordWanted(Topic.EVIDENCE),
    frames.RecordTable(()),
    _RECORD,
)
_FRAMES = tuple(
    frames.encode(_ME, [frames.encode_message(m) for m in some])
    for some in (_MESSAGES[:4], _MESSAGES[4:6], _MESSAGES[6:10], _MESSAGES[10:])
)
_PLAYS = tuple(random.Random(seed).randbytes(400) for seed in range(40))

TARGETS = (
    Target("frames", read_frame, (*_FRAMES, *_PLAYS[:5]), 1300),
    Target("keyring", open_sealed, (SEALED, b"", bytes(44), SEALED[:-1], b"\1" + bytes(60)), 256),
    Target("core", play, _PLAYS, 1500),
)
