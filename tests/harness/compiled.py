"""A rich sample of the routing table and of policies, and a static Envoy config assembled from what they compile to.

`envoy --mode validate` then reads with Envoy's own eyes what the compilers wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import trustme
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from google.protobuf import symbol_database
from google.protobuf.json_format import MessageToJson

from sidecar.balancing.model import ClusterPlan, EndpointSet, Policy
from sidecar.certificates.model import workload_identity
from sidecar.mesh.model import (
    Endpoint,
    Health,
    HostName,
    Locality,
    Protocol,
    Provenance,
    Resolution,
    ServicePort,
)
from sidecar.routing.table import (
    Cluster,
    ClusterKey,
    CorsPolicy,
    DirectResponse,
    Fault,
    Forward,
    HashPolicy,
    HeaderEdits,
    MatcherKind,
    Mirror,
    Redirect,
    RetryPolicy,
    Rewrite,
    Route,
    RouteMatch,
    ValueMatch,
    VirtualHost,
    WeightedCluster,
)
from sidecar.xds import protos as pb
from sidecar.xds.resource import Resource, TypeUrl
from store.objects.base import ObjectRef
from store.objects.destination_rule import TrafficPolicy
from store.objects.kinds import Kind

REVIEWS = HostName("reviews.default.svc.cluster.local")
V1 = ClusterKey(REVIEWS, 9080, "v1")
V2 = ClusterKey(REVIEWS, 9080, "v2")
RATINGS = ClusterKey(HostName("ratings.default.svc.cluster.local"), 9080)
SOURCE = Provenance(ObjectRef(Kind.VIRTUAL_SERVICE, "default", "reviews"), 3, "spec.http[0]")
IDENTITY = replace(
    workload_identity(
        "", ("/id/cert-chain.pem", "/id/key.pem", "/id/root-cert.pem"), "spiffe://td/x", ("td",)
    ),
    is_held=True,
)
"""A workload's, as it is when its files were read."""
RULE = Provenance(ObjectRef(Kind.DESTINATION_RULE, "default", "reviews"), 2)


def value(
    kind: str, text: str = "", *, invert: bool = False, ignore_case: bool = False
) -> ValueMatch:
    return ValueMatch(MatcherKind(kind), text, invert=invert, ignore_case=ignore_case)


def to(*destinations: ClusterKey | Cluster) -> tuple[WeightedCluster, ...]:
    return tuple(WeightedCluster(key, 50) for key in destinations)


def route(name: str, match: RouteMatch, action: object, **more: object) -> Route:
    return Route(name=name, match=match, action=action, source=SOURCE, **more)  # type: ignore[arg-type] # test sugar


EDITS = HeaderEdits(
    request_set=(("x-set", "1"),),
    request_add=(("x-add", "a"),),
    request_remove=("x-gone",),
    response_set=(("x-answer", "yes"),),
    response_add=(("x-more", "b"),),
    response_remove=("server",),
)

RICH_ROUTES = (
    route(
        "conditions",
        RouteMatch(
            path=value("exact", "/Exact", ignore_case=True),
            headers=(
                (":authority", value("prefix", "reviews")),
                (":method", value("exact", "GET")),
                ("cookie", value("regex", "^(.*?;)?(user=jason)(;.*)?$")),
                ("x-absent", value("present", invert=True)),
                ("x-not", value("exact", "no", invert=True)),
                ("x-there", value("present")),
            ),
            query=(
                ("q", value("exact", "1")),
                ("r", value("regex", "[a-z]+")),
                ("s", value("present")),
            ),
        ),
        Forward(to(V1), timeout_s=1.5),
    ),
    route(
        "weighted",
        RouteMatch(path=value("prefix", "/w")),
        Forward(
            (
                WeightedCluster(V1, 90, EDITS, authority="v1.example.com"),
                WeightedCluster(V2, 10),
            ),
            retry=RetryPolicy(
                attempts=3,
                retry_on=("5xx", "retriable-status-codes"),
                status_codes=(503,),
                per_try_timeout_s=0.25,
                backoff_s=0.05,
                remote_localities=True,
            ),
            rewrite=Rewrite(prefix="/v", authority=""),
            mirrors=(Mirror(RATINGS, 125_000),),
            hash_policies=(
                HashPolicy("header", "x-user"),
                HashPolicy("cookie", "c", ttl_s=0.0, path="/", attributes=(("SameSite", "Lax"),)),
                HashPolicy("query", "id"),
                HashPolicy("source_ip"),
            ),
        ),
        edits=EDITS,
        fault=Fault(delay_s=0.5, delay_ppm=100_000, abort_status=503, abort_ppm=10),
        cors=CorsPolicy(
            allow_origins=(value("exact", "https://a"), value("regex", "https://.*")),
            allow_methods=("GET", "POST"),
            allow_headers=("x-a",),
            expose_headers=("x-b",),
            max_age_s=60,
            allow_credentials=True,
            forward_unmatched_preflights=False,
        ),
    ),
    route(
        "regex",
        RouteMatch(path=value("regex", "/item/[0-9]+")),
        Forward(
            to(V2),
            rewrite=Rewrite(
                regex="^/item/([0-9]+)$", substitution="/i/\\1", authority="items.example.com"
            ),
            retry=RetryPolicy(),
        ),
        fault=Fault(abort_grpc_status=14, abort_ppm=1),
    ),
    route(
        "moved",
        RouteMatch(path=value("exact", "/old")),
        Redirect(302, path="/new", authority="n.example"),
    ),
    route(
        "moved-prefix",
        RouteMatch(path=value("prefix", "/p")),
        Redirect(308, prefix="/q", scheme="https", port=8443),
    ),
    route(
        "teapot", RouteMatch(path=value("prefix", "/tea")), DirectResponse(418, b"short and stout")
    ),
    route("long", RouteMatch(path=value("prefix", "/long")), DirectResponse(200, b"x" * 100_000)),
    route("connect", RouteMatch(connect=True), Forward(to(V1), upgrades=("CONNECT",))),
    route("default", RouteMatch(), Forward(to(V1), upgrades=("websocket",)), stat_prefix="rest"),
)

RICH_HOST = VirtualHost(
    name=f"{REVIEWS}:9080",
    domains=(REVIEWS, f"{REVIEWS}:9080", "reviews", "reviews:9080"),
    routes=RICH_ROUTES,
    sources=(SOURCE,),
    hosts=frozenset({REVIEWS, RATINGS.host}),
)

CATCH_ALL = VirtualHost(
    name="allow_any",
    domains=("*",),
    routes=(
        route(
            "tunnel",
            RouteMatch(connect=True),
            Forward(to(Cluster.PASSTHROUGH), upgrades=("CONNECT",)),
        ),
        route("any", RouteMatch(), Forward(to(Cluster.PASSTHROUGH))),
    ),
)


def policy(document: Mapping[str, object]) -> Policy:
    """The policy of a `trafficPolicy` as written in YAML."""
    model = TrafficPolicy.model_validate(document)
    return Policy(
        load_balancer=model.load_balancer,
        connection_pool=model.connection_pool,
        outlier_detection=model.outlier_detection,
        tls=model.tls,
        proxy_protocol=model.proxy_protocol,
        retry_budget=model.retry_budget,
        source=RULE,
    )


def plan(
    key: ClusterKey = V1,
    document: Mapping[str, object] | None = None,
    *,
    resolution: Resolution = Resolution.STATIC,
    protocol: Protocol = Protocol.HTTP,
    **more: object,
) -> ClusterPlan:
    """A cluster plan with the policy as written in YAML."""
    made = ClusterPlan(
        key=key,
        resolution=resolution,
        port=ServicePort(key.port, "port", protocol),
        policy=policy(document or {}),
        sources=(RULE,),
        hosts=frozenset({key.host}),
    )
    return replace(made, **more)  # type: ignore[arg-type] # test sugar


def endpoints(key: ClusterKey = V1) -> EndpointSet:
    """Four endpoints: two localities, one draining, a unix socket, one with mutual TLS."""
    east, west = Locality("eu", "east"), Locality("eu", "west", "r1")
    return EndpointSet(
        key,
        (
            Endpoint("10.0.0.1", 9080, locality=east, weight=3, source=SOURCE),
            Endpoint("10.0.0.2", 9080, locality=east, health=Health.DRAINING, tls_mode="istio"),
            Endpoint("10.0.1.1", 9080, locality=west),
            Endpoint("/run/app.sock", 0, locality=west),
        ),
        priorities=(0, 0, 1, 1),
    )


def static_config(resources: Iterable[Resource]) -> str:
    """`static_bootstrap` as JSON."""
    return MessageToJson(static_bootstrap(resources))


def static_bootstrap(resources: Iterable[Resource]) -> Bootstrap:
    """A bootstrap that holds the resources in place: endpoints inside clusters, virtual hosts inside routes.

    As bytes (`envoy.pb`) it also has what our copy of Envoy's messages is too old for.
    """
    bootstrap = Bootstrap()
    bootstrap.node.id = bootstrap.node.cluster = "test"
    made = list(resources)
    assignments = {r.name: r for r in made if r.type_url is TypeUrl.ENDPOINTS}
    routes = [
        pb.RouteConfiguration.FromString(r.body) for r in made if r.type_url is TypeUrl.ROUTES
    ]
    for configuration in routes:
        if configuration.HasField("vhds"):
            configuration.ClearField("vhds")
        for r in made:
            if r.type_url is TypeUrl.VIRTUAL_HOST and r.name.startswith(f"{configuration.name}/"):
                configuration.virtual_hosts.append(pb.VirtualHost.FromString(r.body))
    for r in made:
        if r.type_url is TypeUrl.CLUSTER:
            cluster = bootstrap.static_resources.clusters.add()
            cluster.ParseFromString(r.body)
            if cluster.type == pb.Cluster.EDS:
                cluster.ClearField("eds_cluster_config")
                cluster.type = pb.Cluster.STATIC
                cluster.load_assignment.cluster_name = cluster.name
                if r.name in assignments:
                    cluster.load_assignment.ParseFromString(assignments[r.name].body)
        elif r.type_url is TypeUrl.LISTENER:
            listener = bootstrap.static_resources.listeners.add()
            listener.ParseFromString(r.body)
            _hold_routes(listener, {c.name: c for c in routes})
    _secrets_in_place(bootstrap)
    return bootstrap


def _secrets_in_place(bootstrap: Bootstrap) -> None:
    """Hold a certificate in place for each secret that would come over the stream: validation opens none."""
    certificates: set[str] = set()
    bundles: set[str] = set()
    _find_secrets(bootstrap, certificates, bundles)
    authority = trustme.CA()
    issued = authority.issue_cert("validated.example.com")
    for name in sorted(certificates):
        made = bootstrap.static_resources.secrets.add(name=name).tls_certificate
        made.certificate_chain.inline_bytes = issued.cert_chain_pems[0].bytes()
        made.private_key.inline_bytes = issued.private_key_pem.bytes()
    for name in sorted(bundles):
        made = bootstrap.static_resources.secrets.add(name=name).validation_context
        made.trusted_ca.inline_bytes = authority.cert_pem.bytes()


def _find_secrets(found: pb.Message, certificates: set[str], bundles: set[str]) -> bool:
    """Name the secrets below a message and have them taken from where they are held; whether there are any."""
    changed = False
    for field, value in found.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for item in value if field.is_repeated else (value,):
            if isinstance(item, pb.SdsSecretConfig):
                is_bundle = field.name.startswith("validation")
                (bundles if is_bundle else certificates).add(item.name)
                item.ClearField("sds_config")
                changed = True
            elif isinstance(item, pb.Any):
                inner = symbol_database.Default().GetSymbol(item.TypeName())()
                item.Unpack(inner)
                if _find_secrets(inner, certificates, bundles):
                    item.value = inner.SerializeToString()
                    changed = True
            else:
                changed = _find_secrets(item, certificates, bundles) or changed
    return changed


def _hold_routes(listener: pb.Listener, routes: Mapping[str, pb.RouteConfiguration]) -> None:
    for chain in listener.filter_chains:
        for item in chain.filters:
            if item.name != "envoy.filters.network.http_connection_manager":
                continue
            manager = pb.HttpConnectionManager.FromString(item.typed_config.value)
            if manager.HasField("rds"):
                manager.route_config.CopyFrom(routes[manager.rds.route_config_name])
                item.typed_config.value = manager.SerializeToString()
