"""A picture for programs: Graphviz's language, and plain values for JSON."""

from __future__ import annotations

from meshd.graph.model import Graph, Kind, Node, State

__all__ = ["as_document", "as_dot"]

_SHAPES = {Kind.ROUTE: "cds", Kind.ENDPOINT: "ellipse", Kind.REST: "plaintext"}
_STYLES = {State.EJECTED: "dashed", State.BROKEN: "dashed", State.UNREACHED: "dotted"}


def as_dot(graph: Graph) -> str:
    """The picture in Graphviz's language, without final newline; columns become ranks by its own layout."""
    names = {node.id: f"n{number}" for number, node in enumerate(graph.nodes)}
    lines = [
        "digraph mesh {",
        f"  label={_quoted(graph.title)};",
        "  rankdir=LR;",
        '  node [shape=box, fontname="sans-serif"];',
    ]
    for node in graph.nodes:
        style = _STYLES.get(node.state)
        more = f", style={style}" if style else ""
        shape = _SHAPES.get(node.kind, "box")
        lines.append(f"  {names[node.id]} [label={_quoted(_label(node))}, shape={shape}{more}];")
    for edge in graph.edges:
        label = f"label={_quoted(edge.label)}" if edge.label else ""
        style = "" if edge.is_taken else "style=dashed"
        attributes = ", ".join(filter(None, (label, style)))
        ends = f"{names[edge.source]} -> {names[edge.target]}"
        lines.append(f"  {ends} [{attributes}];" if attributes else f"  {ends};")
    return "\n".join([*lines, "}"])


def as_document(graph: Graph) -> dict[str, object]:
    """The picture as plain values: `title`, `nodes`, `edges`, `hidden` (counts of what was left out), `notes`."""
    return {
        "title": graph.title,
        "nodes": [
            {
                "id": node.id,
                "kind": node.kind.value,
                "title": node.title,
                "lines": list(node.lines),
                "state": node.state.value,
                "source": node.source,
            }
            for node in graph.nodes
        ],
        "edges": [
            {
                "source": edge.source,
                "target": edge.target,
                "label": edge.label,
                "taken": edge.is_taken,
            }
            for edge in graph.edges
        ],
        "hidden": dict(graph.hidden),
        "notes": list(graph.notes),
    }


def _label(node: Node) -> str:
    state = (node.state.value,) if node.state is not State.PLAIN else ()
    return "\n".join((node.title, *state, *node.lines))


def _quoted(text: str) -> str:
    """A quoted string of the language, in which only quotes, backslashes and line ends are special."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
