"""Authorities as clients send them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.routing.authority import Authority, domains_for, parse_authority


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("reviews", "reviews", None),
        ("Reviews:9080", "reviews", 9080),
        ("reviews.default.svc.cluster.local.:80", "reviews.default.svc.cluster.local.", 80),
        ("10.0.0.1:80", "10.0.0.1", 80),
        ("[::1]", "::1", None),
        ("[FE80::1]:8080", "fe80::1", 8080),
        ("::1", "::1", None),
        (".", ".", None),
        # What is no port leaves a host that nothing can be called.
        ("reviews:", "reviews:", None),
        ("reviews:http", "reviews:http", None),
        ("reviews:0", "reviews:0", None),
        ("reviews:080", "reviews:080", None),
        ("reviews:65536", "reviews:65536", None),
        ("reviews:٣", "reviews:٣", None),
        ("[::1", "[::1", None),
        ("[::1]x", "[::1]x", None),
    ],
)
def test_an_authority_is_taken_apart(text: str, host: str, port: int | None) -> None:
    assert parse_authority(text) == Authority(host, port)


@given(st.text(max_size=20))
def test_any_text_is_read_without_complaint_and_reading_again_changes_nothing(text: str) -> None:
    once = parse_authority(text)
    assert once.port is None or 0 < once.port < 65536
    assert once.host == once.host.lower()


@given(st.from_regex(r"[a-z][a-z.]{0,8}[a-z]", fullmatch=True), st.integers(1, 65535))
def test_an_authority_that_is_written_is_read_back(host: str, port: int) -> None:
    assert parse_authority(str(Authority(host, port))) == Authority(host, port)
    assert parse_authority(str(Authority("::1", port))) == Authority("::1", port)


def test_domains_stand_with_and_without_a_port_each_once() -> None:
    assert domains_for(["a", "::1", "a"], 80, bare=True) == ("a:80", "a", "[::1]:80", "[::1]")
    assert domains_for(["a"], None, bare=True) == ("a",)
    assert domains_for(["a"], 80, bare=False) == ("a:80",)
