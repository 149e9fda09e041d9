from __future__ import annotations

from dataclasses import replace

from sidecar.routing.table import (
    CorsPolicy,
    Fault,
    Forward,
    RouteMatch,
    VirtualHost,
    WeightedCluster,
)
from sidecar.xds import protos as pb
from sidecar.xds.compile import compile_route_configuration, compile_virtual_host
from sidecar.xds.compile.routes import CORS_FILTER, FAULT_FILTER, compile_route
from sidecar.xds.resource import TypeUrl
from tests.harness.compiled import CATCH_ALL, EDITS, RICH_HOST, SOURCE, V1, route, to, value


def test_a_virtual_host_bears_the_name_of_its_resource() -> None:
    made = compile_virtual_host(RICH_HOST, "outbound")
    message = pb.VirtualHost.FromString(made.body)
    assert made.type_url is TypeUrl.VIRTUAL_HOST
    assert made.name == message.name == f"outbound/{RICH_HOST.name}"
    assert tuple(message.domains) == RICH_HOST.domains
    assert [r.name for r in message.routes] == [r.name for r in RICH_HOST.routes]


def test_on_demand_the_authority_names_it() -> None:
    made = compile_virtual_host(
        RICH_HOST, "outbound", name="reviews:9080", aliases=("outbound/reviews:9080",)
    )
    assert made.name == pb.VirtualHost.FromString(made.body).name == "outbound/reviews:9080"
    assert made.aliases == ("outbound/reviews:9080",)


def test_every_object_behind_the_routes_is_a_source() -> None:
    other = SOURCE._replace(path="spec.http[9]")
    vh = replace(RICH_HOST, routes=(*RICH_HOST.routes, replace(RICH_HOST.routes[0], source=other)))
    assert compile_virtual_host(vh, "o").sources == (SOURCE, other)


def test_the_generation_of_an_object_is_not_in_the_bytes() -> None:
    newer = tuple(replace(r, source=SOURCE._replace(generation=99)) for r in RICH_HOST.routes)
    one, other = (
        compile_virtual_host(vh, "o") for vh in (RICH_HOST, replace(RICH_HOST, routes=newer))
    )
    assert one.version == other.version


def test_https_redirect_takes_the_whole_virtual_host() -> None:
    made = compile_virtual_host(replace(RICH_HOST, require_tls=True), "o")
    assert pb.VirtualHost.FromString(made.body).require_tls == pb.VirtualHost.ALL


def test_a_route_configuration_takes_others_over_vhds_and_waits_for_ever() -> None:
    made = pb.RouteConfiguration.FromString(
        compile_route_configuration("outbound", [CATCH_ALL], vhds=True).body
    )
    assert [vh.name for vh in made.virtual_hosts] == ["allow_any"]
    assert made.vhds.config_source.WhichOneof("config_source_specifier") == "ads"
    assert made.vhds.config_source.initial_fetch_timeout.ToJsonString() == "0s"
    assert made.max_direct_response_body_size_bytes.value == 1 << 20
    plain = pb.RouteConfiguration.FromString(compile_route_configuration("o", [], vhds=False).body)
    assert not plain.HasField("vhds")


def test_edits_of_a_single_destination_follow_those_of_the_rule() -> None:
    rule = replace(EDITS, request_set=(("x-rule", "r"),), request_add=())
    only = Forward(
        (WeightedCluster(V1, edits=replace(EDITS, request_set=(("x-dest", "d"),), request_add=())),)
    )
    made = compile_route(replace(route("r", RouteMatch(), only), edits=rule))
    assert [h.header.key for h in made.request_headers_to_add] == ["x-rule", "x-dest"]


def fault_of(fault: Fault) -> pb.HTTPFault:
    made = compile_route(route("r", RouteMatch(), Forward(to(V1)), fault=fault))
    return pb.HTTPFault.FromString(made.typed_per_filter_config[FAULT_FILTER].value)


def test_a_delay_and_an_abort_have_their_shares() -> None:
    made = fault_of(Fault(delay_s=0.5, delay_ppm=1000, abort_status=503, abort_ppm=20))
    assert made.delay.fixed_delay.ToJsonString() == "0.500s"
    assert made.delay.percentage.numerator == 1000
    assert (made.abort.http_status, made.abort.percentage.numerator) == (503, 20)


def test_a_grpc_abort_has_a_grpc_status_even_zero() -> None:
    made = fault_of(Fault(abort_grpc_status=0, abort_ppm=1))
    assert made.abort.WhichOneof("error_type") == "grpc_status"


def test_a_fault_that_never_comes_is_not_configured() -> None:
    made = fault_of(Fault(delay_s=1, abort_status=500))
    assert not made.HasField("delay")
    assert not made.HasField("abort")


def test_cors_says_what_the_rule_says() -> None:
    cors = CorsPolicy(
        allow_origins=(value("exact", "https://a"),), allow_methods=("GET", "PUT"), max_age_s=60,
        allow_credentials=False, forward_unmatched_preflights=False,
    )  # fmt: skip
    compiled = compile_route(route("r", RouteMatch(), Forward(to(V1)), cors=cors))
    made = pb.CorsPolicy.FromString(compiled.typed_per_filter_config[CORS_FILTER].value)
    assert made.allow_origin_string_match[0].exact == "https://a"
    assert (made.allow_methods, made.max_age) == ("GET,PUT", "60")
    assert made.HasField("allow_credentials")
    assert not made.allow_credentials.value
    assert not made.forward_not_matching_preflights.value


def test_a_host_without_routes_is_one_that_answers_404() -> None:
    made = compile_virtual_host(VirtualHost("n", ("*",), ()), "o")
    assert not pb.VirtualHost.FromString(made.body).routes


def test_a_virtual_host_waits_for_the_clusters_that_it_names_and_no_others() -> None:
    made = compile_virtual_host(RICH_HOST, "outbound")
    assert made.needs == frozenset(key.name for key in RICH_HOST.cluster_keys)
    assert made.needs
