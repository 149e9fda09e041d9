from __future__ import annotations

import pytest

from sidecar.routing.table import (
    Cluster,
    Forward,
    HashPolicy,
    InboundKey,
    Mirror,
    Redirect,
    RetryPolicy,
    Rewrite,
    WeightedCluster,
)
from sidecar.xds import protos as pb
from sidecar.xds.compile.actions import cluster_name, compile_forward, compile_redirect
from tests.harness.compiled import EDITS, RATINGS, V1, V2, to


def test_destinations_are_named_as_istio_names_clusters() -> None:
    assert cluster_name(V1) == "outbound|9080|v1|reviews.default.svc.cluster.local"
    assert cluster_name(InboundKey(80)) == "inbound|80||"
    assert cluster_name(Cluster.PASSTHROUGH) == "PassthroughCluster"


def test_without_timeout_there_is_none_rather_than_envoys_fifteen_seconds() -> None:
    made = compile_forward(Forward(to(V1)))
    assert made.HasField("timeout")
    assert made.timeout.ToJsonString() == "0s"
    assert not made.HasField("max_stream_duration"), "Envoy would ignore `timeout`"


def test_a_clients_grpc_timeout_is_left_to_the_client() -> None:
    made = compile_forward(Forward(to(V1), timeout_s=1.5))
    assert made.timeout.ToJsonString() == "1.500s"
    assert not made.HasField("max_grpc_timeout"), "Envoy would answer UNAVAILABLE"
    assert not made.HasField("max_stream_duration"), "Envoy would ignore `timeout`"


def test_a_route_lifts_the_short_idle_timeout_of_the_listener() -> None:
    made = compile_forward(Forward(to(V1)))
    assert made.HasField("idle_timeout")
    assert made.idle_timeout.ToJsonString() == "0s"


def test_several_destinations_are_weighted_and_bear_their_own_edits() -> None:
    one = WeightedCluster(V1, 90, EDITS, authority="v1.example.com")
    made = compile_forward(Forward((one, WeightedCluster(V2, 10))))
    first, second = made.weighted_clusters.clusters
    assert [(c.name, c.weight.value) for c in (first, second)] == [(V1.name, 90), (V2.name, 10)]
    assert first.host_rewrite_literal == "v1.example.com"
    assert [h.header.key for h in first.request_headers_to_add] == ["x-set", "x-add"]
    assert list(first.response_headers_to_remove) == ["server"]
    assert not second.request_headers_to_add


def test_the_rewritten_authority_beats_that_of_destinations() -> None:
    rewrite = Rewrite(authority="r.example.com")
    single = Forward((WeightedCluster(V1, authority="d"),), rewrite=rewrite)
    assert compile_forward(single).host_rewrite_literal == "r.example.com"
    both = Forward((WeightedCluster(V1, authority="d"), WeightedCluster(V2)), rewrite=rewrite)
    made = compile_forward(both)
    assert made.host_rewrite_literal == "r.example.com"
    assert not made.weighted_clusters.clusters[0].host_rewrite_literal


def test_set_headers_replace_and_added_ones_append() -> None:
    one = WeightedCluster(V1, 1, EDITS)
    (weighted, _) = compile_forward(Forward((one, WeightedCluster(V2)))).weighted_clusters.clusters
    assert [h.append_action for h in weighted.request_headers_to_add] == [
        pb.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
        pb.HeaderValueOption.APPEND_IF_EXISTS_OR_ADD,
    ]


def test_a_prefix_or_a_regex_is_rewritten() -> None:
    assert compile_forward(Forward(to(V1), rewrite=Rewrite(prefix="/v"))).prefix_rewrite == "/v"
    made = compile_forward(Forward(to(V1), rewrite=Rewrite(regex="^/a", substitution="/b")))
    assert (made.regex_rewrite.pattern.regex, made.regex_rewrite.substitution) == ("^/a", "/b")
    assert not made.prefix_rewrite


def test_retries_go_to_hosts_not_tried_yet() -> None:
    policy = RetryPolicy(
        attempts=3, retry_on=("5xx", "retriable-status-codes"), status_codes=(503,)
    )
    made = compile_forward(Forward(to(V1), retry=policy)).retry_policy
    assert (made.retry_on, made.num_retries.value) == ("5xx,retriable-status-codes", 3)
    assert list(made.retriable_status_codes) == [503]
    assert [p.name for p in made.retry_host_predicate] == [
        "envoy.retry_host_predicates.previous_hosts"
    ]
    assert made.host_selection_retry_max_attempts == 5
    assert not made.HasField("per_try_timeout")
    assert not made.HasField("retry_priority")


def test_retries_may_stay_and_may_reach_other_localities() -> None:
    policy = RetryPolicy(
        previous_hosts=False, remote_localities=True, per_try_timeout_s=2, backoff_s=0.1
    )
    made = compile_forward(Forward(to(V1), retry=policy)).retry_policy
    assert not made.retry_host_predicate
    assert made.retry_priority.name == "envoy.retry_priorities.previous_priorities"
    assert made.per_try_timeout.ToJsonString() == "2s"
    assert made.retry_back_off.base_interval.ToJsonString() == "0.100s"


def test_without_retry_policy_there_are_no_retries() -> None:
    assert not compile_forward(Forward(to(V1))).HasField("retry_policy")


def test_a_mirror_keeps_its_share_and_the_host_name() -> None:
    (made,) = compile_forward(
        Forward(to(V1), mirrors=(Mirror(RATINGS, 125_000),))
    ).request_mirror_policies
    assert made.cluster == RATINGS.name
    share = made.runtime_fraction.default_value
    assert (share.numerator, share.denominator) == (125_000, pb.FractionalPercent.MILLION)
    assert made.disable_shadow_host_suffix_append


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (HashPolicy("header", "x"), "header"),
        (HashPolicy("query", "q"), "query_parameter"),
        (HashPolicy("source_ip"), "connection_properties"),
        (HashPolicy("cookie", "c", ttl_s=0.0, path="/p", attributes=(("A", "b"),)), "cookie"),
    ],
)
def test_each_hash_input_has_its_policy(policy: HashPolicy, field: str) -> None:
    (made,) = compile_forward(Forward(to(V1), hash_policies=(policy,))).hash_policy
    assert made.WhichOneof("policy_specifier") == field


def test_a_cookie_is_only_generated_with_a_life() -> None:
    hashes = HashPolicy("cookie", "c"), HashPolicy("cookie", "c", ttl_s=0.0)
    never, session = compile_forward(Forward(to(V1), hash_policies=hashes)).hash_policy
    assert not never.cookie.HasField("ttl")
    assert session.cookie.HasField("ttl")


def test_connect_ends_here_and_other_upgrades_pass() -> None:
    made = compile_forward(Forward(to(V1), upgrades=("CONNECT", "websocket")), connect=True)
    assert [u.upgrade_type for u in made.upgrade_configs] == ["websocket", "CONNECT"]
    assert made.upgrade_configs[1].HasField("connect_config")


def test_a_route_that_is_not_connect_ends_no_tunnel() -> None:
    assert not compile_forward(Forward(to(V1), upgrades=("CONNECT",))).upgrade_configs


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (301, "MOVED_PERMANENTLY"),
        (302, "FOUND"),
        (303, "SEE_OTHER"),
        (307, "TEMPORARY_REDIRECT"),
        (308, "PERMANENT_REDIRECT"),
    ],
)
def test_a_redirect_has_its_code(code: int, name: str) -> None:
    made = compile_redirect(Redirect(code))
    assert pb.RedirectAction.RedirectResponseCode.Name(made.response_code) == name


def test_a_redirect_changes_path_or_prefix_host_scheme_and_port() -> None:
    made = compile_redirect(Redirect(path="/p", authority="h", scheme="https", port=8443))
    assert (made.path_redirect, made.host_redirect, made.scheme_redirect, made.port_redirect) == (
        "/p", "h", "https", 8443,
    )  # fmt: skip
    assert compile_redirect(Redirect(prefix="/q")).prefix_rewrite == "/q"
