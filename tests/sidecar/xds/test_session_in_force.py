"""What may be called in force: not before Envoy has asked for all that it was told of."""

from __future__ import annotations

from sidecar.xds.events import SendResponse, SessionState
from sidecar.xds.resource import Resource
from tests.harness.fake_envoy import CDS, LDS, RDS, VHDS, Wire, change, resource, show


def told_of_a_listener(*more: Resource) -> tuple[Wire, SendResponse]:
    """A stream whose clusters are acknowledged; the listener `out` is on its way."""
    wire = Wire()
    wire.handle(change("e@1", resource(CDS, "a"), resource(LDS, "out"), *more))
    wire.open()
    (clusters,) = wire.ask(CDS)
    wire.ack(clusters)
    (listener,) = wire.ask(LDS)
    assert isinstance(listener, SendResponse)
    return wire, listener


def test_a_listener_is_not_in_force_before_its_routes_are_asked_for_and_taken() -> None:
    wire, listener = told_of_a_listener(resource(RDS, "outbound"))
    assert show(wire.ack(listener)) == []
    assert wire.session.snapshot().state is not SessionState.IN_FORCE
    (routes,) = wire.ask(RDS, "outbound")
    assert show([routes]) == ["RDS outbound@1"]
    assert show(wire.ack(routes)) == ["in force e@1"]


def test_routes_are_not_in_force_before_their_virtual_hosts_are_asked_for_and_taken() -> None:
    host = resource(VHDS, "outbound/reviews")
    wire, listener = told_of_a_listener(resource(RDS, "outbound"), host)
    wire.ack(listener)
    (routes,) = wire.ask(RDS, "outbound")
    assert show(wire.ack(routes)) == []
    effects = wire.ask(VHDS)
    assert any("outbound/reviews@1" in line for line in show(effects))
    assert show([effect for sent in effects for effect in wire.ack(sent)]) == ["in force e@1"]


def test_a_refused_listener_asks_for_nothing_and_holds_nothing_up() -> None:
    wire, listener = told_of_a_listener(resource(RDS, "outbound"))
    assert "in force e@1" in show(wire.ack(listener, "out: cannot bind"))


def test_a_listener_that_comes_later_is_in_force_with_its_routes() -> None:
    wire, listener = told_of_a_listener()
    assert show(wire.ack(listener)) == ["in force e@1"]
    (second,) = wire.handle(change("e@2", resource(LDS, "other"), resource(RDS, "8080")))
    assert show(wire.ack(second)) == []
    (routes,) = wire.ask(RDS, "8080")
    assert show(wire.ack(routes)) == ["in force e@2"]
