"""The delta protocol itself, with a client that is not Envoy (docs/xds.md, protocol obligations)."""

from __future__ import annotations

from sidecar.xds.events import DeltaRequest, SendResponse
from tests.harness.fake_envoy import CDS, EDS, LDS, RDS, VHDS, Wire, change, resource, show


def started(*names: str) -> Wire:
    """A session that wants clusters and endpoints `names`, with a stream."""
    wire = Wire()
    wire.handle(change("e@1", *(resource(t, name) for name in names for t in (CDS, EDS))))
    wire.open()
    return wire


def test_subscribing_twice_gets_the_resource_twice() -> None:
    wire = started("a")
    (first,) = wire.ask(EDS, "a")
    wire.ack(first)
    assert show(wire.ask(EDS, "a")) == ["EDS a@1"], "the client may have forgotten it"


def test_a_stale_nonce_does_not_devalue_its_subscriptions() -> None:
    wire = started("a", "b")
    wire.ack(wire.ask(EDS, "a")[0])
    assert show(wire.ask(EDS, "b", nonce="stale")) == ["EDS b@1"]


def test_ack_and_subscription_in_one_request_both_count() -> None:
    wire = started("a", "b")
    (first,) = wire.ask(EDS, "a")
    assert isinstance(first, SendResponse)
    assert show(wire.ask(EDS, "b", nonce=first.nonce)) == ["EDS b@1"]


def test_explicit_wildcard_then_a_name_then_without_the_wildcard() -> None:
    wire = started("a", "b")
    (everything,) = wire.ask(CDS, "*")
    assert show([everything]) == ["CDS a@1 b@1"]
    wire.ack(everything)
    (again,) = wire.ask(CDS, "a")
    assert show([again]) == ["CDS a@1"]
    wire.ack(again)
    assert wire.ask(CDS, unsubscribe=("*",)) == []
    effects = wire.handle(change("e@2", resource(CDS, "a", "2"), resource(CDS, "b", "2")))
    assert show(effects) == ["CDS a@2"], "only what is still subscribed to by name"


def test_empty_subscribe_is_a_wildcard_on_the_first_request_only() -> None:
    wire = started("a", "b")
    wire.ack(wire.ask(EDS, "a")[0])
    wire.ask(EDS)
    assert wire.handle(change("e@2", resource(EDS, "b", "2"))) == []


def test_a_name_unsubscribed_under_a_wildcard_is_answered_with_its_state() -> None:
    wire = started("a")
    wire.ack(wire.ask(CDS, "*", "a", "ghost")[0])
    assert show(wire.ask(CDS, unsubscribe=("a",))) == ["CDS a@1"]


def test_phantom_unsubscribes_are_ignored() -> None:
    wire = started("a")
    wire.ack(wire.ask(EDS, "a")[0])
    assert wire.ask(EDS, unsubscribe=("never", "heard")) == []


def test_an_unknown_name_is_answered_at_once_and_sent_when_it_appears() -> None:
    wire = started("a")
    (answer,) = wire.ask(EDS, "ghost")
    assert show([answer]) == ["EDS -ghost"]
    wire.ack(answer)
    effects = wire.handle(change("e@2", resource(CDS, "ghost"), resource(EDS, "ghost")))
    assert show(effects) == ["EDS ghost@1"], "its cluster was not asked for"


def test_an_unsubscribed_name_is_not_sent_any_more() -> None:
    wire = started("a")
    wire.ack(wire.ask(EDS, "a")[0])
    wire.ask(EDS, unsubscribe=("a",))
    assert wire.handle(change("e@2", resource(EDS, "a", "2"))) == []


def test_initial_versions_subset_superset_and_wrong() -> None:
    wire = started("same", "wrong", "missing")
    held = {"same": "1", "wrong": "0", "surplus": "1"}
    effects = wire.ask(CDS, initial_versions=held)
    assert show(effects) == ["CDS wrong@1 missing@1"]
    wire.ack(effects[0])
    assert show(wire.wait(1.5)) == ["CDS -surplus"], "removals come last, after the grace"


def test_initial_versions_of_names_are_compared_one_by_one() -> None:
    wire = started("same", "wrong", "missing")
    effects = wire.ask(
        EDS, "same", "wrong", "missing", "ghost", initial_versions={"same": "1", "wrong": "0"}
    )
    # No cluster was asked for on this stream: one may be warming, so that all are sent (M3).
    assert show(effects) == ["EDS missing@1 same@1 wrong@1 -ghost"]
    other = started("same", "wrong", "missing")
    other.ack(other.ask(CDS, initial_versions={"same": "1", "wrong": "1", "missing": "1"})[0])
    effects = other.ask(
        EDS, "same", "wrong", "missing", "ghost", initial_versions={"same": "1", "wrong": "0"}
    )
    assert sorted(show(effects)[0].split()) == ["-ghost", "EDS", "missing@1", "wrong@1"]


def test_initial_versions_after_the_first_request_of_a_type_mean_nothing() -> None:
    wire = started("a")
    wire.ack(wire.ask(CDS)[0])
    assert wire.ask(CDS, initial_versions={"a": "0", "b": "1"}) == []


def test_the_node_is_taken_from_the_first_message_whatever_its_type() -> None:
    wire = started("a")
    wire.ask(EDS, "a", node_id="host-7")
    wire.ask(CDS)
    assert wire.session.snapshot().node_id == "host-7"


def test_a_thousand_names_in_one_request_get_one_answer() -> None:
    names = [f"c{number}" for number in range(1000)]
    wire = started(*names)
    (answer,) = wire.ask(EDS, *names)
    assert isinstance(answer, SendResponse)
    assert [item.name for item in answer.resources] == names


def test_nonces_are_never_used_twice() -> None:
    wire = started("a")
    seen: set[str] = set()
    for _ in range(3):
        for type_url, names in ((CDS, ()), (EDS, ("a",)), (LDS, ())):
            for effect in wire.ask(type_url, *names):
                if isinstance(effect, SendResponse):
                    assert effect.nonce not in seen
                    seen.add(effect.nonce)
        wire.close()
        wire.open()
    assert len(seen) == 9


def test_a_stream_reset_in_the_middle_of_a_response_starts_over() -> None:
    wire = started("a")
    wire.ask(CDS)
    wire.close()
    wire.open()
    assert show(wire.ask(CDS)) == ["CDS a@1"], "what was never acknowledged may never have arrived"


def test_an_answer_of_a_stream_before_is_ignored() -> None:
    wire = started("a")
    (old,) = wire.ask(CDS)
    wire.open()
    assert isinstance(old, SendResponse)
    assert wire.handle(DeltaRequest(1, CDS, nonce=old.nonce)) == []
    assert show(wire.ask(CDS)) == ["CDS a@1"]


def test_a_refusal_followed_by_a_change_sends_the_change() -> None:
    wire = started("a")
    (sent,) = wire.ask(CDS)
    wire.ack(sent, error="no")
    assert show(wire.handle(change("e@2", resource(CDS, "a", "2")))) == ["CDS a@2"]


def test_route_configurations_answer_by_name_and_virtual_hosts_by_wildcard() -> None:
    wire = Wire()
    wire.handle(change("e@1", resource(RDS, "r"), resource(RDS, "s"), resource(VHDS, "r/x")))
    wire.open()
    wire.ask(CDS)
    assert show(wire.ask(RDS, "r")) == ["RDS r@1"]
    assert show(wire.ask(VHDS)) == ["VHDS r/x@1 -r/- -s/-"]
