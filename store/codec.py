"""Values in etcd: documents to bytes, bytes to objects.

Written values are canonical JSON, so that equal documents are equal bytes. Read values may be anything:
`etcdctl put` takes YAML or JSON as it is, and a hostile writer takes what it likes. So reading never raises;
it answers with an object or with the reasons why there is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from store.diagnostics import Diagnostic, Level, diagnose
from store.errors import InputError
from store.keys import AdmissionKey, HostKey, parse_key, why_no_key
from store.objects.kinds import Kind, ObjectRef

if TYPE_CHECKING:
    from store.objects.admission import Admission
    from store.objects.base import MeshObject
    from store.objects.host import HostRegistration

__all__ = [
    "DEPTH_MAX",
    "VALUE_BYTES_MAX",
    "Decoded",
    "Document",
    "canonical",
    "decode",
    "encode",
    "outline",
    "parse",
]

Document: TypeAlias = Mapping[str, object]
"""One object as plain mappings, lists, texts, numbers, booleans and None."""

VALUE_BYTES_MAX = 2 * 1024 * 1024
"""Longest value read: above etcd's own limit for a request (1.5 MiB) as it is shipped."""

DEPTH_MAX = 64
"""Deepest nesting read; the deepest field of the API lies at 14."""

_SERVERS_OWN = frozenset(
    {
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "generation",
        "managedFields",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)
"""Fields of `metadata` that a server writes: the key's revisions say what of it holds here."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one stored value is."""

    object: MeshObject | HostRegistration | Admission | None
    """The model; None when the value is not valid, and for the key that holds no object (`format`)."""
    document: Document | None
    """The value as a mapping, identity filled in from the key, without what servers write into metadata;
    None when it could not be read. It is given for values that break a rule, too."""
    diagnostics: tuple[Diagnostic, ...]
    """Errors and warnings, sorted. Without an object there is an error among them."""


def canonical(document: Document) -> dict[str, object]:
    """`document` as it is stored: without `status` and without what servers write into `metadata`."""
    kept = {name: value for name, value in document.items() if name != "status"}
    metadata = kept.get("metadata")
    if isinstance(metadata, Mapping):
        kept["metadata"] = {
            name: value for name, value in metadata.items() if name not in _SERVERS_OWN
        }
    return kept


def encode(document: Document) -> bytes:
    """The bytes that are stored for `document`: compact JSON, keys sorted, equal for equal documents.

    Raises:
        InputError: The document holds what JSON in UTF-8 cannot (NaN, lone surrogates, other types), or is
            nested too deep.
    """
    if _is_too_deep(document):
        raise InputError(f"the object is nested deeper than {DEPTH_MAX} levels")
    try:
        text = json.dumps(
            canonical(document),
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
            sort_keys=True,
        )
        return text.encode()
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the object cannot be written as JSON: {error}",
            hint="Use text, finite numbers, true, false, lists and mappings only",
        ) from error


def decode(key: str, value: bytes) -> Decoded:
    """What `value` under the relative key `key` is. Never raises, whatever the bytes."""
    place = parse_key(key)
    if place is None:
        found = f"{why_no_key(key)}; found key {_shown(key)}"
        return _refused(diagnose("MESH0401", found, file=key))
    about = str(place) if isinstance(place, ObjectRef) else key
    read = _read(value, about)
    if read.document is None or _errors(read.diagnostics):
        return read
    if isinstance(place, ObjectRef):
        return _decode_object(place, read)
    if isinstance(place, HostKey | AdmissionKey):
        return _decode_of_host(place, key, read)
    return read


def parse(key: str, value: bytes) -> MeshObject | HostRegistration | Admission:
    """The model of a value that `decode` has found valid, without checking its rules again: five times as fast.

    Raises:
        ValueError: `decode` would have refused the value.
    """
    from store.objects import parse_object

    place = parse_key(key)
    document = _read(value, key).document
    if document is None or not isinstance(place, ObjectRef | HostKey | AdmissionKey):
        raise ValueError(f"{key}: what cannot be read, or is no object, was taken for valid")
    if isinstance(place, ObjectRef):
        return parse_object(_identified(place, document)[0])
    return _model_of_host(place).model_validate({"host": place.host, **document})


def outline(value: bytes) -> Mapping[str, Any] | None:
    """`value` as JSON says it, with nothing checked: ten times as fast as `decode`. None when it is no mapping."""
    try:
        document = json.loads(value.decode())
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _read(value: bytes, about: str) -> Decoded:
    """Bytes to one mapping: JSON, as we write it, on a short way; all else as the YAML that it may be."""
    if len(value) > VALUE_BYTES_MAX:
        found = f"the value has {len(value)} bytes; at most {VALUE_BYTES_MAX} are read"
        return _refused(diagnose("MESH0122", found, file=about))
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        found = f"byte {error.start} of the value, 0x{value[error.start]:02x}, is not UTF-8"
        return _refused(diagnose("MESH0121", found, file=about))
    document = _read_json(text)
    read = Decoded(None, document, ()) if document is not None else _read_yaml(text, about)
    if "\\" in text and read.document is not None and not _is_unicode(read.document):
        found = "an escape stands for a lone surrogate, half of a character, which is not text"
        return _refused(diagnose("MESH0121", found, hint="remove it", file=about))
    return read


def _read_json(text: str) -> dict[str, object] | None:
    """The mapping that strict JSON says; None for all else, which the YAML reader then explains."""
    if not text.startswith("{"):
        return None
    try:
        document = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    brackets = text.count("{") + text.count("[")
    if (brackets > DEPTH_MAX and _is_too_deep(document)) or document.get("kind") == "List":
        return None
    return {**document}


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a field is given twice")
    return mapping


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is no number of JSON")


def _is_too_deep(document: Document) -> bool:
    level: list[object] = [document]
    for _ in range(DEPTH_MAX):
        below: list[object] = []
        for node in level:
            if isinstance(node, Mapping):
                below += node.values()
            elif isinstance(node, list | tuple):
                below += node
        level = [node for node in below if type(node) not in _SCALARS]
        if not level:
            return False
    return True


_SCALARS = frozenset((str, int, float, bool, type(None)))
"""What most leaves are: not looked into, since telling that they are no Mapping costs ten times as much."""


def _is_unicode(document: Document) -> bool:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_yaml(text: str, about: str) -> Decoded:
    from store.manifest import read_text

    manifest = read_text(text, about)
    problems = manifest.diagnostics
    count = len(manifest.documents)
    if count != 1 and not _errors(problems):
        found = f"the value holds {count} objects" if count else "the value is empty"
        return _refused(*problems, diagnose("MESH0411", found, file=about))
    document = manifest.documents[0].value if count == 1 else None
    return Decoded(None, document, tuple(sorted(problems)))


def _decode_object(ref: ObjectRef, read: Decoded) -> Decoded:
    from store.validation import check_object

    assert read.document is not None
    about = str(ref)
    document, problems = _identified(ref, read.document)
    problems += read.diagnostics  # warnings only
    if _errors(problems):
        return Decoded(None, document, tuple(sorted(problems)))
    checked, found = check_object(document, about)
    problems += found
    if checked is None and not _errors(problems):
        what = f'apiVersion "{_shown(str(document.get("apiVersion")))}" is not one of {ref.kind}'
        problems = [diagnose("MESH0110", what, path="apiVersion", file=about, about=about)]
    valid = None if _errors(problems) else checked
    return Decoded(valid, document, tuple(sorted(problems)))


def _identified(ref: ObjectRef, document: Document) -> tuple[dict[str, object], list[Diagnostic]]:
    """`document` with the identity that its key gives it, and where the two disagree."""
    whole = canonical(document)
    problems = _disagreements(ref, "kind", whole.get("kind"), ref.kind.value)
    metadata = whole.setdefault("metadata", {})
    if isinstance(metadata, dict):
        for field, expected in (("name", ref.name), ("namespace", ref.namespace)):
            problems += _disagreements(ref, f"metadata.{field}", metadata.get(field), expected)
        identity = {"name": ref.name, "namespace": ref.namespace}
        if ref.kind is Kind.MESH_CONFIG:
            del identity["namespace"]
        whole["metadata"] = {**metadata, **identity}
    return whole, problems


def _disagreements(ref: ObjectRef, path: str, found: object, expected: str) -> list[Diagnostic]:
    """What is wrong with one part of the identity; nothing where it is left out (but for the kind)."""
    if found == expected or (found in (None, "") and path != "kind"):
        return []
    shown = "nothing" if found is None else f'"{_shown(str(found))}"'
    wanted = f'"{expected}"' if expected else "nothing"
    message = f"found {shown}, the key says {wanted}"
    hint = "put the value under its own key, or correct it"
    return [diagnose("MESH0410", message, path=path, hint=hint, file=str(ref), about=str(ref))]


def _model_of_host(place: HostKey | AdmissionKey) -> type[HostRegistration | Admission]:
    if isinstance(place, AdmissionKey):
        from store.objects.admission import Admission

        return Admission
    from store.objects.host import HostRegistration

    return HostRegistration


def _decode_of_host(place: HostKey | AdmissionKey, about: str, read: Decoded) -> Decoded:
    """What a host says of itself, or an administrator of it."""
    from pydantic import ValidationError

    assert read.document is not None
    writer = _WRITERS[type(place)]
    document = {"host": place.host, **read.document}
    problems = list(read.diagnostics)
    if document["host"] != place.host:
        found = f'found "{_shown(str(document["host"]))}", the key says "{place.host}"'
        problems.append(diagnose("MESH0410", found, path="host", file=about, about=about))
    model = None
    try:
        model = _model_of_host(place).model_validate(document)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            code = _HOST_CODES.get(problem["type"], "MESH0106")
            problems.append(
                diagnose(
                    code,
                    f"{problem['msg']} ({writer})",
                    path=problem["loc"],
                    file=about,
                    about=about,
                )
            )
    valid = None if _errors(problems) else model
    return Decoded(valid, document, tuple(sorted(problems)))


_WRITERS = {
    HostKey: "HostRegistration is written by the host's own sidecar",
    AdmissionKey: "Admission is written by an administrator",
}

_HOST_CODES = {
    "missing": "MESH0101",
    "extra_forbidden": "MESH0102",
    "string_type": "MESH0103",
    "int_type": "MESH0103",
    "dict_type": "MESH0103",
    "tuple_type": "MESH0103",
    "model_type": "MESH0103",
    "greater_than_equal": "MESH0104",
    "less_than_equal": "MESH0104",
    "string_pattern_mismatch": "MESH0104",
    "string_too_long": "MESH0104",
    "enum": "MESH0105",
    "literal_error": "MESH0105",
}
"""Codes of the problems that pydantic finds in these two; all others are MESH0106."""


def _refused(*problems: Diagnostic) -> Decoded:
    return Decoded(None, None, tuple(sorted(problems)))


def _errors(problems: tuple[Diagnostic, ...] | list[Diagnostic]) -> bool:
    return any(problem.level is Level.ERROR for problem in problems)


def _shown(text: str) -> str:
    short = text if len(text) <= 80 else f"{text[:77]}..."
    return short.encode("utf-8", "backslashreplace").decode()
