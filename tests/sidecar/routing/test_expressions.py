"""Regular expressions as Envoy reads them."""

from __future__ import annotations

import pytest

from sidecar.routing.expressions import fits, replaced


def test_the_whole_value_must_match() -> None:
    assert fits("a|ab", "ab")
    assert not fits("a", "ab")
    assert fits("", "")


def test_an_expression_that_re2_refuses_fits_nothing_and_changes_nothing() -> None:
    assert not fits("(?<=a)b", "b")
    assert replaced("*", "x", "text") == "text"


@pytest.mark.parametrize(
    ("pattern", "substitution", "text", "result"),
    [
        ("/a", "/z", "/a/a", "/z/z"),
        ("^/([^/]+)/(.*)$", r"/\2/\1", "/one/two/three", "/two/three/one"),
        ("b", r"[\0]", "abba", "a[b][b]a"),
        ("(x)?a", r"<\1>", "a", "<>"),
        ("a", r"\\", "a", "\\"),
        ("nothing", "z", "/a", "/a"),
    ],
)
def test_every_match_is_replaced_with_its_groups(
    pattern: str, substitution: str, text: str, result: str
) -> None:
    assert replaced(pattern, substitution, text) == result
