from __future__ import annotations

from meshd.graph import EVERYTHING, Kind, Limits, State, as_text, draw
from sidecar.mesh.model import Context
from tests.harness.routing import object_of
from tests.meshd.graph.meshes import (
    WEB,
    drawn,
    mesh_of,
    named,
    of_kind,
    route_to,
    rule,
    service,
    targets,
)

A = "a.default.svc.cluster.local"
SUBSETS = object_of(
    "DestinationRule",
    "a",
    {
        "host": "a",
        "subsets": [{"name": v, "labels": {"version": v}} for v in ("v1", "v2", "v3")],
    },
)
SERVICE_A = service(A, "http:80", "10.0.0.1=v1", "10.0.0.2=v2", "10.0.0.3=v2")


def test_a_split_has_an_arrow_with_its_share_to_each_subset() -> None:
    graph = drawn(SERVICE_A, SUBSETS, rule("a", [route_to(("a/v1", 90), ("a/v2", 10))], "a"))
    assert targets(graph, named(graph, f"host {A}:80"))[0] == ("", "any request")
    by_rule = next(n for n in graph.nodes if n.source == "VirtualService/default/a@1 spec.http[0]")
    assert targets(graph, by_rule) == [
        ("90 %", f"subset v1 of {A}:80"),
        ("10 %", f"subset v2 of {A}:80"),
    ]
    assert targets(graph, named(graph, f"subset v2 of {A}:80")) == [
        ("", "10.0.0.2:80"),
        ("", "10.0.0.3:80"),
    ]


def test_a_subset_that_no_route_leads_to_is_drawn_as_unreached() -> None:
    graph = drawn(SERVICE_A, SUBSETS, rule("a", [route_to(("a/v1", 90), ("a/v2", 10))], "a"))
    lost = named(graph, f"subset v3 of {A}:80")
    assert lost.state is State.UNREACHED
    assert ("no route drawn here", lost.title) in targets(graph, named(graph, f"host {A}:80"))
    assert not any(edge.is_taken for edge in graph.edges if edge.target == lost.id)


def test_copies_are_arrows_that_are_not_taken() -> None:
    mirrored = route_to(
        ("a/v1", 1), mirror={"host": "a", "subset": "v2"}, mirrorPercentage={"value": 5}
    )
    graph = drawn(SERVICE_A, SUBSETS, rule("a", [mirrored], "a"))
    copies = [edge for edge in graph.edges if edge.label == "5 % copied"]
    assert [edge.is_taken for edge in copies] == [False]


def test_a_destination_that_cannot_answer_says_why() -> None:
    graph = drawn(SERVICE_A, rule("a", [route_to(("a/v9", 1))], "a"))
    broken = named(graph, f"subset v9 of {A}:80")
    assert broken.state is State.BROKEN
    assert 'no DestinationRule defines subset "v9"' in broken.lines[-1]
    assert "broken" in as_text(graph)


def test_redirects_and_direct_answers_lead_to_no_service() -> None:
    http = [
        {"match": [{"uri": {"prefix": "/old"}}], "redirect": {"uri": "/new", "redirectCode": 308}},
        {"directResponse": {"status": 418, "body": {"string": "short\nand stout"}}},
    ]
    graph = drawn(SERVICE_A, rule("a", http, "a"))
    assert of_kind(graph, Kind.ANSWER) == ["answers 308", "answers 418"]
    assert named(graph, "answers 308").lines == ('redirect to path "/new"',)
    assert named(graph, "answers 418").lines == ("short",)


def test_rules_of_a_delegate_are_said_to_be_one() -> None:
    root = rule("root", [{"delegate": {"name": "part"}}], "a")
    part = object_of("VirtualService", "part", {"http": [route_to(("a", 1))]})
    graph = drawn(SERVICE_A, root, part)
    sources = [node.source for node in graph.nodes if node.kind is Kind.ROUTE]
    assert "VirtualService/default/part@1 spec.http[0] (delegate)" in sources


def test_an_ejected_endpoint_is_marked_with_words_and_comes_first() -> None:
    known = {(f"{A}:80", "10.0.0.3:80"): "ejected, ends in 20 s, enough accuse it"}
    graph = drawn(SERVICE_A, ejected=known)
    order = [(n.title, n.state) for n in graph.nodes if n.kind is Kind.ENDPOINT]
    assert order == [
        ("10.0.0.3:80", State.EJECTED),
        ("10.0.0.1:80", State.HEALTHY),
        ("10.0.0.2:80", State.HEALTHY),
    ]
    assert "endpoint 10.0.0.3:80  ejected  version=v2  ejected, ends in 20 s" in as_text(graph)


def test_health_of_registrations_is_said() -> None:
    ports = [{"number": 80, "name": "http", "protocol": "HTTP"}]
    registrations = [
        {
            "apiVersion": "meshd.io/v1",
            "kind": "HostRegistration",
            "host": host,
            "address": address,
            "state": state,
            "workloads": [{"name": "a", "service": "a", "ports": ports, "health": health}],
        }
        for host, address, state, health in (
            ("h1", "10.0.0.1", "serving", "healthy"),
            ("h2", "10.0.0.2", "draining", "healthy"),
            ("h3", "10.0.0.3", "serving", "unhealthy"),
        )
    ]
    graph = drawn(*registrations)
    states = {n.title: n.state for n in graph.nodes if n.kind is Kind.ENDPOINT}
    assert states == {
        "10.0.0.1:80": State.HEALTHY,
        "10.0.0.2:80": State.DRAINING,
        "10.0.0.3:80": State.UNHEALTHY,
    }
    assert "on h3" in named(graph, "10.0.0.3:80").lines


def test_what_several_subsets_share_is_one_endpoint() -> None:
    everything = rule(
        "a",
        [route_to(("a/v1", 1)) | {"match": [{"uri": {"prefix": "/x"}}]}, route_to(("a", 1))],
        "a",
    )
    graph = drawn(SERVICE_A, SUBSETS, everything)
    assert of_kind(graph, Kind.ENDPOINT).count("10.0.0.1:80") == 1
    into = [edge for edge in graph.edges if edge.target == named(graph, "10.0.0.1:80").id]
    assert len(into) == 2


def test_destinations_that_differ_between_clients_are_not_thrown_together() -> None:
    private = {
        "host": A,
        "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}},
        "exportTo": ["."],
    }
    gateway = object_of(
        "Gateway",
        "front",
        {
            "selector": {"istio": "ingress"},
            "servers": [
                {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*/x.com"]}
            ],
        },
        "edge",
    )
    bound = object_of(
        "VirtualService",
        "x",
        {"hosts": ["x.com"], "gateways": ["front"], "http": [route_to((A, 1))]},
        "edge",
    )
    graph = drawn(SERVICE_A, object_of("DestinationRule", "a", private), gateway, bound)
    both = [n for n in graph.nodes if n.title == f"service {A}:80"]
    assert [n.lines[0].partition(" ")[0] for n in both] == ["RANDOM", "LEAST_REQUEST"]
    assert len({n.id for n in both}) == 2


def test_plain_requests_to_a_gateway_that_redirects_are_said_to_be_redirected() -> None:
    gateway = object_of(
        "Gateway",
        "front",
        {
            "selector": {"istio": "ingress"},
            "servers": [
                {
                    "port": {"number": 80, "name": "http", "protocol": "HTTP"},
                    "hosts": ["x.com"],
                    "tls": {"httpsRedirect": True},
                }
            ],
        },
    )
    graph = drawn(gateway)
    host = named(graph, "host x.com:80")
    assert host.lines == ("plain requests are redirected to https",)
    assert targets(graph, host) == []


def test_a_gateway_without_rules_answers_404() -> None:
    gateway = object_of(
        "Gateway",
        "front",
        {
            "selector": {"istio": "ingress"},
            "servers": [
                {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["x.com"]}
            ],
        },
    )
    graph = drawn(gateway)
    assert named(graph, "answers 404").lines == ("no route",)


def test_with_one_host_chosen_only_that_and_what_leads_to_it_is_drawn() -> None:
    b = service("b.default.svc.cluster.local", "http:80", "10.1.0.1")
    c = service("c.default.svc.cluster.local", "http:80", "10.2.0.1")
    to_a = rule("c", [route_to(("a", 1))], "c")
    graph = drawn(SERVICE_A, b, c, to_a, host="a")
    assert (
        of_kind(graph, Kind.HOST) == [f"host {A}:80", "host c.default.svc.cluster.local:80"][::-1]
    )
    assert graph.title.endswith("only a")


def test_nothing_is_drawn_for_a_host_that_nobody_knows() -> None:
    assert drawn(SERVICE_A, host="nobody").nodes == ()


def test_a_thousand_services_are_cut_with_a_count_and_a_way_to_see_more() -> None:
    services = [
        service(f"s{n}.default.svc.cluster.local", "http:80", "10.0.0.1") for n in range(1000)
    ]
    ruled = rule("s999", [route_to(("s999", 1))], "s999")
    graph = drawn(*services, ruled)
    assert graph.hidden == {"hosts": 961}  # and the catch-all among them
    rest = named(graph, "and 961 more hosts")
    assert rest.lines == ("--all draws all, --host NAME one",)
    assert of_kind(graph, Kind.HOST)[0] == "host s999.default.svc.cluster.local:80"
    assert graph.summary().endswith("left out: 961 hosts")


def test_routes_and_endpoints_beyond_the_limit_are_counted() -> None:
    many = service(A, "http:80", *(f"10.0.0.{n}" for n in range(12)))
    http = [{"match": [{"uri": {"exact": f"/{n}"}}], **route_to(("a", 1))} for n in range(7)]
    graph = drawn(many, rule("a", http, "a"), limits=Limits(hosts=9, routes=5, endpoints=8))
    assert graph.hidden == {"routes": 2, "endpoints": 4}
    assert named(graph, "and 4 more endpoints").lines == ("all healthy", "--all draws all")
    assert named(graph, "and 2 more routes").lines == ("--all draws all",)


def test_those_that_are_not_healthy_are_shown_and_counted_when_the_rest_is_cut() -> None:
    many = service(A, "http:80", *(f"10.0.0.{n}" for n in range(6)))
    known = {(f"{A}:80", f"10.0.0.{n}:80"): "ejected" for n in (3, 4, 5)}
    graph = drawn(many, limits=Limits(hosts=9, routes=5, endpoints=2), ejected=known)
    assert of_kind(graph, Kind.ENDPOINT) == ["10.0.0.3:80", "10.0.0.4:80"]
    assert named(graph, "and 4 more endpoints").lines[0] == "1 of them not healthy"


def test_a_picture_never_grows_beyond_its_boxes() -> None:
    services = [
        service(f"s{n}.default.svc.cluster.local", "http:80", *(f"10.0.{n}.{m}" for m in range(9)))
        for n in range(30)
    ]
    graph = drawn(*services, limits=Limits(hosts=100, routes=9, endpoints=9, nodes=40))
    assert len(graph.nodes) <= 40 + 5
    assert graph.hidden["hosts"] > 0


def test_everything_leaves_nothing_out() -> None:
    services = [
        service(f"s{n}.default.svc.cluster.local", "http:80", "10.0.0.1") for n in range(60)
    ]
    graph = drawn(*services, limits=EVERYTHING)
    assert graph.hidden == {}
    assert len(of_kind(graph, Kind.HOST)) == 61


def test_services_that_the_client_may_not_see_are_counted() -> None:
    hidden = object_of(
        "ServiceEntry",
        "own",
        {
            "hosts": ["own.example.com"],
            "exportTo": ["."],
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
            "resolution": "DNS",
        },
        "other",
    )
    graph = drawn(SERVICE_A, hidden)
    assert graph.notes[0].startswith("1 service is not visible from here")


def test_a_gateway_workload_is_drawn_by_its_servers_alone() -> None:
    gateway = object_of(
        "Gateway",
        "front",
        {
            "selector": {"istio": "ingress"},
            "servers": [
                {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["x.com"]}
            ],
        },
    )
    context = Context("", "default", {"istio": "ingress"}, is_gateway=True)
    graph = draw(mesh_of(SERVICE_A, gateway), context)
    assert of_kind(graph, Kind.CLIENT) == []
    assert of_kind(graph, Kind.GATEWAY) == ["gateway default/front"]
    assert graph.title == "gateway workload in namespace default with istio=ingress"


def test_a_port_that_speaks_no_http_is_drawn_with_where_its_connections_go() -> None:
    graph = drawn(service("db.default.svc.cluster.local", "mysql:3306", "10.0.0.9"), host="db:3306")
    assert of_kind(graph, Kind.ROUTE) == ["method is CONNECT"]
    assert of_kind(graph, Kind.SERVICE) == ["service db.default.svc.cluster.local:3306"]


def test_listeners_of_a_sidecar_are_entries_of_their_own() -> None:
    sidecar = object_of(
        "Sidecar",
        "default",
        {
            "egress": [
                {"port": {"number": 3306, "protocol": "MYSQL", "name": "db"}, "hosts": ["./*"]},
                {"hosts": ["./*"]},
            ]
        },
    )
    database = service("db.default.svc.cluster.local", "mysql:3306", "10.0.0.9")
    graph = drawn(database, sidecar)
    listener = named(graph, "listener 127.0.0.1:3306")
    assert listener.source.startswith("Sidecar/default/default@1")
    assert targets(graph, listener) == [("", "connections")]
    assert targets(graph, named(graph, "any connection")) == [
        ("100 %", "service db.default.svc.cluster.local:3306")
    ]


def test_two_listeners_of_one_place_are_both_drawn() -> None:
    port = {"number": 9080, "protocol": "HTTP", "name": "web"}
    egress = [{"port": port, "hosts": ["./*"]}, {"port": port, "hosts": ["*/*"]}]
    graph = drawn(SERVICE_A, object_of("Sidecar", "default", {"egress": egress}))
    assert of_kind(graph, Kind.LISTENER) == ["listener 127.0.0.1:9080"] * 2


def test_without_gateways_only_the_workload_is_drawn() -> None:
    gateway = object_of(
        "Gateway",
        "front",
        {
            "selector": {"istio": "ingress"},
            "servers": [
                {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["x.com"]}
            ],
        },
    )
    graph = draw(mesh_of(SERVICE_A, gateway), WEB, with_gateways=False)
    assert of_kind(graph, Kind.GATEWAY) == []
