from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from store.objects import model_for, parse_object
from store.objects.base import ObjectRef
from store.objects.destination_rule import DestinationRule
from store.objects.gateway import Gateway, ServerTLSMode
from store.objects.kinds import KINDS, Kind, kind_by_plural, kind_named
from store.objects.mesh_config import MeshConfig, OutboundMode
from store.objects.service_entry import Resolution, ServiceEntry
from store.objects.virtual_service import VirtualService
from store.objects.workload_group import WorkloadGroup

MINIMAL: dict[Kind, dict[str, Any]] = {
    Kind.VIRTUAL_SERVICE: {},
    Kind.DESTINATION_RULE: {"host": "a"},
    Kind.GATEWAY: {},
    Kind.SERVICE_ENTRY: {"hosts": ["a.example"]},
    Kind.WORKLOAD_ENTRY: {},
    Kind.WORKLOAD_GROUP: {"template": {}},
    Kind.SIDECAR: {},
    Kind.MESH_CONFIG: {},
}


def document(kind: Kind, spec: object, **metadata: object) -> dict[str, Any]:
    return {
        "apiVersion": KINDS[kind].api_versions[0],
        "kind": kind.value,
        "metadata": {"name": "mesh" if kind is Kind.MESH_CONFIG else "a", **metadata},
        "spec": spec,
    }


def virtual_service(**spec: object) -> VirtualService:
    found = parse_object(document(Kind.VIRTUAL_SERVICE, spec))
    assert isinstance(found, VirtualService)
    return found


def destination_rule(**spec: object) -> DestinationRule:
    found = parse_object(document(Kind.DESTINATION_RULE, {"host": "a", **spec}))
    assert isinstance(found, DestinationRule)
    return found


def problems(found: dict[str, Any]) -> set[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        parse_object(found)
    return {(".".join(map(str, e["loc"])), e["type"]) for e in caught.value.errors()}


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_its_model(kind: Kind) -> None:
    found = parse_object(document(kind, MINIMAL[kind]))
    assert type(found) is model_for(kind)
    assert found.kind is kind
    assert found.ref.kind is kind


@pytest.mark.parametrize("kind", Kind)
def test_every_api_version_of_a_kind_is_accepted_and_no_other(kind: Kind) -> None:
    for version in KINDS[kind].api_versions:
        assert parse_object({**document(kind, MINIMAL[kind]), "apiVersion": version})
    foreign = {**document(kind, MINIMAL[kind]), "apiVersion": "example.com/v1"}
    assert problems(foreign) == {("apiVersion", "api_version")}


@pytest.mark.parametrize("kind", Kind)
def test_the_specification_is_required(kind: Kind) -> None:
    found = document(kind, MINIMAL[kind])
    del found["spec"]
    if kind is Kind.MESH_CONFIG:
        assert parse_object(found)
    else:
        assert problems(found) == {("spec", "missing")}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"kind": "Deployment"}, "unknown_kind"),
        ({"kind": 7}, "unknown_kind"),
        ({"kind": None}, "unknown_kind"),
        ({"kind": ["Gateway"]}, "unknown_kind"),
    ],
)
def test_an_unknown_kind_is_a_problem_of_its_field(change: dict[str, Any], error: str) -> None:
    assert problems({**document(Kind.GATEWAY, {}), **change}) == {("kind", error)}


def test_a_missing_kind_is_a_problem_of_its_field() -> None:
    assert problems({}) == {("kind", "missing")}


def test_a_model_refuses_documents_of_another_kind() -> None:
    with pytest.raises(ValidationError, match='"VirtualService" is not Gateway'):
        Gateway.model_validate(document(Kind.VIRTUAL_SERVICE, {}))


def test_kubernetes_own_fields_are_accepted_and_ignored() -> None:
    found = document(
        Kind.VIRTUAL_SERVICE,
        {},
        creationTimestamp=None,
        uid="x",
        managedFields=[{"manager": "kubectl"}],
        finalizers=["a"],
        ownerReferences=[{}],
        generation=3,
        labels=None,
    )
    parsed = parse_object({**found, "status": {"conditions": []}})
    assert parsed.metadata.labels == {}


def test_a_misspelt_field_of_metadata_is_refused() -> None:
    assert problems(document(Kind.GATEWAY, {}, lables={})) == {
        ("metadata.lables", "extra_forbidden")
    }


def test_all_problems_are_found_at_once_with_their_paths() -> None:
    found = document(
        Kind.VIRTUAL_SERVICE,
        {
            "hosts": "reviews",
            "http": [
                {"timeout": 5, "wieght": 1},
                {"route": [{"weight": "50"}], "match": [{"uri": {"exact": "a", "prefix": "b"}}]},
            ],
        },
    )
    assert problems(found) == {
        ("spec.hosts", "tuple_type"),
        ("spec.http.0.timeout", "duration_type"),
        ("spec.http.0.wieght", "extra_forbidden"),
        ("spec.http.1.route.0.destination", "missing"),
        ("spec.http.1.route.0.weight", "int_type"),
        ("spec.http.1.match.0.uri", "one_of"),
    }


def test_absent_is_none_or_empty() -> None:
    spec = virtual_service(http=[{}]).spec
    assert spec.gateways == ()
    route = spec.http[0]
    assert (route.timeout, route.retries, route.match, route.name) == (None, None, (), None)


def test_null_is_refused_where_the_crd_does_not_allow_it() -> None:
    assert problems(document(Kind.VIRTUAL_SERVICE, {"http": None})) == {("spec.http", "tuple_type")}
    assert problems(document(Kind.VIRTUAL_SERVICE, {"http": [{"retries": None}]})) == {
        ("spec.http.0.retries", "model_type")
    }
    retries = virtual_service(http=[{"retries": {"retryRemoteLocalities": None}}]).spec.http[0]
    assert retries.retries is not None
    assert retries.retries.retry_remote_localities is None


def test_snake_case_is_refused_but_for_the_one_spelling_of_the_crd() -> None:
    assert virtual_service(http=[{"mirror_percent": 5}]).spec.http[0].mirror_percent == 5
    assert virtual_service(http=[{"mirrorPercent": 5}]).spec.http[0].mirror_percent == 5
    assert problems(document(Kind.VIRTUAL_SERVICE, {"http": [{"cors_policy": {}}]})) == {
        ("spec.http.0.cors_policy", "extra_forbidden")
    }
    assert problems(document(Kind.DESTINATION_RULE, {"host": "a", "export_to": ["*"]})) == {
        ("spec.export_to", "extra_forbidden")
    }


def test_odd_spellings_are_those_of_istio() -> None:
    rule = destination_rule(
        trafficPolicy={
            "outlierDetection": {"consecutive5xxErrors": 7},
            "connectionPool": {
                "http": {
                    "http1MaxPendingRequests": 1,
                    "http2MaxRequests": 2,
                    "h2UpgradePolicy": "UPGRADE",
                    "http2KeepAlive": {"interval": "1s"},
                }
            },
            "loadBalancer": {
                "warmupDurationSecs": "30s",
                "consistentHash": {"useSourceIp": True},
                "localityLbSetting": {"distribute": [{"from": "a/*", "to": {"b": 100}}]},
            },
        }
    )
    policy = rule.spec.traffic_policy
    assert policy is not None
    assert policy.outlier_detection is not None
    assert policy.outlier_detection.consecutive_5xx_errors == 7
    assert policy.load_balancer is not None
    assert policy.load_balancer.locality_lb_setting is not None
    assert policy.load_balancer.locality_lb_setting.distribute[0].from_ == "a/*"


@pytest.mark.parametrize(
    "balancer",
    [
        {"simple": "RANDOM", "consistentHash": {"useSourceIp": True}},
        {"consistentHash": {"httpHeaderName": "x", "useSourceIp": False}},
        {"consistentHash": {"useSourceIp": True, "ringHash": {}, "maglev": {}}},
    ],
)
def test_exclusive_fields_exclude_by_presence(balancer: dict[str, Any]) -> None:
    found = document(
        Kind.DESTINATION_RULE, {"host": "a", "trafficPolicy": {"loadBalancer": balancer}}
    )
    assert {error for _, error in problems(found)} == {"one_of"}


def test_exclusive_fields_are_named_as_in_yaml() -> None:
    with pytest.raises(ValidationError, match=r"only one of httpHeaderName, .* found httpHeader"):
        destination_rule(
            trafficPolicy={
                "loadBalancer": {"consistentHash": {"httpHeaderName": "x", "useSourceIp": True}}
            }
        )


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (-1, "greater_than_equal"),
        (2**32, "less_than_equal"),
        (True, "int_type"),
        ("80", "int_type"),
        (80.0, "int_type"),
    ],
)
def test_numbers_keep_to_the_range_and_type_of_the_crd(number: object, error: str) -> None:
    found = document(Kind.VIRTUAL_SERVICE, {"http": [{"match": [{"port": number}]}]})
    assert problems(found) == {("spec.http.0.match.0.port", error)}


def test_shares_take_whole_and_broken_numbers_but_not_nan() -> None:
    spec = {"http": [{"mirrorPercentage": {"value": 50}}, {"mirrorPercentage": {"value": 0.5}}]}
    shares = [route.mirror_percentage for route in virtual_service(**spec).spec.http]
    assert [share.value for share in shares if share] == [50.0, 0.5]
    bad = {"http": [{"mirrorPercentage": {"value": float("nan")}}]}
    assert problems(document(Kind.VIRTUAL_SERVICE, bad)) == {
        ("spec.http.0.mirrorPercentage.value", "finite_number")
    }


def test_enumerations_take_their_names_in_their_case() -> None:
    entry = parse_object(document(Kind.SERVICE_ENTRY, {"hosts": ["a"], "resolution": "DNS"}))
    assert isinstance(entry, ServiceEntry)
    assert entry.spec.resolution is Resolution.DNS
    assert entry.spec.location is None
    for wrong in ("dns", 2, None):
        found = document(Kind.SERVICE_ENTRY, {"hosts": ["a"], "resolution": wrong})
        assert problems(found) == {("spec.resolution", "enum")}


def test_a_gateway_reads_its_servers() -> None:
    gateway = parse_object(
        document(
            Kind.GATEWAY,
            {
                "selector": {"istio": "ingressgateway"},
                "servers": [
                    {
                        "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
                        "hosts": ["*"],
                        "tls": {"mode": "SIMPLE", "credentialName": "c"},
                    }
                ],
            },
        )
    )
    assert isinstance(gateway, Gateway)
    tls = gateway.spec.servers[0].tls
    assert tls is not None
    assert tls.mode is ServerTLSMode.SIMPLE
    assert not tls.https_redirect


def test_a_group_is_probed_in_one_way() -> None:
    probe = {"httpGet": {"port": 80}, "tcpSocket": {"port": 80}}
    found = document(Kind.WORKLOAD_GROUP, {"template": {}, "probe": probe})
    assert problems(found) == {("spec.probe", "one_of")}
    group = parse_object(
        document(Kind.WORKLOAD_GROUP, {"template": {}, "probe": {"exec": {"command": ["true"]}}})
    )
    assert isinstance(group, WorkloadGroup)


def test_the_mesh_config_has_the_defaults_of_istio() -> None:
    config = parse_object(document(Kind.MESH_CONFIG, {}))
    assert isinstance(config, MeshConfig)
    spec = config.spec
    assert spec.domain == "cluster.local"
    assert spec.root_namespace == "meshd-system"
    assert spec.outbound_traffic_policy.mode is OutboundMode.ALLOW_ANY
    assert spec.connect_timeout == 10.0
    assert spec.default_service_export_to == ("*",)
    assert spec.ejection.scope == "declared"
    assert spec.registration.grace_period == 600.0


def test_there_is_one_mesh_config() -> None:
    named = {**document(Kind.MESH_CONFIG, {}), "metadata": {"name": "other"}}
    assert problems(named) == {("metadata", "only_mesh_config")}
    placed = document(Kind.MESH_CONFIG, {}, namespace="default")
    assert problems(placed) == {("metadata", "only_mesh_config")}


def test_models_cannot_be_changed() -> None:
    found = virtual_service(hosts=["a"])
    with pytest.raises(ValidationError, match="frozen"):
        setattr(found.spec, "hosts", ())  # noqa: B010 (mypy knows as well)


def test_an_identity_reads_as_kind_namespace_name() -> None:
    assert str(ObjectRef(Kind.GATEWAY, "default", "g")) == "Gateway/default/g"
    assert str(ObjectRef(Kind.MESH_CONFIG, "", "mesh")) == "MeshConfig/mesh"


def test_kinds_are_found_by_every_name_that_people_use() -> None:
    for name in ("VirtualService", "virtualservice", "virtualservices", "vs", "VS"):
        assert kind_named(name) is Kind.VIRTUAL_SERVICE
    assert kind_named("pod") is None
    assert kind_by_plural("gateways") is Kind.GATEWAY
    assert kind_by_plural("gateway") is None


def test_names_of_kinds_are_unique() -> None:
    spellings = [s for names in KINDS.values() for s in (names.plural, *names.short)]
    assert len(spellings) == len(set(spellings))


def test_importing_the_package_loads_no_model() -> None:
    """The command line's --help must not pay for models."""
    code = "import store.objects, store.keys, store.codec, sys; print('pydantic' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
