"""What each field of the objects means: the answers of `meshd explain`, taken from the models themselves.

Types, limits and words come from the models' JSON schema; meaning, unit and default from the docstring that
stands behind the field in the source. So there is one description of a field, and it is the one checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from store.diagnostics import nearest
from store.errors import NotFoundError
from store.objects import model_for
from store.objects.base import Choice, Model
from store.objects.docstrings import field_docstrings, model_named, sentences
from store.objects.durations import format_duration
from store.objects.kinds import Kind, kind_named

__all__ = ["FieldDoc", "describe", "describe_path", "walk"]

Schema = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class FieldDoc:
    """One field, as a person wants it explained."""

    path: str
    """Kind and path, such as `VirtualService.spec.http[].timeout`; `[]` marks lists, `{}` maps."""
    name: str
    """Last part of the path, as it is written in YAML."""
    type: str
    """`text`, `whole number`, `number`, `true or false`, `duration`, `one of ...`, the name of an object,
    or a list or map of these."""
    description: str
    """Meaning, unit and default, in sentences."""
    required: bool = False
    """Whether the object is refused without it."""
    default: str = ""
    """What holds when it is left out, as YAML or in words; empty where nothing does."""
    unit: str = ""
    """How a number is to be written, for durations."""
    limits: str = ""
    """Least and greatest value or length; empty for none beyond the type's own."""
    choices: tuple[str, ...] = ()
    """The words that are allowed; empty where anything is."""
    exclusive: tuple[tuple[str, ...], ...] = ()
    """Groups of children of which at most one may be given."""
    children: tuple[FieldDoc, ...] = ()
    """The fields below, without theirs."""


def describe_path(text: str) -> FieldDoc:
    """The field that a person names as `KIND.path`, for instance `vs.spec.http.retries`.

    Raises:
        NotFoundError: No such kind or field; the message names the nearest.
    """
    word, _, path = text.strip().partition(".")
    kind = kind_named(word)
    if kind is None:
        known = [kind.value.lower() for kind in Kind]
        raise NotFoundError(f'"{word}" is not a kind', hint=_proposal(word.lower(), known))
    return describe(kind, path)


def describe(kind: Kind, path: str = "") -> FieldDoc:
    """The field of `kind` at `path` (`spec.http.retries`; `[0]` and `[]` are ignored), or the kind itself.

    Raises:
        NotFoundError: There is no such field; the message says where the path ends and names the nearest.
    """
    place = _Place(kind)
    for part in filter(None, re.sub(r"\[[^\]]*\]|\{\}", "", path).split(".")):
        known = [name for name, _, _ in place.fields()]
        below = next((child for child in place.children() if child.name == part), None)
        if below is None:
            where = place.doc(with_children=False).path
            if not known:
                raise NotFoundError(f'{where} has no fields, so none named "{part}"')
            raise NotFoundError(f'{where} has no field "{part}"', hint=_proposal(part, known))
        place = below
    return place.doc()


def walk(kind: Kind) -> Iterator[FieldDoc]:
    """Every field of `kind`, parents first, each place of the object once; children are left out."""
    places = [_Place(kind)]
    while places:
        place = places.pop()
        if place.name:
            yield place.doc(with_children=False)
        places += reversed(list(place.children()))


def _proposal(word: str, known: list[str]) -> str:
    near = nearest(word, known)
    return f'Did you mean "{near}"?' if near else f"There are: {', '.join(known)}"


class _Place:
    """One field at one place of the schema."""

    def __init__(
        self,
        kind: Kind,
        path: str = "",
        name: str = "",
        schema: Schema | None = None,
        owner: str = "",
        required: bool = False,
    ) -> None:
        self.kind = kind
        self.path = path or kind.value
        self.name = name
        self.required = required
        self._owner = owner
        self._own = _schema(kind) if schema is None else schema
        self._schema = self._resolved(self._own)
        self._inner, self._holder = self._held(self._schema)

    def fields(self) -> Iterator[tuple[str, Schema, bool]]:
        """Name, schema and necessity of each field below that is ours to explain."""
        properties = self._inner.get("properties")
        required = self._inner.get("required")
        if isinstance(properties, dict):
            for name, schema in properties.items():
                if _means_something(schema):
                    yield name, schema, isinstance(required, list) and name in required

    def children(self) -> Iterator[_Place]:
        """The fields below."""
        for name, schema, required in self.fields():
            path = f"{self.path}{self._holder}.{name}"
            yield _Place(self.kind, path, name, schema, self._title(), required)

    def doc(self, *, with_children: bool = True) -> FieldDoc:
        """The field explained."""
        docstrings = field_docstrings(self._owner)
        meaning = docstrings.get(self.name, "") if self.name else self._class_doc()
        choices = self._inner.get("enum")
        children = self.children() if with_children else ()
        model = model_named(self._title())
        return FieldDoc(
            path=self.path + self._holder,
            name=self.name or self.kind.value,
            type=self._type(),
            description=meaning,
            required=self.required,
            default=_default(self._own, meaning),
            unit="h, m, s, ms, us, ns" if self._inner.get("format") == "duration" else "",
            limits=_limits(self._schema if self._schema is not self._inner else self._inner),
            choices=tuple(map(str, choices)) if isinstance(choices, list) else (),
            exclusive=_exclusive(model) if model else (),
            children=tuple(child.doc(with_children=False) for child in children),
        )

    def _resolved(self, schema: Schema) -> Schema:
        reference = schema.get("$ref")
        if isinstance(reference, str):
            definitions = _schema(self.kind)["$defs"]
            assert isinstance(definitions, dict)
            return self._resolved(definitions[reference.rsplit("/", 1)[1]])
        alternatives = schema.get("anyOf")
        if isinstance(alternatives, list):
            return self._resolved(next(one for one in alternatives if one.get("type") != "null"))
        return schema

    def _held(self, schema: Schema) -> tuple[Schema, str]:
        """The schema of what a list or map holds, and the mark for it in paths."""
        for keyword, mark in (("items", "[]"), ("additionalProperties", "{}")):
            held = schema.get(keyword)
            if isinstance(held, dict):
                return self._resolved(held), mark
        return schema, ""

    def _title(self) -> str:
        return str(self._inner.get("title", "")) if "properties" in self._inner else ""

    def _class_doc(self) -> str:
        return sentences(str(self._inner.get("description", "")))

    def _type(self) -> str:
        if self._inner.get("enum"):
            inner = "word"
        elif self._inner.get("format") == "duration":
            inner = "duration"
        else:
            inner = self._title() or _WORDS.get(str(self._inner.get("type")), "anything")
        holders = {"[]": f"list of {inner}", "{}": f"map of text to {inner}"}
        return holders.get(self._holder, inner)


_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
}


@cache
def _schema(kind: Kind) -> Schema:
    return model_for(kind).model_json_schema()


def _means_something(schema: Schema) -> bool:
    """Whether a field is more than accepted and ignored (those are typed `object` and have no schema)."""
    return bool(schema.keys() - {"title", "default"})


_TYPES_OWN_BOUNDS = (-(2**31), 2**31 - 1, 2**32 - 1, 2**64 - 1)


def _limits(schema: Schema) -> str:
    said = []
    for word, least, greatest in (
        ("", "minimum", "maximum"),
        ("length ", "minLength", "maxLength"),
        ("items ", "minItems", "maxItems"),
        ("entries ", "minProperties", "maxProperties"),
    ):
        low, high = schema.get(least), schema.get(greatest)
        low, high = (None if bound in _TYPES_OWN_BOUNDS else bound for bound in (low, high))
        if low is not None and high is not None:
            said.append(f"{word}{low} to {high}")
        elif low is not None:
            said.append(f"{word}at least {low}")
        elif high is not None:
            said.append(f"{word}at most {high}")
    return ", ".join(said)


def _default(schema: Schema, meaning: str) -> str:
    value = schema.get("default")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return format_duration(value) if schema.get("format") == "duration" else f"{value:g}"
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and value:
        return f"[{', '.join(map(str, value))}]"
    said = _DEFAULT_SAID.search(meaning)
    return next((text for text in said.groups() if text), "") if said else ""


_DEFAULT_SAID = re.compile(
    r"(\S+) \(default\)"  # LEAST_REQUEST (default), ROUND_ROBIN
    r"|\b[Dd]efault:? `([^`]+)`"
    r"|\b[Dd]efault:? ((?:[^;,(). ]| (?=[^(])|\.(?=\w))+)"
)


def _exclusive(model: type[Model]) -> tuple[tuple[str, ...], ...]:
    if not issubclass(model, Choice):
        return ()
    fields = model.model_fields
    return tuple(tuple(fields[name].alias or name for name in group) for group in model.one_of)
