"""Match blocks: what is settled when the table is built, and what is left to each request."""

from __future__ import annotations

import pytest

from sidecar.routing.conditions import Place, route_match, why_not_here
from sidecar.routing.table import MatcherKind, ValueMatch
from store.objects.virtual_service import HTTPMatchRequest

EXACT, PREFIX, REGEX, PRESENT = MatcherKind


def block(**fields: object) -> HTTPMatchRequest:
    return HTTPMatchRequest.model_validate(fields)


def test_a_rule_without_blocks_takes_every_request() -> None:
    assert route_match(None).is_catch_all
    assert route_match(block()).is_catch_all
    assert route_match(block(uri={})).is_catch_all


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ({"exact": "a"}, ValueMatch(EXACT, "a")),
        ({"exact": ""}, ValueMatch(EXACT, "")),
        ({"prefix": "a"}, ValueMatch(PREFIX, "a")),
        ({"regex": "a*"}, ValueMatch(REGEX, "a*")),
        # Envoy refuses an empty prefix and an empty expression; both can be said otherwise.
        ({"prefix": ""}, ValueMatch(PRESENT)),
        ({"regex": ""}, ValueMatch(EXACT, "")),
        ({"regex": "*"}, ValueMatch(PRESENT)),
        ({}, ValueMatch(PRESENT)),
    ],
)
def test_a_value_is_compared_as_it_says(said: dict[str, str], read: ValueMatch) -> None:
    assert route_match(block(headers={"x": said})).headers == (("x", read),)


def test_headers_are_in_lower_case_and_sorted_with_the_pseudo_headers_first() -> None:
    match = route_match(
        block(
            headers={"X-B": {}, "a": {}},
            withoutHeaders={"a": {"exact": "1"}},
            method={"exact": "GET"},
            scheme={"exact": "http"},
            authority={"prefix": "a"},
        )
    )
    assert [(name, wanted.invert) for name, wanted in match.headers] == [
        (":authority", False),
        (":method", False),
        (":scheme", False),
        ("a", False),
        ("a", True),
        ("x-b", False),
    ]


def test_header_names_that_have_fields_of_their_own_are_ignored() -> None:
    assert route_match(block(headers={"uri": {}, "method": {"exact": "GET"}})).is_catch_all


def test_case_matters_to_expressions_whatever_is_said_about_the_path() -> None:
    assert route_match(block(uri={"regex": "/A"}, ignoreUriCase=True)).path.ignore_case is False
    assert route_match(block(uri={"exact": "/A"}, ignoreUriCase=True)).path.ignore_case is True


PLACE = Place(port=80, labels={"app": "web"}, namespace="default")
AT_GATEWAY = Place("prod/front", 443, {"istio": "ingress"}, "prod")


@pytest.mark.parametrize(
    ("place", "fields", "reason"),
    [
        (PLACE, {"port": 80, "sourceLabels": {"app": "web"}, "sourceNamespace": "default"}, None),
        (PLACE, {"port": 81}, "its port is 81 and this is port 80"),
        (PLACE, {"gateways": ["mesh"], "sourceNamespace": "nobody"}, None),
        (PLACE, {"gateways": ["front"]}, "it is for gateway default/front and this is the mesh"),
        (AT_GATEWAY, {"gateways": ["prod/front"]}, None),
        (AT_GATEWAY, {"gateways": ["front.prod.svc.cluster.local"]}, None),
        (
            AT_GATEWAY,
            {"gateways": ["mesh", "./back"]},
            "it is for gateways mesh, default/back and this is gateway prod/front",
        ),
        (
            PLACE,
            {"headers": {"@request.auth.claims.group": {"exact": "admin"}}},
            "it asks for the claim @request.auth.claims.group, and claims are not read",
        ),
    ],
)
def test_what_cannot_hold_says_why(
    place: Place, fields: dict[str, object], reason: str | None
) -> None:
    assert why_not_here(block(**fields), place, "default") == reason
