"""The Mirror: list and watch folded into snapshots. `events` is the file to open first."""

from __future__ import annotations

from store.mirror.machine import Mirror
from store.mirror.patience import Jitter, MirrorSettings
from store.mirror.status import TRANSITIONS, Counters, HeldEpoch, MirrorState, MirrorStatus

__all__ = [
    "TRANSITIONS",
    "Counters",
    "HeldEpoch",
    "Jitter",
    "Mirror",
    "MirrorSettings",
    "MirrorState",
    "MirrorStatus",
]
