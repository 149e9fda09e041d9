"""Problems: the table of codes, how a problem is shown, nearest names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.diagnostics import (
    CODES,
    Code,
    Diagnostic,
    Level,
    as_json,
    diagnose,
    nearest,
    nearest_hint,
    path_text,
    render,
    summary,
)
from store.diagnostics.handbook import handbook

PAGE = Path(__file__).parents[2] / "docs" / "diagnostics.md"
TESTS = Path(__file__).parents[1]


def test_codes_have_one_form_and_stand_in_order() -> None:
    assert all(re.fullmatch(r"MESH0[0-4]\d\d", code) for code in CODES)
    assert list(CODES) == sorted(CODES)


def test_each_code_is_given_once() -> None:
    folder = Path(__file__).parents[2] / "store" / "diagnostics"
    rows = [
        code
        for file in folder.glob("codes_*.py")
        for code in re.findall(r'"(MESH\d{4})",', file.read_text())
    ]
    assert sorted(rows) == list(CODES)


@pytest.mark.parametrize("code", CODES.values(), ids=lambda row: row.code)
def test_each_code_says_what_why_and_what_to_do(code: Code) -> None:
    assert code.title == code.title.strip(" .")
    assert code.cause.endswith(".")
    assert code.fix.endswith(".")


def test_the_page_of_codes_is_up_to_date(rewrite: bool) -> None:
    if rewrite:
        PAGE.write_text(handbook())
    assert PAGE.read_text() == handbook(), "pytest --rewrite tests/store/test_diagnostics.py"


def test_a_problem_has_the_level_of_its_code() -> None:
    assert diagnose("MESH0102", "x").level is Level.ERROR
    assert diagnose("MESH0130", "x").level is Level.WARNING
    assert diagnose("MESH0112", "x").level is Level.INFO


def test_only_codes_of_the_table_can_be_used() -> None:
    with pytest.raises(KeyError):
        diagnose("MESH9999", "x")


SOURCE = ("spec:", '  "a b": {wieght: 75, host: x}', "\tkey: [é, *]", "")


def problem(line: int, column: int, hint: str = "", code: str = "MESH0102") -> Diagnostic:
    return diagnose(
        code, "unknown field", path=("spec", "x"), hint=hint, file="f.yaml", place=(line, column)
    )


def test_a_problem_is_shown_with_its_line_and_a_caret_under_the_word() -> None:
    text = render([problem(2, 11, 'did you mean "weight"?')], {"f.yaml": SOURCE})
    assert text == (
        "f.yaml:2:11: error MESH0102 spec.x: unknown field\n"
        '    2 |   "a b": {wieght: 75, host: x}\n'
        '      |           ^^^^^^ did you mean "weight"?\n'
    )


def test_a_caret_underlines_quoted_text_as_one_word() -> None:
    assert "|   ^^^^^\n" in render([problem(2, 3)], {"f.yaml": SOURCE})


def test_a_tab_before_the_word_is_kept_under_it() -> None:
    text = render([problem(3, 7)], {"f.yaml": SOURCE})
    assert text.splitlines()[2] == "      | \t     ^"


def test_further_lines_of_a_hint_stand_below_the_first() -> None:
    text = render([problem(1, 1, "one\n  two")], {"f.yaml": SOURCE})
    assert text.splitlines()[2:] == ["      | ^^^^ one", "      |   two"]


def test_without_the_text_the_hint_stands_below() -> None:
    assert render([problem(7, 1, "do this")]) == (
        "f.yaml:7:1: error MESH0102 spec.x: unknown field\n    do this\n"
    )


def test_a_stored_object_is_named_in_place_of_a_file() -> None:
    found = diagnose("MESH0102", "unknown field", path="spec.x", file="Gateway/default/g@12")
    assert render([found]) == "Gateway/default/g@12: error MESH0102 spec.x: unknown field\n"


def test_a_problem_without_place_and_path_names_its_object() -> None:
    found = diagnose("MESH0113", "not an object", about="Gateway/default/g")
    assert render([found]) == "error MESH0113 Gateway/default/g: not an object\n"


def test_long_lines_are_cut_around_the_word() -> None:
    line = "{" + "a: b, " * 500 + "wrong: 1}"
    text = render([problem(1, line.index("wrong") + 1)], {"f.yaml": (line,)})
    shown, carets = text.splitlines()[1:]
    assert len(shown) < 180
    assert shown[carets.index("^") :].startswith("wrong")


def test_control_characters_of_the_source_do_not_reach_the_terminal() -> None:
    text = render([problem(1, 1)], {"f.yaml": ("a: \x1b[31m",)})
    assert "\x1b" not in text


def test_problems_are_sorted_by_place_and_shown_once() -> None:
    text = render([problem(2, 1), problem(1, 1), problem(2, 1)])
    assert [line.split(":")[1] for line in text.splitlines()] == ["1", "2"]


def test_json_has_the_same_fields() -> None:
    assert as_json(problem(2, 11, "h")) == {
        "file": "f.yaml",
        "line": 2,
        "column": 11,
        "path": "spec.x",
        "code": "MESH0102",
        "level": "error",
        "message": "unknown field",
        "hint": "h",
        "object": "",
    }
    assert json.loads(json.dumps(as_json(problem(1, 1))))


def test_the_summary_counts_by_level() -> None:
    found = [
        problem(1, 1),
        problem(2, 1),
        problem(1, 1, code="MESH0130"),
        problem(1, 1, code="MESH0112"),
    ]
    assert summary(found) == "2 errors, 1 warning, 1 note in 1 file"
    assert summary([], files=3) == "no problems in 3 files"


def test_paths_are_written_as_people_write_them() -> None:
    path = ("spec", "http", 0, "match", 1, "headers", "x.y")
    assert path_text(path) == 'spec.http[0].match[1].headers["x.y"]'
    assert path_text(("a", "b\n" + "c" * 100)).startswith('a["b\\nccc')
    assert path_text(()) == ""


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("wieght", "weight"),
        ("mirror_percentage", "mirrorPercentage"),
        ("Match", "match"),
        ("xyzzy", None),
        ("", None),
        ("w" * 1000, None),
    ],
)
def test_the_nearest_name(word: str, meant: str | None) -> None:
    assert nearest(word, ["weight", "match", "mirrorPercentage"]) == meant


def test_no_hint_where_no_name_is_near() -> None:
    assert nearest_hint("wieght", ["weight"]) == 'did you mean "weight"?'
    assert nearest_hint("xyzzy", ["weight"]) == ""


@given(
    st.lists(st.text(), max_size=4),
    st.integers(0, 6),
    st.integers(0, 30),
    st.text(),
    st.lists(st.text() | st.integers(0, 9)),
)
def test_anything_can_be_shown(
    lines: list[str], line: int, column: int, hint: str, path: list[str | int]
) -> None:
    found = diagnose("MESH0102", "m", path=tuple(path), hint=hint, file="f", place=(line, column))
    assert render([found], {"f": lines}).endswith("\n")


def test_every_code_is_raised_in_a_test() -> None:
    tests = "".join(
        file.read_text()
        for pattern in ("*.py", "*.txt")
        for file in TESTS.rglob(pattern)
        if file != Path(__file__)
    )
    missing = [code for code in CODES if code not in tests and not code.startswith("MESH04")]
    assert missing == [], "codes that no test raises (those of the store have tests of their own)"
