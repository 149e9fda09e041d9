"""Which part of the desired state waits until the files of the secrets that it names were looked at.

A change that names files which are missing must not take the place of what works: so what names secrets that nobody has
looked for yet is kept back until they are read, a moment later, and told together with what came of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.certificates.model import SecretSource
from sidecar.mesh.model import Context
from sidecar.node.events import Desire, Effect, SecretsRead, WantSecrets
from sidecar.xds.resource import DesiredChange

__all__ = ["SecretGate", "identity_secrets"]


@dataclass(slots=True)
class SecretGate:
    """What is wanted, what was looked for, and what waits."""

    _wanted: frozenset[SecretSource] = frozenset()
    _known: frozenset[SecretSource] = frozenset()
    _waiting: DesiredChange | None = None

    def tell(
        self, change: DesiredChange, wanted: frozenset[SecretSource], *, always: bool
    ) -> list[Effect]:
        """Hand on a change, or keep it back.

        Args:
            change: What is to be told.
            wanted: Every secret that is named by now.
            always: Tell it for its label's sake, though it changes nothing.
        """
        effects: list[Effect] = []
        if not wanted <= self._known:
            self._waiting = change if self._waiting is None else self._waiting.then(change)
        elif change or always:
            effects.append(Desire(change))
        if wanted != self._wanted:
            self._wanted = wanted
            effects.append(WantSecrets(wanted))
        return effects

    def read(self, event: SecretsRead) -> DesiredChange | None:
        """Files were looked at: returns what has waited for that, which is to be told now."""
        self._known = event.broken | event.materials.keys()
        waiting, self._waiting = self._waiting, None
        return waiting


def identity_secrets(contexts: Sequence[Context]) -> frozenset[SecretSource]:
    """What the identities of these contexts are made of."""
    found = (one.identity.secrets for one in contexts if one.identity is not None)
    return frozenset[SecretSource]().union(*found)
