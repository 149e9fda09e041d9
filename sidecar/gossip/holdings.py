"""The records that are held: the newest of each page of each host, how old they are, and a digest of them.

A version once held, or once given up, is never taken again, so a replay makes nothing young and brings nothing back.
Evidence dies by its age; what died leaves its version behind. The digest tells only of records that all should have
by now: of those younger than `SETTLED_S`, and of evidence about to die, hosts may well differ. Knows no signatures
and no members; those who do call `drop`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sidecar.gossip.record_frames import VersionRow, encode_record
from sidecar.gossip.records import PAGES_MAX, Record, Topic
from sidecar.gossip.table import digest32

__all__ = ["SETTLED_S", "Held", "Holdings", "Key"]

SETTLED_S = 2.0
"""Age from which a record counts in the digest; twice the time that news take, with losses."""

Key = tuple[Topic, str, int]
"""Topic, node and page."""


@dataclass(slots=True)
class Held:
    """A record, and since when it is true."""

    record: Record
    said_s: float
    """When it was said, by our clock: `age_ms` before we heard it first."""
    encoded: bytes
    """As it travels, but for the age."""
    in_digest: bool = False

    def age_s(self, now_s: float) -> float:
        """How long ago it was said."""
        return max(0.0, now_s - self.said_s)

    def aged(self, now_s: float) -> Record:
        """The record with its age."""
        return replace(self.record, age_ms=int(self.age_s(now_s) * 1000))


class Holdings:
    """All records held, ours included.

    Args:
        records_max: Records held at most; beyond, the oldest evidence goes, then newcomers are refused. As many
            versions of dead evidence are remembered.
        evidence_ttl_s: Age at which evidence dies.
    """

    def __init__(self, records_max: int, evidence_ttl_s: float) -> None:
        self._records_max = records_max
        self._ttl_s = evidence_ttl_s
        self._held: dict[str, dict[tuple[Topic, int], Held]] = {}
        self._evidence: dict[Key, None] = {}
        """Evidence held, in the order in which it was heard."""
        self._gone: dict[Key, tuple[int, int]] = {}
        """Epoch and version of what died, the longest dead first."""
        self._due: list[tuple[float, int, Key, Held]] = []
        """A heap: when a record enters the digest, leaves it, or dies. Outdated entries are passed over."""
        self._count = 0
        self._numbers = 0
        self.digest = 0
        """Of the settled records, as of the last `expire`."""

    def __len__(self) -> int:
        return self._count

    def get(self, topic: Topic, node: str, page: int) -> Held | None:
        """The record of this page, unless there is none."""
        return self._held.get(node, {}).get((topic, page))

    def of(self, node: str) -> list[Held]:
        """All records of this host."""
        return list(self._held.get(node, {}).values())

    def nodes(self) -> list[str]:
        """Hosts of whom something is held."""
        return list(self._held)

    def known(self, topic: Topic, node: str, page: int) -> tuple[int, int]:
        """Epoch and version that must be exceeded; (0, 0) when nothing was ever held."""
        held = self.get(topic, node, page)
        if held is not None:
            return (held.record.epoch, held.record.version)
        return self._gone.get((topic, node, page), (0, 0))

    def put(self, record: Record, now_s: float, *, is_ours: bool = False) -> list[Record] | None:
        """Hold this record in the place of an older one.

        Args:
            record: With the age that it has now.
            now_s: The time.
            is_ours: Our own words are held even where nothing can go for them: they are few.

        Returns:
            Evidence that had to go for it; None when it is not newer than what is known, or nothing can go.
        """
        key = (record.topic, record.node, record.page)
        if (record.epoch, record.version) <= self.known(*key):
            return None
        out: list[Record] = []
        held = self.get(*key)
        if held is not None:
            self._remove(key, held)
        elif self._count >= self._records_max:
            oldest = next(iter(self._evidence), None)
            if oldest is not None:
                out.append(self._give_up(oldest))
            elif not is_ours:
                return None
        self._gone.pop(key, None)
        held = Held(record, now_s - record.age_ms / 1000, encode_record(record))
        self._held.setdefault(record.node, {})[record.topic, record.page] = held
        self._count += 1
        if record.topic is Topic.EVIDENCE:
            self._evidence[key] = None
        self._wake(held.said_s + SETTLED_S, key, held)
        return out

    def expire(self, now_s: float) -> list[Record]:
        """Let time pass: what is settled enters the digest, what is too old dies and is returned."""
        dead: list[Record] = []
        while self._due and self._due[0][0] <= now_s:
            _, _, key, held = heapq.heappop(self._due)
            if self.get(*key) is not held:
                continue
            fades_s = held.said_s + self._ttl_s - SETTLED_S
            if key[0] is not Topic.EVIDENCE or now_s < fades_s:
                self._count_in(held, is_in=True)
                if key[0] is Topic.EVIDENCE:
                    self._wake(fades_s, key, held)
            elif now_s < held.said_s + self._ttl_s:
                self._count_in(held, is_in=False)
                self._wake(held.said_s + self._ttl_s, key, held)
            else:
                dead.append(self._give_up(key))
        return dead

    def drop(self, node: str, topic: Topic, page: int) -> Record | None:
        """Hold this page no longer, but remember its version; the record that was held."""
        key = (topic, node, page)
        return self._give_up(key) if self.get(*key) is not None else None

    def forget(self, node: str) -> None:
        """Remember nothing of a host: what it said, and which versions were known."""
        for topic, page in list(self._held.get(node, {})):
            self._give_up((topic, node, page))
        for topic in Topic:
            for page in range(PAGES_MAX):
                self._gone.pop((topic, node, page), None)

    def versions(self) -> Iterator[VersionRow]:
        """What is known: of records held, and of those that died."""
        for node, pages in self._held.items():
            for (topic, page), held in pages.items():
                yield VersionRow(topic, node, page, held.record.epoch, held.record.version)
        for (topic, node, page), (epoch, version) in self._gone.items():
            yield VersionRow(topic, node, page, epoch, version)

    def _give_up(self, key: Key) -> Record:
        held = self.get(*key)
        assert held is not None, key
        self._remove(key, held)
        if len(self._gone) >= self._records_max:
            del self._gone[next(iter(self._gone))]
        self._gone[key] = (held.record.epoch, held.record.version)
        return held.record

    def _remove(self, key: Key, held: Held) -> None:
        topic, node, page = key
        self._count_in(held, is_in=False)
        pages = self._held[node]
        del pages[topic, page]
        if not pages:
            del self._held[node]
        self._evidence.pop(key, None)
        self._count -= 1

    def _wake(self, when_s: float, key: Key, held: Held) -> None:
        self._numbers += 1
        heapq.heappush(self._due, (when_s, self._numbers, key, held))

    def _count_in(self, held: Held, *, is_in: bool) -> None:
        if held.in_digest is not is_in:
            held.in_digest = is_in
            self.digest ^= _digest_of(held.record)


def _digest_of(record: Record) -> int:
    place = f"{record.topic}\0{record.page}\0{record.node}\0{record.epoch}\0{record.version}"
    return digest32(place)
