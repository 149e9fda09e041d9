"""Whatever is in the mesh: a picture is drawn, the same each time, and every form of it is well made."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.graph import (
    EVERYTHING,
    OVERVIEW,
    Graph,
    Limits,
    as_document,
    as_dot,
    as_svg,
    as_text,
    draw,
)
from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context
from tests.harness.catalogs import Document, Store
from tests.sidecar.routing.strategies import AUTHORITIES, contexts, documents, gateway_documents

pytestmark = pytest.mark.slow

LIMITS = st.sampled_from([OVERVIEW, EVERYTHING, Limits(1, 1, 1), Limits(2, 2, 0, nodes=9)])
HOSTS = st.one_of(
    st.just(""), AUTHORITIES, st.sampled_from(["*.example.com", "*", ":", "[", "a:b"])
)


def picture(objects: list[Document], context: Context, host: str, limits: Limits) -> Graph:
    store = Store(objects)
    mesh = Mesh.build(store.catalog, store.registrations)
    return draw(mesh, context, host=host, limits=limits)


OBJECTS = st.tuples(documents, gateway_documents).map(lambda both: [*both[0], *both[1]])


@given(
    st.one_of(documents, gateway_documents, OBJECTS),
    contexts,
    HOSTS,
    LIMITS,
)
def test_any_mesh_is_drawn_in_every_form(
    objects: list[Document], context: Context, host: str, limits: Limits
) -> None:
    graph = picture(objects, context, host, limits)
    again = picture(objects, context, host, limits)
    assert graph == again
    columns = {node.id: node.column for node in graph.nodes}
    assert len(columns) == len(graph.nodes)
    for edge in graph.edges:
        assert columns[edge.source] < columns[edge.target]
    reached = {edge.target for edge in graph.edges}
    assert {node.column for node in graph.nodes if node.id not in reached} <= {0}
    svg = ET.fromstring(as_svg(graph))
    boxes = [one for one in svg.iter() if one.get("class") == "box"]
    assert len(boxes) == len(graph.nodes)
    assert not list(svg.iter("{http://www.w3.org/2000/svg}script"))
    text = as_text(graph)
    assert all(node.title in text for node in graph.nodes)
    assert as_dot(graph).count(" -> ") >= len(graph.edges)
    assert json.loads(json.dumps(as_document(graph))) == as_document(graph)
