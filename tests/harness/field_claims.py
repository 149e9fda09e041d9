"""That no claim of a proof is empty: without the field something else is compiled, and what is looked for is not found.

Mechanical, and without any Envoy: a field is taken out of the object at each place where it stands (one that its parent
cannot be without gets another value), and what is compiled is compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from string import Template
from typing import Any

from google.protobuf.json_format import MessageToDict

from sidecar.xds import protos as pb
from sidecar.xds.desired import Builder
from sidecar.xds.resource import TypeUrl
from tests.harness.catalogs import Document
from tests.harness.field_building import STAND_INS, builder_of, compiled
from tests.harness.field_cases import Case, Holds, read
from tests.harness.field_envoy import contains, is_named
from tests.harness.fields import Path, given, without

__all__ = ["missing", "proven"]

_KINDS: Mapping[str, tuple[TypeUrl, Any]] = {
    "cluster": (TypeUrl.CLUSTER, pb.Cluster),
    "endpoints": (TypeUrl.ENDPOINTS, pb.ClusterLoadAssignment),
    "listener": (TypeUrl.LISTENER, pb.Listener),
    "routes": (TypeUrl.ROUTES, pb.RouteConfiguration),
    "host": (TypeUrl.VIRTUAL_HOST, pb.VirtualHost),
}


def missing(case: Case) -> Iterator[str]:
    """What is wrong with the claims of a case.

    Fields that it does not give, or that make no difference; and, where Envoy's configuration is looked at and no
    request is asked, fields without which all that is looked for is there as well.
    """
    subjects = case.subjects(STAND_INS)
    around = read(case.services, STAND_INS)
    whole = compiled(case, [*around, *subjects])
    looks_only = bool(case.accepted) and not case.asks
    if looks_only and not _holds_all(case, [*around, *subjects]):
        yield "what it looks for is not compiled"
        looks_only = False
    for kind, path in case.paths:
        bearers = [d for d in subjects if d["kind"] == kind and path in given(d)]
        if not bearers:
            yield f"{kind}.{path} is not given"
            continue
        variants = [
            [*around, *(one if d is bearer else d for d in subjects)]
            for bearer in bearers
            for one in without(bearer, path)
        ]
        if all(compiled(case, documents) == whole for documents in variants):
            yield f"{kind}.{path} makes no difference"
        elif looks_only and all(_holds_all(case, documents) for documents in variants):
            yield f"{kind}.{path} makes no difference to what is looked for"


def proven(cases: Sequence[Case]) -> Mapping[tuple[str, Path], str]:
    """The first case that proves each field, by kind and path."""
    found: dict[tuple[str, Path], str] = {}
    for case in cases:
        for field_of in case.paths:
            found.setdefault(field_of, case.name)
    return found


def _holds_all(case: Case, documents: Sequence[Document]) -> bool:
    """Whether everything that the case looks for in Envoy is compiled of these objects."""
    builder = builder_of(case, documents, STAND_INS)
    return all(_is_held(builder, wanted) for wanted in case.accepted)


def _is_held(builder: Builder, wanted: Holds) -> bool:
    type_url, message = _KINDS[wanted.kind]
    name = Template(wanted.name).substitute(STAND_INS)
    for resource in builder.resources.get(type_url, {}).values():
        shown = MessageToDict(message.FromString(resource.body), preserving_proto_field_name=True)
        if is_named(shown, wanted.kind, name) and contains(shown, wanted.part):
            return True
    return False
