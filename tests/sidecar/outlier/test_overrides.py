from __future__ import annotations

import math
from dataclasses import replace

import pytest

from sidecar.gossip.records import RECORD_BODY_BYTES_MAX, Record, Topic
from sidecar.mesh.model import HostName
from sidecar.outlier.events import Override, OverrideKind
from sidecar.outlier.model import Destination
from sidecar.outlier.override_codec import HOLD_S_MAX, REASON_CHARS_MAX, WORDS_MAX
from sidecar.outlier.overrides import CLEAR_S_MIN, PAGES_HELD_MAX, Overrides
from sidecar.outlier.view import Reason
from store.errors import InputError
from tests.sidecar.outlier.builders import RATINGS, REVIEWS, place

PIN = Override(OverrideKind.PIN, REVIEWS, place(1), 600.0)
PAUSE = Override(OverrideKind.PAUSE, None, None, 60.0)
CLEAR = Override(OverrideKind.CLEAR, REVIEWS, place(1), 5.0)


def records(words: Overrides, now_s: float, *, node: str = "n1", epoch: int = 1) -> list[Record]:
    """What the speaker's pages are now; versions grow with time."""
    version = 1 + round(now_s * 10)
    return [
        Record(Topic.OVERRIDES, node, say.page, epoch, version, say.body, b"", b"")
        for say in words.speak(now_s)
    ]


def test_a_pin_holds_for_its_endpoint_until_it_runs_out() -> None:
    words = Overrides("n1", 1)
    words.say(PIN, 100.0)
    assert words.override(REVIEWS, place(1)) is Reason.PINNED
    assert words.override(REVIEWS, place(2)) is None
    assert words.override(RATINGS, place(1)) is None
    assert words.deadline() == 700.0
    assert not words.expire(699.9)
    assert words.expire(700.0)
    assert words.override(REVIEWS, place(1)) is None
    assert words.deadline() is None


def test_a_word_without_an_endpoint_is_for_all_of_the_destination() -> None:
    words = Overrides("n1", 1)
    words.say(replace(PIN, place=None), 0.0)
    assert words.override(REVIEWS, place(7)) is Reason.PINNED


def test_a_pause_without_a_destination_is_for_all() -> None:
    words = Overrides("n1", 1)
    words.say(PAUSE, 0.0)
    assert words.override(RATINGS, place(3)) is Reason.PAUSED


def test_a_clear_covers_what_was_said_before_it_and_lasts_longer_than_rows_live() -> None:
    words = Overrides("n1", 1)
    words.say(CLEAR, 100.0)
    assert words.cleared_s(REVIEWS, place(1)) == 100.0
    assert words.cleared_s(REVIEWS, place(2)) == -math.inf
    words.expire(100.0 + CLEAR_S_MIN - 1)
    assert words.cleared_s(REVIEWS, place(1)) == 100.0


def test_a_word_reaches_others_with_its_age_and_outlives_its_host() -> None:
    speaker, hearer = Overrides("n1", 1), Overrides("n2", 1)
    speaker.say(PIN, 100.0)
    (said,) = records(speaker, 100.0)
    assert hearer.hear(replace(said, age_ms=10_000), 5000.0)
    assert hearer.override(REVIEWS, place(1)) is Reason.PINNED
    (view,) = hearer.view()
    assert (view.node, view.kind, view.said_s, view.until_s) == (
        "n1",
        OverrideKind.PIN,
        4990.0,
        5590.0,
    )
    assert hearer.expire(5590.0)
    assert hearer.view() == ()


def test_words_of_several_hosts_hold_together() -> None:
    one, other, hearer = Overrides("n1", 1), Overrides("n2", 1), Overrides("n3", 1)
    one.say(PIN, 0.0)
    other.say(replace(PIN, place=place(2)), 0.0)
    for record in records(one, 0.0) + records(other, 0.0, node="n2"):
        hearer.hear(record, 0.0)
    assert hearer.override(REVIEWS, place(1)) is Reason.PINNED
    assert hearer.override(REVIEWS, place(2)) is Reason.PINNED


def test_saying_it_again_replaces_it_and_for_0_s_takes_it_back() -> None:
    speaker, hearer = Overrides("n1", 1), Overrides("n2", 1)
    speaker.say(PIN, 0.0)
    speaker.say(replace(PIN, for_s=30.0), 1.0)
    assert [view.until_s for view in speaker.view()] == [31.0]
    for record in records(speaker, 1.0):
        hearer.hear(record, 1.0)
    speaker.say(replace(PIN, for_s=0.0), 2.0)
    (withdrawn,) = records(speaker, 2.0)
    assert withdrawn.body == b""
    assert hearer.hear(withdrawn, 2.0)
    assert hearer.view() == ()


def test_an_older_page_changes_nothing() -> None:
    speaker, hearer = Overrides("n1", 1), Overrides("n2", 1)
    speaker.say(PIN, 0.0)
    (first,) = records(speaker, 0.0)
    speaker.say(replace(PIN, for_s=0.0), 1.0)
    (second,) = records(speaker, 1.0)
    hearer.hear(second, 1.0)
    assert not hearer.hear(first, 1.0)
    assert hearer.view() == ()


def test_a_restarted_host_takes_up_its_words_and_can_take_them_back() -> None:
    before, hearer = Overrides("n1", 1), Overrides("n2", 1)
    before.say(PIN, 0.0)
    (old,) = records(before, 0.0)
    hearer.hear(old, 0.0)
    after = Overrides("n1", 2)
    assert after.hear(replace(old, age_ms=5000), 1005.0)
    assert [view.until_s for view in after.view()] == [1600.0]
    after.say(replace(PIN, for_s=0.0), 1006.0)
    for record in records(after, 1006.0, epoch=2):
        hearer.hear(record, 6.0)
    assert hearer.view() == ()


def test_our_own_words_of_this_life_are_no_news() -> None:
    speaker = Overrides("n1", 1)
    speaker.say(PIN, 0.0)
    (own,) = records(speaker, 0.0)
    speaker.say(replace(PIN, for_s=0.0), 1.0)
    assert not speaker.hear(own, 1.0)
    assert speaker.view() == ()


def test_a_host_has_so_many_words_and_no_more() -> None:
    words = Overrides("n1", 1)
    for number in range(WORDS_MAX):
        words.say(replace(PIN, place=place(number)), 0.0)
    with pytest.raises(InputError, match="16 words in force"):
        words.say(replace(PIN, place=place(99)), 0.0)
    words.say(replace(PIN, place=place(3), for_s=60.0), 1.0)
    assert len(words.view()) == WORDS_MAX


def test_every_page_fits_a_record_whatever_the_words() -> None:
    words = Overrides("n1", 1)
    long = Destination(HostName("x" * 255), 65535)
    said = 0
    try:
        for number in range(WORDS_MAX):
            reason = f"{number:>{REASON_CHARS_MAX}}"
            words.say(Override(OverrideKind.PIN, long, place(number), HOLD_S_MAX, reason), 0.0)
            said += 1
    except InputError:
        pass
    assert said >= 8
    assert all(len(say.body) <= RECORD_BODY_BYTES_MAX for say in words.speak(HOLD_S_MAX - 1))


def test_a_replacement_that_finds_no_room_leaves_the_word_that_was() -> None:
    words = Overrides("n1", 1)
    long = Destination(HostName("x" * 255), 65535)
    for number in range(8):
        words.say(Override(OverrideKind.PIN, long, place(number), 60.0, "ä" * 100), 0.0)
    for number in range(8):
        words.say(Override(OverrideKind.PAUSE, REVIEWS, place(number), 60.0, ""), 0.0)
    before = words.view()
    with pytest.raises(InputError):
        words.say(Override(OverrideKind.PAUSE, REVIEWS, place(0), 60.0, "ä" * 100), 1.0)
    assert words.view() == before


@pytest.mark.parametrize(
    "wrong",
    [
        replace(PIN, destination=None),
        replace(CLEAR, destination=None, place=None),
        replace(PAUSE, place=place(1)),
        replace(PIN, for_s=HOLD_S_MAX + 1),
        replace(PIN, for_s=-1.0),
        replace(PIN, for_s=math.nan),
        replace(PIN, reason="x" * (REASON_CHARS_MAX + 1)),
        replace(PIN, destination=Destination(HostName("with space"), 80)),
        replace(PIN, destination=Destination(HostName("a"), 65536)),
    ],
)
def test_a_word_that_cannot_hold_is_refused_and_nothing_changes(wrong: Override) -> None:
    words = Overrides("n1", 1)
    with pytest.raises(InputError):
        words.say(wrong, 0.0)
    assert words.view() == ()
    assert words.speak(0.0) == []


def test_hostile_pages_are_counted_and_bounded() -> None:
    hearer = Overrides("n0", 1)
    speaker = Overrides("n1", 1)
    speaker.say(PIN, 0.0)
    (said,) = records(speaker, 0.0)
    assert not hearer.hear(replace(said, body=b"\xff"), 0.0)
    assert hearer.refused == 1
    for number in range(PAGES_HELD_MAX + 5):
        hearer.hear(replace(said, node=f"x{number}"), 0.0)
    assert hearer.refused == 6
    assert len(hearer.view()) == PAGES_HELD_MAX
