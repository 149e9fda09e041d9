"""The error tree: whose fault it is decides the type, and the type decides the exit status.

    MeshError
    ├── InputError          what the user gave is wrong (file, flag, object)           exit 3
    ├── NotFoundError       what was asked for does not exist                          exit 4
    ├── ConflictError       someone else wrote first                                   exit 5
    ├── StoreUnavailable    etcd cannot be reached, refuses, or did not answer in time exit 6
    ├── AgentUnavailable    a sidecar cannot be reached or did not answer in time      exit 6
    ├── PeerError           a remote side broke the protocol                           exit 6
    └── RejectedByEnvoy     Envoy refused a resource (NACK)                            exit 1

Each carries a sentence that says where and what was found, and a hint that says what to do next.
Programming errors are not in this tree: they are assertions and end the process loudly.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.diagnostics import Diagnostic

__all__ = [
    "EXIT_OUT_OF_MEMORY",
    "AgentUnavailable",
    "ConflictError",
    "InputError",
    "MeshError",
    "NotFoundError",
    "PeerError",
    "RejectedByEnvoy",
    "StoreUnavailable",
    "is_out_of_memory",
]


class MeshError(Exception):
    """Something went wrong that a person or another process can do something about.

    Args:
        message: Where it happened, what was found and what was allowed; one sentence, no final full stop.
        hint: What to do next; empty when the message says it all.
    """

    exit_status = 1
    """The process exit status that the command line gives for it (one table for all verbs)."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class InputError(MeshError):
    """The user's input is wrong; `diagnostics` has every problem found, sorted by position."""

    exit_status = 3

    def __init__(
        self, message: str, *, hint: str = "", diagnostics: Sequence[Diagnostic] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.diagnostics = tuple(diagnostics)


class NotFoundError(MeshError):
    """What was asked for does not exist."""

    exit_status = 4


class ConflictError(MeshError):
    """Someone else wrote first; nothing of this change was written."""

    exit_status = 5


class StoreUnavailable(MeshError):
    """etcd cannot be reached, refused the call, or did not answer in time."""

    exit_status = 6


class AgentUnavailable(MeshError):
    """A sidecar's status socket cannot be reached or did not answer in time."""

    exit_status = 6


class PeerError(MeshError):
    """A remote side broke the protocol; nothing of what it sent was used."""

    exit_status = 6


class RejectedByEnvoy(MeshError):
    """Envoy refused a resource; the last accepted version of it stays in force."""

    exit_status = 1


EXIT_OUT_OF_MEMORY = 71
"""Exit status of a program that got no more memory (EX_OSERR of sysexits): neither the user's fault nor a bug."""

_UNSAID = ("error return without exception set", "can't start new thread")
"""How CPython says it where it raises no MemoryError: a SystemError where the frame of a call cannot be had (3.11), and
a RuntimeError for a thread, which no memory or a limit of the system keeps from starting."""


def is_out_of_memory(problem: BaseException) -> bool:
    """Whether the want of memory is what this is, what it came of, or what anything in this group of errors is.

    One allocation that failed is enough: what fails beside it, in tasks that were cut short or in a library that
    could not go on, tells nothing more.
    """
    looked_at: set[int] = set()
    to_look_at: list[BaseException | None] = [problem]
    while to_look_at:
        one = to_look_at.pop()
        if one is None or id(one) in looked_at:
            continue
        looked_at.add(id(one))
        if _says_so(one):
            return True
        to_look_at += (one.__cause__, one.__context__)
        if isinstance(one, BaseExceptionGroup):
            to_look_at += one.exceptions
    return False


def _says_so(one: BaseException) -> bool:
    if isinstance(one, OSError):
        return one.errno == errno.ENOMEM
    return isinstance(one, MemoryError) or (
        isinstance(one, SystemError | RuntimeError) and str(one) in _UNSAID
    )
