"""Asking what peers can vouch for, when their standings do not say it.

While somebody writes all the time, hosts stand at different revisions whenever they say so, and no hash has two
words. Then a few of those who claim something newer are asked for a statement (`sidecar.relay.statements`): recent
revisions with their hashes, among which some are common. A round in vain is followed by a longer pause, and those
who claimed alone are left alone for as long.
"""

from __future__ import annotations

from collections import OrderedDict

from sidecar.relay.backoffs import Backoffs
from sidecar.relay.book import Book
from sidecar.relay.history import History
from sidecar.relay.statements import Signs, is_genuine, make_statement
from sidecar.relay.voice import Voice
from sidecar.relay.wire import STATEMENTS_MAX, Statement, Vouches, VouchRequest, Word

__all__ = ["Asker", "Notary"]

_KEPT_MAX = 16
_KEYS_MAX = 10_000
_ASKED_BESIDE = 1
_DOUBLINGS_MAX = 4


class Notary:
    """Makes this host's statements, checks those of others, and keeps some to pass on.

    Args:
        voice: Counts what is refused.
        mesh_id: Bound into signatures.
        signer: Signs as this host; None: it vouches for nothing when asked.
    """

    def __init__(self, voice: Voice, mesh_id: str, signer: Signs | None) -> None:
        self._voice = voice
        self._mesh_id = mesh_id
        self._signer = signer
        self._keys: OrderedDict[str, bytes] = OrderedDict()
        self._kept: OrderedDict[str, Statement] = OrderedDict()
        self._own: Statement | None = None

    def knows(self, node: str, key: bytes) -> None:
        """This is a host's public key."""
        if self._keys.pop(node, key) != key:
            self._kept.pop(node, None)
        self._keys[node] = key
        if len(self._keys) > _KEYS_MAX:
            self._keys.popitem(last=False)

    def can_check(self, node: str) -> bool:
        """Whether a statement of this host could be checked."""
        return bool(self._keys.get(node))

    def accepts(self, statement: Statement) -> bool:
        """Whether the statement is its host's own; keeps it then."""
        node = statement.node
        if node == self._voice.node:
            return False
        if self._kept.get(node) == statement:
            return True
        key = self._keys.get(node, b"")
        if not key or not is_genuine(statement, self._mesh_id, key):
            self._voice.counters["statements_refused"] += 1
            return False
        self._kept.pop(node, None)
        self._kept[node] = statement
        if len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)
        return True

    def statements(self, history: History, asked: VouchRequest) -> tuple[Statement, ...]:
        """What we can say and pass on about revisions above the one asked about."""
        epoch, found = history.epoch, list[Statement]()
        if epoch is not None and epoch.cluster_id == asked.cluster_id and self._signer is not None:
            pairs = history.pairs()
            if pairs and (self._own is None or self._own.pairs != pairs):
                self._own = make_statement(
                    self._signer, self._mesh_id, self._voice.node, epoch.cluster_id, pairs
                )
            if pairs and self._own is not None:
                found.append(self._own)
        for statement in reversed(self._kept.values()):
            is_news = any(pair.revision > asked.above for pair in statement.pairs)
            if statement.cluster_id == asked.cluster_id and is_news:
                found.append(statement)
        return tuple(found[:STATEMENTS_MAX])


class Asker:
    """Rounds of questions."""

    def __init__(self, voice: Voice, book: Book, backoffs: Backoffs, notary: Notary) -> None:
        self._voice = voice
        self._book = book
        self._backoffs = backoffs
        self._notary = notary
        self._calls: dict[int, str] = {}
        self._open_until_s = 0.0
        self._next_s = self._soon_s = 0.0
        self._vain = 0
        self._in_vain: set[str] = set()
        self._first_s: float | None = None

    def deadline(self, cluster_id: int, above: int) -> float | None:
        """When the next round may begin, or this one is over; None when nobody claims anything."""
        if self._calls:
            return self._open_until_s
        claimants = self._book.claimants(cluster_id, above)
        free_s = self._backoffs.first_free_s(n for n in claimants if self._notary.can_check(n))
        if free_s is None:
            return None
        fresh = any(node not in self._in_vain for node in claimants)
        due_s = max(free_s, self._soon_s if fresh else self._next_s)
        return due_s if self._first_s is None else max(due_s, self._first_s)

    def owns(self, call: int) -> bool:
        """Whether this call is ours."""
        return call in self._calls

    def begin(self, cluster_id: int, above: int, now_s: float) -> None:
        """Ask some of those who claim to have something newer, when it is time: not at once, and seldom."""
        if self._calls and now_s >= self._open_until_s:
            self._calls.clear()
        claimants = self._askable(self._book.claimants(cluster_id, above), now_s)
        if self._calls or not claimants:
            return
        settings = self._voice.settings
        pause_s = settings.vouch_pause_s * self._voice.rng.uniform(0.5, 1.0)
        if self._first_s is None:  # where nobody writes, a second standing is on its way already
            self._first_s = now_s + pause_s
        fresh = any(node not in self._in_vain for node in claimants)
        if now_s < max(self._first_s, self._soon_s if fresh else self._next_s):
            return
        count = settings.attestations + _ASKED_BESIDE
        chosen = self._voice.rng.sample(claimants, min(count, len(claimants)))
        if len(chosen) < count:
            others = self._askable(self._book.at_store(cluster_id), now_s)
            others = [node for node in others if node not in chosen]
            chosen += self._voice.rng.sample(others, min(count - len(chosen), len(others)))
        self._voice.counters["vouch_rounds"] += 1
        word = VouchRequest(cluster_id, above)
        self._calls = {self._voice.ask(node, word): node for node in chosen}
        self._open_until_s = now_s + 2 * settings.answer_timeout_s
        self._in_vain.update(claimants)
        self._soon_s = now_s + pause_s
        self._next_s = now_s + pause_s * 2.0 ** min(self._vain, _DOUBLINGS_MAX)
        self._vain += 1

    def answered(self, call: int, word: Word | None, now_s: float) -> None:
        """A question was answered."""
        node = self._calls.pop(call)
        if not isinstance(word, Vouches):
            self._backoffs.fail(node, now_s, self._voice.settings.backoff_bad_s)
            return
        for statement in word.statements:
            if self._notary.accepts(statement):
                self._book.stated(statement.node, statement.cluster_id, statement.pairs)
            elif statement.node == node:
                self._backoffs.fail(node, now_s, self._voice.settings.backoff_bad_s)

    def failed(self, call: int, now_s: float) -> None:
        """A question got no answer."""
        node = self._calls.pop(call)
        self._backoffs.fail(node, now_s, self._voice.settings.backoff_min_s)

    def succeeded(self) -> None:
        """Something attested was found: what was asked was not asked in vain."""
        self._vain = 0
        self._in_vain.clear()
        self._first_s = None

    def _askable(self, nodes: list[str], now_s: float) -> list[str]:
        return [
            node
            for node in nodes
            if node in self._voice.peers
            and self._notary.can_check(node)
            and self._backoffs.is_free(node, now_s)
        ]
