"""Small disks of etcd members: a file system of their own each, which can be filled."""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path

from chaos.netns import MOUNTED_AS, ChaosError, run

__all__ = ["ROOM_MIB", "fill", "give_room", "take_room"]

ROOM_MIB = 320
"""Of one member: two segments of its log of 64 MiB each, its database twice (defragmentation copies it), and some."""
CHUNK_BYTES = 1 << 20


def give_room(folder: Path) -> None:
    """Mount a file system of limited size at a new folder.

    Raises:
        ChaosError: It cannot be mounted.
    """
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={ROOM_MIB}m", MOUNTED_AS, str(folder))


def take_room(folder: Path) -> None:
    """Unmount it, with all that is in it."""
    with contextlib.suppress(ChaosError):
        run("umount", "-l", str(folder))


def fill(file: Path) -> None:
    """Write a file until there is no room left on its file system."""
    with file.open("wb", buffering=0) as out:
        for size in (CHUNK_BYTES, 4096):
            try:
                while out.write(bytes(size)) == size:
                    pass
            except OSError as problem:
                if problem.errno != errno.ENOSPC:
                    raise
