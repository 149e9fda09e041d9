"""The epoch that is held off until a person accepts it, and which one was accepted."""

from __future__ import annotations

from store.mirror import events as on
from store.mirror.judgement import Reading
from store.mirror.status import HeldEpoch

__all__ = ["Holding"]


class Holding:
    """At most one epoch is held; another one takes its place."""

    def __init__(self) -> None:
        self.epoch: HeldEpoch | None = None
        """The one that is held."""
        self._accepted: int | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether a person has accepted one that is not followed yet."""
        return self._accepted is not None

    def accepts(self, cluster_id: int) -> bool:
        """Whether a person has accepted this one."""
        return self._accepted == cluster_id

    def hold(self, reading: Reading, lack: str) -> list[on.Effect]:
        """Hold off what was read; what is to be said of it: nothing where it was held already."""
        before = self.epoch
        self.epoch = HeldEpoch(reading.cluster_id, reading.revision, lack)
        if before is not None and before.cluster_id == reading.cluster_id:
            return []
        facts = {"cluster_id": f"{reading.cluster_id:x}", "reason": lack}
        return [on.Report("epoch_held", on.Severity.ERROR, facts)]

    def accept(self) -> None:
        """A person accepts the one that is held."""
        assert self.epoch is not None, "one is held"
        self._accepted = self.epoch.cluster_id

    def end(self) -> None:
        """Something is followed: nothing is held, and what was accepted is done."""
        self.epoch = self._accepted = None
