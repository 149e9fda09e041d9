"""The facts of an object from its JSON as stored, before anybody has parsed or checked it.

A mesh of 10,000 services has 30,000 objects, of which a host uses a few hundred: making models of all takes seconds
and hundreds of megabytes. Of a valid object this gives what `sidecar.mesh.facts.read_facts` gives of its model (a
property test holds them together). Of a bad one it may give anything; its facts count for nothing, since nobody uses
an object that does not serve. Where the JSON is not plainly what is expected it says so, and the model is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sidecar.mesh.facts import (
    Facts,
    MeshDefaults,
    destination_rule_facts,
    service_entry_facts,
    virtual_service_facts,
)
from store.objects.base import ObjectRef
from store.objects.kinds import Kind

__all__ = ["OUTLINED", "outlined_facts"]


def outlined_facts(
    document: Mapping[str, Any], ref: ObjectRef, revision: tuple[int, int], defaults: MeshDefaults
) -> Facts | None:
    """The facts of one object; None where they must be read from its model.

    Args:
        document: The value as JSON says it.
        ref: Its identity.
        revision: (create_revision, generation) of its key.
        defaults: Mesh-wide settings.
    """
    read = _READERS.get(ref.kind)
    if read is None:
        return None
    try:
        spec = _mapping(document["spec"])
        return read(spec, ref, revision, defaults)
    except (_NotPlain, KeyError):
        return None


class _NotPlain(Exception):
    """The JSON has another shape than the objects of its kind."""


def _virtual_service(
    spec: Mapping[str, Any], ref: ObjectRef, revision: tuple[int, int], defaults: MeshDefaults
) -> Facts:
    delegates = (
        _mapping(rule["delegate"])
        for rule in map(_mapping, _list(spec.get("http", ())))
        if "delegate" in rule
    )
    return virtual_service_facts(
        ref,
        revision,
        defaults,
        hosts=_texts(spec.get("hosts", ())),
        gateways=_texts(spec.get("gateways", ())),
        export_to=_texts(spec.get("exportTo", ())),
        delegates=[
            (_text(one.get("namespace", "")), _text(one.get("name", ""))) for one in delegates
        ],
    )


def _destination_rule(
    spec: Mapping[str, Any], ref: ObjectRef, revision: tuple[int, int], defaults: MeshDefaults
) -> Facts:
    return destination_rule_facts(
        ref,
        revision,
        defaults,
        host=_text(spec["host"]),
        export_to=_texts(spec.get("exportTo", ())),
        selector=_labels(spec, "matchLabels"),
    )


def _service_entry(
    spec: Mapping[str, Any], ref: ObjectRef, revision: tuple[int, int], defaults: MeshDefaults
) -> Facts:
    return service_entry_facts(
        ref,
        revision,
        defaults,
        hosts=_texts(spec["hosts"]),
        addresses=_texts(spec.get("addresses", ())),
        export_to=_texts(spec.get("exportTo", ())),
        selector=_labels(spec, "labels"),
        ports=[_port(one) for one in _list(spec.get("ports", ()))],
    )


def _port(found: object) -> tuple[int, str]:
    """Number and protocol of a port."""
    port = _mapping(found)
    number = port.get("number")
    if type(number) is not int:
        raise _NotPlain
    return number, _text(port.get("protocol", ""))


_READERS = {
    Kind.VIRTUAL_SERVICE: _virtual_service,
    Kind.DESTINATION_RULE: _destination_rule,
    Kind.SERVICE_ENTRY: _service_entry,
}


OUTLINED = frozenset(_READERS)
"""Kinds whose facts can be read from JSON."""


def _labels(spec: Mapping[str, Any], field: str) -> Mapping[str, str] | None:
    """The labels that `workloadSelector` selects by; None without one."""
    if "workloadSelector" not in spec:
        return None
    labels = _mapping(_mapping(spec["workloadSelector"]).get(field, {}))
    return {name: _text(value) for name, value in labels.items()}


def _mapping(found: object) -> Mapping[str, Any]:
    if isinstance(found, dict):
        return found
    raise _NotPlain


def _list(found: object) -> Sequence[Any]:
    if isinstance(found, list | tuple):
        return found
    raise _NotPlain


def _text(found: object) -> str:
    if isinstance(found, str):
        return found
    raise _NotPlain


def _texts(found: object) -> Sequence[str]:
    return [_text(one) for one in _list(found)]
