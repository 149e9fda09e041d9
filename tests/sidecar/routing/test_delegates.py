"""Conditions of a root and its delegate: what stays must ask for both."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from sidecar.routing.build import outbound_virtual_hosts
from sidecar.routing.conditions import route_match
from sidecar.routing.match import Request, choose_virtual_host, matches
from sidecar.routing.table import DirectResponse
from store.objects.virtual_service import HTTPMatchRequest
from tests.harness.catalogs import Store
from tests.harness.routing import object_of, service_of, view_of

_values = st.sampled_from(
    [
        {"exact": "/a"},
        {"exact": "/a/b"},
        {"prefix": "/"},
        {"prefix": "/a"},
        {"prefix": "/a/"},
        {"regex": "/a.*"},
        {},
    ]
)
_blocks = st.fixed_dictionaries(
    {},
    optional={
        "uri": _values,
        "method": st.sampled_from([{"exact": "GET"}, {"prefix": "P"}, {"exact": "PUT"}]),
        "headers": st.dictionaries(st.sampled_from(["x", "y"]), _values, max_size=2),
        "queryParams": st.dictionaries(st.just("q"), _values, max_size=1),
    },
)
_requests = st.builds(
    lambda method, path, headers: Request(method, "http", "reviews", path, tuple(headers)),
    st.sampled_from(["GET", "PUT", "POST"]),
    st.sampled_from(["/", "/a", "/a/b", "/a/b?q=/a", "/a?q=/a/b", "/ab?q"]),
    st.lists(
        st.tuples(st.sampled_from(["x", "y"]), st.sampled_from(["/a", "/a/b", "/c"])),
        max_size=2,
        unique_by=lambda pair: pair[0],
    ),
)


def holds(block: dict[str, object], request: Request) -> bool:
    return matches(route_match(HTTPMatchRequest.model_validate(block)), request)


@given(
    st.lists(_blocks, max_size=2),
    st.lists(_blocks, max_size=2),
    _requests,
)
def test_a_delegates_rule_takes_what_both_it_and_the_root_would_take(
    above: list[dict[str, object]], below: list[dict[str, object]], request: Request
) -> None:
    root = {"hosts": ["reviews"], "http": [{"match": above, "delegate": {"name": "leaf"}}]}
    leaf = {"http": [{"match": below, "directResponse": {"status": 201}}]}
    objects = [
        service_of("reviews"),
        object_of("VirtualService", "root", root),
        object_of("VirtualService", "leaf", leaf),
    ]
    host = choose_virtual_host(outbound_virtual_hosts(view_of(Store(objects))), "reviews")
    assert host is not None
    routes = [route for route in host.routes if isinstance(route.action, DirectResponse)]
    assume(routes)  # else the conditions exclude each other, or cannot be told not to
    both = all(
        not blocks or any(holds(block, request) for block in blocks) for blocks in (above, below)
    )
    taken = any(matches(route.match, request) for route in routes)
    assert not taken or both
    if len(above) < 2:
        assert taken == both
