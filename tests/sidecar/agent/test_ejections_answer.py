"""What operators ask of shared ejection, read strictly; and its view as JSON."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.agent.ejections_answer import (
    FOR_S,
    FOR_S_MAX,
    ejections_answer,
    read_destination,
    read_override,
    read_place,
)
from sidecar.mesh.model import HostName
from sidecar.outlier.events import Imposed, Override, OverrideKind
from sidecar.outlier.model import Destination, Place, RowClass
from sidecar.outlier.view import (
    EndpointView,
    JudgementState,
    OutlierView,
    OverrideView,
    Reason,
    WitnessView,
)
from store.errors import InputError

REVIEWS = Destination(HostName("reviews.default.svc.cluster.local"), 9080)
KNOWN = [
    REVIEWS,
    Destination(HostName("ratings.a.svc"), 80),
    Destination(HostName("ratings.b"), 80),
]


def read(kind: OverrideKind, **fields: Any) -> Override:
    return read_override(kind, json.dumps(fields).encode(), KNOWN)


def test_a_pin_names_an_endpoint_and_runs_out() -> None:
    override = read(
        OverrideKind.PIN,
        destination="reviews:9080",
        endpoint="10.0.0.7:8080",
        reason="under test",
        **{"for": "30m"},
    )
    assert override == Override(
        OverrideKind.PIN, REVIEWS, Place("10.0.0.7", 8080), 1800.0, "under test"
    )


@pytest.mark.parametrize("kind", OverrideKind)
def test_every_override_runs_out_though_nobody_says_when(kind: OverrideKind) -> None:
    fields = {"destination": "reviews:9080"}
    fields |= {"endpoint": "10.0.0.7:1"} if kind is not OverrideKind.PAUSE else {}
    assert read(kind, **fields).for_s == FOR_S[kind]
    assert read(kind, **fields, take_back=True).for_s == 0.0


def test_a_pause_may_mean_everything() -> None:
    assert read_override(OverrideKind.PAUSE, b"", KNOWN).destination is None


def test_a_clear_may_mean_all_endpoints_of_a_destination() -> None:
    assert read(OverrideKind.CLEAR, destination="reviews:9080").place is None


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        (OverrideKind.CLEAR, {}, "which destination"),
        (OverrideKind.PIN, {"destination": "reviews:9080"}, "which endpoint"),
        (OverrideKind.PAUSE, {"endpoint": "10.0.0.7:80"}, "name it too"),
        (
            OverrideKind.PAUSE,
            {"destination": "reviews:9080", "endpoint": "10.0.0.7:80"},
            "not an endpoint",
        ),
        (OverrideKind.PAUSE, {"for": "0s"}, "from 1s to 24h"),
        (OverrideKind.PAUSE, {"for": "25h"}, "from 1s to 24h"),
        (OverrideKind.PAUSE, {"for": "soon"}, "not a duration"),
        (OverrideKind.PAUSE, {"for": 600}, "for: "),
        (OverrideKind.PAUSE, {"until": "1m"}, "until: "),
        (OverrideKind.PAUSE, {"reason": "x" * 201}, "reason: "),
        (OverrideKind.PAUSE, {"take_back": "yes"}, "take_back: "),
        (OverrideKind.PAUSE, {"destination": "reviews"}, "no destination"),
        (OverrideKind.PAUSE, {"destination": "ratings:80"}, "may mean ratings.a.svc, ratings.b"),
        (OverrideKind.PAUSE, {"destination": "nobody:80"}, "no destination that takes part"),
        (OverrideKind.PAUSE, {"destination": "a b:80"}, "letters, digits"),
        (OverrideKind.PAUSE, {"destination": "a:0"}, "from 1 to 65535"),
        (OverrideKind.PAUSE, {"destination": "a:99999"}, "from 1 to 65535"),
        (OverrideKind.PIN, {"destination": "reviews:9080", "endpoint": "vm-7:80"}, "no endpoint"),
    ],
)
def test_what_is_wrong_is_said(kind: OverrideKind, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(kind, **fields)


@pytest.mark.parametrize("body", [b"[1]", b"{", b"\xff", b'"x"'])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InputError, match="body"):
        read_override(OverrideKind.PAUSE, body, KNOWN)


def test_a_host_written_in_full_needs_not_be_known_here() -> None:
    found = read_destination("Other.Default.svc:80", KNOWN)
    assert found == Destination(HostName("other.default.svc"), 80)


def test_a_host_that_takes_part_is_itself_though_another_begins_with_it() -> None:
    known = [*KNOWN, Destination(HostName("ratings"), 80)]
    assert read_destination("ratings:80", known).host == "ratings"


@pytest.mark.parametrize(
    ("text", "place"),
    [("10.0.0.7:80", Place("10.0.0.7", 80)), ("[FD00::1]:80", Place("fd00::1", 80))],
)
def test_endpoints_are_addresses_with_ports(text: str, place: Place) -> None:
    assert read_place(text) == place


@given(st.binary(max_size=200))
def test_no_body_is_more_than_an_input_error(body: bytes) -> None:
    try:
        override = read_override(OverrideKind.PAUSE, body, KNOWN)
    except InputError:
        return
    assert 0.0 <= override.for_s <= FOR_S_MAX


@given(st.text(max_size=40))
def test_no_name_is_more_than_an_input_error(text: str) -> None:
    for read_one in (lambda: read_destination(text, KNOWN), lambda: read_place(text)):
        with contextlib.suppress(InputError):
            read_one()


def test_the_view_is_json_with_ages_instead_of_times() -> None:
    witness = WitnessView("a", RowClass.BAD, 0, 4, 0, 0, 90.0, 91.0, -math.inf)
    endpoint = EndpointView(
        REVIEWS,
        Place("fd00::1", 8080),
        JudgementState.EJECTED,
        Reason.QUORUM,
        "2 of 2 observers",
        since_s=92.0,
        until_s=122.0,
        level=1,
        accusing=2,
        quorum=2,
        users=3,
        imposed=Imposed.EJECTED,
        witnesses=(witness,),
    )
    pin = OverrideView("b", OverrideKind.PIN, REVIEWS, None, 40.0, 640.0, "why")
    view = OutlierView(at_s=100.0, node="me", endpoints=(endpoint,), overrides=(pin,))
    answer = json.loads(json.dumps(ejections_answer(view), allow_nan=False))
    (row,) = answer["endpoints"]
    assert row["endpoint"] == "[fd00::1]:8080"
    assert row["destination"] == "reviews.default.svc.cluster.local:9080"
    assert (row["since_s"], row["until_s"], row["imposed"]) == (8.0, 22.0, "ejected")
    (told,) = row["witnesses"]
    assert (told["first_failure_s"], told["accused_s"], told["last_ok_s"]) == (10.0, 9.0, None)
    (override,) = answer["overrides"]
    assert (override["since_s"], override["until_s"], override["endpoint"]) == (60.0, 540.0, None)
