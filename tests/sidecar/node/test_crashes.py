"""Which changes Envoy crashes on: the same one twice, soon after it came; nothing else counts."""

from __future__ import annotations

import signal
from collections.abc import Mapping

import pytest

from sidecar.node.crashes import CRASH_WITHIN_S, Suspects, is_crash, verdict_text
from sidecar.xds.events import SendResponse, StreamOpened
from sidecar.xds.resource import Resource, TypeUrl
from store.objects.base import ObjectRef
from store.objects.kinds import Kind

A = ObjectRef(Kind.VIRTUAL_SERVICE, "default", "a")
B = ObjectRef(Kind.VIRTUAL_SERVICE, "default", "b")
SEGV, KILL = -signal.SIGSEGV, -signal.SIGKILL
MARKER = SendResponse(1, TypeUrl.CLUSTER, "n", (), (), "e@1")
SENT = SendResponse(1, TypeUrl.CLUSTER, "n", (Resource(TypeUrl.CLUSTER, "c", "v", b""),), (), "e@1")


class Host:
    """Suspects with an Envoy that is sent all at once and takes it; `now_s` is what time it is."""

    def __init__(self) -> None:
        self.suspects = Suspects()
        self.now_s = 100.0
        self.connect()

    def connect(self) -> None:
        """Another Envoy comes and gets everything."""
        self.suspects.observe(StreamOpened(1), self.now_s)
        self.send()

    def send(self, label: str = "e@1", *, takes: bool = True) -> None:
        self.suspects.observe(SENT, self.now_s)
        if takes:
            self.suspects.in_force(label, {label}, self.now_s)

    def change(self, ref: ObjectRef = A, revision: int | None = 6, before: int | None = 5) -> None:
        self.suspects.changed(ref, before, revision, "e@1")
        self.send()

    def end(self, status: int | None = SEGV, after_s: float = 1.0) -> Mapping[ObjectRef, int]:
        """Envoy ends; the next one is there 0.1 s later and has everything."""
        self.now_s += after_s
        found = self.suspects.ended(status, self.now_s)
        self.now_s += 0.1
        self.connect()
        return found


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE"])
def test_two_faults_soon_after_one_change_convict_it(name: str) -> None:
    host = Host()
    host.change()
    status = -signal.Signals[name]
    assert host.end(status) == {}
    assert host.end(status) == {A: 6}


def test_exit_statuses_that_are_not_0_count() -> None:
    host = Host()
    host.change()
    assert host.end(1) == {}
    assert host.end(1) == {A: 6}


@pytest.mark.parametrize("status", [KILL, -signal.SIGTERM, -signal.SIGINT, 0, None])
def test_an_end_that_came_from_outside_or_is_not_known_never_counts(status: int | None) -> None:
    host = Host()
    host.change()
    assert not is_crash(status)
    assert [host.end(status) for _ in range(5)] == [{}] * 5


def test_a_kill_in_between_neither_counts_nor_excuses() -> None:
    host = Host()
    host.change()
    assert host.end(SEGV) == {}
    assert host.end(KILL) == {}
    assert host.end(SEGV) == {A: 6}


def test_crashes_without_a_change_convict_nobody() -> None:
    host = Host()
    assert [host.end() for _ in range(5)] == [{}] * 5


def test_what_envoy_lived_with_for_longer_is_trusted() -> None:
    host = Host()
    host.change()
    assert host.end(after_s=CRASH_WITHIN_S + 0.1) == {}
    assert len(host.suspects) == 0
    assert [host.end() for _ in range(3)] == [{}] * 3


def test_a_second_crash_after_envoy_lived_with_it_is_another_matter() -> None:
    host = Host()
    host.change()
    assert host.end() == {}
    assert host.end(after_s=CRASH_WITHIN_S + 0.1) == {}
    assert host.end() == {}


def test_the_time_counts_from_when_it_is_in_force_where_that_takes_longer() -> None:
    host = Host()
    host.suspects.changed(A, 5, 6, "e@1")
    host.send(takes=False)
    host.now_s += 20.0
    host.suspects.in_force("e@1", {"e@1"}, host.now_s)
    assert host.end() == {}
    assert host.end() == {A: 6}


def test_a_crash_long_after_it_was_sent_does_not_count_though_it_never_came_in_force() -> None:
    host = Host()
    for _ in range(3):
        host.suspects.changed(A, 5, 6, "e@1")
        host.send(takes=False)
        host.now_s += CRASH_WITHIN_S + 1.0
        assert host.suspects.ended(SEGV, host.now_s) == {}
        host.suspects.observe(StreamOpened(1), host.now_s)


def test_an_envoy_that_was_not_sent_the_change_does_not_count() -> None:
    host = Host()
    host.suspects.changed(A, 5, 6, "e@1")
    for _ in range(5):
        host.suspects.observe(StreamOpened(1), host.now_s)
        host.suspects.observe(MARKER, host.now_s)  # nothing is in it
        assert host.suspects.ended(1, host.now_s + 0.1) == {}


def test_what_is_sent_to_a_stream_whose_envoy_has_ended_does_not_count() -> None:
    host = Host()
    host.change()
    host.suspects.ended(SEGV, host.now_s)
    host.send()
    assert host.suspects.ended(1, host.now_s) == {}


def test_a_new_generation_is_tried_anew() -> None:
    host = Host()
    host.change(revision=6)
    assert host.end() == {}
    host.change(revision=7, before=6)
    assert host.end() == {}
    assert host.end() == {A: 7}


def test_what_came_between_two_crashes_is_not_convicted_with_the_others() -> None:
    host = Host()
    host.change(A)
    assert host.end() == {}
    host.change(B)
    assert host.end() == {A: 6}
    host.suspects.changed(A, 6, 5, "e@1")  # as the catalog says then
    host.send()
    assert host.end() == {}, "of the two crashes of B one was A's"
    assert host.end() == {B: 6}


def test_all_that_changed_together_is_convicted() -> None:
    host = Host()
    host.change(A)
    host.change(B, before=None)
    assert host.end() == {}
    assert host.end() == {A: 6, B: 6}


def test_a_deletion_is_a_change_that_cannot_be_taken_back() -> None:
    host = Host()
    host.change(A, None)
    assert host.end() == {}
    assert host.end() == {}


def test_who_is_back_at_what_envoy_lived_with_is_no_suspect() -> None:
    host = Host()
    host.change(revision=6)
    host.change(revision=7, before=6)
    host.change(revision=5, before=7)
    assert len(host.suspects) == 0


def test_a_state_says_nothing_of_changes_that_came_after_it() -> None:
    host = Host()
    host.suspects.changed(A, 5, 6, "e@2")
    host.suspects.observe(SENT, host.now_s)
    host.suspects.in_force("e@1", {"e@1", "e@2"}, host.now_s)
    host.now_s += CRASH_WITHIN_S + 1.0
    host.suspects.in_force("e@1", {"e@1", "e@2"}, host.now_s)
    assert len(host.suspects) == 1
    host.suspects.in_force("e@2", {"e@2"}, host.now_s)
    host.now_s += CRASH_WITHIN_S + 1.0
    host.suspects.in_force("e@2", {"e@2"}, host.now_s)
    assert len(host.suspects) == 0


def test_the_verdict_says_how_when_and_with_how_many_others() -> None:
    assert verdict_text(SEGV, 1) == "SIGSEGV, 2 times, each within 5 s of getting it"
    assert verdict_text(1, 2).startswith("exit status 1, 2 times")
    assert verdict_text(1, 2).endswith("and 1 other object that changed with it")
    assert verdict_text(1, 3).endswith("and 2 other objects that changed with it")
