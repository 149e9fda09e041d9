"""Rows of `meshd ejections`, in words of operators. Pure: reads the JSON of `/v1/ejections` as it came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshd.cli.troubles import duration

__all__ = ["endpoint_cells", "notes_on", "override_line", "said_line", "witness_lines"]

Json = Mapping[str, Any]

_WHY = {
    "trial_failed": "its trial failed",
    "hold_over": "the hold is over: few hosts try it",
    "recovered": "its trial passed",
    "counter_evidence": "too many others succeed with it",
    "diversity": "all who accuse it are of one zone",
    "local_origin": "no answer at all may be the accusers' own fault: one more is needed",
    "siblings": "the other endpoints are hardly better",
    "cap": "maxEjectionPercent is used up",
    "min_health": "too few would stay healthy",
    "last_one": "it is the last one",
    "mass": "too many fell at once",
    "contradicted": "who accuses it also accuses what others succeed with",
    "not_counting": "who accuses it is not held alive, or not of this locality",
    "alone": "gossip reaches nobody who counts: Envoy's own detector decides",
    "pinned": "an operator pinned it",
    "paused": "an operator paused shared ejection",
    "overridden": "an operator took it back",
    "evidence_died": "the evidence ran out",
    "unknown": "it is no more, or another workload by now",
}


_COUNTS = (
    ("external", "5xx"),
    ("gateway", "gateway errors"),
    ("local", "unanswered"),
    ("ok", "ok"),
)


def endpoint_cells(row: Json) -> list[str]:
    """One endpoint."""
    return [
        str(row.get("destination", "")),
        str(row.get("endpoint", "")),
        _state(row),
        _ago(row.get("since_s")),
        f"in {duration(row['until_s'])}" if row.get("until_s") is not None else "",
        _observers(row),
        _why(row),
    ]


def _state(row: Json) -> str:
    words = [str(row["state"])] if row.get("state") else []
    words += ["local"] if row.get("locally_ejected") else []
    words += ["returning"] if not words and row.get("imposed") else []
    return ", ".join(words)


def _observers(row: Json) -> str:
    if not row.get("users"):
        return ""
    told = f"{row.get('accusing', 0)} of {row['users']}"
    against = f", {row['opposing']} against" if row.get("opposing") else ""
    needed = f", {row['quorum']} needed" if row.get("quorum") else ""
    return f"{told}{against}{needed}"


def _why(row: Json) -> str:
    reason = str(row.get("reason") or "")
    if reason == "quorum":
        words = "too few accuse it" if row.get("state") == "withheld" else "enough accuse it"
    else:
        words = _WHY.get(reason, reason.replace("_", " "))
    if row.get("locally_ejected") and not words:
        words = "this host's own Envoy ejected it"
    detail = str(row.get("detail") or "")
    level = f"level {row['level']}" if (row.get("level") or 0) > 1 else ""
    more = "; ".join(part for part in (detail, level) if part)
    return f"{words} ({more})" if words and more else words or more


def witness_lines(row: Json) -> Iterator[str]:
    """What each observer counted, accusers first."""
    if row.get("trying"):
        yield f"tried by {', '.join(row['trying'])}"
    for one in row.get("witnesses") or ():
        counts = ", ".join(f"{one.get(name) or 0} {words}" for name, words in _COUNTS)
        ages = [
            f"{words} {_ago(one.get(name))}"
            for name, words in (
                ("first_failure_s", "failing since"),
                ("accused_s", "accused"),
                ("last_ok_s", "last ok"),
            )
            if one.get(name) is not None
        ]
        ignored = (
            f" [does not count: {_WHY.get(one['ignored'], one['ignored'])}]"
            if one.get("ignored")
            else ""
        )
        yield f"{one.get('node')}  {one.get('class')}  {'; '.join([counts, *ages])}{ignored}"
    if not row.get("witnesses"):
        yield "nobody accuses it"


def override_line(row: Json) -> str:
    """An operator's word that holds."""
    what = " ".join(str(part) for part in (row.get("destination"), row.get("endpoint")) if part)
    left = f" for {duration(row['until_s'])} more" if row.get("until_s") is not None else ""
    reason = f": {row['reason']}" if row.get("reason") else ""
    said = f"said on {row.get('node')} {_ago(row.get('since_s'))}{reason}"
    return f"{row.get('kind')} {what or 'everything'}{left}, {said}"


def said_line(answer: Json) -> str:
    """What became of an operator's word."""
    done = {"clear": "cleared", "pin": "pinned", "pause": "paused"}
    kind = str(answer.get("kind"))
    what = " ".join(
        str(part) for part in (answer.get("destination"), answer.get("endpoint")) if part
    )
    what = what or "shared ejection of all destinations"
    by = f"{answer.get('node')} tells the mesh"
    if not answer.get("for_s"):
        return f"{kind} of {what} taken back; {by}"
    held = f" for {duration(answer['for_s'])}" if kind != "clear" else ""
    return f"{done.get(kind, kind)} {what}{held}; {by}"


def notes_on(answer: Json) -> Iterator[str]:
    """What is to be said beside the table."""
    node, gossip = answer.get("node", ""), answer.get("gossip") or {}
    if gossip.get("state") != "on":
        yield (
            f"gossip is off on {node} ({gossip.get('reason', '')}): nothing is ejected by what other hosts see; "
            "each Envoy decides for itself"
        )
    elif answer.get("state") != "on":
        yield f"there is no shared ejection on {node}: each Envoy decides for itself"
    if answer.get("self_sick"):
        yield f"most of what {node} asks fails: it takes itself for sick and accuses nobody"
    if answer.get("ignored_observers"):
        names = ", ".join(answer["ignored_observers"])
        yield f"not believed, since others succeed with what they accuse: {names}"


def _ago(seconds: float | None) -> str:
    return "" if seconds is None else f"{duration(seconds)} ago"
