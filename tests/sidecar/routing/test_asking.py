"""A request as people write it: the authority, the path with its query, and what is refused in words."""

from __future__ import annotations

import pytest

from sidecar.routing.asking import request_asked
from sidecar.routing.match import Request
from store.errors import InputError


def test_the_host_header_names_the_authority() -> None:
    asked = request_asked("", "http://a:9080/x?y=1", ["Host: b", "cookie: user=jason"])
    assert asked == Request("GET", "http", "b", "/x?y=1", (("cookie", "user=jason"),))


def test_a_url_without_path_asks_for_the_root() -> None:
    assert request_asked("PUT", "https://a", []) == Request("PUT", "https", "a", "/", ())


@pytest.mark.parametrize("url", ["reviews:9080/x", "http://a:port/", "http://[::1/", "", "/x"])
def test_what_is_no_whole_url_is_refused_with_what_was_found(url: str) -> None:
    with pytest.raises(InputError, match="the URL"):
        request_asked("GET", url, [])


def test_a_header_without_colon_is_refused() -> None:
    with pytest.raises(InputError, match="name:value"):
        request_asked("GET", "http://a/", ["cookie"])
