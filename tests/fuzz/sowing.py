"""Bytes as decisions: what a fuzzer changes at random becomes messages that are nearly right.

A fuzzer that only flips bits of msgpack seldom gets past the first check. Here each byte chooses: a field that fits, a
field of the wrong kind, the edge of a range, one field too few. The same bytes always make the same messages. Knows
the letters of the wire (`sidecar.gossip.frames`, `record_frames`), and none of the code that reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgpack

__all__ = ["NODES", "Source", "frame", "packed", "value"]

_T = TypeVar("_T")
NODES = ("me", "n1", "n2", "n3", "n4", "a" * 100)
_ADDRESSES = ("10.0.0.1:7946", "10.0.0.2:7946", "10.0.0.3:7946", "[::1]:7946", "10.0.0.4:1")
_TEXTS = (*NODES, *_ADDRESSES, "", "a" * 101, "\0", "é", "a b", "10.0.0.1", "x" * 300)
_EDGES = (0, 1, 2, 3, 7, 15, 31, 0x7F, 0xFF, 0xFFFF, 1 << 20, (1 << 20) + 1, (1 << 31) - 1)
_LARGE = ((1 << 32) - 1, 1 << 32, 1 << 48, 1 << 52, (1 << 52) + 1, (1 << 63) - 1, (1 << 64) - 1)
_NUMBERS = (*_EDGES, *_LARGE, -1, -(1 << 63))
_DEPTH_MAX = 6


class Source:
    """Bytes, read one after the other; zeros without end after the last one."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._content)

    def byte(self) -> int:
        """The next one."""
        at, self._at = self._at, self._at + 1
        return self._content[at] if at < len(self._content) else 0

    def one_of(self, choices: Sequence[_T]) -> _T:
        """One of at most 256."""
        return choices[self.byte() % len(choices)]

    def chunk(self, longest: int) -> bytes:
        """So many of them as the next one says, at most `longest`."""
        count = min(self.byte(), longest)
        begin, self._at = self._at, self._at + count
        return self._content[begin : begin + count]

    def rest(self) -> bytes:
        """All that are left."""
        begin, self._at = self._at, len(self._content)
        return self._content[begin:]


def value(source: Source, depth: int = 0) -> object:
    """Anything that msgpack can carry."""
    match source.byte() % (12 if depth < _DEPTH_MAX else 9):
        case 0 | 1:
            return source.one_of(_NUMBERS)
        case 2:
            return source.byte()
        case 3 | 4:
            return source.one_of(_TEXTS)
        case 5:
            return source.chunk(70)
        case 6:
            return bytes(source.one_of((0, 1, 4, 16, 31, 32, 33, 63, 64, 65, 699, 700, 701)))
        case 7:
            return source.one_of((None, True, False))
        case 8:
            return source.one_of((float("nan"), float("inf"), -0.0, 1.5))
        case 9 | 10:
            return [value(source, depth + 1) for _ in range(source.byte() % 6)]
        case _:
            return {
                source.one_of((*_TEXTS, "t", "n", "r")): value(source, depth + 1)
                for _ in range(source.byte() % 6)
            }


def packed(fields: object) -> bytes:
    """These values as msgpack."""
    body = msgpack.packb(fields)
    assert isinstance(body, bytes)
    return body


def _small(source: Source) -> int:
    return source.byte() % 9


def _node(source: Source) -> str:
    return source.one_of(NODES)


def _edge(source: Source) -> int:
    return source.one_of(_EDGES)


def _accusers(source: Source) -> list[str]:
    return [_node(source) for _ in range(source.byte() % 8)]


def _rows(source: Source) -> list[list[object]]:
    return [
        [_node(source), source.byte() % 26, _edge(source), _edge(source)]
        for _ in range(source.byte() % 5)
    ]


_Fields = Mapping[str, Callable[[Source], object]]
_MESSAGES: Mapping[str, _Fields] = {
    "p": {"q": _small, "w": _node, "d": _edge, "s": _edge},
    "a": {"q": _small, "d": _edge, "s": _edge},
    "n": {"q": _small},
    "r": {"q": _small, "n": _node, "a": lambda s: s.one_of(_ADDRESSES)},
    "c": {
        "n": _node,
        "a": lambda s: s.one_of(_ADDRESSES),
        "e": _small,
        "i": _edge,
        "s": lambda s: s.byte() % 4,
        "y": _accusers,
        "o": _edge,
    },
    "x": {"d": _edge, "s": _edge},
    "z": {"y": lambda s: s.one_of(_TEXTS)},
    "k": {
        "s": lambda s: s.byte() % 3,
        "n": _node,
        "p": lambda s: s.byte() % 8,
        "e": _small,
        "v": lambda s: 1 + s.byte(),
        "b": lambda s: s.chunk(200),
        "k": lambda s: bytes([s.byte() % 3]) * 32,
        "g": lambda s: bytes([s.byte() % 3]) * 64,
        "o": _edge,
    },
    "u": {"r": _rows},
    "w": {"s": lambda s: s.byte() % 3},
}
_HEAD: _Fields = {
    "v": lambda s: 1,
    "l": lambda s: 1,
    "n": _node,
    "a": lambda s: s.one_of(_ADDRESSES),
    "e": _small,
    "i": _edge,
}


def _filled(source: Source, fields: _Fields) -> dict[str, object]:
    """These fields; one time in four with something wrong among them."""
    found: dict[str, object] = {key: make(source) for key, make in fields.items()}
    wrong = source.byte()
    if wrong < 64 and found:
        key = list(found)[wrong % len(found)]
        if wrong < 8:
            del found[key]
        elif wrong < 16:
            found["?"] = value(source)
        else:
            found[key] = value(source)
    return found


def frame(source: Source, begins_with: str = "", *, also: Sequence[bytes] = ()) -> bytes:
    """A frame of a few messages.

    Args:
        source: Decides.
        begins_with: Type of the first message; empty: any.
        also: Encoded messages that go in too.
    """
    kinds = [begins_with] if begins_with else []
    kinds += [source.one_of("pancrxzkuwccck?") for _ in range(source.byte() % 5)]
    messages: list[object] = [
        {"t": kind, **_filled(source, _MESSAGES[kind])} if kind in _MESSAGES else value(source)
        for kind in kinds
    ]
    messages += [msgpack.unpackb(message) for message in also]
    return packed(_filled(source, {**_HEAD, "m": lambda _: messages}))
