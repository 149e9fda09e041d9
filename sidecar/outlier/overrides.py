"""What operators said: clear, pin, pause, each until it runs out.

Any admitted host may say a word; all words together hold. They only ever take ejections back, so a stolen host gains
nothing by them. A word outlives the host that said it: it ends when its time is over or when that host takes it back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sidecar.gossip.records import PAGES_MAX, RECORD_BODY_BYTES_MAX, Record, Topic
from sidecar.outlier.events import Override, OverrideKind, Say
from sidecar.outlier.model import Destination, Place
from sidecar.outlier.override_codec import (
    HOLD_S_MAX,
    REASON_CHARS_MAX,
    WORDS_MAX,
    Word,
    decode_words,
    encode_words,
)
from sidecar.outlier.view import OverrideView, Reason
from store.errors import InputError

__all__ = ["CLEAR_S_MIN", "PAGES_HELD_MAX", "Overrides"]

CLEAR_S_MIN = 60.0
"""A cleared accusation must be known as such for longer than any row of before can live."""
PAGES_HELD_MAX = 1000
"""Pages of words of all hosts: bounds memory; operators speak rarely."""


@dataclass(slots=True)
class _Held:
    epoch: int
    version: int
    words: tuple[Word, ...]


class Overrides:
    """The words that hold.

    Args:
        node: This host.
        epoch: Boot epoch of this life: words of ours with a lower one are taken up again.
    """

    def __init__(self, node: str, epoch: int) -> None:
        self._node = node
        self._epoch = epoch
        self._own: dict[Word, int] = {}
        """Our words and their pages."""
        self._dirty: set[int] = set()
        self._held: dict[tuple[str, int], _Held] = {}
        self.refused = 0
        """Pages and words that broke their rules or found no room."""

    def say(self, override: Override, now_s: float) -> None:
        """An operator speaks through this host. The same word anew replaces it; `for_s` 0 takes it back.

        Raises:
            InputError: It names too little or too much, holds too long, or there are too many words.
        """
        _check(override)
        before = {
            word: page for word, page in self._own.items() if _is_same(word.override, override)
        }
        for word, page in before.items():
            del self._own[word]
            self._dirty.add(page)
        if override.for_s <= 0:
            return
        if override.kind is OverrideKind.CLEAR:
            override = replace(override, for_s=max(CLEAR_S_MIN, override.for_s))
        if not self._place(Word(override, now_s), now_s):
            self._own.update(before)
            raise InputError(
                f"this host has {len(self._own)} words in force and no room for another "
                f"(at most {WORDS_MAX}, fewer with long names and reasons)",
                hint="Take one back, or say it at another host",
            )

    def hear(self, record: Record, now_s: float) -> bool:
        """Take in a page of words; whether something changed."""
        said_s = now_s - max(0, record.age_ms) / 1000
        found = decode_words(record.body, said_s)
        if found is None:
            self.refused += 1
            return False
        words, refused = found
        self.refused += refused
        if record.node == self._node:
            if record.epoch >= self._epoch:
                return False
            self._dirty.add(record.page)  # said anew, so that nobody holds the old page for ever
            return self._take_up(words, now_s)
        name = (record.node, record.page)
        held = self._held.get(name)
        if held is not None and (record.epoch, record.version) <= (held.epoch, held.version):
            return False
        if held is None and len(self._held) >= PAGES_HELD_MAX:
            self.refused += 1
            return False
        self._held[name] = _Held(record.epoch, record.version, words)
        return True

    def expire(self, now_s: float) -> bool:
        """Drop words that have run out; whether there were any."""
        over = [word for word in self._own if word.until_s <= now_s]
        for word in over:
            self._dirty.add(self._own.pop(word))
        changed = bool(over)
        for name, held in list(self._held.items()):
            left = tuple(word for word in held.words if word.until_s > now_s)
            if len(left) == len(held.words):
                continue
            changed = True
            if left:
                held.words = left
            else:
                del self._held[name]
        return changed

    def speak(self, now_s: float) -> list[Say]:
        """The pages of ours that changed since the last time."""
        spoken = [
            Say(Topic.OVERRIDES, page, encode_words(self._on(page), now_s))
            for page in sorted(self._dirty)
        ]
        self._dirty.clear()
        return spoken

    def deadline(self) -> float | None:
        """When the next word runs out."""
        return min((word.until_s for _, word in self._all()), default=None)

    def cleared_s(self, destination: Destination, place: Place) -> float:
        """Up to when accusations of the endpoint were cleared; -inf: none were."""
        return max(
            (
                word.said_s
                for _, word in self._all()
                if word.override.kind is OverrideKind.CLEAR
                and _covers(word.override, destination, place)
            ),
            default=-math.inf,
        )

    def override(self, destination: Destination, place: Place) -> Reason | None:
        """Whether the endpoint is not to be ejected by evidence of peers."""
        kinds = {
            word.override.kind
            for _, word in self._all()
            if _covers(word.override, destination, place)
        }
        if OverrideKind.PIN in kinds:
            return Reason.PINNED
        return Reason.PAUSED if OverrideKind.PAUSE in kinds else None

    def view(self) -> tuple[OverrideView, ...]:
        """All words that hold."""
        found = [
            OverrideView(
                node,
                word.override.kind,
                word.override.destination,
                word.override.place,
                word.said_s,
                word.until_s,
                word.override.reason,
            )
            for node, word in self._all()
        ]
        return tuple(sorted(found, key=_view_order))

    def _all(self) -> Iterator[tuple[str, Word]]:
        for word in self._own:
            yield self._node, word
        for (node, _), held in self._held.items():
            for word in held.words:
                yield node, word

    def _on(self, page: int) -> list[Word]:
        return [word for word, at in self._own.items() if at == page]

    def _place(self, word: Word, now_s: float) -> bool:
        if len(self._own) >= WORDS_MAX:
            return False
        for page in range(PAGES_MAX):
            full = [replace(one, said_s=now_s - HOLD_S_MAX) for one in (*self._on(page), word)]
            if len(encode_words(full, now_s)) <= RECORD_BODY_BYTES_MAX:
                self._own[word] = page
                self._dirty.add(page)
                return True
        return False

    def _take_up(self, words: tuple[Word, ...], now_s: float) -> bool:
        """Words of an earlier life of ours hold on."""
        taken = False
        for word in words:
            known = any(_is_same(word.override, one.override) for one in self._own)
            if word.until_s > now_s and not known:
                taken = self._place(word, now_s) or taken
        return taken


def _view_order(one: OverrideView) -> tuple[float, str, str, str, str]:
    return (one.said_s, one.node, one.kind.value, str(one.destination), str(one.place))


def _is_same(one: Override, other: Override) -> bool:
    return (one.kind, one.destination, one.place) == (other.kind, other.destination, other.place)


def _covers(said: Override, destination: Destination, place: Place) -> bool:
    return said.destination in (None, destination) and said.place in (None, place)


def _check(said: Override) -> None:
    """Raise InputError where the word cannot hold or travel."""
    if said.destination is None and (said.kind is not OverrideKind.PAUSE or said.place):
        raise InputError(
            f"{said.kind} names no destination; only pause may be for all of them",
            hint="Name it as HOST:PORT",
        )
    if not 0 <= said.for_s <= HOLD_S_MAX:
        raise InputError(
            f"{said.kind} holds for 0 to {HOLD_S_MAX:.0f} s (30 days), found {said.for_s} s",
            hint="Longer than that belongs into MeshConfig.ejection or the DestinationRule",
        )
    if len(said.reason) > REASON_CHARS_MAX:
        raise InputError(
            f"the reason has at most {REASON_CHARS_MAX} characters, found {len(said.reason)}"
        )
    word = encode_words([Word(said, 0.0)], 0.0)
    read = decode_words(word, 0.0)
    if read is None or read[1]:
        raise InputError(
            f"{said.kind} {said.destination} {said.place}: not a destination and an endpoint "
            f"(host names and addresses have printable ASCII characters; ports are 0 to 65535)"
        )
