"""Which Sidecar applies, and what its egress hosts import."""

from __future__ import annotations

import pytest

from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, HostName
from sidecar.mesh.scopes import EVERYTHING, SidecarScope
from sidecar.mesh.view import View
from tests.harness.catalogs import Document, Store
from tests.harness.objects import sidecar

ROOT = "meshd-system"


def scope_of(*documents: Document, is_gateway: bool = False, **labels: str) -> SidecarScope:
    """The scope of a workload of `default` with these labels."""
    store = Store(documents)
    context = Context("", "default", labels, is_gateway=is_gateway)
    return View(Mesh.build(store.catalog, store.registrations), context).sidecar_scope


def chosen(*documents: Document, **labels: str) -> str | None:
    """The Sidecar that applies to a workload of `default` with these labels."""
    ref = scope_of(*documents, is_gateway=False, **labels).source.ref
    return None if ref is None else f"{ref.namespace}/{ref.name}"


IN_ROOT = sidecar("root", ROOT)
IN_ROOT_FOR_SOME = sidecar("some", ROOT, workloadSelector={"labels": {"app": "web"}})
PLAIN = sidecar("plain")
YOUNGER = sidecar("a-younger")
FOR_WEB = sidecar("web", workloadSelector={"labels": {"app": "web"}})
FOR_WEB_V1 = sidecar("web-v1", workloadSelector={"labels": {"app": "web", "v": "1"}})


@pytest.mark.parametrize(
    ("documents", "labels", "expected"),
    [
        ([], {}, None),
        ([IN_ROOT], {}, f"{ROOT}/root"),
        ([IN_ROOT_FOR_SOME], {"app": "web"}, None),
        ([IN_ROOT, PLAIN], {}, "default/plain"),
        ([PLAIN, YOUNGER], {}, "default/plain"),
        ([PLAIN, FOR_WEB], {"app": "web"}, "default/web"),
        ([PLAIN, FOR_WEB], {"app": "batch"}, "default/plain"),
        ([FOR_WEB, FOR_WEB_V1], {"app": "web", "v": "1"}, "default/web"),
        ([FOR_WEB], {"app": "batch"}, None),
        ([sidecar("other", "elsewhere")], {}, None),
    ],
)
def test_own_selector_then_own_namespace_then_root_then_everything(
    documents: list[Document], labels: dict[str, str], expected: str | None
) -> None:
    assert chosen(*documents, **labels) == expected


def test_without_a_sidecar_and_at_gateways_everything_is_imported() -> None:
    assert scope_of() is EVERYTHING
    assert scope_of(PLAIN, is_gateway=True) is EVERYTHING


def test_a_sidecar_without_egress_imports_everything() -> None:
    scope = scope_of(sidecar("s", egress=[]))
    assert scope.has_service(HostName("a.test"), "anywhere")
    assert scope.source.ref is not None


@pytest.mark.parametrize(
    ("entries", "host", "namespace", "expected"),
    [
        (["*/*"], "a.test", "any", True),
        (["./*"], "a.test", "default", True),
        (["./*"], "a.test", "other", False),
        (["other/a.test"], "a.test", "other", True),
        (["other/a.test"], "a.test", "default", False),
        (["*/a.test"], "a.test", "other", True),
        (["*/*.test"], "a.test", "other", True),
        (["*/*.test"], "test", "other", False),
        (["*/a.test"], "*.test", "other", False),
        (["~/*"], "a.test", "default", False),
        (["*/*", "~other/a.test"], "a.test", "other", False),
        (["*/*", "~other/a.test"], "a.test", "default", True),
        (["*/*", "~*/*.test"], "a.test", "default", False),
        (["*/*", "~./*"], "a.test", "default", False),
        (["./reviews"], "reviews.default.svc.cluster.local", "default", True),
        (["other/reviews"], "reviews.other.svc.cluster.local", "other", True),
        (["a.test"], "a.test", "other", True),
    ],
)
def test_egress_hosts_import_services(
    entries: list[str], host: str, namespace: str, expected: bool
) -> None:
    scope = scope_of(sidecar("s", hosts=entries))
    assert scope.has_service(HostName(host), namespace) is expected


@pytest.mark.parametrize(
    ("entries", "hosts", "expected"),
    [
        (["*/a.test"], ["*.test"], True),
        (["*/*.test"], ["a.test"], True),
        (["*/a.b.test"], ["*.b.test", "c.d"], True),
        (["*/a.test"], ["b.test"], False),
        (["other/a.test"], ["a.test"], False),
        (["*/*", "~*/a.test"], ["a.test"], False),
        (["*/*", "~*/a.test"], ["a.test", "b.test"], True),
        (["*/*", "~*/a.test"], ["*.test"], True),
    ],
)
def test_virtual_services_are_imported_where_hosts_overlap(
    entries: list[str], hosts: list[str], expected: bool
) -> None:
    scope = scope_of(sidecar("s", hosts=entries))
    named = [HostName(host) for host in hosts]
    assert scope.has_virtual_service(named, "default") is expected
