"""What Envoy should have of one type, what it last accepted, and what it refuses.

Lives as long as the session: it outlasts streams and Envoys. Knows nothing of subscriptions or nonces.
The rule that it keeps is "a NACK is a fact about an object": the refused version is never offered again,
and the last accepted one takes its place (docs/xds.md, NACK handling).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sidecar.xds.resource import Resource

__all__ = ["Ledger", "Rejection"]

_CONFLICT_MARKS = ("Only unique values", "duplicate", "Duplicate", "Address already in use")
"""Parts of Envoy's reasons that blame a sibling or the host's state, not the bytes themselves."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Envoy's refusal of one version of one resource."""

    resource: Resource
    """What was refused."""
    detail: str
    """Envoy's reason."""

    @property
    def is_conflict(self) -> bool:
        """Whether the reason may go away when another resource changes."""
        return any(mark in self.detail for mark in _CONFLICT_MARKS)


class Ledger:
    """Desired, accepted and refused resources of one type, by name."""

    def __init__(self) -> None:
        self.desired: dict[str, Resource] = {}
        self.accepted: dict[str, Resource] = {}
        self.rejected: dict[str, Rejection] = {}
        self.given_up: dict[str, Resource] = {}
        """Virtual hosts that Envoy accepted and is not to have any more, until that is sent on this stream."""
        self._told: dict[str, tuple[str, str]] = {}

    def apply(self, upserts: Mapping[str, Resource], removals: Iterable[str]) -> Sequence[str]:
        """Take an increment.

        Returns:
            The names whose target may have changed. Refusals that were conflicts with siblings are
            offered again with every change, since their cause may be gone.
        """
        touched = dict.fromkeys(upserts)
        for name in removals:
            if name in upserts:
                continue
            self.desired.pop(name, None)
            accepted = self.accepted.pop(name, None)
            if accepted is not None and accepted.domains:
                self.given_up[name] = accepted
            self.rejected.pop(name, None)
            self._told.pop(name, None)
            touched[name] = None
        for name, resource in upserts.items():
            self.desired[name] = resource
            if (before := self.given_up.pop(name, None)) is not None:
                self.accepted.setdefault(name, before)
            rejection = self.rejected.get(name)
            if rejection is not None and rejection.resource.version != resource.version:
                del self.rejected[name]
            if name in self._told and self._told[name][0] != resource.version:
                del self._told[name]  # refused once more after this one, it is news again
        if touched:
            touched |= dict.fromkeys(self.forgive())
        return tuple(touched)

    def forgive(self) -> Sequence[str]:
        """Forget the refusals whose reason may have gone away; returns their names, to be offered again."""
        names = [name for name, rejection in self.rejected.items() if rejection.is_conflict]
        for name in names:
            del self.rejected[name]
        return names

    def target(self, name: str) -> Resource | None:
        """What Envoy should be given under this name now; None when nothing (unknown, or refused)."""
        resource = self.desired.get(name)
        if resource is None:
            return None
        rejection = self.rejected.get(name)
        if rejection is None or rejection.resource.version != resource.version:
            return resource
        return self.accepted.get(name)

    def accept(self, name: str, resource: Resource) -> None:
        """Remember that Envoy took this version."""
        if name in self.desired:
            self.accepted[name] = resource

    def claim(self, name: str, version: str) -> None:
        """Remember that Envoy says it holds this version (it does so when a stream begins)."""
        resource = self.desired.get(name)
        if resource is not None and resource.version == version:
            self.accepted[name] = resource

    def reject(self, resource: Resource, detail: str) -> Rejection | None:
        """Remember a refusal.

        Returns:
            The refusal when it is news about the desired version; None when it was told before, or when
            an older version was refused (the accepted one is then no longer held to be acceptable).
        """
        name = resource.name
        accepted = self.accepted.get(name)
        if accepted is not None and accepted.version == resource.version:
            del self.accepted[name]
        desired = self.desired.get(name)
        if desired is None or desired.version != resource.version or name in self.rejected:
            return None
        rejection = Rejection(resource, detail)
        self.rejected[name] = rejection
        told, self._told[name] = self._told.get(name), (resource.version, detail)
        return None if told == (resource.version, detail) else rejection
