"""Whatever happens in whatever order: a wait that watched it all says what one says that begins now."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.gossip.claims import Identity, Status
from sidecar.gossip.records import Record, Topic
from sidecar.standing import events as on
from sidecar.standing.codec import encode
from sidecar.standing.model import Standing, Sync
from sidecar.standing.progress import Progress
from sidecar.standing.standings import Standings
from store.snapshot import Epoch

REVISION, CLUSTER = 5, 7
NODES = st.sampled_from(["a", "b", "c"])


@st.composite
def standings(draw: st.DrawFn) -> Standing:
    received = draw(st.integers(3, 8))
    return Standing(
        Epoch(draw(st.integers(1, 2)), draw(st.sampled_from([CLUSTER, CLUSTER, 8]))),
        received,
        draw(st.sampled_from(["0" * 32, "0" * 32, "f" * 32])),
        draw(st.sampled_from([0, received - 1, received])),
        draw(st.sampled_from(Sync)),
    )


@st.composite
def events(draw: st.DrawFn) -> on.Event:
    node, epoch = draw(NODES), draw(st.integers(1, 2))
    match draw(st.integers(0, 4)):
        case 0:
            return on.OwnChanged(draw(standings()))
        case 1:
            identity = Identity(node, "10.0.0.1:1", epoch)
            return on.MemberChanged(identity, None, draw(st.sampled_from(Status)), 0)
        case 2:
            return on.RecordDropped(node)
        case 3:
            return on.RecordHeard(Record(Topic.STANDING, node, 0, epoch, 1, b"\xc1", b"", b""))
        case _:
            body = encode(draw(standings()))
            return on.RecordHeard(Record(Topic.STANDING, node, 0, epoch, 1, body, b"", b""))


@given(st.lists(events(), max_size=25))
def test_a_wait_that_saw_it_all_and_one_that_begins_now_agree(happened: list[on.Event]) -> None:
    watched, late = Standings("me"), Standings("me")
    told = list(watched.handle(on.WaitBegan(1, REVISION, CLUSTER), 0.0))
    for number, event in enumerate(happened):
        told += watched.handle(event, float(number))
        late.handle(event, float(number))
    late.handle(on.WaitBegan(1, REVISION, CLUSTER), 0.0)
    one, other = watched.wait_view(1), late.wait_view(1)
    assert (one.met, dict(one.pending)) == (other.met, dict(other.pending))
    assert "me" in {*one.met, *one.pending}
    assert Progress.IN_FORCE not in one.pending.values()
    assert not {*one.met} & {*one.pending}
    assert not {*one.gone} & {*one.met, *one.pending}
    if not one.pending:
        assert on.WaitMet(1) in told


@given(st.lists(events(), max_size=25))
def test_every_alarm_that_ends_had_begun_and_those_that_are_listed_have_not_ended(
    happened: list[on.Event],
) -> None:
    core, begun = Standings("me"), set[tuple[int, int]]()
    for event in happened:
        for effect in core.handle(event, 0.0):
            if isinstance(effect, on.HashesDiffer):
                assert (effect.cluster_id, effect.revision) not in begun, "flagged once"
                assert len(effect.claims) > 1
                begun.add((effect.cluster_id, effect.revision))
            elif isinstance(effect, on.HashesAgree):
                begun.remove((effect.cluster_id, effect.revision))
    assert {(alarm.cluster_id, alarm.revision) for alarm in core.view().alarms} == begun
