"""What requests are hashed by."""

from __future__ import annotations

import pytest

from sidecar.balancing.hashing import hash_inputs
from sidecar.routing.table import HashPolicy
from store.objects.load_balancer import LoadBalancerSettings

COOKIE = {
    "name": "c",
    "ttl": "0s",
    "path": "/p",
    "attributes": [{"name": "SameSite", "value": "Lax"}],
}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"httpHeaderName": "x-user"}, (HashPolicy("header", "x-user"),)),
        ({"httpQueryParameterName": "u"}, (HashPolicy("query", "u"),)),
        ({"useSourceIp": True}, (HashPolicy("source_ip"),)),
        ({"useSourceIp": False}, ()),
        (
            {"httpCookie": COOKIE},
            (HashPolicy("cookie", "c", 0.0, "/p", (("SameSite", "Lax"),)),),
        ),
        ({"httpCookie": {"name": "c"}}, (HashPolicy("cookie", "c", None),)),
    ],
)
def test_consistent_hash_names_one_input(
    settings: dict[str, object], expected: tuple[HashPolicy, ...]
) -> None:
    read = LoadBalancerSettings.model_validate({"consistentHash": settings})
    assert hash_inputs(read) == expected


def test_other_algorithms_hash_nothing() -> None:
    assert hash_inputs(None) == ()
    assert hash_inputs(LoadBalancerSettings.model_validate({"simple": "RANDOM"})) == ()
