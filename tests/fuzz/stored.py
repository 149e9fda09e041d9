"""Targets: what is read from etcd and from disk, manifests, and what Envoy asks."""

from __future__ import annotations

import json
from hashlib import sha256

from sidecar.xds.events import DeltaRequest, SendResponse
from sidecar.xds.resource import TypeUrl
from store import codec, snapshot_file
from store.manifest.documents import read_text
from store.snapshot import Entry, Epoch, Snapshot
from store.snapshot_file import MAGIC, SnapshotFileRefused, StoredSnapshot
from tests.fuzz import sowing
from tests.fuzz.sowing import Source
from tests.fuzz.target import Target
from tests.harness.fake_envoy import Wire, change, resource

__all__ = ["TARGETS"]

KEYS = (
    "ns/default/virtualservices/reviews",
    "ns/default/destinationrules/reviews",
    "ns/default/serviceentries/reviews",
    "ns/default/gateways/in",
    "hosts/vm-7",
    "admission/vm-7",
    "mesh",
    "format",
    "ns/Bad/what/x",
)


def read_value(content: bytes) -> None:
    """A value of etcd is an object, or told why not; what was found valid is parsed without a check."""
    key = KEYS[content[0] % len(KEYS)] if content else "mesh"
    decoded = codec.decode(key, content[1:])
    assert decoded.diagnostics or decoded.document is not None
    if decoded.object is not None:
        codec.parse(key, content[1:])


def read_manifest(content: bytes) -> None:
    """A manifest never raises, and every problem has its place."""
    manifest = read_text(content.decode("utf-8", "replace"), "fuzzed.yaml")
    for problem in manifest.diagnostics:
        assert problem.code


def read_snapshot_file(content: bytes) -> None:
    """A file is whole or refused; the checksum is made right, since it keeps no one out who means harm."""
    sown = sowing.packed(_snapshot_fields(Source(content)))
    for whole in (content, _headed(content), _headed(sown)):
        try:
            stored = snapshot_file.decode(whole)
        except SnapshotFileRefused:
            continue
        again = snapshot_file.decode(snapshot_file.encode(stored))
        assert again.snapshot.hash == stored.snapshot.hash


def _headed(body: bytes) -> bytes:
    """With the head of a real file, but for length and checksum, which are those of the body."""
    length, digest = len(body), sha256(body).digest()
    return snapshot_file._HEAD.pack(MAGIC, snapshot_file.VERSION, length, digest) + body


def _snapshot_fields(source: Source) -> dict[str, object]:
    places = [(source.one_of(KEYS), source.chunk(9), 1, 1 + source.byte() % 9, 1, 0) for _ in "ab"]
    rows = places[: source.byte() % 3]
    entries = {row[0]: Entry(*row) for row in rows}
    fields: dict[str, object] = {
        "prefix": "/meshd/v1",
        "cluster_id": 7,
        "life": 1,
        "revision": 9,
        "hash": Snapshot.of(Epoch(1, 7), 9, entries.values()).hash,
        "saved_at_ms": 1,
        "entries": rows,
        "memory": [],
        "names": [],
        "kept": {},
        "rules": "",
    }
    for _ in range(source.byte() % 4):
        fields[source.one_of(tuple(fields))] = sowing.value(source)
    return fields


_NAMES = ("a", "b", "*", "ghost", "outbound/reviews", "")
_TYPES = (*(t.value for t in TypeUrl), "type.googleapis.com/unknown", "")


def ask_session(content: bytes) -> None:
    """Whatever is asked, answers have fresh nonces, and time never stands still."""
    source = Source(content)
    wire = Wire()
    if source.byte() % 4:
        wanted = [resource(t, name) for t in TypeUrl for name in ("a", "b")]
        wire.handle(change("e@1", *wanted))
    wire.open()
    nonces: list[str] = [""]
    for _ in range(40):
        if not source:
            break
        for effect in wire.handle(_request(source, nonces)):
            if isinstance(effect, SendResponse):
                assert effect.nonce not in nonces
                nonces.append(effect.nonce)
    wire.session.snapshot()


def _request(source: Source, nonces: list[str]) -> DeltaRequest:
    def names() -> tuple[str, ...]:
        return tuple(source.one_of(_NAMES) for _ in range(source.byte() % 4))

    return DeltaRequest(
        source.one_of((1, 1, 1, 2)),
        source.one_of(_TYPES),
        names(),
        names(),
        {name: source.one_of(("1", "", "?")) for name in names()},
        source.one_of((*nonces[-5:], "stale")),
        source.one_of((None, None, "refused", "")),
        source.one_of(("", "node")),
    )


_ROUTE = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "reviews", "namespace": "default"},
    "spec": {
        "hosts": ["reviews"],
        "http": [{"route": [{"destination": {"host": "reviews"}}], "timeout": "1s"}],
    },
}
_YAML = b"""apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec:
  host: reviews
  subsets: [{name: v1, labels: &l {version: v1}}, {name: v2, labels: *l}]
---
# another
a: !!binary "aGk="
"""
_FILE = snapshot_file.encode(
    StoredSnapshot(
        "/meshd/v1", Snapshot.of(Epoch(1, 7), 9, [Entry(KEYS[0], b"{}", 1, 2, 1)]), (), ("a",), 5
    )
)
_SOME = tuple(bytes((7 * n + 11 * step) % 256 for n in range(80)) for step in range(8))

TARGETS = (
    Target("store", read_value, (b"\0" + json.dumps(_ROUTE).encode(), b"\1" + _YAML), 1024),
    Target("manifest", read_manifest, (_YAML, json.dumps([_ROUTE]).encode()), 1024),
    Target("snapshot-file", read_snapshot_file, (_FILE, _FILE[45:], *_SOME), 1024),
    Target("xds-session", ask_session, _SOME, 512),
)
