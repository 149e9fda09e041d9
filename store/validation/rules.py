"""Which rules an object is checked against, by its kind."""

from __future__ import annotations

from store.objects.base import MeshObject
from store.validation.findings import Findings

__all__ = ["check_rules"]


def check_rules(model: MeshObject, found: Findings) -> None:
    """Check an object of the right shape against the rules of its kind."""
