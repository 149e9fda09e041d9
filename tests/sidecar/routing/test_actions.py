"""What rules do, and rules that do nothing."""

from __future__ import annotations

import pytest

from sidecar.routing.actions import Doing, action_of
from sidecar.routing.conditions import Place
from sidecar.routing.table import Action, DirectResponse, Redirect
from store.objects.virtual_service import HTTPRoute
from tests.harness.catalogs import Store
from tests.harness.routing import object_of, view_of


def read(**rule: object) -> Doing | str:
    spec = {"hosts": ["a"], "http": [rule]}
    view = view_of(Store([object_of("VirtualService", "v", spec)]))
    source = view.virtual_services_for(view.resolve_host("a", "default"))[0]
    return action_of(view, source, HTTPRoute.model_validate(rule), Place(port=8080))


def action(**rule: object) -> Action:
    found = read(**rule)
    assert isinstance(found, Doing), found
    return found.action


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"fault": {}}, "it has neither route nor redirect nor directResponse"),
        (
            {"route": [{"destination": {"host": h}, "weight": 0} for h in ("a", "b")]},
            "every weight in its route is 0",
        ),
        (
            {"redirect": {"redirectCode": 300}},
            "redirectCode 300 is none of 301, 302, 303, 307, 308",
        ),
    ],
)
def test_a_rule_that_does_nothing_says_why(rule: dict[str, object], reason: str) -> None:
    assert read(**rule) == reason


@pytest.mark.parametrize(
    ("body", "bytes_read"),
    [
        (None, b""),
        ({"string": "hé"}, "hé".encode()),
        ({"string": ""}, b""),
        ({"bytes": "aGk="}, b"hi"),
        ({"bytes": "not base64"}, b""),
    ],
)
def test_a_fixed_answer_has_its_body(body: dict[str, str] | None, bytes_read: bytes) -> None:
    response = {"status": 503, **({"body": body} if body is not None else {})}
    assert action(directResponse=response) == DirectResponse(503, bytes_read)


@pytest.mark.parametrize(
    ("redirect", "read_as"),
    [
        ({"scheme": "https", "port": 443}, Redirect(scheme="https")),
        ({"scheme": "http", "port": 80}, Redirect(scheme="http")),
        ({"scheme": "https", "port": 80}, Redirect(scheme="https", port=80)),
        ({"port": 443}, Redirect(port=443)),
        ({"port": 80}, Redirect()),
        ({"derivePort": "FROM_REQUEST_PORT"}, Redirect(port=8080)),
        ({"derivePort": "FROM_PROTOCOL_DEFAULT"}, Redirect()),
        ({"uri": "/a", "prefixRewrite": "/b"}, Redirect(path="/a")),
    ],
)
def test_a_redirect_leaves_out_the_usual_port_of_its_scheme(
    redirect: dict[str, object], read_as: Redirect
) -> None:
    assert action(redirect=redirect) == read_as
