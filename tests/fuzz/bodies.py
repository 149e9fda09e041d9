"""Targets: bodies of records (evidence, overrides, standing) and the words of the relay."""

from __future__ import annotations

from collections.abc import Callable

from sidecar.outlier import evidence_codec, override_codec
from sidecar.relay import parcel
from sidecar.relay import wire as relay
from sidecar.standing import codec as standing
from sidecar.standing.model import Standing, Sync
from store.errors import PeerError
from store.snapshot import Epoch
from tests.fuzz import sowing
from tests.fuzz.sowing import Source
from tests.fuzz.target import Target

__all__ = ["TARGETS"]

SAID_S = 1000.0
_EDGES = (0, 1, 2, 15, 16, 0xFFFF, 0x10000, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, 1 << 63)


def read_evidence(content: bytes) -> None:
    """A page is bounded, names no endpoint twice, and is said again as it was understood."""
    for body in (content, _sown_evidence(Source(content))):
        page = evidence_codec.decode_page(body, SAID_S)
        if page is None:
            continue
        assert len(page.rows) <= evidence_codec.PAGE_ROWS_MAX
        places = [(row.destination, row.place) for row in page.rows]
        assert len(set(places)) == len(places)
        again = evidence_codec.encode_page(page.rows, SAID_S)
        if len(again) <= 700:
            told = evidence_codec.decode_page(again, SAID_S)
            assert told is not None
            assert frozenset(told.rows) == frozenset(page.rows)


def read_overrides(content: bytes) -> None:
    """Words are bounded, hold no longer than allowed, and are said again as they were understood."""
    for body in (content, _sown_overrides(Source(content))):
        found = override_codec.decode_words(body, SAID_S)
        if found is None:
            continue
        words, _ = found
        assert len(words) <= override_codec.WORDS_MAX
        for word in words:
            assert 0 <= word.override.for_s <= override_codec.HOLD_S_MAX
            assert word.said_s <= SAID_S
            assert word.override.reason.isprintable()
        again = override_codec.encode_words(words, SAID_S)
        if len(again) <= 700:
            assert override_codec.decode_words(again, SAID_S) == (words, 0)


def read_standing(content: bytes) -> None:
    """A standing is whole or nothing, and is said again as it was understood."""
    for body in (content, sowing.packed(_fields(Source(content), _STANDING))):
        found = standing.decode(body)
        if found is not None:
            assert found.in_force <= found.received
            assert standing.decode(standing.encode(found)) == found


def read_relay_word(content: bytes) -> None:
    """A word is said again as it was understood."""
    for body in (content, sowing.packed(_fields(Source(content), _RELAY))):
        word = relay.decode(body)
        if word is not None:
            again = relay.encode(word)
            assert relay.decode(again) == word


def read_parcel(content: bytes) -> None:
    """Rows in order of their keys, or a peer's error."""
    for body in (content, _sown_parcel(Source(content))):
        try:
            rows = parcel.read(body)
        except PeerError:
            continue
        keys = [entry.key for entry in rows.upserts]
        assert keys == sorted(set(keys))
        assert not set(keys) & set(rows.deletes)


def _address(source: Source) -> object:
    return source.one_of(
        (bytes(4), b"\x0a\0\0\1", bytes(16), "svc.local", b"abcde", "10.0.0.1", "")
    )


def _numbers(source: Source, count: int) -> list[object]:
    made: list[object] = []
    for _ in range(count):
        chosen = source.byte()
        made.append(chosen % 16 if chosen < 160 else None if chosen < 200 else sowing.value(source))
    return made


def _sown_evidence(source: Source) -> bytes:
    groups = []
    for _ in range(source.byte() % 4):
        rows = []
        for _ in range(source.byte() % 5):
            rows.append([_address(source), source.byte(), source.byte(), source.byte() % 3])
            rows[-1] += _numbers(source, source.one_of((11, 11, 11, 12, 10, 0)))
        groups.append([source.one_of(("reviews", "a.b", "", "é")), source.byte(), rows])
    return sowing.packed({"r": groups if source.byte() < 240 else sowing.value(source)})


def _sown_overrides(source: Source) -> bytes:
    words = []
    for _ in range(source.byte() % 20):
        host = source.one_of(("reviews", "a.b", None, "é"))
        address = source.one_of((None, _address(source)))
        ages = [source.one_of((0, 1, 60_000, 30 * 86_400_000, 30 * 86_400_000 + 1)) for _ in "ab"]
        reason = source.one_of(("", "why", "\n\x1b[31m", "x" * 101))
        words.append(
            [source.byte() % 4, host, source.byte(), address, source.byte(), *ages, reason]
        )
    return sowing.packed({"o": words if source.byte() < 240 else sowing.value(source)})


def _sown_parcel(source: Source) -> bytes:
    body, key = b"", ""
    while source:
        key += source.one_of(("a", "b", "", "\udcff", "ns/"))
        body += _scalar(key)
        body += sowing.packed(source.one_of((None, b"", b"value", source.chunk(9), "text")))
        for _ in range(source.one_of((4, 4, 0, 3))):
            body += sowing.packed(source.one_of(_EDGES))
        if source.byte() > 240:
            body += sowing.packed(sowing.value(source))
    return body


def _scalar(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogateescape")
    return b"\xda" + len(encoded).to_bytes(2) + encoded


_Choices = dict[str, Callable[[Source], object]]


def _edge(source: Source) -> object:
    return source.one_of(_EDGES)


_STANDING: _Choices = {
    "c": _edge,
    "l": _edge,
    "r": lambda s: 9 + s.byte(),
    "h": lambda s: bytes(s.one_of((0, 16, 15, 17))),
    "f": lambda s: s.byte() % 12,
    "s": lambda s: s.byte() % 5,
    "q": _edge,
    "j": _edge,
    "v": lambda s: s.one_of(("1.0", "", "v" * 64, "v" * 65, "\n")),
    "w": lambda s: [_edge(s) for _ in range(s.byte() % 70)],
}


def _vouches(source: Source) -> object:
    return [
        {
            "n": source.one_of(sowing.NODES),
            "c": _edge(source),
            "l": [[_edge(source), bytes(16)] for _ in range(source.byte() % 5)],
            "z": bytes(source.one_of((64, 63, 0))),
        }
        for _ in range(source.byte() % 4)
    ]


_RELAY: _Choices = {
    "t": lambda s: s.one_of("wkvobzy"),
    "c": _edge,
    "g": lambda s: bytes(s.one_of((16, 32, 15, 0))),
    "s": _edge,
    "d": lambda s: bytes(s.one_of((32, 16, 31))),
    "i": _edge,
    "l": lambda s: _vouches(s) if s.byte() % 2 else _edge(s),
    "k": _edge,
    "b": lambda s: s.chunk(99),
    "r": _edge,
    "y": lambda s: s.one_of(("busy", "gone", "behind", "", "?")),
    "a": _edge,
}


def _fields(source: Source, choices: _Choices) -> dict[str, object]:
    """Most of these, some of them wrong."""
    found: dict[str, object] = {}
    for key, choose in choices.items():
        chance = source.byte()
        if chance < 230:
            found[key] = choose(source)
        elif chance < 243:
            found[key] = sowing.value(source)
    return found


_STANDING_BODY = standing.encode(
    Standing(Epoch(2, 77), 9, "ab" * 16, 8, Sync.STORE, 1, 2, "1.2.3", (4, 5))
)
_SOME = tuple(bytes((7 * n + 11 * step) % 256 for n in range(120)) for step in range(12))
_CHUNK = relay.encode(relay.Chunk(1, b"body", bytes(32), 7))
_WANT = relay.encode(relay.Want(1, bytes(16), 7))
_ROWS = _scalar("a") + b"\xc4\1v\1\2\3\0" + _scalar("b") + b"\xc0"

TARGETS = (
    Target("evidence", read_evidence, _SOME, 750),
    Target("overrides", read_overrides, _SOME, 750),
    Target("standing", read_standing, (_STANDING_BODY, *_SOME), 750),
    Target("relay", read_relay_word, (_CHUNK, _WANT, *_SOME), 2048),
    Target("parcel", read_parcel, (_ROWS, *_SOME), 2048),
)
