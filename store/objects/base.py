"""What every object model shares: strict pydantic settings, names of objects, metadata.

Models are read-only views that are parsed from JSON when something asks for an object; what is stored
and shown is always the value as published, never a model written back. Field names in Python are
snake_case; in YAML and JSON only Istio's lowerCamelCase spelling is accepted.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, Strict, field_validator, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from store.objects.kinds import KINDS, Kind, ObjectRef
from store.objects.scalars import LabelMap

__all__ = ["Choice", "MeshObject", "Metadata", "Model", "ObjectRef"]


class Model(BaseModel):
    """Base of every model: frozen, unknown fields are errors, no silent conversion of types."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        validate_by_name=False,
        validate_by_alias=True,
    )


class Choice(Model):
    """A model of which some fields exclude one another (a `oneof` of the proto, `oneOf` of the CRD).

    Presence counts, not value: `useSourceIp: false` beside `httpHeaderName` is two choices.
    """

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of fields, by Python name, of which at most one may be given."""

    @model_validator(mode="after")
    def _at_most_one_of_each_group(self) -> Self:
        for group in self.one_of:
            given = [name for name in group if name in self.model_fields_set]
            if len(given) > 1:
                fields = type(self).model_fields
                raise PydanticCustomError(
                    "one_of",
                    "only one of {allowed} may be given, found {found}",
                    {
                        "allowed": ", ".join(str(fields[name].alias) for name in group),
                        "found": " and ".join(str(fields[name].alias) for name in given),
                    },
                )
        return self


class Metadata(Model):
    """The `metadata` of an object, as Kubernetes spells it; what Kubernetes itself writes is accepted."""

    name: str
    """Name, unique for its kind in its namespace."""
    namespace: str = ""
    """Namespace; empty means the one that the command or the key names, `default` in the end."""
    labels: LabelMap = Field(default_factory=dict)
    """Labels of the object itself."""
    annotations: LabelMap = Field(default_factory=dict)
    """Free notes; meshd gives meaning to none but `meshd.io/` ones."""
    resource_version: str = ""
    """etcd's mod_revision of the version that this text was made from; `put` writes only over that."""
    generation: int = 0
    """How many versions the object has had; shown by meshd, ignored when written."""
    creation_timestamp: object = Field(default=None, repr=False)
    """Written by Kubernetes; ignored."""
    deletion_timestamp: object = Field(default=None, repr=False)
    """Written by Kubernetes; ignored."""
    deletion_grace_period_seconds: object = Field(default=None, repr=False)
    """Written by Kubernetes; ignored."""
    uid: object = Field(default=None, repr=False)
    """Written by Kubernetes; ignored."""
    self_link: object = Field(default=None, repr=False)
    """Written by old versions of Kubernetes; ignored."""
    generate_name: object = Field(default=None, repr=False)
    """Kubernetes' prefix for made-up names; ignored, since `name` is required."""
    managed_fields: object = Field(default=None, repr=False)
    """Written by Kubernetes; ignored."""
    owner_references: object = Field(default=None, repr=False)
    """Written by Kubernetes' controllers; ignored."""
    finalizers: object = Field(default=None, repr=False)
    """Written by Kubernetes' controllers; ignored."""


class MeshObject(Model):
    """One object: kind, identity and specification. Subclassed once for each kind with its own `spec`."""

    expected_kind: ClassVar[Kind | None] = None
    """The kind that a subclass is the model of."""

    api_version: str
    """API group and version, for instance `networking.istio.io/v1`."""
    kind: Annotated[Kind, Strict(False)]
    """The kind's name."""
    metadata: Metadata
    """Identity, labels, annotations."""
    status: object = Field(default=None, repr=False)
    """What controllers report in Kubernetes; accepted and ignored."""

    @field_validator("kind")
    @classmethod
    def _is_the_kind_of_this_model(cls, kind: Kind) -> Kind:
        if cls.expected_kind is not None and kind is not cls.expected_kind:
            raise PydanticCustomError(
                "kind_mismatch",
                '"{found}" is not {allowed}',
                {"found": kind.value, "allowed": cls.expected_kind.value},
            )
        return kind

    @field_validator("api_version")
    @classmethod
    def _is_a_version_of_this_kind(cls, version: str) -> str:
        if cls.expected_kind is None:
            return version
        allowed = KINDS[cls.expected_kind].api_versions
        if version not in allowed:
            raise PydanticCustomError(
                "api_version",
                '"{found}" is not an apiVersion of {kind}; allowed: {allowed}',
                {
                    "found": version[:100],
                    "kind": cls.expected_kind.value,
                    "allowed": ", ".join(allowed),
                },
            )
        return version

    @property
    def ref(self) -> ObjectRef:
        """The object's identity."""
        return ObjectRef(self.kind, self.metadata.namespace, self.metadata.name)
