"""Every upstream object that can be read builds into tables, whatever stands beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from sidecar.balancing.balancer import Balancer
from sidecar.mesh.model import Context
from sidecar.mesh.view import View
from sidecar.routing.build import (
    gateway_servers,
    http_listeners,
    outbound_virtual_host,
    outbound_virtual_hosts,
    tcp_listeners,
)
from sidecar.routing.explain import explain
from sidecar.routing.match import Request, choose_virtual_host
from store.errors import InputError
from store.objects import parse_object
from store.objects.kinds import kind_named
from tests.harness.catalogs import Document, Store, key_of
from tests.harness.routing import view_of

CORPUS = Path(__file__).parents[3].parent / "shared" / "corpus"
SETS = (
    "istio-samples",
    "api-proto-examples",
    "istio-docs",
    "istio-analysis-testdata",
    "istio-test-datasets",
)

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.slow,
    pytest.mark.skipif(not CORPUS.is_dir(), reason=f"the corpus is not at {CORPUS}"),
]


def documents(folder: Path) -> Iterator[Document]:
    """Objects of our kinds that parse; anything else in the corpus is for the corpus tests of the store."""
    for file in sorted(folder.rglob("*.yaml")):
        try:
            found = list(yaml.safe_load_all(file.read_text()))
        except (yaml.YAMLError, UnicodeDecodeError):
            continue
        for document in found:
            if not isinstance(document, dict) or kind_named(str(document.get("kind"))) is None:
                continue
            if not isinstance(document.get("metadata"), dict):
                continue
            try:
                parse_object(document)
                key_of(document)
            except (ValidationError, ValueError, InputError):
                continue
            yield document


def labels_of(store: Store) -> Iterator[dict[str, str]]:
    """The selectors of all gateways: who would open them."""
    for found in store.catalog.objects.values():
        if found.ref.kind.value == "Gateway":
            yield dict(found.document["spec"].get("selector") or {})


@pytest.mark.parametrize("name", SETS)
def test_tables_are_built_from_every_readable_object(name: str) -> None:
    store = Store(documents(CORPUS / name))
    assert len(store.catalog.objects) > 5
    namespaces = {ref.namespace for ref in store.catalog.objects if ref.namespace}
    for namespace in sorted(namespaces):
        view = view_of(store, Context("", namespace, {"app": "web"}))
        hosts = list(outbound_virtual_hosts(view))
        domains = Counter(domain for host in hosts for domain in host.domains)
        assert [domain for domain, count in domains.items() if count > 1] == []
        http_listeners(view)
        tcp_listeners(view)
        check_on_demand(view, sorted(domain for domain in domains if "*" not in domain)[::7])
    for labels in labels_of(store):
        gateway = Context("", "istio-system", labels, is_gateway=True)
        assert gateway_servers(view_of(store, gateway))


def check_on_demand(view: View, authorities: list[str]) -> None:
    """A name asked for alone gets what it has among all."""
    hosts = {domain: host for host in outbound_virtual_hosts(view) for domain in host.domains}
    for authority in authorities:
        eager = choose_virtual_host(hosts, authority)
        assert eager is not None
        assert outbound_virtual_host(view, authority).routes == eager.routes, authority
        assert explain(view, Request(authority=authority), Balancer(view)).virtual_host
