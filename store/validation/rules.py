"""Which rules an object is checked against, by its kind."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from store.objects.base import MeshObject
from store.objects.kinds import Kind
from store.validation.findings import Findings
from store.validation.support import check_support

__all__ = ["check_rules"]


class _Check(Protocol):
    def __call__(self, model: MeshObject, found: Findings, /) -> None: ...


_CHECKS: dict[Kind, _Check] = {}


def check_rules(model: MeshObject, found: Findings) -> None:
    """Check an object of the right shape against the rules of its kind, and note what has no effect yet."""
    kind = model.kind
    check = _CHECKS.get(kind)
    if check is None:
        name = _MODULES[kind]
        module = import_module(f"store.validation.{name}")
        check = _CHECKS[kind] = cast("_Check", getattr(module, f"check_{name}"))
    check(model, found)
    check_support(model, found)


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
"""The rules load with the first object of their kind, as its model does."""
