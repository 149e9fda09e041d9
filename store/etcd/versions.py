"""Which etcd servers are good enough: the production floor, and the words of warning below it.

Source: etcd's CHANGELOGs and security advisories. 3.5.33, 3.6.14 and 3.7.1 are the first releases without the
known lost, repeated and reordered watch events, inconsistent members after a crash, and holes in the checks of roles.
"""

from __future__ import annotations

import re

__all__ = ["FLOORS", "progress_is_a_bookmark", "version_warning"]

FLOORS = {(3, 5): 33, (3, 6): 14, (3, 7): 1}
"""Minor release -> first patch that is good for production; minors after the last are good, earlier ones not."""


def version_warning(endpoint: str, version: str) -> str | None:
    """A sentence for the operator when the server is below the production floor, None when it is not."""
    parsed = _parse(version)
    if parsed is None:
        return f'etcd {endpoint} tells the version "{version}", which is not understood'
    minor, patch = parsed
    floor = FLOORS.get(minor)
    if (floor is not None and patch >= floor) or minor > max(FLOORS):
        return None
    wanted = ", ".join(f"{major}.{of}.{first}" for (major, of), first in FLOORS.items())
    return (
        f"etcd {endpoint} is {version}, below the production floor ({wanted}): its watches may lose or repeat "
        "events, and its roles can be evaded. Upgrade it"
    )


def progress_is_a_bookmark(version: str) -> bool:
    """Whether a progress notification may move the resume revision (etcd#15220: from 3.4.25 and 3.5.8 on)."""
    parsed = _parse(version)
    if parsed is None:
        return False
    minor, patch = parsed
    return minor >= (3, 6) or (minor == (3, 5) and patch >= 8) or (minor == (3, 4) and patch >= 25)


def _parse(version: str) -> tuple[tuple[int, int], int] | None:
    """((major, minor), patch) of `3.5.1`, `3.6.0-rc.1`, ...; None when it is something else."""
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return ((int(match[1]), int(match[2])), int(match[3])) if match else None
