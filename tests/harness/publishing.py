"""Small objects and short ways to publish them, for tests against a real etcd."""

from __future__ import annotations

from store.changes import ChangeSet, object_ref, plan_put
from store.etcd.client import EtcdClient
from store.etcd.publishing import Published, authorship, publish, read_current
from store.etcd.settings import EtcdSettings
from store.keys import object_key

__all__ = ["Document", "key_of", "planned", "put", "rule", "settings"]

Document = dict[str, object]


def rule(
    name: str, text: str = "", namespace: str = "default", kind: str = "DestinationRule"
) -> Document:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "annotations": {"text": text}},
        "spec": {"host": name} if kind == "DestinationRule" else {"hosts": [name]},
    }


def key_of(document: Document) -> str:
    return object_key(object_ref(document))


def settings(url: str, prefix: str, timeout_s: float = 5.0) -> EtcdSettings:
    return EtcdSettings(endpoints=(url,), prefix=prefix, request_timeout_s=timeout_s)


def planned(client: EtcdClient, *documents: Document) -> ChangeSet:
    current = read_current(client, [key_of(document) for document in documents])
    return plan_put(documents, current.entries, revision=current.revision)


def put(client: EtcdClient, *documents: Document, message: str = "") -> Published:
    return publish(client, planned(client, *documents), authorship("ann", message))
