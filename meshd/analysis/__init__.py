"""Analysis across objects: what is wrong in a mesh although each object is valid by itself.

`analyze` judges the mesh as it would be with some objects written, with the same `sidecar.mesh` and
`sidecar.routing` that serve it. Each check is a file of `meshd.analysis.checks`; `store.diagnostics.codes_analysis`
says what each code means. Pure: knows no store and no file.
"""

from __future__ import annotations

from meshd.analysis.analyze import analyze
from meshd.analysis.world import World
from meshd.analysis.written import Written, given_twice, written_document

__all__ = ["World", "Written", "analyze", "given_twice", "written_document"]
