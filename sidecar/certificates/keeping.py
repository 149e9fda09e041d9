"""Which contents of a secret's files serve: the newest good ones, whatever the files hold meanwhile.

    marks differ ──> read ──good──> taken, told when they are others than before
                       └──bad───> what was held serves on; after a second of it, or at once when nothing is held,
                                  it is told as broken; good files heal it

A file may be caught half written, or a certificate before its key: so a bad reading is repeated, and not yet told.
Pure: the shell reads files and knows the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sidecar.certificates.checking import Contents, Unusable, check
from sidecar.certificates.model import Material, SecretSource

__all__ = ["Broken", "Keeper", "Mark", "Taken", "Told", "Trouble"]

SETTLE_S = 1.0
"""How long files may be bad before that is told, while older contents serve."""

Mark = tuple[int, ...]
"""What tells two states of a file apart: inode, size, times; empty while there is none."""


@dataclass(frozen=True, slots=True)
class Taken:
    """New contents serve from now on."""

    source: SecretSource
    is_renewed: bool
    """Whether others served before."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The files are bad; told once for each reason."""

    source: SecretSource
    reason: str
    keeps: bool
    """Whether older contents serve on."""


Told = Taken | Broken

_UNREAD: tuple[Mark, ...] = ((-1,),)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the files of a source are not what serves."""

    reason: str
    """Which file, what is wrong, what to do."""
    since_s: float
    """When they were first found so, monotonic seconds."""
    is_told: bool = False


@dataclass(slots=True)
class Keeper:
    """The secrets of one host."""

    held: dict[SecretSource, Material] = field(default_factory=dict)
    """What serves."""
    troubles: dict[SecretSource, Trouble] = field(default_factory=dict)
    """What is wrong with files, also where older contents serve."""
    _marks: dict[SecretSource, tuple[Mark, ...]] = field(default_factory=dict)

    @property
    def wanted(self) -> frozenset[SecretSource]:
        """The sources that are looked after."""
        return frozenset(self._marks)

    def want(self, sources: Iterable[SecretSource]) -> frozenset[SecretSource]:
        """Look after these and no others; returns those that are new."""
        wanted = frozenset(sources)
        for gone in self.wanted - wanted:
            del self._marks[gone]
            self.held.pop(gone, None)
            self.troubles.pop(gone, None)
        new = wanted - self.wanted
        self._marks.update(dict.fromkeys(new, _UNREAD))
        return new

    def due(self, marks: Mapping[str, Mark]) -> tuple[SecretSource, ...]:
        """The sources whose files are to be read: changed since they were read, or not yet told to be bad.

        Args:
            marks: Of every file of every source as it is now.
        """
        return tuple(
            source
            for source, known in sorted(self._marks.items())
            if known != _marks_of(source, marks) or self._is_unsettled(source)
        )

    def read(
        self, source: SecretSource, marks: Mapping[str, Mark], contents: Contents, now_s: float
    ) -> Told | None:
        """Take what the files of a source hold.

        Args:
            source: One that is looked after.
            marks: Of its files, from before they were read: what changes meanwhile is then read again.
            contents: What they held.
            now_s: Monotonic seconds.
        """
        self._marks[source] = _marks_of(source, marks)
        try:
            material = check(source, contents)
        except Unusable as problem:
            return self._failed(source, str(problem), now_s)
        self.troubles.pop(source, None)
        before = self.held.get(source)
        self.held[source] = material
        return None if material == before else Taken(source, is_renewed=before is not None)

    def _failed(self, source: SecretSource, reason: str, now_s: float) -> Broken | None:
        before = self.troubles.get(source)
        keeps = source in self.held
        since_s = now_s if before is None else before.since_s
        was_told = before is not None and before.is_told and before.reason == reason
        tell = not was_told and (not keeps or now_s >= since_s + SETTLE_S)
        self.troubles[source] = Trouble(reason, since_s, is_told=was_told or tell)
        return Broken(source, reason, keeps) if tell else None

    def _is_unsettled(self, source: SecretSource) -> bool:
        trouble = self.troubles.get(source)
        return trouble is not None and not trouble.is_told


def _marks_of(source: SecretSource, marks: Mapping[str, Mark]) -> tuple[Mark, ...]:
    return tuple(marks.get(path, ()) for path in source.files)
