"""Shared ejection of one host: outcomes of its own requests in, evidence of others in, verdicts out.

Composes the parts: observer (own rows), evidence (everybody's rows), decision, overrides, imposing. It knows no clock
and no network: records come from gossip, signed and checked, and leave through `Say`.
"""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.outlier.events import (
    DestinationsSeen,
    Effect,
    EndpointName,
    EnvoyEjects,
    Event,
    ObserversSeen,
)
from sidecar.outlier.model import Destination, DestinationFacts, Observer
from sidecar.outlier.view import OutlierView

__all__ = ["Outlier"]


class Outlier:
    """The core of shared ejection.

    Args:
        node: This host.
        epoch: Boot epoch of this life: records of ours with a lower one are of an earlier life.
    """

    def __init__(self, node: str, epoch: int = 0) -> None:
        self._node = node
        self._epoch = epoch
        self._now_s = 0.0
        self._facts: Mapping[Destination, DestinationFacts] = {}
        self._observers: Mapping[str, Observer] = {}
        self._locally: frozenset[EndpointName] = frozenset()

    def handle(self, event: Event, now_s: float) -> list[Effect]:
        """Take in what happened; tell what to do. Never raises on what other hosts said."""
        self._now_s = max(now_s, self._now_s)
        match event:
            case DestinationsSeen():
                self._facts = event.facts
            case ObserversSeen():
                self._observers = event.observers
            case EnvoyEjects():
                self._locally = event.endpoints
            case _:
                pass
        return []

    def deadline(self) -> float | None:
        """When to say `TimePassed` if nothing else happens; None: nobody accuses, nothing is imposed."""
        return None

    def view(self, now_s: float | None = None) -> OutlierView:
        """What is held now; with `now_s`, as of then."""
        at_s = self._now_s if now_s is None else now_s
        return OutlierView(at_s=at_s, node=self._node, destinations=len(self._facts))
