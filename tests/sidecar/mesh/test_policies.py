"""Policies of top, port and subset level, combined as Istio combines them."""

from __future__ import annotations

from sidecar.balancing.model import Policy
from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, HostName
from sidecar.mesh.view import View
from tests.harness.catalogs import Store
from tests.harness.objects import destination_rule, service_entry

HOST = HostName("api.test")
RANDOM = {"simple": "RANDOM"}
ROBIN = {"simple": "ROUND_ROBIN"}
LEAST = {"simple": "LEAST_REQUEST"}
POOL = {"tcp": {"maxConnections": 1}}
HTTP_POOL = {"http": {"http1MaxPendingRequests": 2}}
OUTLIER = {"consecutive5xxErrors": 3}
TLS = {"mode": "SIMPLE"}
TUNNEL = {"targetHost": "proxy.test", "targetPort": 1}


def port_level(port: int, **policy: object) -> dict[str, object]:
    return {"port": {"number": port}, **policy}


def view_of(*specs: dict[str, object]) -> View:
    rules = [destination_rule(f"r{n}", HOST, "default", **spec) for n, spec in enumerate(specs)]
    store = Store([service_entry("s", [HOST]), *rules])
    return View(Mesh.build(store.catalog, store.registrations), Context("", "default"))


def described(policy: Policy) -> dict[str, object]:
    """What a policy says, in the words of YAML."""
    found = {
        name: getattr(policy, name)
        for name in ("load_balancer", "connection_pool", "outlier_detection", "tls", "tunnel")
    }
    return {
        name: model.model_dump(by_alias=True, exclude_unset=True, mode="json")
        for name, model in found.items()
        if model is not None
    }


def test_without_a_rule_nothing_is_said() -> None:
    policy = view_of().policy(HOST, 80, "")
    assert policy == Policy()
    assert str(policy.source) == "default"


def test_the_top_level_policy_is_for_every_port() -> None:
    view = view_of({"trafficPolicy": {"loadBalancer": RANDOM, "tunnel": TUNNEL}})
    for port in (80, 443):
        policy = view.policy(HOST, port, "")
        assert described(policy) == {"load_balancer": RANDOM, "tunnel": TUNNEL}
        assert str(policy.source) == "DestinationRule/default/r0@1 spec.trafficPolicy"


def test_a_port_level_entry_hides_all_that_stands_beside_it() -> None:
    top = {
        "loadBalancer": RANDOM,
        "connectionPool": POOL,
        "outlierDetection": OUTLIER,
        "tls": TLS,
        "tunnel": TUNNEL,
        "portLevelSettings": [port_level(81), port_level(80, connectionPool=HTTP_POOL)],
    }
    view = view_of({"trafficPolicy": top})
    policy = view.policy(HOST, 80, "")
    assert described(policy) == {"connection_pool": HTTP_POOL}
    assert policy.source.path == "spec.trafficPolicy.portLevelSettings[1]"
    assert described(view.policy(HOST, 81, "")) == {}
    assert described(view.policy(HOST, 82, ""))["tls"] == TLS


def test_the_first_entry_of_a_port_counts() -> None:
    entries = [port_level(80, loadBalancer=RANDOM), port_level(80, loadBalancer=ROBIN)]
    view = view_of({"trafficPolicy": {"portLevelSettings": entries}})
    assert described(view.policy(HOST, 80, "")) == {"load_balancer": RANDOM}


def test_a_subset_without_policy_has_the_destinations() -> None:
    view = view_of({"trafficPolicy": {"tls": TLS}, "subsets": [{"name": "v1"}]})
    assert view.policy(HOST, 80, "v1") == view.policy(HOST, 80, "")


def test_a_subset_replaces_whole_fields_and_inherits_the_others() -> None:
    subset = {"name": "v1", "trafficPolicy": {"connectionPool": HTTP_POOL}}
    top = {"connectionPool": POOL, "tls": TLS, "tunnel": TUNNEL}
    policy = view_of({"trafficPolicy": top, "subsets": [subset]}).policy(HOST, 80, "v1")
    assert described(policy) == {"connection_pool": HTTP_POOL, "tls": TLS, "tunnel": TUNNEL}
    assert policy.source.path == "spec.subsets[0].trafficPolicy"


def test_a_subsets_port_level_entry_replaces_with_its_gaps_too() -> None:
    entry = port_level(80, loadBalancer=ROBIN)
    subset = {"name": "v1", "trafficPolicy": {"loadBalancer": LEAST, "portLevelSettings": [entry]}}
    top = {"loadBalancer": RANDOM, "tls": TLS, "outlierDetection": OUTLIER, "tunnel": TUNNEL}
    view = view_of({"trafficPolicy": top, "subsets": [subset]})
    policy = view.policy(HOST, 80, "v1")
    assert described(policy) == {"load_balancer": ROBIN, "tunnel": TUNNEL}
    assert policy.source.path == "spec.subsets[0].trafficPolicy.portLevelSettings[0]"
    other = described(view.policy(HOST, 81, "v1"))
    assert other == {
        "load_balancer": LEAST,
        "tls": TLS,
        "outlier_detection": OUTLIER,
        "tunnel": TUNNEL,
    }


def test_a_subset_inherits_from_the_destinations_port_level_entry() -> None:
    top = {"tls": TLS, "portLevelSettings": [port_level(80, connectionPool=POOL)]}
    subset = {"name": "v1", "trafficPolicy": {"loadBalancer": LEAST}}
    view = view_of({"trafficPolicy": top, "subsets": [subset]})
    assert described(view.policy(HOST, 80, "v1")) == {
        "load_balancer": LEAST,
        "connection_pool": POOL,
    }


def test_a_subset_may_speak_where_the_destination_is_silent() -> None:
    subset = {"name": "v1", "trafficPolicy": {"tls": TLS}}
    view = view_of({"subsets": [subset]})
    assert described(view.policy(HOST, 80, "v1")) == {"tls": TLS}
    assert described(view.policy(HOST, 80, "")) == {}


def test_merged_rules_take_the_first_policy_and_the_first_subset_of_a_name() -> None:
    view = view_of(
        {"subsets": [{"name": "v1", "labels": {"a": "1"}}]},
        {
            "trafficPolicy": {"loadBalancer": RANDOM},
            "subsets": [{"name": "v1", "labels": {"a": "2"}}, {"name": "v2", "labels": {"b": "1"}}],
        },
        {"trafficPolicy": {"loadBalancer": ROBIN, "tls": TLS}},
    )
    assert view.subset_labels(HOST, "v1") == {"a": "1"}
    assert view.subset_labels(HOST, "v2") == {"b": "1"}
    assert view.subset_labels(HOST, "v3") is None
    policy = view.policy(HOST, 80, "v2")
    assert described(policy) == {"load_balancer": RANDOM}
    assert str(policy.source) == "DestinationRule/default/r1@1 spec.trafficPolicy"
