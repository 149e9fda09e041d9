"""States that wait until Envoy has them in force."""

from __future__ import annotations

from sidecar.node.marks import WAITING_LABELS_MAX, InForceMark, Marks, label_of
from store.snapshot import Snapshot
from tests.harness.nodes import EPOCH


def mark(revision: int) -> InForceMark:
    snapshot = Snapshot.of(EPOCH, revision, [])
    return InForceMark(label_of(snapshot), snapshot, ())


def test_a_state_in_force_forgets_those_before_it_alone() -> None:
    marks = Marks()
    states = {revision: mark(revision) for revision in (1, 2, 3)}
    for state in states.values():
        marks.remember(state)
    assert marks.reach(f"{EPOCH}@2") is states[2]
    known = [revision for revision in (1, 2, 3) if f"{EPOCH}@{revision}" in marks.labels]
    assert known == [2, 3]
    assert marks.reach(f"{EPOCH}@1") is None
    assert marks.reach(f"{EPOCH}@2") is states[2], "another Envoy has it in force, too"


def test_no_more_wait_than_the_session_remembers_labels() -> None:
    marks = Marks()
    for revision in range(WAITING_LABELS_MAX + 1):
        marks.remember(mark(revision))
    assert marks.reach(f"{EPOCH}@0") is None
    assert marks.reach(f"{EPOCH}@1") is not None
