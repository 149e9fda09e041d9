"""A mesh of objects that nobody has judged yet answers as the mesh of those that are valid.

Some of the objects have a field that no model knows: what an index reads of them is as good as of the others, so each
question that reaches an index must ask whether what it finds there serves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.mesh.mesh import Mesh
from store.catalog import Catalog
from store.objects.host import HostRegistration
from store.snapshot import Entry, Snapshot
from tests.harness.catalogs import EPOCH, Document, decode, key_of, registrations_of
from tests.sidecar.mesh.test_mesh import BEGINNING, documents, everything


class Read:
    """What decoding gives where a value may be bad."""

    def __init__(self, key: str, value: bytes) -> None:
        from store.codec import decode as decode_strictly

        strict = decode_strictly(key, value)
        is_spoilt = any(one.code == "MESH0102" for one in strict.diagnostics)
        self.document = strict.document
        self.diagnostics = strict.diagnostics if is_spoilt else ()
        self.object = None if is_spoilt else decode(key, value).object


def stored(objects: Sequence[tuple[Document, bool]]) -> Snapshot:
    """The objects, created one after another; those marked so are spoilt."""
    entries = {}
    for revision, (document, spoilt) in enumerate(objects, 2):
        whole = json.loads(json.dumps(document))
        if spoilt and "spec" in whole:
            whole["spec"]["noSuchField"] = 1
        key = key_of(document)
        entries[key] = Entry(key, json.dumps(whole).encode(), revision, revision, 1)
    return Snapshot.of(EPOCH, len(objects) + 2, entries.values())


def built(snapshot: Snapshot, put_off_from: int | None) -> Mesh:
    catalog = Catalog.empty(decode=Read, put_off_from=put_off_from).apply(snapshot).catalog
    return Mesh.build(catalog, registrations_of(catalog))


some = st.tuples(documents, st.booleans())


@given(st.lists(st.booleans(), min_size=len(BEGINNING), max_size=len(BEGINNING)), st.lists(some))
@settings(max_examples=80)
def test_what_is_bad_is_passed_over_by_every_question(
    spoilt: Sequence[bool], more: Sequence[tuple[Document, bool]]
) -> None:
    snapshot = stored([*zip(BEGINNING, spoilt, strict=True), *more])
    assert everything(built(snapshot, 0)) == everything(built(snapshot, None))


def test_registrations_are_judged_at_once() -> None:
    snapshot = stored([(one, False) for one in BEGINNING])
    catalog = Catalog.empty(decode=Read, put_off_from=0).apply(snapshot).catalog
    assert all(isinstance(catalog.hosts[host], HostRegistration) for host in catalog.hosts)
    assert 0 < catalog.unjudged < len(catalog.objects)
