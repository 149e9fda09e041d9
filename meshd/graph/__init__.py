"""Pictures of a mesh: who reaches whom, drawn from the routing table that serves.

`draw` makes a `Graph` of what a workload and the gateways see; the other functions write one as text, SVG, DOT or
JSON. Pure: what is stored, and what is ejected, is given.
"""

from meshd.graph.draw import draw
from meshd.graph.forms import as_document, as_dot
from meshd.graph.limits import EVERYTHING, OVERVIEW, Limits
from meshd.graph.model import Edge, Graph, Kind, Node, State
from meshd.graph.svg import as_svg
from meshd.graph.text import as_text
from meshd.graph.words import workload_title

__all__ = [
    "EVERYTHING",
    "OVERVIEW",
    "Edge",
    "Graph",
    "Kind",
    "Limits",
    "Node",
    "State",
    "as_document",
    "as_dot",
    "as_svg",
    "as_text",
    "draw",
    "workload_title",
]
