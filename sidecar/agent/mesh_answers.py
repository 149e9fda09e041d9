"""What one sidecar answers for the whole mesh: members, their configuration, ejections, the keyring.

Where gossip is off, pages to look at say so beside what is known of this host; everything that needs gossip is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import trio
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sidecar.agent.ejections_answer import EjectionPort, ejections_answer, read_override
from sidecar.agent.mesh_wide import GossipPort, KeyringChanged, MeshWide
from sidecar.agent.peers_answer import mesh_answer, peers_answer, wait_answer
from sidecar.agent.wanted import Wanted
from sidecar.outlier.events import OverrideKind
from sidecar.outlier.model import Destination
from store.errors import ConflictError, InputError

__all__ = ["MeshAnswers"]


class _KeyBody(BaseModel):
    """A key, or what names one."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    key: str = Field(min_length=1, max_length=200)


@dataclass
class MeshAnswers:
    """Answers for the mesh; see the module's text."""

    wide: MeshWide
    """Standing of all."""
    own_in_force: Callable[[Wanted], Awaitable[object]]
    """Returns when this host has it in force, and it is certain that it is what was written."""
    describe_gossip: Callable[[], Mapping[str, Any]] = dict
    """This host's own gossip, as the status has it."""
    destinations: Callable[[], Iterable[Destination]] = tuple
    """Those that take part in shared ejection here: what a short name may mean."""
    ejection: EjectionPort | None = None
    """Shared ejection; None where there is none."""

    def gossip_state(self) -> Mapping[str, Any]:
        """Whether gossip is on, and why not."""
        if self.wide.gossip is None:
            return {"state": "off", "reason": self.wide.off}
        return {"state": "on", "reason": ""}

    def mesh(self) -> Mapping[str, Any]:
        """The configuration of every member that is known."""
        gossip = self.wide.gossip
        view = None if gossip is None else gossip.view()
        found = mesh_answer(self.wide.node, self.wide.standings(), view, trio.current_time())
        return {"node": self.wide.node, "gossip": self.gossip_state(), **found}

    def peers(self) -> Mapping[str, Any]:
        """Who is held for a member, and how."""
        head = {"node": self.wide.node, "gossip": self.gossip_state()}
        head["own"] = self.describe_gossip()
        if self.wide.gossip is None:
            return {**head, "members": []}
        view = self.wide.gossip.view()
        return {**head, **peers_answer(view, self.wide.standings(), trio.current_time())}

    async def in_force(self, wanted: Wanted, timeout_s: float) -> tuple[bool, Mapping[str, Any]]:
        """Whether every member has it in force before the time is over, and how far each is.

        This host comes first: what others say is measured by what it knows of the store, so it must know what was
        written.

        Raises:
            ConflictError: Gossip is off.
        """
        self.wide.joined()
        began_s = trio.current_time()
        with trio.move_on_after(timeout_s) as own:
            await self.own_in_force(wanted)
        left_s = max(0.0, began_s + timeout_s - trio.current_time())
        is_met, view = await self.wide.wait(wanted.revision, wanted.cluster_id, left_s)
        now_s = trio.current_time()
        found = wait_answer(
            self.wide.node,
            wanted.revision,
            self.wide.standings(),
            view,
            now_s,
            is_own_certain=not own.cancelled_caught,
        )
        head = {"node": self.wide.node, "took_s": round(now_s - began_s, 6)}
        return is_met and not own.cancelled_caught, {**head, **found}

    def ejections(self) -> Mapping[str, Any]:
        """Which endpoints are accused or ejected, by whom, and why or why not."""
        head = {"node": self.wide.node, "gossip": self.gossip_state()}
        if self.ejection is None:
            return {**head, "state": "off", "endpoints": [], "overrides": []}
        state = "off" if self.wide.gossip is None else "on"
        return {**head, "state": state, **ejections_answer(self.ejection.view())}

    def override(self, kind: str, body: bytes) -> Mapping[str, Any]:
        """Take an operator's word and tell it to the mesh.

        Raises:
            InputError: What is asked for is wrong.
            ConflictError: There is no shared ejection here.
        """
        self.wide.joined()
        if self.ejection is None:
            raise ConflictError(f"there is no shared ejection on {self.wide.node}")
        accused = (row.destination for row in self.ejection.view().endpoints)
        known = {*self.destinations(), *accused}
        override = read_override(OverrideKind(kind), body, known)
        self.ejection.operator_said(override)
        destination, place = override.destination, override.place
        return {
            "node": self.wide.node,
            "kind": kind,
            "destination": None
            if destination is None
            else f"{destination.host}:{destination.port}",
            "endpoint": None if place is None else f"{place.address}:{place.port}",
            "for_s": override.for_s,
            "reason": override.reason,
        }

    def keyring(self) -> Mapping[str, Any]:
        """Fingerprints of the shared keys, the sealing one first."""
        head = {"node": self.wide.node, "gossip": self.gossip_state()}
        gossip = self.wide.gossip
        if gossip is None:
            return {**head, "keys": []}
        return {
            **head,
            "keys": list(gossip.keys.fingerprints()),
            "file": str(gossip.keys.path),
            "error": gossip.keys.error,
        }

    def change_keyring(self, deed: str, body: bytes) -> Mapping[str, Any]:
        """Install, use or remove a key on this host.

        Raises:
            InputError: It is no key, or this cannot be done with it.
            ConflictError: Gossip is off.
        """
        gossip = self.wide.joined()
        try:
            key = _KeyBody.model_validate_json(body or b"{}").key
        except ValidationError as problem:
            raise InputError(
                f'keyring/{deed}: the body must be JSON {{"key": "..."}}',
                hint="A key in base64; to use or remove one, its fingerprint will do",
            ) from problem
        done = _deed(gossip, deed)(key)
        return {"node": self.wide.node, "changed": done.changed, "keys": list(done.fingerprints)}


def _deed(gossip: GossipPort, deed: str) -> Callable[[str], KeyringChanged]:
    return {
        "install": gossip.keyring_install,
        "use": gossip.keyring_use,
        "remove": gossip.keyring_remove,
    }[deed]
