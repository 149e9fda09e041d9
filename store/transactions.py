"""What one atomic write is made of: guards that must hold, and operations that then happen together.

Pure values; how they become etcd's nested transactions is `store.etcd.client`'s business. Keys are absolute.
"""

from __future__ import annotations

from dataclasses import dataclass

from store.errors import ConflictError

__all__ = [
    "GUARDS_MAX",
    "OPERATIONS_MAX",
    "REQUEST_BYTES_MAX",
    "Committed",
    "Delete",
    "Guard",
    "GuardFailed",
    "Put",
    "RangeGuard",
    "Transaction",
]

REQUEST_BYTES_MAX = 1_400_000
"""etcd refuses requests above 1.5 MiB (`--max-request-bytes`); the rest is left for its envelope."""
GUARDS_MAX = 100
"""Guards of one transaction; see `store.etcd.nesting` for why etcd takes no more."""
OPERATIONS_MAX = 19_600
"""Operations of one transaction, likewise."""

_OPERATION_BYTES = 24
"""Tags, lengths and lease of one operation or guard, at most, in the request."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Nothing is written unless `key` still has this revision."""

    key: str
    """Absolute key."""
    mod_revision: int
    """The revision that was read; 0: the key must not exist."""


@dataclass(frozen=True, slots=True)
class RangeGuard:
    """Nothing is written if a key from `start` up to and without `end` was written after revision `newest`.

    Keys that were deleted since are not noticed: etcd compares only keys that are there.
    """

    start: str
    """First absolute key of the range."""
    end: str
    """Absolute key after the last."""
    newest: int
    """The latest revision that a key of the range may have."""


@dataclass(frozen=True, slots=True)
class Put:
    """Writes a value."""

    key: str
    """Absolute key."""
    value: bytes
    """The value as stored."""
    lease: int = 0
    """Lease to hang it on, 0 for none."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes a key."""

    key: str
    """Absolute key."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """All of `operations` at one revision, if all of `guards` hold; otherwise nothing."""

    guards: tuple[Guard | RangeGuard, ...]
    """What must still be so."""
    operations: tuple[Put | Delete, ...]
    """What then happens; each key at most once."""

    def size_bytes(self) -> int:
        """The size of the request, rounded up a little."""
        guards = sum(len(_guarded(guard)) + _OPERATION_BYTES for guard in self.guards)
        return guards + sum(
            len(_bytes(operation.key))
            + _OPERATION_BYTES
            + (len(operation.value) if isinstance(operation, Put) else 0)
            for operation in self.operations
        )


@dataclass(frozen=True, slots=True)
class Committed:
    """A transaction that happened."""

    revision: int
    """The revision at which all of it is visible."""
    cluster_id: int = 0
    """The etcd that it is a revision of; 0 where that is not known."""


class GuardFailed(ConflictError):
    """A guard did not hold; nothing was written. etcd does not tell which of `guards` it was."""

    def __init__(self, guards: tuple[Guard | RangeGuard, ...]) -> None:
        names = [
            guard.key if isinstance(guard, Guard) else f"{guard.start} ..." for guard in guards
        ]
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        super().__init__(
            f"someone else wrote first, to {'one of ' if len(names) > 1 else ''}{shown}; nothing was written",
            hint="Read again and repeat the change",
        )
        self.guards = guards


def _guarded(guard: Guard | RangeGuard) -> bytes:
    return _bytes(guard.key if isinstance(guard, Guard) else guard.start + guard.end)


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")
