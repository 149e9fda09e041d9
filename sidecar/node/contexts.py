"""What of a workload context changes while the sidecar runs: its identity's state, and what its group says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from sidecar.certificates.model import Material, SecretSource
from sidecar.mesh.model import Context

__all__ = ["resembling", "with_identity"]


def resembling(contexts: tuple[Context, ...], others: Iterable[Context]) -> tuple[Context, ...]:
    """The contexts with labels, locality and network of those of the same names; identities stay."""
    by_name = {other.name: other for other in others}
    return tuple(
        one
        if (other := by_name.get(one.name)) is None
        else replace(one, labels=other.labels, locality=other.locality, network=other.network)
        for one in contexts
    )


def with_identity(context: Context, materials: Mapping[SecretSource, Material]) -> Context:
    """The context with its identity held, or not, as files give it."""
    identity = context.identity
    if identity is None:
        return context
    is_held = identity.secrets <= materials.keys()
    return replace(context, identity=replace(identity, is_held=is_held))
