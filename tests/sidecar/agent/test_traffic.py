from __future__ import annotations

from pathlib import Path

import pytest
import trio

from sidecar.agent.envoy_admin import AdminClient
from sidecar.agent.traffic import MeshFacts, Traffic
from sidecar.mesh.model import Context, Protocol
from sidecar.node.events import LocalPortsChanged
from sidecar.routing.table import InboundKey
from sidecar.telemetry.party import Party
from sidecar.xds.compile import Bind, InboundPort
from store.errors import AgentUnavailable
from store.snapshot import Snapshot
from tests.harness.nodes import EPOCH, arrive, make_node, registration

WEB = Party.of("web-1", "default", {"app": "web"})
PORT = InboundPort(
    InboundKey(15006),
    Bind("10.0.0.1", 15006),
    "127.0.0.1",
    9080,
    Protocol.HTTP,
    service="reviews",
    labels={"version": "v1"},
    workload="reviews-h1",
)
ANSWER = 'envoy_istio_requests_total{p="source;;outbound|9080||reviews.default.svc.cluster.local;200;-;;;"} 2\n'


class Admin(AdminClient):
    """Answers as an Envoy would; None: it is away."""

    answer: str | None = ANSWER

    async def get(self, path: str) -> bytes:
        await trio.lowlevel.checkpoint()
        if self.answer is None:
            raise AgentUnavailable("Envoy is away")
        return self.answer.encode()


def facts(*, loaded: bool = True) -> MeshFacts:
    node = make_node()
    node.handle(LocalPortsChanged((PORT,)), 0.0)
    if loaded:
        arrive(node, Snapshot.of(EPOCH, 5, [registration("h1", 5)]))
    return MeshFacts(node, {"": WEB})


def test_a_destination_is_the_service_that_the_context_sees() -> None:
    found = facts().destination("", "reviews.default.svc.cluster.local", "")
    assert (found.name, found.namespace) == ("reviews", "default")


def test_a_destination_that_is_gone_keeps_its_host_name() -> None:
    found = facts().destination("", "gone.example.com", "v1")
    assert (found.host, found.name, found.subset) == ("gone.example.com", "gone.example.com", "v1")
    assert facts(loaded=False).destination("", "a.b", "").name == "a.b"


def test_an_inbound_port_is_the_local_workload() -> None:
    found = facts().local("15006")
    assert (found.host, found.name) == ("reviews.default.svc.cluster.local", "reviews")
    assert (found.party.workload, found.party.version) == ("reviews-h1", "v1")
    assert facts().local("1").party.workload == "web-1", "a port that a Sidecar opened"
    assert facts(loaded=False).local("15006").party.workload == "reviews-h1"


def test_the_sender_has_the_labels_that_its_context_has_now() -> None:
    node = make_node()
    arrive(node, Snapshot.of(EPOCH, 5, [registration("h1", 5)]))
    known = MeshFacts(node, {"": WEB})
    member = Context("", "default", {"app": "carts"})
    node.handle(LocalPortsChanged((), (), (member,)), 1.0)
    assert (known.context("").app, known.context("").workload) == ("carts", "web-1")


async def test_envoys_numbers_get_this_hosts_labels() -> None:
    text = (await Traffic(Admin(Path("/nowhere")), facts()).text()).decode()
    assert 'source_workload="web-1"' in text
    assert 'destination_service_name="reviews"' in text
    assert text.rstrip().endswith("} 2")


async def test_without_envoy_there_are_none_and_it_is_said_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    admin = Admin(Path("/nowhere"))
    admin.answer = None
    traffic = Traffic(admin, facts())
    assert await traffic.text() == await traffic.text() == b""
    assert capsys.readouterr().out.count("envoy_metrics_unavailable") <= 1
