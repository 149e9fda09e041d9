"""Header edits, faults and cross-origin policies."""

from __future__ import annotations

import pytest

from sidecar.routing.edits import authority_of, cors_policy, fault, header_edits
from sidecar.routing.table import Fault, MatcherKind, ValueMatch
from store.objects.virtual_service import CorsPolicy, Headers, HTTPFaultInjection


def headers(**request: object) -> Headers:
    return Headers.model_validate({"request": request})


def test_edits_are_sorted_and_in_lower_case_without_pseudo_headers() -> None:
    edits = header_edits(
        headers(set={"B": "2", "a": "1", ":path": "/x", "Host": "h"}, remove=["Z", "y", ":method"])
    )
    assert edits.request_set == (("a", "1"), ("b", "2"))
    assert edits.request_remove == ("y", "z")
    assert not header_edits(None)


def test_an_authority_that_is_set_beats_one_that_is_added() -> None:
    assert authority_of(headers(set={":authority": "a"}, add={"host": "b"})) == "a"
    assert authority_of(headers(add={"HOST": "b"})) == "b"
    assert authority_of(headers(set={"x": "y"})) == ""
    assert authority_of(None) == ""


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ({}, None),
        ({"delay": {"fixedDelay": "1s"}}, None),
        ({"delay": {"fixedDelay": "1s", "percent": 3}}, Fault(delay_s=1.0, delay_ppm=30_000)),
        (
            {"delay": {"fixedDelay": "1s", "percent": 3, "percentage": {"value": 0.0001}}},
            Fault(delay_s=1.0, delay_ppm=1),
        ),
        ({"delay": {"percentage": {"value": 100}}}, None),
        ({"abort": {"httpStatus": 500}}, None),
        ({"abort": {"percentage": {"value": 100}}}, None),
        (
            {"abort": {"httpStatus": 500, "percentage": {"value": 0.5}}},
            Fault(abort_status=500, abort_ppm=5_000),
        ),
        (
            {"abort": {"grpcStatus": "unavailable", "percentage": {"value": 100}}},
            Fault(abort_grpc_status=14, abort_ppm=1_000_000),
        ),
    ],
)
def test_a_fault_happens_in_the_share_that_is_given(
    said: dict[str, object], read: Fault | None
) -> None:
    assert fault(HTTPFaultInjection.model_validate(said)) == read


def test_the_newer_list_of_origins_beats_the_deprecated_one() -> None:
    old = cors_policy(CorsPolicy.model_validate({"allowOrigin": ["*", "https://a"]}))
    assert old is not None
    assert old.allow_origins == (
        ValueMatch(MatcherKind.REGEX, ".*"),
        ValueMatch(MatcherKind.EXACT, "https://a"),
    )
    both = {"allowOrigin": ["*"], "allowOrigins": [{"prefix": "https"}], "maxAge": "90s"}
    new = cors_policy(CorsPolicy.model_validate({**both, "unmatchedPreflights": "IGNORE"}))
    assert new is not None
    assert new.allow_origins == (ValueMatch(MatcherKind.PREFIX, "https"),)
    assert (new.max_age_s, new.forward_unmatched_preflights) == (90, False)
