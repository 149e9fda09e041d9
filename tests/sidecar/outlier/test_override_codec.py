from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.mesh.model import HostName
from sidecar.outlier.events import Override, OverrideKind
from sidecar.outlier.model import Destination, Place
from sidecar.outlier.override_codec import WORDS_MAX, Word, decode_words, encode_words
from tests.sidecar.outlier.builders import REVIEWS, place

PIN = Override(OverrideKind.PIN, REVIEWS, place(1), 600.0, "deploying")


@given(
    st.sampled_from(OverrideKind),
    st.integers(0, 65535),
    st.one_of(st.none(), st.ip_addresses().map(str)),
    st.integers(1, 10**6),
    st.integers(0, 10**6),
)
def test_a_word_comes_out_as_it_went_in(
    kind: OverrideKind, port: int, address: str | None, for_s: int, age_s: int
) -> None:
    at = None if address is None else Place(address, port)
    said = Override(kind, Destination(HostName("a.b"), port), at, float(for_s), "why not")
    found = decode_words(encode_words([Word(said, 1000.0 - age_s)], 1000.0), 5000.0)
    assert found == ((Word(said, 5000.0 - age_s),), 0)


def test_a_pause_may_be_for_all_destinations() -> None:
    pause = Override(OverrideKind.PAUSE, None, None, 60.0)
    assert decode_words(encode_words([Word(pause, 0.0)], 0.0), 0.0) == ((Word(pause, 0.0),), 0)


@pytest.mark.parametrize("kind", [OverrideKind.CLEAR, OverrideKind.PIN])
def test_nothing_else_may(kind: OverrideKind) -> None:
    body = encode_words([Word(Override(kind, None, None, 60.0), 0.0)], 0.0)
    assert decode_words(body, 0.0) == ((), 1)


def test_control_characters_in_a_reason_do_not_reach_a_terminal() -> None:
    said = Override(OverrideKind.PIN, REVIEWS, None, 60.0, "a\x1b[2Jb\nc")
    found = decode_words(encode_words([Word(said, 0.0)], 0.0), 0.0)
    assert found is not None
    assert found[0][0].override.reason == "a [2Jb c"


@given(st.binary(max_size=800))
def test_bytes_from_outside_never_raise(body: bytes) -> None:
    found = decode_words(body, 0.0)
    assert found is None or len(found[0]) <= WORDS_MAX


@given(st.data())
def test_a_page_with_some_bytes_changed_never_raises(data: st.DataObject) -> None:
    body = bytearray(encode_words([Word(PIN, 0.0)], 0.0))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    decode_words(bytes(body), 0.0)


def test_more_words_than_a_host_may_say_are_no_page() -> None:
    assert decode_words(msgpack.packb({"o": [[]] * WORDS_MAX}), 0.0) == ((), WORDS_MAX)
    assert decode_words(msgpack.packb({"o": [[]] * (WORDS_MAX + 1)}), 0.0) is None


def test_an_endpoint_that_is_no_address_is_refused() -> None:
    wrong = [[1, "a.b", 80, b"12345", 80, 60_000, 0, ""], [2, None, 0, b"1234", 80, 60_000, 0, ""]]
    assert decode_words(msgpack.packb({"o": wrong}), 0.0) == ((), 2)


def test_what_is_too_long_is_no_page() -> None:
    assert decode_words(msgpack.packb({"o": [], "x": b"0" * 700}), 0.0) is None
