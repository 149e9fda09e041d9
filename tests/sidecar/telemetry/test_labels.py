from __future__ import annotations

from sidecar.telemetry.labels import Destination, labels_of
from sidecar.telemetry.packing import Packed, Reporter
from sidecar.telemetry.party import NOBODY, Party

CLIENT = Party.of("web-1", "shop", {"app": "web", "version": "v7"})
REVIEWS = "reviews.default.svc.cluster.local"


class Known:
    """What one host knows."""

    def context(self, name: str) -> Party:
        return CLIENT if name == "web" else NOBODY

    def local(self, port: str) -> Destination:
        party = Party.of("reviews-h1", "default", {"app": "reviews"})
        return Destination(REVIEWS, "reviews", "default", "", party)

    def destination(self, context: str, host: str, subset: str) -> Destination:
        return Destination(host, "reviews", "default", subset, Party(version=subset))


def labels(*fields: str, reporter: Reporter = Reporter.SOURCE, tcp: bool = False) -> dict[str, str]:
    padded = [*fields, *[""] * 7][:7]
    return dict(labels_of(Packed(reporter, *padded), Known(), tcp=tcp))


def source(cluster: str, *fields: str, tcp: bool = False) -> dict[str, str]:
    return labels("web", cluster, *fields, tcp=tcp)


def destination(*fields: str) -> dict[str, str]:
    return labels("15006", "", *fields, reporter=Reporter.DESTINATION)


def test_a_cluster_names_the_destination_and_its_subset() -> None:
    for direction in ("outbound", "outbound.web"):
        found = source(f"{direction}|9080|v1|{REVIEWS}", "200")
        assert found["destination_service"] == REVIEWS
        assert found["destination_service_name"] == "reviews"
        assert found["destination_subset"] == found["destination_version"] == "v1"
        assert (found["source_workload"], found["source_app"]) == ("web-1", "web")
        assert found["response_code"] == "200"


def test_clusters_that_stand_for_no_service_are_named_as_they_are() -> None:
    found = source("PassthroughCluster")
    assert found["destination_service_name"] == "PassthroughCluster"
    assert found["destination_service"] == "unknown"


def test_an_answer_without_destination_has_none() -> None:
    found = source("", "404", "NR")
    assert found["destination_service"] == found["destination_workload"] == "unknown"
    assert found["response_flags"] == "NR"


def test_a_grpc_status_makes_a_request_grpc() -> None:
    assert source("", "200", "", "0")["request_protocol"] == "grpc"
    assert source("", "200", "", "")["request_protocol"] == "http"


def test_a_connection_has_no_code() -> None:
    found = source(f"outbound|5432||{REVIEWS}", tcp=True)
    assert found["request_protocol"] == "tcp"
    assert not found.keys() & {"response_code", "grpc_response_status"}


def test_every_metric_of_requests_has_the_same_labels_on_both_sides() -> None:
    assert list(source("")) == list(destination())


class TestPeer:
    PRINCIPAL = "spiffe://cluster.local/ns/shop/sa/web"

    def test_a_certificate_proves_namespace_and_principal(self) -> None:
        found = destination("200", "", "", self.PRINCIPAL)
        assert found["source_principal"] == self.PRINCIPAL
        assert found["source_workload_namespace"] == "shop"
        assert found["connection_security_policy"] == "mutual_tls"

    def test_a_peers_own_word_says_the_rest(self) -> None:
        found = destination("200", "", "", self.PRINCIPAL, "web-1;shop;web;v7;web;v7")
        assert found["source_workload"] == "web-1"
        assert (found["source_app"], found["source_version"]) == ("web", "v7")

    def test_a_peer_that_claims_another_namespace_is_not_believed(self) -> None:
        found = destination("200", "", "", self.PRINCIPAL, "web-1;admin;web;v7;web;v7")
        assert found["source_workload"] == "unknown"
        assert found["source_workload_namespace"] == "shop"

    def test_without_a_certificate_its_word_is_all_there_is(self) -> None:
        found = destination("200", "", "", "", "web-1;shop;web")
        assert found["source_workload_namespace"] == "shop"
        assert found["source_version"] == "unknown"
        assert found["connection_security_policy"] == "none"

    def test_a_stranger_is_unknown(self) -> None:
        found = destination("200")
        assert {value for name, value in found.items() if name.startswith("source_")} == {"unknown"}


def test_canonical_names_come_from_labels_else_from_the_workload() -> None:
    party = Party.of("w", "ns", {"app.kubernetes.io/name": "cart", "app": "other"})
    assert (party.service, party.app, party.revision) == ("cart", "other", "latest")
    assert Party.of("w", "ns", {}).service == "w"
