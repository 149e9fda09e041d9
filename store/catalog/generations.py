"""Which generation of one key serves: the newest when it is valid, else the last valid one before it.

Pure rules over one key's `KeyState`. The answer must not depend on who remembers what, since two hosts at one
revision must agree. So what this host remembers counts as the last valid generation only when every generation
between is known to be bad; otherwise etcd is asked for the key as it was one revision earlier, again and again,
until a valid generation, the creation of the key, or compacted history is met. While that goes on, and where it
leads nowhere, what is remembered serves all the same: an old route is better than none.

A key that was deleted and created again begins a new life: nothing of the former one serves (the deletion was
meant). A new epoch of the store is different: nobody meant to lose what the former epoch knew, so it serves on until
the key has a valid generation again.

`version` below is etcd's count of the values of one life of a key (1 at creation), shown as the generation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from store.snapshot import Entry, Epoch

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.diagnostics import Diagnostic

    Verdict = Callable[[Entry], tuple[Diagnostic, ...]]

__all__ = [
    "Compacted",
    "KeyState",
    "Recall",
    "RecallSource",
    "Refusal",
    "fold",
    "recollect",
    "refuse",
]

STEPS_MAX = 100
"""How many generations are looked back through: a key spoilt oftener than that in a row (about 0.1 s of looking)."""

REFUSALS_MAX = 8
"""How many refused generations of one key are remembered; an older one is asked of Envoy again."""


class RecallSource(StrEnum):
    """Where an earlier generation is looked for."""

    ETCD = "etcd"
    HISTORY = "history"


@dataclass(frozen=True, slots=True)
class Recall:
    """Effect: look up what `key` held.

    From etcd: the key as it was at `revision`. From history: the newest value that any change set at or before
    `revision` overwrote.
    """

    key: str
    """The key, relative to the prefix."""
    revision: int
    """The revision at which to look."""
    source: RecallSource = RecallSource.ETCD
    """Where to look."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """Answer to a Recall: etcd no longer holds that revision."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Envoy refused (NACK) what was made from one generation of the key, or crashed on it."""

    mod_revision: int
    """The generation, by its revision."""
    reason: str
    """Envoy's words, or how it crashed."""
    crashed: bool = False
    """Whether it crashed: it said nothing against it."""


@dataclass(frozen=True, slots=True)
class KeyState:
    """What is known about one key whose newest value can, or cannot, serve."""

    epoch: Epoch
    """The epoch in which the revisions below count."""
    newest: Entry
    """What the store holds."""
    serving: Entry | None
    """The generation in force; None when there is none."""
    problems: tuple[Diagnostic, ...] = ()
    """Why `newest` does not serve; empty when it does."""
    previous: Entry | None = None
    """The last valid generation before `serving`, where that is certain."""
    refusals: tuple[Refusal, ...] = ()
    """Generations that Envoy refused, oldest first."""
    recall: Recall | None = None
    """The question that is open."""
    steps: int = 0
    """How many generations have been looked back through."""
    certain: bool = True
    """Whether `serving` is the last valid generation, and not only the best that is remembered."""
    inherited: bool = False
    """Whether `serving` comes from a former epoch."""


def fold(state: KeyState | None, entry: Entry, epoch: Epoch, verdict: Verdict) -> KeyState:
    """The key's state after the store holds `entry`.

    Args:
        state: The state before, None when the key was not there.
        entry: What the store holds now.
        epoch: The epoch of `entry`.
        verdict: Says what is wrong with an entry; nothing when it is valid. Depends on key and value alone.
    """
    heir = state if state is not None and _same_life(state, entry, epoch) else None
    follows = heir is not None and heir.newest.version + 1 == entry.version
    refusals = heir.refusals if heir is not None else ()
    problems = verdict(entry)
    if not problems:
        previous = heir.serving if heir is not None and follows and heir.certain else None
        return KeyState(epoch, entry, entry, previous=previous, refusals=refusals)
    if heir is not None and follows:
        return replace(heir, newest=entry, problems=problems)
    inherited = state is not None and (state.epoch != epoch or state.inherited)
    remembered = state.serving if state is not None and (heir is not None or inherited) else None
    first = entry.version == 1
    return KeyState(
        epoch,
        entry,
        remembered,
        problems,
        refusals=refusals,
        recall=None if first else Recall(entry.key, entry.mod_revision - 1),
        certain=first and remembered is None,
        inherited=inherited and remembered is not None,
    )


def refuse(state: KeyState, refusal: Refusal, problem: Diagnostic) -> KeyState:
    """The key's state after Envoy refused one generation; unchanged when that one does not serve."""
    refused = state.serving
    if refused is None or refused.mod_revision != refusal.mod_revision:
        return state
    after = replace(
        state,
        serving=state.previous,
        previous=None,
        problems=(problem,) if refused is state.newest else (*state.problems, problem),
        refusals=(*state.refusals, refusal)[-REFUSALS_MAX:],
        recall=None,
        steps=0,
        certain=True,
        inherited=False,
    )
    if state.previous is not None or refused.version == 1:
        return after
    return replace(after, recall=Recall(refused.key, refused.mod_revision - 1), certain=False)


def recollect(
    state: KeyState,
    recall: Recall,
    answer: Entry | Compacted | None,
    verdict: Verdict,
) -> KeyState:
    """The key's state after `recall` was answered; unchanged when the question is no longer open.

    Args:
        state: The state before.
        recall: The question.
        answer: The entry found; None when the key was not there (or history has nothing); Compacted when etcd cannot
            tell any more.
        verdict: As for `fold`.
    """
    if state.recall != recall:
        return state
    closed = replace(state, recall=None)
    assert not isinstance(answer, Entry) or answer.key == recall.key, "keys are relative here"
    if isinstance(answer, Compacted):
        if recall.source is RecallSource.HISTORY:
            return closed
        return replace(closed, recall=replace(recall, source=RecallSource.HISTORY))
    if recall.source is RecallSource.HISTORY:
        return _from_history(closed, answer, verdict)
    if answer is None or answer.create_revision != state.newest.create_revision:
        return _at_the_beginning(closed)
    if _is_serving(state, answer):
        return replace(closed, certain=True, inherited=False)
    if _is_refused(state, answer) or verdict(answer):
        if answer.version == 1:
            return _at_the_beginning(closed)
        if state.steps + 1 >= STEPS_MAX:
            return replace(
                closed, recall=Recall(answer.key, answer.mod_revision - 1, RecallSource.HISTORY)
            )
        return replace(
            closed, recall=Recall(answer.key, answer.mod_revision - 1), steps=state.steps + 1
        )
    return replace(closed, serving=answer, certain=True, inherited=False)


def _from_history(closed: KeyState, answer: Entry | None, verdict: Verdict) -> KeyState:
    """History keeps only what change sets overwrote: it may be older than what is remembered."""
    if answer is None or _is_refused(closed, answer) or verdict(answer):
        return closed
    if answer.create_revision != closed.newest.create_revision:
        return closed
    if (
        closed.serving is not None
        and not closed.inherited
        and closed.serving.mod_revision >= answer.mod_revision
    ):
        return closed
    return replace(closed, serving=answer, inherited=False)


def _at_the_beginning(closed: KeyState) -> KeyState:
    """No generation of this life was valid: only what a former epoch remembered can serve."""
    if closed.inherited:
        return closed
    return replace(closed, serving=None, certain=True)


def _same_life(state: KeyState, entry: Entry, epoch: Epoch) -> bool:
    return state.epoch == epoch and state.newest.create_revision == entry.create_revision


def _is_serving(state: KeyState, entry: Entry) -> bool:
    serving = state.serving
    return (
        serving is not None
        and serving.mod_revision == entry.mod_revision
        and serving.value == entry.value
    )


def _is_refused(state: KeyState, entry: Entry) -> bool:
    return any(refusal.mod_revision == entry.mod_revision for refusal in state.refusals)
