"""The order and the bookkeeping of the delta-ADS session, rule by rule (docs/xds.md)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.xds.events import AskVirtualHosts, InForce, SendResponse, SessionState
from sidecar.xds.resource import Resource, TypeUrl
from sidecar.xds.session_order import (
    ASKED_WAIT_S,
    CLUSTER_WAIT_S,
    REMOVAL_GRACE_S,
    WARM_WAIT_S,
)
from tests.harness.fake_envoy import (
    CDS,
    EDS,
    LDS,
    RDS,
    VHDS,
    FakeEnvoy,
    Wire,
    change,
    resource,
    show,
)


def in_force(*names: str) -> FakeEnvoy:
    """An Envoy that has clusters and endpoints `names`, a listener, and routes `outbound`."""
    wire = Wire()
    envoy = FakeEnvoy(wire)
    resources = [resource(type_url, name) for name in names for type_url in (CDS, EDS)]
    wire.handle(change("e@1", *resources, resource(LDS, "out"), resource(RDS, "outbound")))
    envoy.connect()
    assert wire.session.snapshot().state is SessionState.IN_FORCE
    envoy.effects.clear()
    return envoy


def test_nothing_is_answered_before_the_desired_state_is_known() -> None:
    wire = Wire()
    wire.open()
    assert show(wire.ask(CDS, node_id="n")) == []
    assert wire.session.snapshot().state is SessionState.WAITING
    assert show(wire.handle(change("e@1"))) == ["CDS"]


def test_the_first_wildcard_request_is_answered_at_once_even_if_empty() -> None:
    wire = Wire()
    wire.handle(change("e@1"))
    wire.open()
    (answer,) = wire.ask(CDS)
    assert show([answer]) == ["CDS"]
    wire.ack(answer)
    assert show(wire.ask(CDS)) == []


def test_endpoints_follow_every_changed_cluster_even_if_unchanged_m1() -> None:
    envoy = in_force("a", "b")
    effects = envoy.wire.handle(change("e@2", resource(CDS, "a", "2")))
    assert show(effects) == ["CDS a@2", "EDS a@1"]


def test_routes_wait_for_the_cluster_ack_and_the_cluster_ack_for_nothing_m2() -> None:
    envoy = in_force("a")
    wire = envoy.wire
    effects = wire.handle(
        change("e@2", resource(CDS, "b"), resource(EDS, "b"), resource(RDS, "outbound", "2"))
    )
    assert show(effects) == ["CDS b@1", "EDS b@1"]
    wire.ask(EDS, "b")
    assert wire.session.snapshot().state in (SessionState.SYNCING, SessionState.WARMING)
    assert show(wire.ack(effects[0])) == ["RDS outbound@2"]


def test_routes_stop_waiting_for_warm_clusters_after_the_bound() -> None:
    envoy = in_force("a")
    wire = envoy.wire
    (cds,) = wire.handle(change("e@2", resource(CDS, "dns"), resource(RDS, "outbound", "2")))
    assert wire.session.deadline() == wire.now_s + WARM_WAIT_S
    assert show(wire.wait(WARM_WAIT_S - 0.01)) == []
    (rds,) = wire.wait(0.01)
    assert show([rds]) == ["RDS outbound@2"]
    assert show(wire.ack(rds)) == []
    view = wire.session.snapshot()
    assert view.state is SessionState.WARMING
    assert view.warming_since_s == 100.0
    assert show(wire.ack(cds)) == ["in force e@2"]


def test_endpoints_taken_after_a_cluster_tell_that_it_is_warm_although_its_ack_is_withheld() -> (
    None
):
    envoy = in_force("a")
    wire = envoy.wire
    (_, eds) = wire.handle(change("e@2", resource(CDS, "a", "2"), resource(RDS, "outbound", "2")))
    assert show(wire.ack(eds)) == ["RDS outbound@2"]


def test_routes_wait_for_every_cold_cluster_since_they_may_name_it() -> None:
    envoy = in_force("a")
    wire = envoy.wire
    wire.handle(change("e@2", resource(CDS, "dns")))
    wire.now_s += CLUSTER_WAIT_S
    (_, eds) = wire.handle(change("e@3", resource(CDS, "a", "2"), resource(RDS, "outbound", "2")))
    assert show(wire.ack(eds)) == []
    assert show(wire.wait(WARM_WAIT_S - CLUSTER_WAIT_S)) == ["RDS outbound@2"]


def test_routes_that_say_which_clusters_they_name_wait_for_those_only() -> None:
    envoy = in_force("a")
    wire = envoy.wire
    wire.handle(change("e@2", resource(CDS, "dns")))
    needs_dns = replace(resource(VHDS, "outbound/x"), needs=frozenset({"a", "dns"}))
    needs_a = replace(resource(VHDS, "outbound/y"), needs=frozenset({"a"}))
    needs_none = replace(resource(VHDS, "outbound/z"), needs=frozenset())
    (sent,) = wire.handle(change("e@3", needs_dns, needs_a, needs_none))
    assert show([sent]) == ["VHDS outbound/y@1 outbound/z@1"]
    wire.ack(sent)
    unsent = wire.handle(change("e@4", resource(CDS, "a", "2"), replace(needs_a, version="2")))
    assert show(unsent) == [], "its cluster is not even sent"


def test_a_successor_does_not_go_ahead_of_the_removal_of_what_has_its_domain() -> None:
    envoy = in_force("a")
    wire = envoy.wire
    envoy.take(wire.handle(change("e@2", resource(VHDS, "outbound/old"))))
    successor = replace(resource(VHDS, "outbound/new"), needs=frozenset({"a"}))
    elsewhere = replace(resource(VHDS, "other/new"), needs=frozenset({"a"}))
    sent = wire.handle(
        change(
            "e@3",
            resource(CDS, "b"),
            successor,
            elsewhere,
            remove=[(VHDS, "outbound/old")],
        )
    )
    assert show(sent) == ["CDS b@1", "VHDS other/new@1"]
    wire.ack(sent[1])
    assert show(wire.wait(WARM_WAIT_S)) == ["VHDS outbound/new@1 -outbound/old"]


def vhost(name: str, *domains: str, version: str = "1", needs: str = "") -> Resource:
    made = resource(VHDS, f"outbound/{name}", version)
    return replace(made, domains=domains, needs=frozenset({needs} - {""}))


def test_a_domain_moves_in_one_response_whatever_its_hosts_wait_for() -> None:
    envoy = in_force("a")
    wire = envoy.wire
    envoy.take(wire.handle(change("e@2", vhost("x", "x", "shared"), vhost("y", "y"))))
    sent = wire.handle(
        change(
            "e@3",
            resource(CDS, "b"),
            vhost("x", "x", version="2", needs="b"),
            vhost("z", "z", "shared", needs="a"),
            vhost("y", "y", version="2", needs="a"),
        )
    )
    assert show(sent) == ["CDS b@1", "VHDS outbound/y@2"], (
        "z would have the domain that x still has"
    )
    wire.ack(sent[1])
    assert show(wire.wait(WARM_WAIT_S)) == ["VHDS outbound/x@2 outbound/z@1"]


def test_a_domain_whose_host_leaves_goes_with_its_removal_and_others_go_ahead() -> None:
    envoy = in_force("a")
    wire = envoy.wire
    envoy.take(wire.handle(change("e@2", vhost("x", "x", "shared"))))
    gone = [(VHDS, "outbound/x")]
    first = wire.handle(
        change(
            "e@3", resource(CDS, "b"), vhost("z", "shared", needs="a"), vhost("y", "y"), remove=gone
        )
    )
    assert show(first) == ["CDS b@1", "VHDS outbound/y@1"]
    wire.ack(first[1])
    assert show(wire.wait(WARM_WAIT_S)) == ["VHDS outbound/z@1 -outbound/x"]


def test_hosts_that_are_linked_by_domains_go_together() -> None:
    envoy = in_force("a")
    wire = envoy.wire
    envoy.take(wire.handle(change("e@2", vhost("x", "1"), vhost("y", "2"), vhost("z", "3"))))
    first = wire.handle(
        change(
            "e@3",
            resource(CDS, "b"),
            vhost("x", "2", version="2"),
            vhost("y", "3", version="2"),
            vhost("z", "1", version="2", needs="b"),
        )
    )
    assert show(first) == ["CDS b@1"]
    assert show(wire.wait(WARM_WAIT_S)) == ["VHDS outbound/x@2 outbound/y@2 outbound/z@2"]


def test_a_cluster_that_warms_for_long_does_not_hold_up_the_next_clusters() -> None:
    envoy = in_force("a")
    wire = envoy.wire
    wire.handle(change("e@2", resource(CDS, "dns")))
    wire.now_s += CLUSTER_WAIT_S
    assert show(wire.handle(change("e@3", resource(CDS, "a", "2")))) == ["CDS a@2", "EDS a@1"]


def test_old_endpoints_in_flight_do_not_count_for_a_cluster_sent_after_them() -> None:
    envoy = in_force("a")
    wire = envoy.wire
    (old,) = wire.handle(change("e@2", resource(EDS, "a", "2")))
    wire.handle(change("e@3", resource(CDS, "a", "2"), resource(RDS, "outbound", "2")))
    assert show(wire.ack(old)) == ["in force e@2"], "no route"


def test_a_virtual_host_that_a_request_waits_for_waits_less_for_clusters() -> None:
    envoy = in_force()
    wire = envoy.wire
    envoy.take(wire.ask(VHDS))
    wire.ask(VHDS, "outbound/b")
    wire.handle(change("e@1", resource(CDS, "dns"), resource(VHDS, "outbound/b")))
    assert show(wire.wait(ASKED_WAIT_S - 0.01)) == []
    assert show(wire.wait(0.02)) == ["VHDS outbound/b@1"]


def test_cluster_churn_does_not_starve_routes() -> None:
    envoy = in_force("a")
    wire = envoy.wire
    first = wire.handle(change("e@2", resource(CDS, "a", "2"), resource(RDS, "outbound", "2")))
    wire.handle(change("e@3", resource(CDS, "a", "3")))
    assert "RDS outbound@2" in show(wire.ack(first[0]))


def test_endpoint_changes_alone_go_at_once_while_other_clusters_warm() -> None:
    envoy = in_force("a", "b")
    wire = envoy.wire
    sent = wire.handle(change("e@2", resource(CDS, "a", "2")))
    wire.ack(sent[1])
    assert show(wire.handle(change("e@3", resource(EDS, "b", "2")))) == ["EDS b@2"]


def test_endpoints_of_a_cluster_wait_for_its_own_unsent_change() -> None:
    envoy = in_force("a", "b")
    wire = envoy.wire
    cds, eds = wire.handle(change("e@2", resource(CDS, "a", "2")))
    wire.ack(eds)
    assert show(wire.handle(change("e@3", resource(CDS, "b", "2"), resource(EDS, "b", "2")))) == []
    assert show(wire.ack(cds)) == ["CDS b@2", "EDS b@2", "in force e@2"]


def test_changes_while_one_is_in_flight_are_sent_as_one() -> None:
    envoy = in_force("a")
    wire = envoy.wire
    (sent,) = wire.handle(change("e@2", resource(EDS, "a", "2")))
    for number in range(3, 9):
        assert wire.handle(change(f"e@{number}", resource(EDS, "a", str(number)))) == []
    assert show(wire.ack(sent)) == ["EDS a@8", "in force e@2"]


def test_route_only_changes_go_out_in_the_same_call() -> None:
    envoy = in_force("a")
    envoy.take(envoy.wire.ask(VHDS))
    effects = envoy.wire.handle(
        change("e@2", resource(RDS, "outbound", "2"), resource(VHDS, "outbound/a"))
    )
    assert show(effects) == ["RDS outbound@2", "VHDS outbound/a@1"]


def test_clusters_are_removed_last_and_after_a_grace() -> None:
    envoy = in_force("a", "b")
    wire = envoy.wire
    effects = wire.handle(
        change("e@2", resource(RDS, "outbound", "2"), remove=[(CDS, "b"), (EDS, "b")])
    )
    assert show(effects) == ["RDS outbound@2"]
    wire.now_s += 0.5
    assert show(wire.ack(effects[0])) == ["in force e@2"], (
        "removals do not hold up what is in force"
    )
    assert wire.session.deadline() == pytest.approx(wire.now_s + REMOVAL_GRACE_S)
    assert show(wire.wait(REMOVAL_GRACE_S - 0.01)) == []
    assert show(wire.wait(0.02)) == ["CDS -b"]


def test_a_cluster_that_comes_back_within_the_grace_is_left_alone() -> None:
    envoy = in_force("a")
    wire = envoy.wire
    wire.handle(change("e@2", remove=[(CDS, "a")]))
    assert show(wire.handle(change("e@3", resource(CDS, "a")))) == ["in force e@3"]
    assert show(wire.wait(5 * REMOVAL_GRACE_S)) == []


def test_listener_removals_go_with_their_successors() -> None:
    envoy = in_force("a")
    effects = envoy.wire.handle(change("e@2", resource(LDS, "in"), remove=[(LDS, "out")]))
    assert show(effects) == ["LDS in@1 -out"]


def test_removed_endpoints_and_routes_are_not_sent_since_envoy_ignores_that_m9() -> None:
    envoy = in_force("a")
    effects = envoy.wire.handle(change("e@2", remove=[(EDS, "a"), (RDS, "outbound")]))
    assert show(effects) == ["in force e@2"]


def test_in_force_is_told_once_for_the_newest_label_and_again_for_a_new_stream() -> None:
    envoy = in_force("a")
    wire = envoy.wire
    (sent,) = wire.handle(change("e@2", resource(EDS, "a", "2")))
    wire.handle(change("e@3"))
    wire.handle(change("e@4"))
    assert show(wire.ack(sent)) == ["in force e@4"]
    wire.close()
    assert wire.session.snapshot().state is SessionState.DETACHED
    assert wire.session.snapshot().in_force == "e@4"
    envoy.held[EDS]["a"] = "2"
    envoy.effects.clear()
    envoy.connect()
    told = [effect for effect in envoy.effects if isinstance(effect, InForce)]
    assert told == [InForce("e@4")]


@pytest.mark.parametrize("label", ["e@1", "e@2"])
def test_a_state_that_came_before_envoy_is_not_in_force_because_a_newer_one_is_on_its_way(
    label: str,
) -> None:
    """Also under the label of the newer one: an earlier value that was looked up changes no revision."""
    wire = Wire()
    wire.handle(change(label, resource(LDS, "out")))
    wire.handle(change("e@2", resource(LDS, "out", "2")))
    wire.open()
    wire.ack(wire.ask(CDS)[0])
    (sent,) = wire.ask(LDS)
    assert show([sent]) == ["LDS out@2"]
    assert wire.session.snapshot().in_force == ""
    assert show(wire.ack(sent)) == ["in force e@2"]


def test_what_envoy_already_has_is_not_sent_again_on_reconnect() -> None:
    envoy = in_force("a", "b")
    envoy.wire.close()
    envoy.effects.clear()
    envoy.connect()
    assert show(envoy.effects) == ["CDS", "LDS", "in force e@1", "VHDS -outbound/-"]


def test_a_cluster_changed_while_away_gets_its_endpoints_after_reconnect() -> None:
    envoy = in_force("a", "b")
    envoy.wire.close()
    envoy.wire.handle(change("e@2", resource(CDS, "a", "2")))
    envoy.effects.clear()
    envoy.connect()
    assert show(envoy.effects)[:2] == ["CDS a@2", "EDS a@1"]
    assert not envoy.warming


def test_routes_wait_for_clusters_however_long_envoy_waited_for_a_session_that_knew_nothing() -> (
    None
):
    wire = Wire()
    wire.open()
    wire.ask(CDS, initial_versions={"a": "1"})
    wire.ask(EDS, "a", initial_versions={"a": "1"})
    wire.ask(LDS, initial_versions={"out": "1"})
    wire.ask(RDS, "outbound", initial_versions={"outbound": "1"})
    wire.ask(VHDS, initial_versions={"outbound/x": "1", "outbound/y": "1"})
    assert wire.wait(10 * WARM_WAIT_S) == []
    needs_b = replace(resource(VHDS, "outbound/x", "2"), needs=frozenset({"b"}))
    says_nothing = resource(VHDS, "outbound/y", "2")
    kept = [resource(kind, "a") for kind in (CDS, EDS)]
    outer = [resource(LDS, "out"), resource(RDS, "outbound")]
    new = [resource(kind, "b") for kind in (CDS, EDS)]
    effects = wire.handle(change("e@1", *kept, *outer, *new, needs_b, says_nothing))
    cds = effects[0]
    assert show([cds]) == ["CDS b@1"]
    assert not [line for line in show(effects) if "outbound/" in line and "@" in line]
    assert "EDS b@1" in show(wire.ask(EDS, "b"))
    for effect in effects[1:]:
        wire.ack(effect)
    assert "VHDS outbound/x@2 outbound/y@2" in show(wire.ack(cds))


def test_a_stream_that_asks_for_endpoints_before_clusters_gets_them_all_m3() -> None:
    envoy = in_force("a", "b")
    envoy.wire.close()
    envoy.warming.add("a")
    envoy.effects.clear()
    envoy.connect()
    assert show(envoy.effects)[0] == "EDS a@1 b@1"
    assert envoy.wire.session.snapshot().state is not SessionState.IN_FORCE
    envoy.take(envoy.wire.ask(CDS, initial_versions=dict(envoy.held[CDS])))
    assert envoy.wire.session.snapshot().state is SessionState.IN_FORCE
    assert envoy.wire.session.snapshot().node_id == "node"


def test_an_asked_virtual_host_becomes_an_effect_and_its_answer_carries_the_alias() -> None:
    envoy = in_force("a")
    wire = envoy.wire
    envoy.take(wire.ask(VHDS))
    effects = wire.ask(VHDS, "outbound/b:80")
    assert effects == [AskVirtualHosts(("outbound/b:80",))]
    assert wire.ask(VHDS, "outbound/b:80") == [], "asked once"
    answer = change("e@1", resource(VHDS, "outbound/b:80"))
    (sent,) = wire.handle(answer)
    assert isinstance(sent, SendResponse)
    assert sent.resources[0].aliases == ("outbound/b:80",)
    assert not sent.removed


def test_an_asked_virtual_host_goes_after_the_clusters_it_came_with_12d() -> None:
    envoy = in_force()
    wire = envoy.wire
    envoy.take(wire.ask(VHDS))
    wire.ask(VHDS, "outbound/b")
    effects = wire.handle(
        change("e@1", resource(CDS, "b"), resource(EDS, "b"), resource(VHDS, "outbound/b"))
    )
    envoy.effects.clear()
    envoy.take(effects)
    assert show(envoy.effects)[-2:] == ["VHDS outbound/b@1", "in force e@1"]


def test_an_unknown_virtual_host_is_answered_by_alias_only_and_pushed_when_it_appears_12c() -> None:
    envoy = in_force("a")
    wire = envoy.wire
    envoy.take(wire.ask(VHDS))
    wire.ask(VHDS, "outbound/x")
    (sent,) = wire.handle(change("e@1", Resource(VHDS, "outbound/x", "none", b"")))
    assert show([sent]) == ["VHDS outbound/x@none"]
    wire.ack(sent)
    assert show(wire.handle(change("e@2", resource(VHDS, "outbound/x")))) == ["VHDS outbound/x@1"]


def test_another_envoy_is_not_told_unasked_that_there_is_no_such_host_12j() -> None:
    wire = in_force("a").wire
    nothing = replace(resource(VHDS, "outbound/none"), body=b"")
    wire.ask(VHDS)
    wire.ask(VHDS, "outbound/none")
    (answer,) = wire.handle(change("e@2", nothing))
    assert show([answer]) == ["VHDS outbound/none@1"]
    wire.close()
    wire.open()
    (clusters,) = wire.ask(CDS)
    wire.ack(clusters)
    (first,) = wire.ask(VHDS)
    assert "outbound/none" not in show([first])[0]
    wire.ack(first)
    assert "VHDS outbound/none@1" in show(wire.ask(VHDS, "outbound/none"))


def test_the_first_virtual_host_reply_names_every_route_configuration_12b() -> None:
    wire = Wire()
    wire.handle(change("e@1", resource(RDS, "outbound"), resource(RDS, "http.80")))
    wire.open()
    wire.ask(CDS)
    assert show(wire.ask(VHDS)) == ["VHDS -outbound/- -http.80/-"]


def test_a_route_configuration_asked_for_anew_gets_its_virtual_hosts_again() -> None:
    envoy = in_force("a")
    envoy.take(envoy.wire.ask(VHDS))
    envoy.take(envoy.wire.handle(change("e@2", resource(VHDS, "outbound/a"))))
    envoy.take(envoy.wire.ask(RDS, unsubscribe=("outbound",)))
    effects = envoy.wire.ask(RDS, "outbound")
    assert show(effects) == ["RDS outbound@1", "VHDS outbound/a@1 -outbound/-"]


def test_held_hosts_that_traffic_asked_for_are_asked_of_the_builder_not_removed_after_restart() -> (
    None
):
    wire = Wire()
    wire.handle(change("e@1", resource(RDS, "outbound")))
    wire.open()
    held = {"outbound/asked": "7", "outbound/pushed": "7"}
    wire.ask(CDS)
    effects = wire.ask(VHDS, "*", "outbound/asked", initial_versions=held)
    assert show(effects) == ["VHDS -outbound/pushed -outbound/-", "AskVirtualHosts"]
    answered = wire.handle(change("e@1", resource(VHDS, "outbound/asked", "7")))
    assert show(answered) == []


def test_unknown_types_are_answered_as_nothing_there() -> None:
    wire = Wire()
    wire.handle(change("e@1"))
    wire.open()
    (answer,) = wire.ask("type.googleapis.com/envoy.service.runtime.v3.Runtime", "rtds")
    assert isinstance(answer, SendResponse)
    assert (answer.resources, answer.removed) == ((), ("rtds",))


def test_the_newest_stream_wins() -> None:
    envoy = in_force("a")
    wire = envoy.wire
    wire.open()
    old = wire.stream - 1
    wire.stream = old
    assert wire.ask(EDS, "a") == []
    assert wire.close() == []
    wire.stream = old + 1
    assert show(wire.ask(CDS)) == ["CDS a@1"]


def test_counts_by_type_are_in_the_view() -> None:
    envoy = in_force("a", "b")
    counts = envoy.wire.session.snapshot().types[TypeUrl.CLUSTER]
    assert (counts.desired, counts.held, counts.in_flight, counts.acks) == (2, 2, 0, 1)
    assert counts.resources_sent == 2
