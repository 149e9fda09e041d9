"""Paths in their normal form, as measured on Envoy 1.40 (`normalize_path`)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.routing.paths import normal_path


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/./b", "/a/b"),
        ("/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/.", "/a/"),
        ("/../../a", "/a"),
        ("//a", "//a"),
        ("/a/", "/a/"),
        ("/a%62", "/ab"),
        ("/%2E%2e/b/..", "/"),
        ("/a%2fb", "/a%2fb"),
        ("/a%7Eb", "/a~b"),
        ("/a\\b", "/a/b"),
        ("/a{b}", "/a%7Bb%7D"),
        ("/a%zz", "/a%zz"),
        ("/a/../b?c=/../d", "/b?c=/../d"),
        ("/é", "/%C3%A9"),
        ("*", "*"),
    ],
)
def test_a_path_is_read_in_its_normal_form(sent: str, read: str) -> None:
    assert normal_path(sent) == read


@given(st.text(alphabet="/.ab%2e\\?", max_size=12))
def test_normal_is_normal(rest: str) -> None:
    once = normal_path(f"/{rest}")
    assert once.startswith("/")
    only = once.partition("?")[0]
    assert "/../" not in f"{only}/"
    assert "/./" not in f"{only}/"
