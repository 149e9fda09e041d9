"""How much of a mesh one picture shows before the rest is counted."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EVERYTHING", "OVERVIEW", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that is drawn; what is beyond it is counted in a node of its own."""

    hosts: int
    """Hosts of each client, listener or gateway."""
    routes: int
    """Routes of each host."""
    endpoints: int
    """Endpoints of each destination."""
    nodes: int = 200_000
    """Boxes of the whole picture, beyond which no host is begun and no endpoint drawn."""


OVERVIEW = Limits(hosts=40, routes=20, endpoints=8)
"""What a person can still read."""

EVERYTHING = Limits(hosts=20_000, routes=5_000, endpoints=5_000)
"""For programs, and for who asks for it; no mesh of the sizes that are measured (10,000 services) is cut."""
