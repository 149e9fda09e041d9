from __future__ import annotations

import pytest

from sidecar.routing.table import RouteMatch
from sidecar.xds import protos as pb
from sidecar.xds.compile.matching import compile_match, header_matcher
from tests.harness.compiled import value


@pytest.mark.parametrize(
    ("kind", "text", "field", "expected"),
    [
        ("exact", "/A", "path", "/A"),
        ("prefix", "/a", "prefix", "/a"),
        ("prefix", "", "prefix", "/"),
        ("regex", "/[a-z]+", "safe_regex", "/[a-z]+"),
        ("present", "", "prefix", "/"),
    ],
)
def test_a_path_condition_is_the_matcher_of_its_kind(
    kind: str, text: str, field: str, expected: str
) -> None:
    made = compile_match(RouteMatch(path=value(kind, text)))
    assert made.WhichOneof("path_specifier") == field
    got = getattr(made, field)
    assert (got.regex if field == "safe_regex" else got) == expected


def test_case_is_ignored_for_exact_and_prefix_only() -> None:
    def sensitive(kind: str) -> bool:
        made = compile_match(RouteMatch(path=value(kind, "/a", ignore_case=True)))
        return bool(made.case_sensitive.value) or not made.HasField("case_sensitive")

    assert [sensitive(kind) for kind in ("exact", "prefix", "regex")] == [False, False, True]


def test_connect_is_matched_without_a_path() -> None:
    made = compile_match(RouteMatch(connect=True))
    assert made.WhichOneof("path_specifier") == "connect_matcher"


@pytest.mark.parametrize(
    ("kind", "field"), [("exact", "exact"), ("prefix", "prefix"), ("regex", "safe_regex")]
)
def test_a_header_condition_is_a_string_matcher(kind: str, field: str) -> None:
    made = header_matcher("x", value(kind, "v"))
    assert made.string_match.WhichOneof("match_pattern") == field
    assert not made.invert_match
    assert not made.treat_missing_header_as_empty


def test_without_a_header_value_a_missing_header_counts_as_empty() -> None:
    made = header_matcher("x", value("exact", "v", invert=True))
    assert made.invert_match
    assert made.treat_missing_header_as_empty


@pytest.mark.parametrize("kind", ["present", "prefix"])
def test_presence_and_the_empty_prefix_ask_for_the_header_alone(kind: str) -> None:
    made = header_matcher("x", value(kind, "", invert=True))
    assert made == pb.HeaderMatcher(name="x", present_match=True, invert_match=True)


def test_an_exact_empty_value_is_a_condition() -> None:
    assert (
        header_matcher("x", value("exact", "")).string_match.WhichOneof("match_pattern") == "exact"
    )


def test_query_parameters_are_matched_by_name_and_value() -> None:
    match = RouteMatch(query=(("q", value("regex", "[0-9]")), ("r", value("present"))))
    q, r = compile_match(match).query_parameters
    assert (q.name, q.string_match.safe_regex.regex) == ("q", "[0-9]")
    assert (r.name, r.present_match) == ("r", True)
