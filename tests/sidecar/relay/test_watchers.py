"""Who holds a watch: alike for all, steady, and without a gap when it changes."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.mesh.model import Locality
from sidecar.relay import RelaySettings, watchers
from sidecar.relay.watchers import Duty

RUN = settings(max_examples=60)

HERE = Locality()
SETTINGS = RelaySettings(watch_share=0.1, watchers_min=2)
names = st.sets(st.integers(0, 500).map("h{}".format), min_size=1, max_size=60)


def here(members: set[str]) -> dict[str, Locality]:
    return dict.fromkeys(members, HERE)


@RUN
@given(names, names)
def test_the_order_of_members_does_not_matter_and_one_that_comes_moves_few(
    members: set[str], newcomers: set[str]
) -> None:
    before = watchers(here(members), SETTINGS)
    assert before == watchers(dict(reversed(here(members).items())), SETTINGS)
    assert len(before) == min(len(members), max(2, -(-len(members) // 10)))
    for name in sorted(newcomers - members):
        members = members | {name}
        after = watchers(here(members), SETTINGS)
        assert len(before - after) <= 1
        assert len(after - before) <= 2
        before = after


@RUN
@given(names, st.data())
def test_failing_members_are_passed_over_and_still_try(
    members: set[str], data: st.DataObject
) -> None:
    failing = data.draw(st.sets(st.sampled_from(sorted(members))))
    chosen = watchers(here(members), SETTINGS, failing.__contains__)
    wanted = max(2, -(-len(members) // 10))
    assert len(chosen - failing) == min(wanted, len(members - failing))
    assert watchers(here(members), SETTINGS) <= chosen


def test_each_zone_has_its_own() -> None:
    members = {f"{zone}{n}": Locality("r", zone) for zone in "ab" for n in range(10)}
    chosen = watchers(members, SETTINGS)
    assert {zone: sum(name[0] == zone for name in chosen) for zone in "ab"} == {"a": 2, "b": 2}


MEMBERS = {f"h{number}" for number in range(20)}
CHOSEN = watchers(here(MEMBERS), SETTINGS)


def everybody(_: str) -> bool:
    return True


def duty(node: str, *, members: set[str] = MEMBERS) -> Duty:
    one = Duty(node, HERE, SETTINGS)
    one.members_seen(here(members - {node}))
    return one


def test_where_all_watch_nothing_is_decided() -> None:
    one = Duty("h1", HERE, RelaySettings())
    assert one.is_wanted
    one.members_seen(here(MEMBERS))
    assert not one.decide(everybody, 10.0)
    assert one.deadline() is None


def test_the_chosen_begin_at_once_and_the_others_never() -> None:
    for node in MEMBERS:
        one = duty(node)
        assert one.decide(everybody, 10.0) == (node in CHOSEN)
        assert one.is_wanted == (node in CHOSEN)
        assert one.deadline() is None


def test_who_knows_no_members_waits_and_then_watches() -> None:
    one = Duty("h1", HERE, SETTINGS)
    assert not one.decide(everybody, 10.0)
    assert one.deadline() == 10.0 + SETTINGS.takeover_s
    assert one.decide(everybody, 20.0)
    assert one.is_wanted


def test_who_is_no_longer_chosen_hands_over_first() -> None:
    node = min(MEMBERS - CHOSEN)
    one = duty(node, members={node})
    assert one.decide(everybody, 10.0), "alone, it is chosen"
    one.members_seen(here(MEMBERS - {node}))
    assert not one.decide(everybody, 20.0)
    assert one.is_wanted
    assert one.deadline() == 20.0 + SETTINGS.hand_over_s
    assert one.decide(everybody, 30.0)
    assert not one.is_wanted


def _reaching(*failing: str) -> Callable[[str], bool]:
    return lambda node: node not in failing


def test_the_next_one_takes_over_from_one_that_does_not_reach_etcd() -> None:
    failing = min(CHOSEN)
    (heir,) = watchers(here(MEMBERS), SETTINGS, failing.__eq__) - CHOSEN
    one = duty(heir)
    assert not one.decide(everybody, 10.0)
    assert not one.decide(_reaching(failing), 11.0)
    assert one.deadline() == 11.0 + SETTINGS.takeover_s
    assert one.decide(_reaching(failing), 21.0)
    assert one.is_wanted
    assert not one.decide(everybody, 30.0), "when it is back, its heir holds on for a while"
    assert one.is_wanted
    assert one.decide(everybody, 30.0 + SETTINGS.hand_over_s)
    assert not one.is_wanted
