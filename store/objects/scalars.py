"""Scalar and container types that the models' fields are made of.

They follow the CRD schema: `Maybe[X]` is an optional field that may be left out but not be written as
`null`; `Nullable[X]` may also be `null`; lists become tuples. Integers are bounded as their Go types are.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias, TypeVar

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, Strict
from pydantic_core import CoreSchema, core_schema

__all__ = [
    "Int32",
    "Items",
    "LabelMap",
    "Maybe",
    "NaturalInt32",
    "Nullable",
    "Percentage",
    "PortNumber",
    "Real",
    "UInt32",
    "UInt64",
    "Word",
]

T = TypeVar("T")


class _NotNull:
    """Drops `null` from what an optional field accepts; left out, it is None all the same."""

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = handler(source)
        return schema["schema"] if schema["type"] == "nullable" else schema


Maybe = Annotated[T | None, _NotNull()]
"""A field that may be left out (None then); `null` is an error, as in the CRD."""
Nullable: TypeAlias = T | None
"""A field that may be left out or be `null`; both mean the same (the CRD says `nullable: true`)."""
Items = Annotated[tuple[T, ...], Strict(False)]
"""A list; empty when left out."""

Int32 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
"""Go's int32."""
NaturalInt32 = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""Go's int32 from 0."""
UInt32 = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""Go's uint32."""
UInt64 = Annotated[int, Field(ge=0, le=2**64 - 1)]
"""Go's uint64."""
PortNumber = Annotated[int, Field(ge=1, le=65535)]
"""A TCP port that something listens on."""
Real = Annotated[float, Field(allow_inf_nan=False)]
"""A finite double; whole numbers are accepted."""
Percentage = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
"""A share from 0 to 100."""


def _empty_for_null(value: object) -> object:
    return {} if value is None else value


LabelMap = Annotated[dict[str, str], BeforeValidator(_empty_for_null)]
"""Labels or annotations in `metadata`, where Kubernetes' own tools write `null` for none."""


class Word(StrEnum):
    """Base of the enumerations: one of the upper-case names that Istio's protos give."""

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Accept the name as a plain string although models are strict."""
        return core_schema.enum_schema(cls, list(cls), sub_type="str", strict=False)
