"""A small world of objects that interfere with each other, for tests that change a mesh at random.

`OBJECTS` are the variants; every change puts or deletes some of them. They are chosen so that they meet: two services
that want one short name, rules with wildcards, subsets that come and go, routes to what does not exist, a Sidecar, a
gateway, registrations beside a ServiceEntry.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hypothesis import strategies as st

from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, MeshChange
from sidecar.mesh.view import View
from tests.harness.catalogs import Store, documents_of, key_of

__all__ = ["CHANGES", "GATEWAY", "OBJECTS", "WEB", "World"]

Document = Mapping[str, object]

WEB = Context("", "default", {"app": "web"})
GATEWAY = Context("", "default", {"istio": "ingress"}, is_gateway=True)

OBJECTS: tuple[Document, ...] = tuple(
    documents_of((Path(__file__).parent.parent / "data" / "world.yaml").read_text())
)

KEYS = tuple(sorted({key_of(document) for document in OBJECTS}))

_PUT = st.sampled_from(OBJECTS)
_DELETE = st.sampled_from(KEYS)
CHANGES = st.lists(st.one_of(_PUT, _PUT, _DELETE), min_size=1, max_size=14)
"""Sequences of changes: a document to put, or a key to delete."""


class World:
    """A store, the mesh over it and what each context sees, changed step by step."""

    def __init__(self, *contexts: Context) -> None:
        self.store = Store()
        self.contexts = contexts or (WEB,)
        self.mesh = Mesh.build(self.store.catalog, self.store.registrations)

    @property
    def views(self) -> dict[str, View]:
        """What each context sees now."""
        return self.views_of(self.mesh)

    def views_of(self, mesh: Mesh) -> dict[str, View]:
        """What each context sees of a mesh."""
        return {c.name: View(mesh, c, len(self.contexts)) for c in self.contexts}

    def change(self, step: Document | str) -> MeshChange:
        """Put a document or delete a key; say what differs."""
        if isinstance(step, str):
            if self.store.snapshot.get(step) is None:
                return MeshChange()
            self.store.delete(step)
        else:
            self.store.put([step])
        self.mesh, change = self.mesh.apply(
            self.store.catalog, self.store.change, self.store.registrations
        )
        return change
