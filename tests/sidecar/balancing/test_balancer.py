"""Plans of destinations and their endpoints."""

from __future__ import annotations

import pytest

from sidecar.balancing.balancer import Balancer
from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, HostName, Locality, Resolution
from sidecar.mesh.view import View
from sidecar.routing.table import ClusterKey, HashPolicy
from tests.harness.catalogs import Document, Store
from tests.harness.objects import (
    destination_rule,
    mesh_config,
    registration,
    service_entry,
    sidecar,
    workload,
)

HOST = HostName("api.test")
HOME = Locality("eu", "west", "r1")


def endpoint(address: str, locality: str = "", **labels: str) -> dict[str, object]:
    return {"address": address, "locality": locality, "labels": labels}


def balancer_of(*documents: Document, locality: Locality = HOME, **labels: str) -> Balancer:
    store = Store(documents)
    mesh = Mesh.build(store.catalog, store.registrations)
    return Balancer(View(mesh, Context("", "default", labels, locality=locality)))


def key(subset: str = "", port: int = 80, host: str = HOST) -> ClusterKey:
    return ClusterKey(HostName(host), port, subset)


ENTRY = service_entry(
    "s",
    [HOST],
    subjectAltNames=["spiffe://x"],
    endpoints=[endpoint("10.0.0.1", v="1"), endpoint("10.0.0.2", v="2")],
)


class TestPlan:
    def test_a_plan_says_what_the_objects_say(self) -> None:
        rule = destination_rule("d", HOST, subsets=[{"name": "v1", "labels": {"v": "1", "a": "b"}}])
        plan = balancer_of(ENTRY, rule).plan(key("v1"))
        assert plan is not None
        assert plan.resolution is Resolution.STATIC
        assert plan.port.number == 80
        assert plan.external
        assert plan.subset_labels == (("a", "b"), ("v", "1"))
        assert [str(source) for source in plan.sources] == [
            "ServiceEntry/default/s@1",
            "DestinationRule/default/d@1",
        ]
        assert plan.hosts == {HOST}

    @pytest.mark.parametrize("wanted", [key("v9"), key(port=81), key(host="none.test")])
    def test_there_is_no_plan_for_what_nothing_defines(self, wanted: ClusterKey) -> None:
        balancer = balancer_of(ENTRY)
        assert balancer.plan(wanted) is None
        assert balancer.endpoints(wanted).endpoints == ()

    @pytest.mark.parametrize(
        ("tls", "expected"),
        [
            (None, ("spiffe://x",)),
            ({"mode": "SIMPLE"}, ("spiffe://x",)),
            ({"mode": "SIMPLE", "subjectAltNames": ["y"]}, ()),
        ],
    )
    def test_accepted_names_come_from_the_entry_unless_the_policy_has_some(
        self, tls: Document | None, expected: tuple[str, ...]
    ) -> None:
        policy = {} if tls is None else {"trafficPolicy": {"tls": tls}}
        plan = balancer_of(ENTRY, destination_rule("d", HOST, "default", **policy)).plan(key())
        assert plan is not None
        assert plan.subject_alt_names == expected

    def test_hash_inputs_follow_the_most_specific_policy(self) -> None:
        def by_header(name: str) -> dict[str, object]:
            return {"loadBalancer": {"consistentHash": {"httpHeaderName": name}}}

        top = {
            **by_header("top"),
            "portLevelSettings": [{"port": {"number": 80}, **by_header("port")}],
        }
        subset = {"name": "v1", "trafficPolicy": by_header("subset")}
        rule = destination_rule("d", HOST, trafficPolicy=top, subsets=[subset, {"name": "v2"}])
        balancer = balancer_of(ENTRY, rule)
        found = [balancer.plan(key(name)) for name in ("", "v1", "v2")]
        headers = [plan.hash_policies for plan in found if plan is not None]
        assert headers == [(HashPolicy("header", n),) for n in ("port", "subset", "port")]

    def test_a_route_may_name_what_the_sidecar_does_not_import(self) -> None:
        balancer = balancer_of(service_entry("s", [HOST], "other"), sidecar("s", hosts=["./*"]))
        assert balancer.plan(key()) is not None

    def test_registered_services_are_internal_and_static(self) -> None:
        balancer = balancer_of(registration("vm-1", workload("w", HOST)))
        plan = balancer.plan(key(port=9080))
        assert plan is not None
        assert (plan.external, plan.resolution) == (False, Resolution.STATIC)
        assert [e.port for e in balancer.endpoints(key(port=9080)).endpoints] == [15080]


class TestEndpoints:
    def test_a_subset_has_the_endpoints_with_all_its_labels(self) -> None:
        subsets = [{"name": "v1", "labels": {"v": "1"}}, {"name": "all"}]
        balancer = balancer_of(ENTRY, destination_rule("d", HOST, subsets=subsets))
        for subset, expected in [
            ("v1", ["10.0.0.1"]),
            ("all", ["10.0.0.1", "10.0.0.2"]),
            ("", ["10.0.0.1", "10.0.0.2"]),
        ]:
            found = balancer.endpoints(key(subset)).endpoints
            assert [one.address for one in found] == expected


PLACES = ["eu/west/r1", "eu/west/r2", "eu/north/r1", "us/east/r1", "ap/one/r1"]
SPREAD = service_entry(
    "s", [HOST], endpoints=[endpoint(f"10.0.0.{n}", place) for n, place in enumerate(PLACES, 1)]
)
OUTLIER = {"outlierDetection": {"consecutive5xxErrors": 5}}


def ranked(
    policy: Document, documents: tuple[Document, ...] = (SPREAD,), locality: Locality = HOME
) -> dict[str, int]:
    """Priority of each place of the service under a traffic policy."""
    rule = destination_rule("d", HOST, trafficPolicy=policy)
    found = balancer_of(*documents, rule, locality=locality).endpoints(key())
    priorities = found.priorities or (0,) * len(found.endpoints)
    return {
        str(one.locality): priority
        for one, priority in zip(found.endpoints, priorities, strict=True)
    }


def locality_lb(**setting: object) -> dict[str, object]:
    return {"loadBalancer": {"localityLbSetting": setting}}


class TestLocality:
    def test_without_outlier_detection_all_are_alike(self) -> None:
        assert set(ranked({}).values()) == {0}

    def test_with_outlier_detection_nearer_ones_come_first(self) -> None:
        assert ranked(OUTLIER) == {
            "eu/west/r1": 0,
            "eu/west/r2": 1,
            "eu/north/r1": 2,
            "us/east/r1": 3,
            "ap/one/r1": 3,
        }

    def test_priorities_have_no_gaps(self) -> None:
        assert ranked(OUTLIER, locality=Locality("us", "west")) == {
            "us/east/r1": 0,
            "eu/west/r1": 1,
            "eu/west/r2": 1,
            "eu/north/r1": 1,
            "ap/one/r1": 1,
        }

    def test_a_failover_region_comes_before_the_others(self) -> None:
        policy = {**OUTLIER, **locality_lb(failover=[{"from": "eu", "to": "ap"}])}
        found = ranked(policy)
        assert (found["ap/one/r1"], found["us/east/r1"]) == (3, 4)
        # An entry for another region says nothing.
        policy = {**OUTLIER, **locality_lb(failover=[{"from": "us", "to": "ap"}])}
        assert ranked(policy)["ap/one/r1"] == ranked(policy)["us/east/r1"] == 3

    def test_turned_off_locality_does_not_count(self) -> None:
        assert set(ranked({**OUTLIER, **locality_lb(enabled=False)}).values()) == {0}

    def test_the_destinations_setting_replaces_the_meshs_as_a_whole(self) -> None:
        off = mesh_config(localityLbSetting={"enabled": False})
        assert set(ranked(OUTLIER, (SPREAD, off)).values()) == {0}
        assert max(ranked({**OUTLIER, **locality_lb(enabled=True)}, (SPREAD, off)).values()) == 3

    def test_zone_aware_routing_tells_regions_apart_only(self) -> None:
        policy = {**OUTLIER, "loadBalancer": {"zoneAwareLbSetting": {"enabled": True}}}
        found = ranked(policy)
        assert {found[place] for place in PLACES[:3]} == {0}
        assert {found[place] for place in PLACES[3:]} == {1}

    def test_shares_are_fixed_by_the_first_entry_for_this_locality(self) -> None:
        entries = [
            {"from": "us/*", "to": {"us/*": 100}},
            {"from": "eu/west/*", "to": {"eu/west/*": 70, "eu/north/*": 20, "us/east": 10}},
            {"from": "*", "to": {"*": 100}},
        ]
        rule = destination_rule("d", HOST, trafficPolicy=locality_lb(distribute=entries))
        found = balancer_of(SPREAD, rule).endpoints(key())
        assert dict(found.locality_weights) == {
            "eu/west/r1": 35,
            "eu/west/r2": 35,
            "eu/north/r1": 20,
            "us/east/r1": 10,
        }
        # The locality that has no share gets nothing.
        assert "ap" not in {one.locality.region for one in found.endpoints}
        assert found.priorities == ()

    def test_split_shares_are_rounded_up_by_weight_and_the_narrower_target_goes_first(self) -> None:
        entry = service_entry(
            "s",
            [HOST],
            endpoints=[
                {"address": "10.0.0.1", "locality": "eu/a", "weight": 2},
                {"address": "10.0.0.2", "locality": "eu/b", "weight": 1},
                {"address": "10.0.0.3", "locality": "eu/c", "weight": 1},
            ],
        )
        distribute = [{"from": "*", "to": {"eu/*": 50, "eu/c": 50}}]
        rule = destination_rule("d", HOST, trafficPolicy=locality_lb(distribute=distribute))
        found = balancer_of(entry, rule).endpoints(key())
        assert dict(found.locality_weights) == {"eu/a": 34, "eu/b": 17, "eu/c": 50}

    def test_without_an_entry_for_this_locality_nothing_is_distributed_nor_ranked(self) -> None:
        distribute = [{"from": "us/*", "to": {"us/*": 100}}]
        policy = {**OUTLIER, **locality_lb(distribute=distribute)}
        found = balancer_of(SPREAD, destination_rule("d", HOST, trafficPolicy=policy)).endpoints(
            key()
        )
        assert len(found.endpoints) == len(PLACES)
        assert (found.priorities, found.locality_weights) == ((), ())

    def test_labels_rank_endpoints_by_how_many_they_share_from_the_first(self) -> None:
        entry = service_entry(
            "s",
            [HOST],
            endpoints=[
                endpoint("10.0.0.1", "a/1", rack="1", row="9"),
                endpoint("10.0.0.2", "b/1", rack="1", row="2"),
                endpoint("10.0.0.3", "c/1", rack="2", row="9"),
            ],
        )
        policy = {**OUTLIER, **locality_lb(failoverPriority=["rack", "row=9"])}
        rule = destination_rule("d", HOST, trafficPolicy=policy)
        found = balancer_of(entry, rule, rack="1").endpoints(key())
        assert found.priorities == (0, 1, 2)

    def test_topology_labels_stand_for_locality_and_network(self) -> None:
        policy = {
            **OUTLIER,
            **locality_lb(failoverPriority=["topology.kubernetes.io/region"]),
        }
        found = ranked(policy)
        assert {found[place] for place in PLACES[:3]} == {0}
        assert {found[place] for place in PLACES[3:]} == {1}

    def test_failover_refines_what_labels_rank(self) -> None:
        policy = {
            **OUTLIER,
            **locality_lb(
                failoverPriority=["topology.kubernetes.io/region"],
                failover=[{"from": "eu", "to": "ap"}],
            ),
        }
        assert ranked(policy) == {
            "eu/west/r1": 0,
            "eu/west/r2": 1,
            "eu/north/r1": 2,
            "ap/one/r1": 3,
            "us/east/r1": 4,
        }
