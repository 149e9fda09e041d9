"""The `[relay]` table of the settings: when this host follows peers instead of etcd, and whom it believes."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sidecar.relay import RelaySettings

__all__ = ["RelayOptions"]


class RelayOptions(BaseModel):
    """How configuration comes from peers. It needs gossip; without gossip each host asks etcd alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    enabled: bool = True
    """Whether this host takes configuration from peers, and gives it to them. False: etcd and the disk alone."""
    attestations: Annotated[int, Field(ge=1, le=16)] = 2
    """Hosts with a view of etcd of their own that must attest a content before it is applied. 1: one stolen host can
    configure every host that etcd is out of reach of; and in a mesh of two, neither could follow the other with 2."""
    watch_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the hosts of each zone that hold a watch on etcd; the others follow peers. The same on all hosts."""
    watchers_min: Annotated[int, Field(ge=1, le=1000)] = 3
    """Hosts of each zone that hold a watch, however small the share. The same on all hosts."""

    @model_validator(mode="after")
    def _can_be_followed(self) -> Self:
        if self.watch_share < 1 and not self.enabled:
            raise ValueError("watch_share below 1 lets hosts follow peers: enabled must be true")
        if self.watch_share < 1 and self.watchers_min <= self.attestations:
            raise ValueError(
                f"watchers_min ({self.watchers_min}) must exceed attestations ({self.attestations}): "
                "the death of one watcher would stop all that follow"
            )
        return self

    def settings(self) -> RelaySettings:
        """What the core is told."""
        return RelaySettings(
            attestations=self.attestations,
            watch_share=self.watch_share,
            watchers_min=self.watchers_min,
        )
