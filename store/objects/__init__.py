"""The objects of the mesh as typed models, one module for each kind.

`parse_object` turns a document (what YAML or JSON gave) into the model of its kind. Only shape is checked
here: names, types, required fields, enumerations, ranges, exclusive fields, as in Istio's CRDs. Rules of
meaning are `store.validation`'s. The models load when they are first asked for, since building them takes
longer than most commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from store.objects.kinds import Kind

if TYPE_CHECKING:
    from store.objects.base import MeshObject

__all__ = ["model_for", "parse_object"]

_MODULES: dict[Kind, str] = {
    Kind.VIRTUAL_SERVICE: "virtual_service",
    Kind.DESTINATION_RULE: "destination_rule",
    Kind.GATEWAY: "gateway",
    Kind.SERVICE_ENTRY: "service_entry",
    Kind.WORKLOAD_ENTRY: "workload_entry",
    Kind.WORKLOAD_GROUP: "workload_group",
    Kind.SIDECAR: "sidecar",
    Kind.MESH_CONFIG: "mesh_config",
}
_models: dict[Kind, type[MeshObject]] = {}


def model_for(kind: Kind) -> type[MeshObject]:
    """The model class of `kind`, its module imported when first asked for."""
    model = _models.get(kind)
    if model is None:
        model = getattr(import_module(f"store.objects.{_MODULES[kind]}"), kind.value)
        _models[kind] = model
    return model


def parse_object(document: Mapping[str, object]) -> MeshObject:
    """The model of `document`, by its `kind`.

    Raises:
        pydantic.ValidationError: With every problem of shape; locations are paths of the document
            (`("spec", "http", 0, "timeout")`). A kind that is missing or unknown is one at `("kind",)`.
    """
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in _KIND_NAMES:
        raise _unknown_kind(document)
    return model_for(Kind(kind)).model_validate(document)


_KIND_NAMES = frozenset(kind.value for kind in Kind)


def _unknown_kind(document: Mapping[str, object]) -> Exception:
    from pydantic import ValidationError
    from pydantic_core import InitErrorDetails, PydanticCustomError

    if "kind" not in document:
        problem: PydanticCustomError | str = "missing"
    else:
        problem = PydanticCustomError(
            "unknown_kind",
            "{found} is not a kind; allowed: {allowed}",
            {"found": repr(document["kind"])[:100], "allowed": ", ".join(sorted(_KIND_NAMES))},
        )
    return ValidationError.from_exception_data(
        "object", [InitErrorDetails(type=problem, loc=("kind",), input=document)]
    )
