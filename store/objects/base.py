"""What every object model shares: strict pydantic settings, names of objects, metadata.

Models are read-only views that are parsed from JSON when something asks for an object; what is stored
and shown is always the value as published, never a model written back. Field names in Python are
snake_case; in YAML and JSON only Istio's lowerCamelCase spelling is accepted.
"""

from __future__ import annotations

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from store.objects.kinds import Kind

__all__ = ["MeshObject", "Metadata", "Model", "ObjectRef"]


class Model(BaseModel):
    """Base of every model: frozen, unknown fields are errors, no silent conversion of types."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        validate_by_name=False,
        validate_by_alias=True,
        use_attribute_docstrings=True,
    )


class ObjectRef(NamedTuple):
    """The identity of one object. MeshConfig's namespace is the empty string."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(part for part in (self.kind.value, self.namespace, self.name) if part)


class Metadata(Model):
    """The `metadata` of an object, as Kubernetes spells it; of what Kubernetes itself writes, all is accepted."""

    model_config = ConfigDict(extra="allow")

    name: str
    """Name, unique for its kind in its namespace."""
    namespace: str = ""
    """Namespace; empty means the one that the command or the key names, `default` in the end."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the object itself."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Free notes; meshd gives meaning to none but `meshd.io/` ones."""
    resource_version: str = ""
    """etcd's mod_revision of the version that this text was made from; `put` writes only over that."""


class MeshObject(Model):
    """One object: kind, identity and specification. Subclassed once for each kind with its own `spec`."""

    api_version: str
    """API group and version, for instance `networking.istio.io/v1`."""
    kind: Kind
    """The kind's name."""
    metadata: Metadata
    """Identity, labels, annotations."""

    @property
    def ref(self) -> ObjectRef:
        """The object's identity."""
        return ObjectRef(self.kind, self.metadata.namespace, self.metadata.name)
