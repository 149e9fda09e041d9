"""What nobody has judged yet opens no captured port: one object that serves must stand behind each."""

from __future__ import annotations

import json

import pytest
from immutables import Map

from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, MeshChange
from sidecar.mesh.view import View
from sidecar.xds.compile import Bind
from sidecar.xds.compile.capture import CaptureBind
from sidecar.xds.desired import Builder, BuilderSettings
from sidecar.xds.resource import TypeUrl
from store.catalog import Catalog
from store.keys import object_key
from store.objects.base import ObjectRef
from store.objects.host import HostRegistration
from store.objects.kinds import Kind
from store.snapshot import Entry, Epoch, Snapshot
from tests.harness.objects import registration, workload

EPOCH = Epoch(1, 0xCA)
CONTEXT = Context("", "default", is_captured=True)


def service(name: str, port: object, *, good: bool = True) -> Entry:
    """A ServiceEntry that speaks nothing but HTTP, the older the earlier its name."""
    spec: dict[str, object] = {
        "hosts": [f"{name}.example"],
        "ports": [{"number": port, "name": "http", "protocol": "HTTP"}],
        "resolution": "STATIC",
        "endpoints": [{"address": "10.0.0.1"}],
    }
    if not good:
        spec["noSuchField"] = 1
    document = {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "spec": spec}
    key = object_key(ObjectRef(Kind.SERVICE_ENTRY, "default", name))
    revision = 2 + ord(name[0])
    return Entry(key, json.dumps(document).encode(), revision, revision, 1)


class Host:
    """A captured host in a large mesh."""

    def __init__(
        self, *entries: Entry, registered: Map[str, HostRegistration] | None = None
    ) -> None:
        self.registered: Map[str, HostRegistration] = registered or Map()
        loaded = Snapshot.of(EPOCH, 500, entries)
        self.catalog = Catalog.empty(put_off_from=0).apply(loaded).catalog
        self.mesh = Mesh.build(self.catalog, self.registered)
        settings = BuilderSettings(
            {"": Bind("127.0.0.1", 15001)}, captured={"": CaptureBind(15101)}, budget_services=0
        )
        self.builder = Builder(settings)
        self._tell(MeshChange(everything=True))

    def judge(self, count: int) -> None:
        step = self.catalog.judge(count)
        self.catalog = step.catalog
        self.mesh, change = self.mesh.apply(step.catalog, step.change, self.registered)
        self._tell(change)

    def _tell(self, change: MeshChange) -> None:
        self.builder.update({"": View(self.mesh, CONTEXT)}, change, "n")

    @property
    def ports(self) -> set[str]:
        names = self.builder.resources[TypeUrl.LISTENER]
        return {name.rpartition("_")[2] for name in names if "_" in name}


@pytest.mark.parametrize("port", [8080, 70_000, -1, 0, 2**70])
def test_what_is_bad_opens_no_port_before_it_is_judged(port: int) -> None:
    host = Host(service("a", 80), service("b", port, good=False))
    assert host.ports == {"80"}


def test_of_thousands_on_one_port_one_is_judged() -> None:
    host = Host(*(service(name, 80) for name in "abcdef"))
    assert host.ports == {"80"}
    assert host.catalog.unjudged == 5


def test_one_that_is_good_opens_the_port_of_many_that_are_bad() -> None:
    host = Host(*(service(name, 80, good=name == "d") for name in "abcdef"))
    assert host.ports == {"80"}
    while host.catalog.unjudged:
        host.judge(1)
        assert host.ports == {"80"}
    assert len(host.catalog.quarantined) == 5


def test_a_service_that_workloads_alone_make_opens_its_port() -> None:
    told = HostRegistration.model_validate(registration("vm-1", workload("web", "web")))
    host = Host(service("a", 80), registered=Map({"vm-1": told}))
    assert host.ports == {"80", "9080"}
