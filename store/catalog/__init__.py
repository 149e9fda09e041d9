"""The objects and registrations in force, folded from snapshots; what may not serve is quarantined."""

from __future__ import annotations

from store.catalog.catalog import Catalog, CatalogStep
from store.catalog.generations import Compacted, Recall, RecallSource, Refusal
from store.catalog.parts import (
    CatalogChange,
    CatalogMemory,
    CatalogObject,
    Quarantined,
    Remembered,
)

__all__ = [
    "Catalog",
    "CatalogChange",
    "CatalogMemory",
    "CatalogObject",
    "CatalogStep",
    "Compacted",
    "Quarantined",
    "Recall",
    "RecallSource",
    "Refusal",
    "Remembered",
]
