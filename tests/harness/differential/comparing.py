"""Holds what became of a request against what the table says: a sentence for each difference."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sidecar.routing.trace import Outcome
from tests.harness.differential import stand
from tests.harness.differential.applications import ID, Seen
from tests.harness.differential.expected import Copy, Expected, Gone, Reply

__all__ = ["differences", "has_its_copies"]

_ADDED_TO_REQUESTS = (
    "x-envoy-",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
    "host",
    "content-length",
    "transfer-encoding",
    ID,
)
_ADDED_TO_ANSWERS = (
    "x-envoy-",
    "date",
    "server",
    "content-length",
    "content-type",
    "connection",
    "transfer-encoding",
    "x-serial",
    "set-cookie",
    "vary",
)

Fields = Iterable[tuple[str, str]]


def differences(told: Expected, outcome: stand.Outcome) -> list[str]:
    """What is not as the table says; empty where all is."""
    each = [_not_so(way, told.copies, outcome) for way in told.ways]
    return [*_told_otherwise(told), *([] if not all(each) else min(each, key=len))]


def _told_otherwise(told: Expected) -> Iterable[str]:
    """Where `meshd trace` says something else than the decision that it prints."""
    if told.trace is None:
        return
    named = {one.cluster for one in told.trace.destinations}
    for way in told.ways:
        if isinstance(way, Gone) and way.cluster not in named:
            yield f"trace names {named}, the decision {way.cluster}"
        if isinstance(way, Reply) and told.trace.outcome is Outcome.REDIRECT and not way.why:
            location = dict(way.fields or ()).get("location", "")
            if not told.trace.answer.startswith(location):
                yield f"trace leads to {told.trace.answer}, the decision to {location}"


def has_its_copies(told: Expected, outcome: stand.Outcome, seen: Sequence[Seen]) -> bool:
    """Whether as many requests arrived as there must be with all certain copies."""
    if outcome.answer.serial is None:
        return True
    attempts = min((way.attempts for way in told.ways if isinstance(way, Gone)), default=0)
    return len(seen) >= attempts + sum(copy.is_certain for copy in told.copies)


def _not_so(way: Reply | Gone, copies: tuple[Copy, ...], outcome: stand.Outcome) -> list[str]:
    if isinstance(way, Reply):
        return list(_not_replied(way, outcome))
    return list(_not_gone(way, copies, outcome))


def _not_replied(way: Reply, outcome: stand.Outcome) -> Iterable[str]:
    answer = outcome.answer
    if outcome.seen:
        yield f"expected Envoy's own answer ({way.why or way.status}); an application got it: {outcome.seen}"
    if way.status and answer.status != way.status:
        yield f"expected status {way.status} ({way.why}), got {answer.status} {answer.body!r}"
    if way.body is not None and answer.body != way.body:
        yield f"expected body {way.body!r}, got {answer.body!r}"
    if way.fields is not None:
        yield from _unlike("answer", way.fields, answer.fields, _ADDED_TO_ANSWERS)


def _not_gone(way: Gone, copies: tuple[Copy, ...], outcome: stand.Outcome) -> Iterable[str]:
    answer = outcome.answer
    main = next((one for one in outcome.seen if one.serial == answer.serial), None)
    if main is None:
        yield f"expected {way.cluster}; no application answered: {answer.status} {answer.body!r}"
        return
    if main.port not in way.ports:
        yield f"expected {way.cluster} at {sorted(way.ports)}, went to {main.port}"
    if answer.status != way.status:
        yield f"expected status {way.status}, got {answer.status}"
    for one in outcome.seen:
        if one.path != way.path:
            yield f"expected path {way.path}, {one.port} saw {one.path}"
        if one.authority != way.authority:
            yield f"expected authority {way.authority}, {one.port} saw {one.authority}"
        yield from _unlike(f"request at {one.port}", way.fields, one.fields, _ADDED_TO_REQUESTS)
    told_ms = {
        _told(one, "x-envoy-expected-rq-timeout-ms") for one in outcome.seen if _is_first(one)
    }
    if told_ms != {"" if way.timeout_ms is None else str(way.timeout_ms)}:
        yield f"expected a timeout of {way.timeout_ms} ms, applications were told {told_ms}"
    yield from _unlike("answer", way.answer, answer.fields, _ADDED_TO_ANSWERS)
    others = [one.port for one in outcome.seen if one is not main]
    repeats = [Copy(way.cluster, way.ports, True)] * (way.attempts - 1)
    if not _accounted(others, [*repeats, *copies]):
        yield (
            f"expected {way.attempts - 1} repetitions at {sorted(way.ports)} and copies {copies}, got these at {others}"
        )


def _told(seen: Seen, name: str) -> str:
    return next((value for key, value in seen.fields if key == name), "")


def _is_first(seen: Seen) -> bool:
    """Whether this is no repetition, which is told the time that is left."""
    return _told(seen, "x-envoy-attempt-count") == "1"


def _accounted(ports: list[int], copies: list[Copy]) -> bool:
    """Whether each arrival is one of the copies and every certain copy arrived."""
    if not copies:
        return not ports
    first, *rest = copies
    if not first.is_certain and _accounted(ports, rest):
        return True
    return any(
        port in first.ports and _accounted(ports[:index] + ports[index + 1 :], rest)
        for index, port in enumerate(ports)
    )


def _unlike(what: str, wanted: Fields, found: Fields, added: Sequence[str]) -> Iterable[str]:
    """Differences of header fields by name, but those that Envoy adds."""
    expected, got = _by_name(wanted, ()), _by_name(found, added)
    for name in sorted(expected.keys() | got.keys()):
        if expected.get(name) != got.get(name):
            yield f"{what}: {name} expected {expected.get(name)}, got {got.get(name)}"


def _by_name(fields: Fields, left_out: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name, value in fields:
        if not name.startswith(tuple(left_out)):
            found[name].append(value)
    return dict(found)
