"""Requirements 31, 34 and 37: frames of any content, and bytes that are none."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.gossip import Identity, Status, frames
from sidecar.gossip.claims import ACCUSERS_MAX, EPOCH_MAX, INCARNATION_MAX, Claim

ME = frames.Sender(Identity("me", "10.0.0.1:7946", 1), 0)
u32 = st.integers(0, (1 << 32) - 1)
nodes = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=100)
addresses = st.sampled_from(["10.0.0.2:1", "255.255.255.255:65535", "[fe80::1]:7946"])
identities = st.builds(Identity, nodes, addresses, st.integers(0, EPOCH_MAX))
incarnations = st.integers(0, INCARNATION_MAX)
claims = st.one_of(
    st.builds(Claim, identities, st.sampled_from([Status.ALIVE]), incarnations),
    st.builds(
        Claim,
        identities,
        st.just(Status.SUSPECT),
        incarnations,
        st.sets(nodes, max_size=ACCUSERS_MAX).map(lambda names: tuple(sorted(names))),
    ),
    st.builds(
        Claim,
        identities,
        st.sampled_from([Status.DEAD, Status.LEFT]),
        incarnations,
        st.just(()),
        st.integers(0, 10**9),
    ),
)
messages = st.one_of(
    st.builds(frames.Ping, u32, nodes, u32),
    st.builds(frames.Ack, u32, u32),
    st.builds(frames.Nack, u32),
    st.builds(frames.PingRequest, u32, nodes, addresses),
    st.builds(frames.Exchange, u32),
    st.builds(frames.Refusal, st.text(max_size=200)),
    claims,
)


@given(identities, incarnations, st.lists(messages, max_size=5))
def test_what_is_encoded_is_decoded(
    identity: Identity, incarnation: int, said: list[frames.Message]
) -> None:
    sender = frames.Sender(identity, incarnation)
    body = frames.encode(sender, [frames.encode_message(m) for m in said])
    assert frames.decode(body) == frames.Frame(sender, tuple(said), 0)


@given(st.binary(max_size=300))
def test_34_random_bytes_never_raise(body: bytes) -> None:
    frames.decode(body)


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(_json)
def test_34_anything_that_msgpack_can_say_never_raises(value: object) -> None:
    frames.decode(msgpack.packb(value))


@given(st.sampled_from("apnrcxz?"), st.dictionaries(st.sampled_from("qwdnaeisyo"), _json))
def test_34_messages_of_wrong_types_are_counted_not_believed(
    kind: str, fields: dict[str, object]
) -> None:
    message = msgpack.packb({"t": kind, **fields})
    frame = frames.decode(frames.encode(ME, [message]))
    assert frame is not None
    assert len(frame.messages) + frame.ignored == 1


@given(st.lists(messages, min_size=1, max_size=3), st.data())
def test_34_damaged_frames_never_raise(said: list[frames.Message], data: st.DataObject) -> None:
    body = bytearray(frames.encode(ME, [frames.encode_message(m) for m in said]))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    frames.decode(bytes(body))
    frames.decode(bytes(body[: data.draw(st.integers(0, len(body)))]))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x91" * 100_000 + b"\xc0",  # nested deeply
        b"\xdd\xff\xff\xff\xff",  # 2^32 elements declared
        b"\xc6\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        msgpack.packb({"m": []}),
        msgpack.packb({}) + b"trailing",
        b"\x00" * (frames.STREAM_BYTES_MAX + 1),
    ],
)
def test_34_what_is_no_frame_is_none(body: bytes) -> None:
    assert frames.decode(body) is None


@pytest.mark.parametrize(
    "change",
    [
        {"i": INCARNATION_MAX + 1},
        {"i": -1},
        {"i": True},
        {"i": 1.0},
        {"e": EPOCH_MAX + 1},
        {"n": ""},
        {"n": "x" * (frames.NODE_CHARS_MAX + 1)},
        {"n": "two words"},
        {"n": b"bytes"},
        {"a": "example.org:80"},
        {"a": "10.0.0.1"},
        {"s": 4},
        {"s": float("nan")},
        {"y": ["a"] * (ACCUSERS_MAX + 1)},
    ],
)
def test_34_claims_beyond_their_bounds_are_passed_over(change: dict[str, object]) -> None:
    fields = {"t": "c", "n": "a", "a": "10.0.0.2:1", "e": 1, "i": 0, "s": 1, "y": ["b"]}
    good = msgpack.packb(fields)
    bad = msgpack.packb({**fields, **change})
    frame = frames.decode(frames.encode(ME, [bad, good]))
    assert frame is not None
    assert frame.ignored == 1
    assert len(frame.messages) == 1


def test_37_unknown_types_and_keys_are_passed_over() -> None:
    evidence = msgpack.packb({"t": "evidence", "k": "10.0.0.9:80", "v": 7, "b": b"opaque"})
    ping = msgpack.packb({"t": "p", "q": 1, "w": "you", "d": 2, "later": [1, {"a": 2}]})
    frame = frames.decode(frames.encode(ME, [evidence, ping]))
    assert frame == frames.Frame(ME, (frames.Ping(1, "you", 2),), 1)


def test_31_longest_claim_fits_a_datagram_beside_the_longest_ping() -> None:
    name = "x" * frames.NODE_CHARS_MAX
    address = "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535"
    identity = Identity(name, address, EPOCH_MAX)
    accusers = tuple(f"{i}".rjust(frames.NODE_CHARS_MAX, "y") for i in range(ACCUSERS_MAX))
    claim = Claim(identity, Status.SUSPECT, INCARNATION_MAX, accusers)
    ping = frames.Ping((1 << 32) - 1, name, (1 << 32) - 1)
    sender = frames.Sender(identity, INCARNATION_MAX)
    body = frames.encode(sender, [frames.encode_message(ping), frames.encode_message(claim)])
    assert len(body) <= frames.BODY_BYTES_MAX
