"""Where each box of a picture stands: five columns, boxes beside what they lead to.

A small layered layout after Sugiyama, Tagawa and Toda (1981): the layers are given (the columns), the order in each is
that of reading (depth first, which keeps trees free of crossings), and each box is put at the middle of what it leads
to as far as its neighbours let it. Lengths are pixels; text is set in a fixed-width font, so that it can be measured.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from meshd.graph.model import Graph, Node, State

__all__ = ["LINE_PX", "PAD_PX", "Box", "Layout", "laid_out"]

CHAR_PX = 6.7
"""Advance of a character of an 11 px fixed-width font: 0.6 em, and a little for fonts that are wider."""
LINE_PX = 15.0
PAD_PX = 8.0
GAP_PX = 10.0
"""Between boxes of a column."""
AISLE_PX = 130.0
"""Between columns: room for the labels of arrows."""
MARGIN_PX = 16.0
HEAD_PX = 48.0
"""Above the boxes: title and summary."""
WRAP_CHARS = 48
LINES_MAX = 4
"""Lines that one text is wrapped to; the rest of it is in the box's tooltip."""


@dataclass(frozen=True, slots=True)
class Box:
    """One box in its place."""

    node: Node
    x: float
    y: float
    width: float
    height: float
    title: tuple[str, ...]
    """The title, wrapped."""
    lines: tuple[str, ...]
    """State, lines and source, wrapped."""

    @property
    def middle(self) -> float:
        """Height at which arrows meet it."""
        return self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class Layout:
    """All boxes in their places."""

    boxes: dict[str, Box]
    """By id, in the order of the picture."""
    width: float
    height: float

    def is_unreached(self, name: str) -> bool:
        """Whether no route leads to a box."""
        return self.boxes[name].node.state is State.UNREACHED


def laid_out(graph: Graph) -> Layout:
    """Put every box of a picture into its place."""
    texts = {node.id: _texts(node) for node in graph.nodes}
    columns: dict[int, list[Node]] = {}
    for node in graph.nodes:
        columns.setdefault(node.column, []).append(node)
    tops = _tops(graph, columns, texts)
    boxes: dict[str, Box] = {}
    x = MARGIN_PX
    for column in sorted(columns):
        longest = max(
            len(line) for node in columns[column] for part in texts[node.id] for line in part
        )
        width = round(longest * CHAR_PX + 2 * PAD_PX, 1)
        for node in columns[column]:
            title, lines = texts[node.id]
            height = _height(texts[node.id])
            boxes[node.id] = Box(node, x, tops[node.id], width, height, title, lines)
        x += width + AISLE_PX
    bottom = max((box.y + box.height for box in boxes.values()), default=HEAD_PX)
    right = x - AISLE_PX if boxes else 40 * CHAR_PX
    in_order = {node.id: boxes[node.id] for node in graph.nodes}
    return Layout(in_order, round(right + MARGIN_PX, 1), round(bottom + MARGIN_PX, 1))


Texts = tuple[tuple[str, ...], tuple[str, ...]]


def _texts(node: Node) -> Texts:
    said = [node.state.value] if node.state is not State.PLAIN else []
    said += node.lines
    said += [f"by {node.source}"] if node.source else []
    return tuple(_wrapped(node.title)), tuple(line for text in said for line in _wrapped(text))


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, WRAP_CHARS, max_lines=LINES_MAX, placeholder=" …", break_on_hyphens=False
    ) or [""]


def _height(texts: Texts) -> float:
    return (len(texts[0]) + len(texts[1])) * LINE_PX + 2 * PAD_PX


def _tops(
    graph: Graph, columns: dict[int, list[Node]], texts: dict[str, Texts]
) -> dict[str, float]:
    """The upper edge of each box: columns from right to left, each box at the middle of what it leads to."""
    unreached = {node.id for node in graph.nodes if node.state is State.UNREACHED}
    leads: dict[str, list[str]] = {}
    for edge in graph.edges:
        if edge.target in unreached:
            continue
        leads.setdefault(edge.source, []).append(edge.target)
    tops: dict[str, float] = {}
    for column in sorted(columns, reverse=True):
        free = HEAD_PX
        for node in columns[column]:
            height = _height(texts[node.id])
            middles = [tops[name] + _height(texts[name]) / 2 for name in leads.get(node.id, ())]
            wanted = sum(middles) / len(middles) - height / 2 if middles else free
            tops[node.id] = round(max(free, wanted), 1)
            free = tops[node.id] + height + GAP_PX
    return tops
