from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshd.cli.tables import table

CELLS = st.text("abc -", max_size=30)


def test_columns_are_aligned_and_lines_end_without_blanks() -> None:
    text = table(("NAME", "HOSTS"), [["reviews", "a"], ["b", ""]])
    assert text.splitlines() == ["NAME      HOSTS", "reviews   a", "b         -"]


def test_nothing_is_cut_without_a_width() -> None:
    assert "x" * 500 in table(("A",), [["x" * 500]])


def test_a_narrow_terminal_cuts_the_widest_column() -> None:
    lines = table(("A", "B"), [["x" * 50, "y" * 20]], width=40).splitlines()
    assert max(map(len, lines)) == 40
    assert "…" in lines[1]
    assert "y" * 17 in lines[1]


def test_without_header_and_rows_there_is_nothing() -> None:
    assert table((), []) == ""


def test_line_breaks_in_cells_become_blanks() -> None:
    assert table((), [["a\nb"]]) == "a b"


@given(
    st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=5), st.integers(45, 200)
)
def test_no_line_is_wider_than_the_terminal(rows: list[list[str]], width: int) -> None:
    for line in table(("A", "B", "C"), rows, width=width).splitlines():
        assert len(line) <= width
