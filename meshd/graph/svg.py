"""A picture as SVG: one file without scripts, fonts or links, readable on light and on dark ground.

States are said in words and by dashes, not by colour alone. All text is escaped; what does not fit into a box is in
its tooltip.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from meshd.graph.layout import LINE_PX, PAD_PX, Box, Layout, laid_out
from meshd.graph.model import Edge, Graph, Node, State

__all__ = ["as_svg"]

_STYLE = """
svg { color-scheme: light dark; font: 11px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.ground { fill: #ffffff; }
text { fill: #1b1f24; }
.head { font-size: 14px; font-weight: bold; }
.title { font-weight: bold; }
.more { fill: #57606a; }
rect.box { fill: #f6f8fa; stroke: #57606a; }
.gateway rect.box, .client rect.box, .listener rect.box { fill: #ddf4ff; }
.service rect.box, .subset rect.box { fill: #dafbe1; }
.external rect.box, .passthrough rect.box { fill: #fff8c5; }
.draining rect.box, .unreached rect.box { stroke-dasharray: 2 3; }
.unhealthy rect.box, .ejected rect.box, .broken rect.box { stroke: #cf222e; stroke-width: 2; stroke-dasharray: 6 3; }
path { fill: none; stroke: #6e7781; }
path.idle { stroke-dasharray: 4 4; }
.label { paint-order: stroke; stroke: #ffffff; stroke-width: 3px; text-anchor: middle; }
.tip { fill: #6e7781; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0d1117; }
  text { fill: #e6edf3; }
  .more { fill: #9da7b1; }
  rect.box { fill: #161b22; stroke: #8b949e; }
  .gateway rect.box, .client rect.box, .listener rect.box { fill: #0c2d48; }
  .service rect.box, .subset rect.box { fill: #10301b; }
  .external rect.box, .passthrough rect.box { fill: #332b0a; }
  .unhealthy rect.box, .ejected rect.box, .broken rect.box { stroke: #ff7b72; }
  path { stroke: #8b949e; }
  .label { stroke: #0d1117; }
  .tip { fill: #8b949e; }
}
"""


def as_svg(graph: Graph) -> str:
    """The picture as one SVG document, without final newline."""
    layout = laid_out(graph)
    title = f"Who reaches whom: {graph.title}"
    heads = [graph.summary(), *graph.notes]
    # The title may be wider than the boxes: some 8.5 px for each of its characters.
    width = max(layout.width, 32 + 8.5 * max(len(title), *map(len, heads)))
    size = f"{width:g} {layout.height:g}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{width:g}" '
        f'height="{layout.height:g}" role="img">',
        f"<title>{_text(title)}</title>",
        f"<desc>{_text(' '.join(heads))}</desc>",
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{width:g}" height="{layout.height:g}"/>',
        f'<text class="head" x="16" y="22">{_text(title)}</text>',
        f'<text class="more" x="16" y="38">{_text("; ".join(heads))}</text>',
    ]
    # A subset that no route leads to says so itself; an arrow to it would cross the routes.
    edges = [edge for edge in graph.edges if not layout.is_unreached(edge.target)]
    lines += [_arrow(edge, layout) for edge in edges]
    for box in layout.boxes.values():
        lines += _box(box)
    lines += [line for edge in edges if (line := _label(edge, layout))]
    return "\n".join([*lines, "</svg>"])


def _ends(edge: Edge, layout: Layout) -> tuple[float, float, float, float]:
    """Where an arrow begins and ends."""
    source, target = layout.boxes[edge.source], layout.boxes[edge.target]
    return source.x + source.width, source.middle, target.x, target.middle


def _arrow(edge: Edge, layout: Layout) -> str:
    x, y, to_x, to_y = _ends(edge, layout)
    half = (x + to_x) / 2
    kind = "" if edge.is_taken else ' class="idle"'
    line = f'<path{kind} d="M{x:.1f} {y:.1f}C{half:.1f} {y:.1f} {half:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"/>'
    tip = f"{to_x:.1f} {to_y:.1f} {to_x - 7:.1f} {to_y - 3.5:.1f} {to_x - 7:.1f} {to_y + 3.5:.1f}"
    return f'{line}<polygon class="tip" points="{tip}"/>'


def _label(edge: Edge, layout: Layout) -> str:
    """The label of an arrow, over it; empty where it has none."""
    if not edge.label:
        return ""
    x, y, to_x, to_y = _ends(edge, layout)
    along, across = _at(_LABEL_AT)
    place = f'x="{x + along * (to_x - x):.1f}" y="{y + across * (to_y - y) - 3:.1f}"'
    shown = edge.label if len(edge.label) <= _LABEL_CHARS else f"{edge.label[: _LABEL_CHARS - 1]}…"
    return f'<text class="label" {place}>{_text(shown)}<title>{_text(edge.label)}</title></text>'


_LABEL_CHARS = 15
"""What fits between two columns."""
_LABEL_AT = 0.4
"""Where on its arrow a label stands: where those of one source have parted, and those to one target not yet met."""


def _at(t: float) -> tuple[float, float]:
    """The place of parameter `t` on an arrow, as shares of its width and its height.

    A cubic Bezier curve from (0, 0) to (1, 1) by (1/2, 0) and (1/2, 1): x(t) = 3/2 t (1-t) + t^3, y(t) = 3 t^2 - 2 t^3.
    """
    return 1.5 * t * (1 - t) + t**3, 3 * t**2 - 2 * t**3


def _box(box: Box) -> Iterator[str]:
    node = box.node
    state = f" {node.state.value}" if node.state is not State.PLAIN else ""
    yield f'<g class="{node.kind.value}{state}"><title>{_text(_tooltip(node))}</title>'
    place = f'x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
    yield f'<rect class="box" {place} rx="4"/>'
    said = [("title", line) for line in box.title] + [("more", line) for line in box.lines]
    for number, (kind, line) in enumerate(said, start=1):
        y = box.y + PAD_PX + number * LINE_PX - 4
        yield f'<text class="{kind}" x="{box.x + PAD_PX:.1f}" y="{y:.1f}">{_text(line)}</text>'
    yield "</g>"


def _tooltip(node: Node) -> str:
    words = (node.kind.value, node.title, node.state.value, *node.lines, node.source)
    return "\n".join(word for word in words if word)


def _text(text: str) -> str:
    """Escaped, without the characters that XML 1.0 cannot hold (section 2.2, Char)."""
    return escape("".join(c if _is_allowed(c) else "\ufffd" for c in text))


def _is_allowed(character: str) -> bool:
    number = ord(character)
    return (
        number in (0x9, 0xA, 0xD)
        or 0x20 <= number <= 0xD7FF
        or 0xE000 <= number <= 0xFFFD
        or number >= 0x10000
    )
