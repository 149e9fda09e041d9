"""Endpoints of one port: target ports, selection, resolution, health."""

from __future__ import annotations

import pytest

from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, Endpoint, Health, HostName, Locality
from sidecar.mesh.view import View
from tests.harness.catalogs import Document, Store
from tests.harness.objects import registration, service_entry, workload, workload_entry

HOST = HostName("api.test")
PORT = {"number": 80, "name": "http", "protocol": "HTTP"}
SELECTOR = {"labels": {"app": "api"}}


def endpoints_of(*documents: Document, port: int = 80, host: str = HOST) -> tuple[Endpoint, ...]:
    store = Store(documents)
    view = View(Mesh.build(store.catalog, store.registrations), Context("", "default"))
    service = view.service(HostName(host))
    assert service is not None
    return view.endpoints(service, port)


def addresses(*documents: Document) -> list[tuple[str, int]]:
    return [(one.address, one.port) for one in endpoints_of(*documents)]


@pytest.mark.parametrize(
    ("port", "endpoint", "expected"),
    [
        (PORT, {}, 80),
        ({**PORT, "targetPort": 8080}, {}, 8080),
        ({**PORT, "targetPort": 8080}, {"ports": {"http": 9090}}, 9090),
        (PORT, {"ports": {"other": 9090}}, 80),
    ],
)
def test_the_endpoints_own_port_beats_the_target_port_beats_the_number(
    port: Document, endpoint: Document, expected: int
) -> None:
    entry = service_entry(
        "s", [HOST], ports=[port], endpoints=[{"address": "10.0.0.1", **endpoint}]
    )
    assert addresses(entry) == [("10.0.0.1", expected)]


def test_unix_sockets_have_no_port() -> None:
    sockets = [{"address": "unix:///run/a.sock"}, {"address": "unix://@abstract"}]
    entry = service_entry("s", [HOST], endpoints=sockets)
    assert addresses(entry) == [("/run/a.sock", 0), ("@abstract", 0)]


@pytest.mark.parametrize("resolution", ["DNS", "DNS_ROUND_ROBIN"])
def test_with_dns_and_no_endpoints_the_host_is_its_own_endpoint(resolution: str) -> None:
    port = {**PORT, "targetPort": 443}
    entry = service_entry("s", [HOST], ports=[port], resolution=resolution)
    assert addresses(entry) == [(HOST, 443)]


@pytest.mark.parametrize("resolution", ["NONE", "STATIC", "DYNAMIC_DNS"])
def test_other_resolutions_have_no_endpoint_of_their_own(resolution: str) -> None:
    assert addresses(service_entry("s", [HOST], resolution=resolution)) == []


def test_everything_that_an_endpoint_says_is_kept() -> None:
    entry = service_entry(
        "s",
        [HOST],
        endpoints=[
            {
                "address": "10.0.0.1",
                "labels": {"version": "v1"},
                "locality": "eu/west/rack1/shelf2",
                "network": "n1",
                "weight": 7,
                "serviceAccount": "api",
            },
            {"address": "10.0.0.2", "weight": 0, "labels": {"istio-locality": "eu.west"}},
            {"network": "n1"},
        ],
    )
    plain, full = endpoints_of(entry)
    assert (full.labels, full.locality) == (
        {"version": "v1"},
        Locality("eu", "west", "rack1/shelf2"),
    )
    assert (full.network, full.weight, full.service_account, full.tls_mode) == (
        "n1",
        7,
        "api",
        "istio",
    )
    assert str(full.source) == "ServiceEntry/default/s@1 spec.endpoints[0]"
    assert (plain.weight, plain.locality, plain.tls_mode) == (1, Locality("eu", "west"), "")


def test_endpoints_are_sorted_and_of_one_address_the_first_counts() -> None:
    entry = service_entry(
        "s",
        [HOST],
        endpoints=[
            {"address": "10.0.0.2", "locality": "b"},
            {"address": "10.0.0.9", "locality": "a"},
            {"address": "10.0.0.1", "locality": "a", "weight": 3},
            {"address": "10.0.0.1", "locality": "a", "weight": 4},
        ],
    )
    found = endpoints_of(entry)
    assert [one.address for one in found] == ["10.0.0.1", "10.0.0.9", "10.0.0.2"]
    assert found[0].weight == 3


class TestSelection:
    ENTRY = service_entry("s", [HOST], workloadSelector=SELECTOR)

    def test_workloads_of_the_namespace_with_all_labels_are_endpoints(self) -> None:
        found = addresses(
            self.ENTRY,
            workload_entry("a", "10.0.0.1", {"app": "api", "v": "1"}),
            workload_entry("b", "10.0.0.2", {"app": "other"}),
            workload_entry("c", "10.0.0.3", {"app": "api"}, "elsewhere"),
        )
        assert found == [("10.0.0.1", 80)]

    def test_labels_of_the_metadata_override_those_of_the_specification(self) -> None:
        entry = dict(workload_entry("a", "10.0.0.1", {"app": "other", "v": "1"}))
        entry["metadata"] = {"name": "a", "labels": {"app": "api"}}
        (endpoint,) = endpoints_of(self.ENTRY, entry)
        assert endpoint.labels == {"app": "api", "v": "1"}

    def test_host_names_are_endpoints_only_with_dns(self) -> None:
        named = workload_entry("a", "vm.example.com", {"app": "api"})
        assert addresses(self.ENTRY, named) == []
        by_dns = service_entry("s", [HOST], workloadSelector=SELECTOR, resolution="DNS")
        assert addresses(by_dns, named) == [("vm.example.com", 80)]
        # With a selector the host does not stand for itself.
        assert addresses(by_dns) == []

    def test_registered_workloads_are_selected_by_their_labels(self) -> None:
        host = registration("vm-1", workload("api", labels={"app": "api"}))
        # By name `http`, and the sidecar's inbound port stands in for the application's.
        assert addresses(self.ENTRY, host) == [("10.1.0.1", 15080)]

    @pytest.mark.parametrize(("target", "expected"), [(9080, 15080), (9999, 9999)])
    def test_a_target_port_that_is_registered_means_its_inbound_port(
        self, target: int, expected: int
    ) -> None:
        port = {**PORT, "name": "web", "targetPort": target}
        entry = service_entry("s", [HOST], workloadSelector=SELECTOR, ports=[port])
        host = registration("vm-1", workload("api", labels={"app": "api"}))
        assert addresses(entry, host) == [("10.1.0.1", expected)]

    def test_an_empty_selector_selects_nothing(self) -> None:
        entry = service_entry("s", [HOST], workloadSelector={})
        assert addresses(entry, workload_entry("a", "10.0.0.1", {"app": "api"})) == []

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            (None, 0),
            ({"conditions": []}, 0),
            ({"conditions": [{"type": "Healthy", "status": "False"}]}, 0),
            ({"conditions": [{"type": "Healthy", "status": "True"}]}, 1),
        ],
    )
    def test_a_checked_workload_is_withheld_until_it_is_healthy(
        self, status: object, expected: int
    ) -> None:
        entry = dict(workload_entry("a", "10.0.0.1", {"app": "api"}))
        annotations = {"proxy.istio.io/health-checks-enabled": "true"}
        entry["metadata"] = {"name": "a", "annotations": annotations}
        if status is not None:
            entry["status"] = status
        assert len(endpoints_of(self.ENTRY, entry)) == expected


class TestRegistered:
    def health_of(self, host: Document) -> Health | None:
        keeper = registration("vm-0", workload("r", HOST), address="10.1.0.0")
        found = endpoints_of(keeper, host, port=9080)
        return next((one.health for one in found if one.host == "vm-1"), None)

    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            (registration("vm-1", workload("r", HOST)), Health.HEALTHY),
            (registration("vm-1", workload("r", HOST, health="unhealthy")), Health.UNHEALTHY),
            (registration("vm-1", workload("r", HOST, state="draining")), Health.DRAINING),
            (registration("vm-1", workload("r", HOST), state="draining"), Health.DRAINING),
            (registration("vm-1", workload("r", HOST, state="withdrawn")), None),
            (registration("vm-1", workload("r", HOST), state="withdrawn"), None),
            (registration("vm-1", workload("r", HOST), address=""), None),
            (
                registration("vm-1", workload("r", HOST, health="unhealthy", state="draining")),
                Health.UNHEALTHY,
            ),
        ],
    )
    def test_state_and_health_of_the_registration_decide(
        self, host: Document, expected: Health | None
    ) -> None:
        assert self.health_of(host) == expected

    def test_a_workload_takes_from_its_host_what_it_does_not_say(self) -> None:
        own = workload(
            "b",
            HOST,
            address="10.1.0.9",
            locality="us/east",
            network="n2",
            weight=0,
            tlsMode="istio",
        )
        second, first = endpoints_of(
            registration("vm-1", workload("a", HOST), own, locality="eu/west", network="n1"),
            port=9080,
        )[::-1]
        assert (first.address, str(first.locality), first.network) == ("10.1.0.1", "eu/west", "n1")
        assert (second.address, str(second.locality), second.network) == (
            "10.1.0.9",
            "us/east",
            "n2",
        )
        assert (second.weight, second.tls_mode) == (1, "istio")
        assert str(second.source) == "hosts/vm-1 workload b"

    def test_a_port_is_found_by_number_then_by_name(self) -> None:
        entry = service_entry("s", [HOST], ports=[{**PORT, "number": 80}])
        host = registration("vm-1", workload("r", HOST))
        assert [(e.address, e.port) for e in endpoints_of(entry, host)] == [("10.1.0.1", 15080)]
        other = service_entry("s", [HOST], ports=[{**PORT, "name": "grpc"}])
        assert endpoints_of(other, host) == ()
