"""Which object is to blame for what Envoy refused."""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.xds.events import ResourceRejected
from sidecar.xds.resource import Resource, TypeUrl
from store.catalog import CatalogObject
from store.objects.base import ObjectRef

__all__ = ["culprit", "is_superseded"]


def is_superseded(
    resources: Mapping[TypeUrl, Mapping[str, Resource]], rejected: ResourceRejected
) -> bool:
    """Whether Envoy should have another version of the resource by now, or none."""
    wanted = resources.get(rejected.type_url, {}).get(rejected.name)
    return wanted is None or wanted.version != rejected.version


def culprit(
    objects: Mapping[ObjectRef, CatalogObject], rejected: ResourceRejected
) -> tuple[ObjectRef, int] | None:
    """The youngest object behind a refused resource, and its revision: the others served before it came."""
    found = [
        (objects[source.ref].entry.mod_revision, source.ref)
        for source in rejected.sources
        if source.ref is not None and source.ref in objects
    ]
    if not found:
        return None
    mod_revision, ref = max(found)
    return ref, mod_revision
