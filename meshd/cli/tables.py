"""Tables for people: columns aligned, cut only where a terminal is too narrow, never when piped."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["table"]

GAP = "   "
NARROWEST = 12
"""A column is never cut below this; a terminal that is narrower still wraps."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None) -> str:
    """The rows under their header, without final newline.

    Args:
        header: Titles of the columns; empty for none.
        rows: Cells, as many in each as there are columns; line breaks in them become spaces.
        width: Columns of the terminal; None never cuts.
    """
    cells = [[" ".join(cell.split()) or "-" for cell in row] for row in rows]
    lines = [list(header), *cells] if header else cells
    if not lines:
        return ""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    if width is not None:
        _narrow(widths, width)
    return "\n".join(
        GAP.join(_fit(cell, room) for cell, room in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _narrow(widths: list[int], width: int) -> None:
    """Take what is too much from the widest columns."""
    surplus = sum(widths) + len(GAP) * (len(widths) - 1) - width
    while surplus > 0:
        widest = max(range(len(widths)), key=widths.__getitem__)
        if widths[widest] <= NARROWEST:
            return
        widths[widest] -= 1
        surplus -= 1


def _fit(cell: str, room: int) -> str:
    return cell.ljust(room) if len(cell) <= room else f"{cell[: room - 1]}…"
