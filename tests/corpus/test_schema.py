"""The models against Istio's own CRDs: every field of one is a field of the other, with type and limits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from store.objects import model_for
from store.objects.base import Choice, Model
from store.objects.docstrings import model_named
from store.objects.kinds import ISTIO_VERSIONS, KINDS, Kind

CRDS = Path(__file__).parents[3] / "shared" / "corpus" / "crds" / "crd-all.gen.yaml"

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(
        not CRDS.exists(), reason=f"Istio's CRDs are not here (looked for {CRDS.name} in ../shared)"
    ),
]

ISTIO_KINDS = [kind for kind in Kind if KINDS[kind].api_versions == ISTIO_VERSIONS]
INT_BOUNDS = {"int32": (-(2**31), 2**31 - 1), None: (None, 2**64 - 1)}
MILLISECOND = "must be a valid duration greater than 1ms"

# Where the two differ on purpose: the end of a path, what differs, and why. `spec` itself is not compared: the CRDs
# of VirtualService, DestinationRule, Gateway and Sidecar let it be left out, but Istio's rules then refuse the object.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("http[].mirror_percent", "path"): "a second spelling of mirrorPercent, accepted as its alias",
    (
        ".tcp.idleTimeout",
        "format",
    ): "CRD: text of any form, since 0s turns it off; read as a duration",
    (
        ".httpCookie.ttl",
        "format",
    ): "CRD: text of any form, since 0s is a session; read as a duration",
    (".retryBudget.budgetInterval", "format"): "CRD: text of any form; read as a duration",
    (".weightExpirationPeriod", "format"): "CRD: text of any form; read as a duration",
    (".weightStabilizationPeriod", "format"): "CRD: text of any form; read as a duration",
    (".weightUpdatePeriod", "format"): "CRD: text of any form; read as a duration",
    (".body.bytes", "format"): "CRD: `byte`; base64 is checked by the rules, as text it is any",
}


Schema = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """What the schema says about one path."""

    type: str
    required: bool
    words: tuple[str, ...]
    limits: tuple[tuple[str, object], ...]
    nullable: bool
    format: str
    exclusive: frozenset[frozenset[str]]


LIMITS = (
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "pattern",
)


@cache
def crd(kind: Kind) -> dict[str, object]:
    for document in yaml.load_all(CRDS.read_text(), yaml.CSafeLoader):
        if document and document["spec"]["names"]["kind"] == kind.value:
            return dict(document["spec"])
    raise AssertionError(f"no CRD of {kind}")


def crd_versions(kind: Kind) -> dict[str, Schema]:
    versions = crd(kind)["versions"]
    assert isinstance(versions, list)
    return {v["name"]: v["schema"]["openAPIV3Schema"] for v in versions if v["served"]}


def of_crd(kind: Kind, version: str = "v1") -> dict[str, Shape]:
    found: dict[str, Shape] = {}

    def visit(schema: Schema, path: str, required: bool) -> None:
        found[path] = shape_of_crd(schema, required)
        for name, child in schema.get("properties", {}).items():
            visit(child, f"{path}.{name}", name in schema.get("required", ()))
        if "items" in schema:
            visit(schema["items"], f"{path}[]", False)
        if isinstance(schema.get("additionalProperties"), dict):
            visit(schema["additionalProperties"], f"{path}{{}}", False)

    visit(crd_versions(kind)[version]["properties"]["spec"], "spec", True)
    return found


def shape_of_crd(schema: Schema, required: bool) -> Shape:
    limits = {name: schema[name] for name in LIMITS if name in schema}
    if schema["type"] == "integer":
        low, high = INT_BOUNDS[schema.get("format")]
        if low is not None:
            limits.setdefault("minimum", low)
        limits.setdefault("maximum", high)
    rules = schema.get("x-kubernetes-validations", ())
    is_duration = any(MILLISECOND in str(rule.get("message")) for rule in rules)
    groups = [schema.get("oneOf")] + [one.get("oneOf") for one in schema.get("allOf", ())]
    return Shape(
        type=schema["type"],
        required=required,
        words=tuple(schema.get("enum", ())),
        limits=tuple(sorted(limits.items())),
        nullable=schema.get("nullable", False),
        format="duration>=1ms"
        if is_duration
        else ("byte" if schema.get("format") == "byte" else ""),
        exclusive=frozenset(
            frozenset(name for option in group for name in option.get("required", ()))
            for group in groups
            if group
        ),
    )


def of_model(kind: Kind) -> dict[str, Shape]:
    whole = model_for(kind).model_json_schema()
    found: dict[str, Shape] = {}

    def visit(schema: Schema, path: str, required: bool) -> None:
        nullable = any(option.get("type") == "null" for option in schema.get("anyOf", ()))
        if "anyOf" in schema:
            schema = next(option for option in schema["anyOf"] if option.get("type") != "null")
        if "$ref" in schema:
            schema = whole["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        found[path] = shape_of_model(schema, required, nullable)
        for name, child in schema.get("properties", {}).items():
            visit(child, f"{path}.{name}", name in schema.get("required", ()))
        if "items" in schema:
            visit(schema["items"], f"{path}[]", False)
        if isinstance(schema.get("additionalProperties"), dict):
            visit(schema["additionalProperties"], f"{path}{{}}", False)

    visit(whole["properties"]["spec"], "spec", True)
    return found


def shape_of_model(schema: Schema, required: bool, nullable: bool) -> Shape:
    is_duration = schema.get("format") == "duration"
    least = f">={schema['minimum']}" if is_duration and "minimum" in schema else ""
    model = model_named(schema.get("title", ""))
    groups = model.one_of if model is not None and issubclass(model, Choice) else ()
    return Shape(
        type=schema["type"],
        required=required,
        words=tuple(schema.get("enum", ())),
        limits=()
        if is_duration
        else tuple(sorted((name, schema[name]) for name in LIMITS if name in schema)),
        nullable=nullable,
        format=f"duration{least}" if is_duration else "",
        exclusive=frozenset(frozenset(yaml_names(model, group)) for group in groups),
    )


def yaml_names(model: type[Model] | None, group: tuple[str, ...]) -> list[str]:
    assert model is not None
    return [model.model_fields[name].alias or name for name in group]


def differences(kind: Kind) -> list[tuple[str, str, object, object]]:
    theirs, ours = of_crd(kind), of_model(kind)
    found: list[tuple[str, str, object, object]] = [
        (path, "path", path in theirs, path in ours) for path in theirs.keys() ^ ours.keys()
    ]
    for path in theirs.keys() & ours.keys():
        for what in Shape.__dataclass_fields__:
            there, here = getattr(theirs[path], what), getattr(ours[path], what)
            if there != here:
                found.append((path, what, there, here))
    return sorted(found, key=str)


def excepted(path: str, what: str) -> tuple[str, str] | None:
    return next((row for row in EXCEPTIONS if path.endswith(row[0]) and what == row[1]), None)


@pytest.mark.parametrize("kind", ISTIO_KINDS)
def test_models_and_crds_have_the_same_fields_types_words_and_limits(kind: Kind) -> None:
    wrong = [row for row in differences(kind) if excepted(row[0], row[1]) is None]
    assert not wrong, "\n".join(
        f"{path}: {what}: the CRD has {there}, the model has {here}"
        for path, what, there, here in wrong
    )


def test_every_exception_is_needed() -> None:
    used = {excepted(path, what) for kind in ISTIO_KINDS for path, what, _, _ in differences(kind)}
    assert set(EXCEPTIONS) == used - {None}


@pytest.mark.parametrize("kind", ISTIO_KINDS)
def test_all_versions_of_a_crd_have_the_same_schema(kind: Kind) -> None:
    assert {f"networking.istio.io/{version}" for version in crd_versions(kind)} == set(
        KINDS[kind].api_versions
    )
    first, *others = (of_crd(kind, version) for version in crd_versions(kind))
    for other in others:
        assert other == first


@pytest.mark.parametrize("kind", ISTIO_KINDS)
def test_plurals_and_short_names_are_those_of_the_crd(kind: Kind) -> None:
    names = crd(kind)["names"]
    assert isinstance(names, dict)
    assert names["plural"] == KINDS[kind].plural
    assert set(names.get("shortNames", ())) <= set(KINDS[kind].short)


def test_the_number_of_fields_compared_is_what_the_reference_counts() -> None:
    paths = {kind: [path for path in of_crd(kind) if path != "spec"] for kind in ISTIO_KINDS}
    properties = [path for found in paths.values() for path in found if path[-1] not in "]}"]
    assert len(properties) == 742, {kind.value: len(found) for kind, found in paths.items()}
