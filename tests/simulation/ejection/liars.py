"""Hosts that lie: their sidecar says what it likes, as often as it likes, with its own good key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from sidecar.gossip.records import PAGES_MAX, RECORD_BODY_BYTES_MAX, Topic
from sidecar.outlier.events import EndpointName, Say
from sidecar.outlier.evidence_codec import COUNT_MAX, encode_page
from sidecar.outlier.model import Row, RowClass
from tests.simulation.ejection.mesh import Mesh

__all__ = ["accusation", "all_endpoints", "lie", "pages"]


def all_endpoints(mesh: Mesh) -> list[EndpointName]:
    """Every endpoint of every destination."""
    return [
        (destination, place)
        for destination, places in zip(mesh.destinations, mesh.places, strict=True)
        for place in places
    ]


def accusation(mesh: Mesh, name: EndpointName, now_s: float, *, for_s: float = 20.0) -> Row:
    """The gravest accusation that can be written: long, loud, often repeated."""
    destination, place = name
    return Row(
        destination,
        place,
        mesh.generations[place],
        RowClass.BAD,
        external=COUNT_MAX,
        first_failure_s=now_s - for_s,
        since_s=now_s - for_s,
        accused_s=now_s - for_s,
        episode=15,
        failed_trials=15,
    )


def pages(rows: Sequence[Row], now_s: float) -> list[bytes]:
    """Rows on as few pages as they fit."""
    bodies: list[bytes] = []
    page: list[Row] = []
    for row in rows:
        if page and len(encode_page([*page, row], now_s)) > RECORD_BODY_BYTES_MAX:
            bodies.append(encode_page(page, now_s))
            page = []
        page.append(row)
    if page:
        bodies.append(encode_page(page, now_s))
    assert len(bodies) <= PAGES_MAX
    return bodies


def lie(
    mesh: Mesh,
    liars: Iterable[str],
    accused: Sequence[EndpointName],
    *,
    from_s: float = 0.0,
    each_s: float = 2.0,
    for_s: float = 20.0,
) -> None:
    """These hosts accuse these endpoints, again and again; their own cores fall silent.

    Args:
        mesh: Where.
        liars: Hosts.
        accused: Endpoints.
        from_s: When they begin, scenario time.
        each_s: How often they say it anew.
        for_s: How long it has been so, as they say.
    """

    def say(liar: str, first_s: float) -> None:
        now_s = mesh.world.now_s
        since_s = now_s - first_s + for_s
        rows = [accusation(mesh, name, now_s, for_s=since_s) for name in accused]
        for page, body in enumerate(pages(rows, now_s)):
            mesh.carrier.say(liar, mesh.hosts[liar].epoch, Say(Topic.EVIDENCE, page, body))
        mesh.world.at(now_s + each_s, lambda: say(liar, first_s))

    def begin(liar: str) -> None:
        mesh.stop_core(liar)
        say(liar, mesh.world.now_s)

    for number, liar in enumerate(liars):
        mesh.world.at(mesh.zero_s + from_s + 0.01 * number, partial(begin, liar))
