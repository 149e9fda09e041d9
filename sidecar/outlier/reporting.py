"""What people are told of judgements: a line for each change, and the view of each endpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from sidecar.outlier.decision import Judgement, Mesh
from sidecar.outlier.events import EndpointName, VerdictChanged
from sidecar.outlier.evidence import Evidence
from sidecar.outlier.imposing import Imposing
from sidecar.outlier.model import Destination, DestinationFacts, Place, Row, RowClass
from sidecar.outlier.view import EndpointView, JudgementState, Reason, WitnessView

__all__ = ["changes", "endpoint_views"]

_WORTH_A_LINE = frozenset(
    {
        Reason.COUNTER_EVIDENCE,
        Reason.DIVERSITY,
        Reason.LOCAL_ORIGIN,
        Reason.SIBLINGS,
        Reason.CAP,
        Reason.MIN_HEALTH,
        Reason.LAST_ONE,
        Reason.MASS,
        Reason.CONTRADICTED,
        Reason.PINNED,
        Reason.PAUSED,
    }
)
"""Reasons not to eject that a person may want to read; a single accuser is everyday."""
_ROWS_IN_A_LINE = 20
_SPARED = "spared here: our own Envoy has other endpoints ejected, and the cap is used up"
_DETAILS = {
    Reason.CAP: "maxEjectionPercent of the destination is used up",
    Reason.MIN_HEALTH: "fewer than minHealthPercent would stay healthy",
    Reason.LAST_ONE: "it is the last endpoint that takes requests",
    Reason.MASS: "too many endpoints fell at once: new ejections wait",
    Reason.CONTRADICTED: "those who accuse it also accuse what others succeed with",
    Reason.NOT_COUNTING: "those who accuse it are not held alive, or are of another locality",
    Reason.PINNED: "an operator pinned it",
    Reason.PAUSED: "an operator paused shared ejection",
    Reason.OVERRIDDEN: "an operator cleared the accusations",
    Reason.HOLD_OVER: "the hold is over",
    Reason.UNKNOWN: "it takes no requests, or is another workload than the one accused",
}
_ORDER = (RowClass.BAD, RowClass.CLEAR, RowClass.NEUTRAL)


def changes(
    destination: Destination,
    before: Mapping[Place, Judgement],
    after: Mapping[Place, Judgement],
    rows: Mapping[Place, Mapping[str, Row]],
    facts: DestinationFacts | None,
    now_s: float,
) -> list[VerdictChanged]:
    """What changed between two judgements of a destination, with the evidence for it."""
    known = {endpoint.place for endpoint in facts.endpoints} if facts else set()
    found = []
    for place in sorted(before.keys() | after.keys()):
        old, new = before.get(place), after.get(place)
        said = _change(old, new, is_known=place in known)
        if said is not None:
            verdict, reason = said
            evidence = _facts(new or old, rows.get(place, {}), now_s)
            found.append(VerdictChanged(destination, place, verdict, reason, evidence))
    return found


def endpoint_views(
    judged: Mapping[Destination, Mapping[Place, Judgement]],
    evidence: Evidence,
    mesh: Mesh,
    facts: Mapping[Destination, DestinationFacts],
    imposing: Imposing,
    locally: frozenset[EndpointName],
    now_s: float,
) -> tuple[EndpointView, ...]:
    """Every endpoint that somebody accuses, that is imposed upon, or that our own Envoy has ejected."""
    imposed = imposing.imposed()
    names = {(one, place) for one, found in judged.items() for place in found}
    views = []
    for name in sorted(names | imposed.keys() | locally):
        destination, place = name
        one = judged.get(destination, {}).get(place)
        witnesses = _witnesses(evidence.about(name), mesh, facts.get(destination))
        view = EndpointView(
            destination,
            place,
            state=None if one is None else one.state,
            reason=None if one is None else one.reason,
            imposed=imposed.get(name),
            locally_ejected=name in locally,
            witnesses=witnesses,
        )
        views.append(
            view
            if one is None
            else _judged_view(view, one, capped=imposing.is_capped(name), now_s=now_s)
        )
    return tuple(views)


def _judged_view(view: EndpointView, one: Judgement, *, capped: bool, now_s: float) -> EndpointView:
    votes = one.poll
    return replace(
        view,
        detail=_SPARED if capped else _detail(one),
        since_s=one.since_s,
        until_s=one.until_s,
        level=one.level if one.is_ejected else 0,
        accusing=len(votes.accusing),
        opposing=votes.opposing,
        quorum=votes.quorum,
        users=votes.users,
        trying=one.trial.trying(now_s),
    )


def _detail(one: Judgement) -> str:
    votes = one.poll
    accusing = len(votes.accusing)
    match one.reason:
        case Reason.QUORUM | Reason.LOCAL_ORIGIN | Reason.TRIAL_FAILED:
            return f"{accusing} accuse it, {votes.quorum} must, of {votes.users} who use it"
        case Reason.COUNTER_EVIDENCE:
            return f"{accusing} accuse it, {votes.opposing} succeed with it"
        case Reason.SIBLINGS:
            return "the other endpoints of the destination are hardly better"
        case Reason.RECOVERED:
            return f"{votes.answered} accusations are answered by successes since"
        case Reason.DIVERSITY:
            return f"the {accusing} who accuse it are of one zone, others of other zones use it"
        case Reason.ALONE:
            return "gossip reaches nobody who counts: Envoy's own detector decides alone"
        case _:
            return _DETAILS.get(one.reason, "")


def _witnesses(
    rows: Mapping[str, Row], mesh: Mesh, facts: DestinationFacts | None
) -> tuple[WitnessView, ...]:
    found = [
        WitnessView(
            node,
            row.row_class,
            row.ok,
            row.external,
            row.gateway,
            row.local,
            row.first_failure_s,
            row.accused_s,
            row.last_ok_s,
            _ignored(node, row, mesh, facts),
        )
        for node, row in rows.items()
    ]
    return tuple(sorted(found, key=lambda one: (_ORDER.index(one.row_class), one.node)))


def _ignored(node: str, row: Row, mesh: Mesh, facts: DestinationFacts | None) -> Reason | None:
    """Why a row does not count."""
    endpoints = facts.endpoints if facts is not None else ()
    generation = next((one.generation for one in endpoints if one.place == row.place), None)
    if row.generation != generation:
        return Reason.UNKNOWN
    if node in mesh.ignored:
        return Reason.CONTRADICTED
    near = facts is not None and facts.policy.same_locality
    if node not in (mesh.near if near else mesh.members).voters:
        return Reason.NOT_COUNTING
    if row.row_class is RowClass.BAD and row.since_s <= mesh.cleared_s(row.destination, row.place):
        return Reason.OVERRIDDEN
    return None


def _change(
    old: Judgement | None, new: Judgement | None, *, is_known: bool
) -> tuple[str, str] | None:
    """The verdict and its reason, where the log should have a line."""
    was_ejected = old is not None and old.is_ejected
    if new is not None and new.is_ejected:
        same = old is not None and (old.state, old.level) == (new.state, new.level)
        if same:
            return None
        return ("trial" if new.state is JudgementState.TRIAL else "ejected"), new.reason.value
    if was_ejected:
        assert old is not None
        return "restored", _ending(old, new, is_known=is_known).value
    if new is None or new.reason not in _WORTH_A_LINE:
        return None
    if old is not None and old.reason is new.reason:
        return None
    return "withheld", new.reason.value


def _ending(old: Judgement, new: Judgement | None, *, is_known: bool) -> Reason:
    """Why an ejection ended."""
    if not is_known:
        return Reason.UNKNOWN
    if new is not None and new.reason in (Reason.PINNED, Reason.PAUSED, Reason.OVERRIDDEN):
        return Reason.OVERRIDDEN
    gone = new is None or new.reason in (Reason.QUORUM, Reason.NOT_COUNTING)
    opposed = new is not None and new.reason is Reason.COUNTER_EVIDENCE
    if (gone or opposed) and old.state is JudgementState.TRIAL:
        return Reason.RECOVERED
    if gone and (new is None or new.poll.quorum <= old.poll.quorum):
        return Reason.EVIDENCE_DIED
    assert new is not None
    return new.reason


def _facts(one: Judgement | None, rows: Mapping[str, Row], now_s: float) -> dict[str, object]:
    """The evidence of a verdict, for the log."""
    assert one is not None
    ordered = sorted(rows.items(), key=lambda item: (_ORDER.index(item[1].row_class), item[0]))
    return {
        "accusing": len(one.poll.accusing),
        "opposing": one.poll.opposing,
        "quorum": one.poll.quorum,
        "users": one.poll.users,
        "level": one.level,
        "for_s": None if one.until_s is None else round(max(0.0, one.until_s - now_s), 3),
        "rows": len(rows),
        "observers": [_line(node, row, now_s) for node, row in ordered[:_ROWS_IN_A_LINE]],
    }


def _line(node: str, row: Row, now_s: float) -> dict[str, object]:
    found: dict[str, object] = {
        "node": node,
        "class": row.row_class.value,
        "ok": row.ok,
        "external": row.external,
        "gateway": row.gateway,
        "local": row.local,
    }
    ages = {
        "failing_for_s": row.first_failure_s,
        "accused_s_ago": row.accused_s,
        "last_ok_s_ago": row.last_ok_s,
    }
    for key, at_s in ages.items():
        if math.isfinite(at_s):
            found[key] = round(max(0.0, now_s - at_s), 3)
    return found
