"""What is said when only a part of the mesh is known: what that part proves, and nothing that others may hold."""

from __future__ import annotations

from meshd.analysis import analyze, written_document
from store.manifest import read_text
from tests.harness.catalogs import catalog_of

STORED = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}
"""
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route:
    - destination: {host: reviews, subset: v2}
"""


def test_a_part_of_the_mesh_proves_a_wrong_subset_and_no_missing_service() -> None:
    written = [written_document(one, "default") for one in read_text(ROUTE).documents]
    objects = [one for one in written if one is not None]
    stored = catalog_of(STORED)
    whole = {problem.code for problem in analyze(objects, stored)}
    part = {problem.code for problem in analyze(objects, stored, is_whole=False)}
    nothing = {problem.code for problem in analyze(objects)}
    assert part < whole
    assert nothing < part
