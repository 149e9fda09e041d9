"""What a NACK means: bisection, hold, last accepted version, telling once (docs/xds.md, M6, M7)."""

from __future__ import annotations

import pytest

from sidecar.mesh.model import Provenance
from sidecar.xds.events import ResourceRejected, SendResponse
from sidecar.xds.resource import Resource, TypeUrl
from sidecar.xds.session_blame import blamed
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


def serving(*hosts: str) -> FakeEnvoy:
    """An Envoy that has virtual hosts `hosts` in version 1."""
    wire = Wire()
    envoy = FakeEnvoy(wire)
    wire.handle(
        change(
            "e@1",
            resource(CDS, "a"),
            resource(EDS, "a"),
            resource(LDS, "out"),
            resource(RDS, "outbound"),
            *(resource(VHDS, f"outbound/{host}") for host in hosts),
        )
    )
    envoy.connect()
    envoy.effects.clear()
    return envoy


def refusals(envoy: FakeEnvoy) -> list[str]:
    return [e.name for e in envoy.effects if isinstance(e, ResourceRejected)]


@pytest.mark.parametrize("semantic", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
def test_the_bad_one_is_found_and_all_others_get_through(count: int, semantic: bool) -> None:
    hosts = [f"h{number}" for number in range(count)]
    envoy = serving(*hosts)
    envoy.semantic = semantic
    envoy.bad = {"bad"}
    changes = [resource(VHDS, f"outbound/{host}", "2") for host in hosts]
    changes[count // 2] = resource(VHDS, f"outbound/{hosts[count // 2]}", "bad")
    envoy.take(envoy.wire.handle(change("e@2", *changes)))
    assert refusals(envoy) == [f"outbound/h{count // 2}"]
    held = envoy.held[VHDS]
    assert held.pop(f"outbound/h{count // 2}") == "1", "the last accepted version serves"
    assert set(held.values()) <= {"2"}
    assert show(envoy.effects)[-1] == "in force e@2", "refused resources do not hold up the rest"


def test_several_bad_ones_are_each_found() -> None:
    envoy = serving(*"abcdefgh")
    envoy.bad = {"bad"}
    mixed = [resource(VHDS, f"outbound/{h}", "bad" if h in "bfg" else "2") for h in "abcdefgh"]
    envoy.take(envoy.wire.handle(change("e@2", *mixed)))
    assert sorted(refusals(envoy)) == ["outbound/b", "outbound/f", "outbound/g"]
    assert "".join(sorted(n[-1] for n, v in envoy.held[VHDS].items() if v == "2")) == "acdeh"


def test_refused_bytes_are_not_sent_again() -> None:
    envoy = serving("a", "b")
    envoy.bad = {"bad"}
    bad = resource(VHDS, "outbound/a", "bad")
    envoy.take(envoy.wire.handle(change("e@2", bad)))
    sent = dict(envoy.sent_by_version)
    envoy.take(envoy.wire.handle(change("e@3", bad, resource(VHDS, "outbound/b", "2"))))
    envoy.take(envoy.wire.wait(100))
    key = (str(VHDS), "outbound/a", "bad")
    assert envoy.sent_by_version[key] == sent[key] == 1
    assert refusals(envoy) == ["outbound/a"], "told once"


def test_a_refused_resource_without_accepted_version_is_left_out() -> None:
    envoy = serving("a")
    envoy.bad = {"bad"}
    envoy.take(envoy.wire.handle(change("e@2", resource(VHDS, "outbound/new", "bad"))))
    assert show(envoy.effects) == ["VHDS outbound/new@bad", "ResourceRejected", "in force e@2"]
    assert "outbound/new" not in envoy.held[VHDS]


def test_a_mended_resource_is_sent_and_the_refusal_forgotten() -> None:
    envoy = serving("a")
    envoy.bad = {"bad"}
    envoy.take(envoy.wire.handle(change("e@2", resource(VHDS, "outbound/a", "bad"))))
    assert len(envoy.wire.session.snapshot().rejected) == 1
    envoy.take(envoy.wire.handle(change("e@3", resource(VHDS, "outbound/a", "3"))))
    assert envoy.held[VHDS]["outbound/a"] == "3"
    assert envoy.wire.session.snapshot().rejected == ()


def test_after_quarantine_the_accepted_version_comes_back_without_a_message() -> None:
    envoy = serving("a")
    envoy.bad = {"bad"}
    envoy.take(envoy.wire.handle(change("e@2", resource(VHDS, "outbound/a", "bad"))))
    assert envoy.held[VHDS]["outbound/a"] == "1"
    assert show(envoy.wire.handle(change("e@3", resource(VHDS, "outbound/a", "1")))) == [
        "in force e@3"
    ]


def test_the_same_bad_version_after_a_good_one_is_told_again() -> None:
    envoy = serving("a")
    envoy.bad = {"bad"}
    for number, version in enumerate(("bad", "2", "bad"), start=2):
        host = resource(VHDS, "outbound/a", version)
        envoy.take(envoy.wire.handle(change(f"e@{number}", host)))
    assert refusals(envoy) == ["outbound/a", "outbound/a"]


def test_a_refused_cluster_goes_back_and_its_endpoints_with_it() -> None:
    envoy = serving("a")
    envoy.bad = {"bad"}
    envoy.take(envoy.wire.handle(change("e@2", resource(CDS, "a", "bad"))))
    lines = show(envoy.effects)
    assert lines[:2] == ["CDS a@bad", "EDS a@1"]
    assert lines[2:5] == ["ResourceRejected", "CDS a@1", "EDS a@1"]
    assert envoy.held[CDS]["a"] == "1"
    assert not envoy.warming


def test_clusters_stay_while_a_refused_route_may_name_them() -> None:
    envoy = serving("a")
    envoy.bad = {"bad"}
    wire = envoy.wire
    envoy.take(wire.handle(change("e@2", resource(RDS, "outbound", "bad"), remove=[(CDS, "a")])))
    envoy.take(wire.wait(60))
    assert "a" in envoy.held[CDS]
    assert wire.session.deadline() is None, "nothing to wait for"
    envoy.take(wire.handle(change("e@3", resource(RDS, "outbound", "3"))))
    envoy.take(wire.wait(0.5))
    envoy.take(wire.wait(1.0))
    assert "a" not in envoy.held[CDS]


def test_envoys_words_name_the_culprit_among_clusters() -> None:
    envoy = serving("a")
    wire = envoy.wire
    names = ("good", "outbound|80||bad.example", "also-good")
    fresh = [resource(type_url, name) for name in names for type_url in (CDS, EDS)]
    (cds, *_rest) = wire.handle(change("e@2", *fresh))
    detail = "Error adding/updating cluster(s) outbound|80||bad.example: LOGICAL_DNS clusters must have a single host"
    effects = wire.ack(cds, error=detail)
    assert show(effects) == ["ResourceRejected", "CDS good@1 also-good@1", "EDS good@1 also-good@1"]
    assert isinstance(effects[0], ResourceRejected)
    assert effects[0].name == names[1]
    assert effects[0].detail == detail


def test_names_are_blamed_whole_only() -> None:
    resources = [resource(CDS, name) for name in ("a", "ba", "a|b")]
    detail = "Error adding/updating cluster(s) a|b: no, ba: neither"
    assert [item.name for item in blamed(detail, resources)] == ["ba", "a|b"]
    assert blamed("missing ): ((", resources) == ()


def test_a_swap_of_domains_survives_a_bad_sibling() -> None:
    """`a` takes over what `b` gives up: alone, `a` is refused until `b` is through."""
    envoy = serving("a", "b", "c")
    wire = envoy.wire
    taken = {"outbound/b": "1"}
    effects = wire.handle(
        change(
            "e@2",
            *(resource(VHDS, f"outbound/{h}", "2") for h in "ab"),
            resource(VHDS, "outbound/c", "bad"),
        )
    )
    rejected: list[str] = []
    queue = list(effects)
    while queue:
        effect = queue.pop(0)
        if isinstance(effect, ResourceRejected):
            rejected.append(effect.name)
        if not isinstance(effect, SendResponse):
            continue
        after = dict(taken)
        after.update({item.name: item.version for item in effect.resources})
        conflict = after.get("outbound/a") == "2" and after["outbound/b"] == "1"
        bad = any(item.version == "bad" for item in effect.resources)
        error = "Only unique values for domains are permitted" if conflict else None
        error = "missing ): ((" if bad else error
        if error is None:
            taken = after
        queue += wire.ack(effect, error)
    assert rejected == ["outbound/c"]
    assert taken["outbound/a"] == taken["outbound/b"] == "2"


def test_a_conflict_is_offered_again_when_a_sibling_changes() -> None:
    envoy = serving("a", "b")
    wire = envoy.wire
    (sent,) = wire.handle(change("e@2", resource(VHDS, "outbound/a", "2")))
    duplicate = "Only unique values for domains are permitted. Duplicate entry of domain x"
    wire.handle(change("e@2"))
    (told, back, *_rest) = wire.ack(sent, error=duplicate)
    assert show([told, back]) == ["ResourceRejected", "VHDS outbound/a@1"]
    wire.ack(back)
    effects = wire.handle(change("e@3", resource(VHDS, "outbound/b", "2")))
    assert show(effects) == ["VHDS outbound/b@2 outbound/a@2"]


def test_a_listener_whose_port_is_taken_is_offered_again_ever_later_and_told_once() -> None:
    envoy = serving("a")
    wire = envoy.wire
    taken = (
        "Error adding/updating listener(s) in: cannot bind '127.0.0.1:80': Address already in use"
    )
    (sent,) = wire.handle(change("e@2", resource(LDS, "in")))
    (told, in_force) = wire.ack(sent, error=taken)
    assert isinstance(told, ResourceRejected)
    assert told.conflict
    assert show([in_force]) == ["in force e@2"]
    for pause in (*(0.1 * 2**n for n in range(10)), 60.0, 60.0):
        assert wire.session.deadline() == pytest.approx(wire.now_s + pause)
        assert show(wire.wait(pause - 0.01)) == []
        (again,) = wire.wait(0.02)
        assert show([again]) == ["LDS in@1"]
        assert wire.ack(again, error=taken) == []
    (again,) = wire.wait(60.01)
    wire.ack(again)
    assert wire.session.snapshot().rejected == ()
    assert wire.session.deadline() is None


def test_a_stale_refusal_blames_nobody_but_its_subscriptions_count() -> None:
    envoy = serving("a")
    effects = envoy.wire.ask(EDS, "a", nonce="of another life", error="whatever")
    assert show(effects) == ["EDS a@1"]


def test_a_refusal_names_the_objects_behind_the_resource() -> None:
    envoy = serving("a")
    source = Provenance(None, 7, "spec.http[0]")
    bad = Resource(VHDS, "outbound/a", "bad", b"x", (), (source,))
    (sent,) = envoy.wire.handle(change("e@2", bad))
    (told, *_rest) = envoy.wire.ack(sent, error="no")
    assert isinstance(told, ResourceRejected)
    assert told.sources == (source,)
    assert (told.type_url, told.detail) == (TypeUrl.VIRTUAL_HOST, "no")
