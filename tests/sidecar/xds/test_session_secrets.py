"""A cluster that names secrets is warm when Envoy has its endpoints and all of them: routes to it wait so long."""

from __future__ import annotations

from dataclasses import replace

from sidecar.certificates.model import SecretSource
from sidecar.xds.events import Effect
from sidecar.xds.resource import TypeUrl
from sidecar.xds.session_order import ASKED_WAIT_S
from tests.harness.fake_envoy import CDS, EDS, LDS, RDS, VHDS, Wire, change, resource, show

SDS = TypeUrl.SECRET
SECURED = replace(
    resource(CDS, "b"), secrets=frozenset({SecretSource("own"), SecretSource("authorities")})
)


def asked() -> tuple[Wire, list[Effect]]:
    """A request waits for `outbound/b`; what it needs is sent, and no answer has come."""
    wire = Wire()
    wire.handle(change("e@1", resource(LDS, "out"), resource(RDS, "outbound")))
    wire.open()
    for type_url, *names in ((CDS,), (EDS, "x"), (LDS,), (RDS, "outbound"), (VHDS,)):
        for effect in wire.ask(type_url, *names):
            if show([effect])[0].split()[0] in ("CDS", "EDS", "LDS", "RDS", "VHDS"):
                wire.ack(effect)
    wire.ask(VHDS, "outbound/b")
    host = replace(resource(VHDS, "outbound/b"), needs=frozenset({"b"}))
    secrets = [resource(SDS, "own"), resource(SDS, "authorities")]
    return wire, wire.handle(change("e@2", SECURED, resource(EDS, "b"), *secrets, host))


def test_a_virtual_host_waits_for_every_secret_of_its_cluster() -> None:
    wire, sent = asked()
    assert show(sent) == ["CDS b@1", "EDS b@1"]
    assert show(wire.ack(sent[1])) == [], "the cluster has its endpoints, and no secret"
    (own,) = wire.ask(SDS, "own")
    assert show([own]) == ["SDS own@1"]
    assert show(wire.ack(own)) == []
    (authorities,) = wire.ask(SDS, "authorities")
    assert show(wire.ack(authorities)) == ["VHDS outbound/b@1"]


def test_secrets_before_endpoints_do_as_well() -> None:
    wire, sent = asked()
    for name in ("own", "authorities"):
        (secret,) = wire.ask(SDS, name)
        assert show(wire.ack(secret)) == []
    assert show(wire.ack(sent[1])) == ["VHDS outbound/b@1"]


def test_a_secret_that_never_comes_holds_up_nothing_for_longer_than_a_request_may_wait() -> None:
    wire, sent = asked()
    wire.ack(sent[1])
    assert show(wire.wait(ASKED_WAIT_S - 0.01)) == []
    assert show(wire.wait(0.02)) == ["VHDS outbound/b@1"]


def test_secrets_that_envoy_has_already_hold_up_nothing() -> None:
    wire, sent = asked()
    for name in ("own", "authorities"):
        (secret,) = wire.ask(SDS, name)
        wire.ack(secret)
    (host,) = wire.ack(sent[1])
    for effect in (sent[0], host):
        wire.ack(effect)
    wire.ask(VHDS, "outbound/c")
    other = replace(resource(VHDS, "outbound/c"), needs=frozenset({"c"}))
    sent = wire.handle(change("e@3", replace(SECURED, name="c"), resource(EDS, "c"), other))
    assert show(sent) == ["CDS c@1", "EDS c@1"]
    assert show(wire.ack(sent[1])) == ["VHDS outbound/c@1"]
