"""Files in a sidecar's run directory: replaced whole, and locks that end with their process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from store.errors import InputError

__all__ = ["hold_lock", "write_atomically"]


def write_atomically(path: Path, text: str) -> None:
    """Replace a file by one with this text and mode 0600, so that a reader sees the old one or the new."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends.

    On a disk that cannot be written an old file will do; where there is none, nothing can be torn by another process.

    Raises:
        InputError: Another process holds it.
    """
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as problem:
        if problem.errno not in (errno.EROFS, errno.ENOSPC, errno.EDQUOT):
            raise
        if not path.exists():
            yield
            return
        file = path.open("r", encoding="utf-8")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise InputError(
                f"another sidecar (process {owner}) holds {path}: it serves this node already",
                hint="Stop it, or give this sidecar another node name, or run_dir and data_dir of its own",
            ) from problem
        _sign(file)
        yield


def _sign(file: TextIO) -> None:
    """Write down who holds the lock, for whoever is turned away; a disk that cannot be written goes without."""
    with contextlib.suppress(OSError):
        os.truncate(file.fileno(), 0)
        os.write(file.fileno(), f"{os.getpid()}\n".encode())
