"""What a host says of itself beside being alive: records, signed by the host that they are about.

A record is one page of one topic of one host. Only that host says new versions of it; everybody else passes on the
newest one as it is. Order: (epoch, version), so that a host's later life prevails over its earlier ones. An empty
body withdraws the page. What bodies mean is not known here: `sidecar.standing`, `sidecar.outlier`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["PAGES_MAX", "RECORD_BODY_BYTES_MAX", "Record", "Topic"]

PAGES_MAX = 8
"""Pages that a host has in each topic."""
RECORD_BODY_BYTES_MAX = 700
"""Of a body: with names, key and signature it fits a datagram."""


class Topic(StrEnum):
    """What a record is about."""

    EVIDENCE = "evidence"
    """First-hand outcomes of requests (`sidecar.outlier`). Urgent, dies by itself."""
    STANDING = "standing"
    """Configuration received and in force (`sidecar.standing`). Kept while the member is known."""
    OVERRIDES = "overrides"
    """What an operator asked of shared ejection: clear, pin healthy, pause. Only ever takes ejections back."""


@dataclass(frozen=True, slots=True)
class Record:
    """One page of one topic of one host, as it is held and passed on."""

    topic: Topic
    node: str
    """Whose words these are."""
    page: int
    """0 to `PAGES_MAX - 1`; most topics have page 0 only."""
    epoch: int
    """Boot epoch of the life that said it."""
    version: int
    """Grows with everything that this life says in this topic and page."""
    body: bytes
    """Encoded by the topic's own module; empty: withdrawn."""
    key: bytes
    """Ed25519 public key of the host, 32 bytes."""
    signature: bytes
    """Over topic, node, page, epoch, version and body, bound to the mesh id; 64 bytes."""
    age_ms: int = 0
    """How long ago it was said. Not signed: it grows on the way. Whoever holds a version never takes it for younger
    than it knows, so a replay makes nothing young again."""
