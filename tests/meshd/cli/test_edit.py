from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshd.cli.verbs.edit import MARK, annotated, plain
from store.diagnostics import Diagnostic, diagnose

TEXT = "kind: A\nspec:\n  hots: a\n"


def _problem(line: int, message: str = "unknown field", hint: str = "") -> Diagnostic:
    return diagnose("MESH0102", message, path="spec.hots", hint=hint, place=(line, 1))


def test_each_problem_stands_below_its_line() -> None:
    shown = annotated(TEXT, [_problem(3, hint="did you mean host?\nit is near")])
    assert shown.splitlines()[3:] == [
        "#! error MESH0102 spec.hots: unknown field",
        "#!   did you mean host?",
        "#!   it is near",
    ]


def test_a_problem_without_a_line_stands_first_and_one_past_the_end_last() -> None:
    lines = annotated(TEXT, [_problem(0, "a"), _problem(99, "b")]).splitlines()
    assert (lines[0][-1], lines[-1][-1]) == ("a", "b")


LINES = st.lists(st.text(st.characters(codec="ascii", categories=["L", "N", "Zs"])), max_size=8)


@given(LINES, st.lists(st.integers(0, 10), max_size=5))
def test_what_we_add_is_taken_out_again(lines: list[str], places: list[int]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    problems = [_problem(line, hint="do this") for line in places]
    assert plain(annotated(text, problems)).strip("\n") == text.strip("\n")


def test_comments_of_others_stay() -> None:
    assert plain(f"# mine\n{MARK} yours\na: 1\n") == "# mine\na: 1\n"
