"""Short ways to make rows, facts, members and records for the tests of shared ejection."""

from __future__ import annotations

from dataclasses import replace

from sidecar.gossip.records import Record, Topic
from sidecar.mesh.model import HostName, Locality
from sidecar.outlier.evidence_codec import encode_page
from sidecar.outlier.model import (
    Destination,
    DestinationFacts,
    EjectionPolicy,
    EndpointFact,
    Observer,
    Outcomes,
    Place,
    Row,
    RowClass,
)

REVIEWS = Destination(HostName("reviews.default.svc.cluster.local"), 9080)
RATINGS = Destination(HostName("ratings.default.svc.cluster.local"), 9080)
FIVE_XX = Outcomes(external=2)
FINE = Outcomes(ok=3)


def place(number: int) -> Place:
    return Place(f"10.0.0.{number}", 9080)


def facts(
    endpoints: int = 4, policy: EjectionPolicy | None = None, **changes: object
) -> DestinationFacts:
    """A destination with so many endpoints, numbered from 0; `changes` are fields of each."""
    one = EndpointFact(place(0), 0)
    found = tuple(
        replace(one, place=place(number), generation=number, **changes)  # type: ignore[arg-type]
        for number in range(endpoints)
    )
    return DestinationFacts(policy or EjectionPolicy(), found)


def members(number: int, *, zones: int = 1) -> dict[str, Observer]:
    """So many members n0, n1, ... at addresses of their own, in so many zones in turn."""
    return {
        f"n{index}": Observer(
            f"n{index}",
            counts=True,
            locality=Locality("eu", f"z{index % zones}") if zones > 1 else Locality(),
            address=f"192.0.2.{index}",
        )
        for index in range(number)
    }


def bad(number: int = 0, at_s: float = 0.0, **changes: object) -> Row:
    """An accusation of an endpoint made at this time: two 5xx within the second before."""
    row = Row(
        REVIEWS,
        place(number),
        number,
        RowClass.BAD,
        external=2,
        first_failure_s=at_s - 1.0,
        since_s=at_s,
        accused_s=at_s,
        episode=1,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def clear(number: int = 0, at_s: float = 0.0, **changes: object) -> Row:
    """Counter-evidence: successes up to this time."""
    row = Row(
        REVIEWS,
        place(number),
        number,
        RowClass.CLEAR,
        ok=5,
        last_ok_s=at_s,
        since_s=at_s - 60.0,
        ok_run=5,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def neutral(number: int = 0, **changes: object) -> Row:
    """A user of the destination with nothing to say of this endpoint."""
    return replace(Row(REVIEWS, place(number), number, RowClass.NEUTRAL), **changes)  # type: ignore[arg-type]


def record(
    node: str, *rows: Row, now_s: float, version: int = 1, page: int = 0, **changes: object
) -> Record:
    """A page of rows as this host says it now."""
    body = encode_page(rows, now_s)
    one = Record(Topic.EVIDENCE, node, page, 1, version, body, b"", b"")
    return replace(one, **changes)  # type: ignore[arg-type]
