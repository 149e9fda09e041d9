"""Whether the last change is what Envoy crashes on: which objects may be to blame, and when they are.

An object is suspect from its change on until Envoy has had that change in force for `CRASH_WITHIN_S`. A crash counts
against the suspects that this very Envoy was sent within `CRASH_WITHIN_S` before it, or that came in force so recently;
the second one against the same generation convicts. No object is suspect that was there when the sidecar began, and an
Envoy that ends with none under suspicion, or by a signal from outside, convicts nobody.

Pure: knows neither processes nor sockets nor resources; told of ends and of what passes on Envoy's session.
"""

from __future__ import annotations

import signal
from collections.abc import Container, Mapping
from dataclasses import dataclass

from sidecar.node.marks import label_of
from sidecar.xds.events import Effect as SessionEffect
from sidecar.xds.events import Event as SessionEvent
from sidecar.xds.events import SendResponse, StreamOpened
from store.catalog import Catalog, CatalogStep
from store.objects.base import ObjectRef

__all__ = ["CRASHES", "CRASH_WITHIN_S", "Suspects", "is_crash", "note_step", "verdict_text"]

CRASH_WITHIN_S = 5.0
"""So soon after a change a crash is held against it; so long an Envoy must live with a change until that is trusted."""
CRASHES = 2
"""The first may be chance: another Envoy gets the same once more."""
FAULTS = frozenset(
    {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE},
)
"""Signals that a process brings upon itself. SIGKILL comes from an operator or for want of memory, SIGTERM from whoever
stops it."""


def is_crash(status: int | None) -> bool:
    """Whether a process with this exit status, negative for a signal, failed by itself; None is not known."""
    return status is not None and (status > 0 or -status in FAULTS)


def verdict_text(status: int | None, count: int) -> str:
    """What convicts, in words.

    Args:
        status: Exit status of the last crash.
        count: Objects that are convicted together.
    """
    how = f"exit status {status}" if status is None or status >= 0 else signal.Signals(-status).name
    text = f"{how}, {CRASHES} times, each within {CRASH_WITHIN_S:g} s of getting it"
    others = count - 1
    if others > 0:
        text += f" and {others} other object{'s' if others > 1 else ''} that changed with it"
    return text


@dataclass(slots=True)
class _Suspect:
    """One object whose change Envoy has not lived with for long."""

    revision: int | None
    """The generation in force; None where none is."""
    trusted: int | None
    """The generation that Envoy lived with before; None where there was none."""
    label: str
    """Of the state that brought the change."""
    sent_s: float | None = None
    """When the running Envoy was sent it."""
    in_force_s: float | None = None
    """When the running Envoy had it in force."""
    crashes: int = 0

    def is_fresh(self, now_s: float) -> bool:
        """Whether a crash at this time is held against it."""
        since_s = self.sent_s if self.in_force_s is None else self.in_force_s
        return since_s is not None and now_s - since_s <= CRASH_WITHIN_S


class Suspects:
    """See the module's text. As many as there are objects at most."""

    def __init__(self) -> None:
        self._suspects: dict[ObjectRef, _Suspect] = {}
        self._is_attached = False

    def __len__(self) -> int:
        return len(self._suspects)

    def __contains__(self, ref: ObjectRef) -> bool:
        return ref in self._suspects

    def changed(self, ref: ObjectRef, before: int | None, after: int | None, label: str) -> None:
        """Another generation of an object is in force, and Envoy is to be sent what is made from it.

        Args:
            ref: The object.
            before: Revision of the generation in force before; None for none.
            after: Revision of the one in force now; None for none.
            label: Of the state that this belongs to.
        """
        known = self._suspects.pop(ref, None)
        trusted = before if known is None else known.trusted
        if after != trusted:
            self._suspects[ref] = _Suspect(after, trusted, label)

    def observe(self, said: SessionEvent | SessionEffect, now_s: float) -> None:
        """Take what passed on the session: an Envoy that connects, and what it is sent."""
        match said:
            case StreamOpened():
                self._is_attached = True
            case SendResponse() if self._is_attached and (said.resources or said.removed):
                for suspect in self._suspects.values():
                    if suspect.sent_s is None:
                        suspect.sent_s = now_s
            case _:
                pass

    def in_force(self, label: str, waiting: Container[str], now_s: float) -> None:
        """Envoy has a state in force.

        Args:
            label: The state's label.
            waiting: Labels of later states, with or without this one.
            now_s: Monotonic seconds.
        """
        self._acquit(now_s)
        if not self._is_attached:
            return
        for suspect in self._suspects.values():
            is_later = suspect.label != label and suspect.label in waiting
            if suspect.in_force_s is None and suspect.sent_s is not None and not is_later:
                suspect.in_force_s = now_s

    def ended(self, status: int | None, now_s: float) -> Mapping[ObjectRef, int]:
        """Envoy's process ended without having been asked to.

        Args:
            status: Exit status, negative for a signal; None where it is not known.
            now_s: Monotonic seconds.

        Returns:
            The generations to be taken back, by object.
        """
        self._acquit(now_s)
        for suspect in self._suspects.values():
            if is_crash(status) and suspect.is_fresh(now_s):
                suspect.crashes += 1
            suspect.sent_s = suspect.in_force_s = None
        self._is_attached = False
        convicted = {
            ref: suspect.revision
            for ref, suspect in self._suspects.items()
            if suspect.crashes >= CRASHES and suspect.revision is not None
        }
        if convicted:  # What came between the crashes may be innocent of the first one.
            for suspect in self._suspects.values():
                suspect.crashes = 0
        return convicted

    def _acquit(self, now_s: float) -> None:
        """Trust what Envoy has lived with for long enough."""
        trusted = [
            ref
            for ref, suspect in self._suspects.items()
            if suspect.in_force_s is not None and now_s - suspect.in_force_s > CRASH_WITHIN_S
        ]
        for ref in trusted:
            del self._suspects[ref]


def note_step(suspects: Suspects, before: Catalog, step: CatalogStep) -> None:
    """Note which generations are others after a step of the catalog that changes what Envoy has.

    One with the value of the one before, as in a store that was restored, changes nothing; but a suspect is tried anew.
    """
    assert step.catalog.snapshot is not None, "nothing is in force before the first snapshot"
    label = label_of(step.catalog.snapshot)
    for ref in step.change.refs:
        old, new = before.objects.get(ref), step.catalog.objects.get(ref)
        if ref not in suspects and old and new and old.entry.value == new.entry.value:
            continue
        was = None if old is None else old.entry.mod_revision
        suspects.changed(ref, was, None if new is None else new.entry.mod_revision, label)
