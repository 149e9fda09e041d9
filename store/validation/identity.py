"""What a document says it is: API version, kind, name, namespace.

Objects of other systems are skipped with a note, since manifests often hold both; what looks like a
misspelt one of ours is an error.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from store.diagnostics import nearest_hint
from store.objects.kinds import ISTIO_VERSIONS, KINDS, Kind
from store.validation.findings import Findings

__all__ = ["check_metadata", "described", "recognise"]

_OTHER_KINDS = ("EnvoyFilter", "ProxyConfig")
"""Kinds of Istio's networking group that the mesh does not use."""

_KINDS = {kind.value: kind for kind in Kind}

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")

_FORBIDDEN_ANNOTATIONS = (
    ("istio.io/dry-run", "only an AuthorizationPolicy can be tried dry"),
    (
        "internal.istio.io/",
        "annotations of this prefix are Istio's own and must not be set by people",
    ),
)
"""Annotations, or beginnings of them, and why they are refused."""


def described(document: Mapping[str, object]) -> str:
    """`Kind/namespace/name` of a document as far as it can be read; empty when it cannot."""
    kind, metadata = document.get("kind"), document.get("metadata")
    if not isinstance(kind, str):
        return ""
    names = metadata if isinstance(metadata, Mapping) else {}
    parts = [kind, names.get("namespace"), names.get("name")]
    return "/".join(part[:253] for part in parts if isinstance(part, str) and part)


def recognise(document: Mapping[str, object], found: Findings) -> Kind | None:
    """The kind of a document that is one of ours; None, with the reason in `found`, when it is not."""
    version, kind = document.get("apiVersion"), document.get("kind")
    if not isinstance(version, str) or not isinstance(kind, str):
        for name in ("apiVersion", "kind"):
            if name not in document:
                hint = "every object begins with apiVersion and kind"
                found.add("MESH0101", (name,), "is required, but missing", hint, at_key=True)
            elif not isinstance(document[name], str):
                found.add("MESH0103", (name,), "must be text")
        return None
    group = version.partition("/")[0]
    ours = _KINDS.get(kind)
    if ours is not None and version in KINDS[ours].api_versions:
        return ours
    if ours is not None and _is_near_version(version, KINDS[ours].api_versions):
        allowed = ", ".join(KINDS[ours].api_versions)
        message = f'"{version[:100]}" is not an apiVersion of {kind}; allowed: {allowed}'
        found.add("MESH0110", ("apiVersion",), message)
    elif group in ("networking.istio.io", "meshd.io") and kind not in _OTHER_KINDS:
        names = [
            known.value for known, row in KINDS.items() if row.api_versions[0].startswith(group)
        ]
        message = f'{group} has no kind "{kind[:100]}"; its kinds: {", ".join(names)}'
        found.add("MESH0111", ("kind",), message, nearest_hint(kind, names))
    else:
        message = f"{kind[:100]} of {version[:100]} is not an object of the mesh; it is skipped"
        found.add("MESH0112", ("kind",), message)
    return None


def _is_near_version(version: str, allowed: tuple[str, ...]) -> bool:
    group, slash, _ = version.partition("/")
    known = allowed[0].partition("/")[0]
    if group == known or not slash or version in ISTIO_VERSIONS:
        return True
    return difflib.SequenceMatcher(None, group[:100], known).ratio() > 0.85


def check_metadata(document: Mapping[str, object], kind: Kind, found: Findings) -> None:
    """The rules for names and annotations that hold for all kinds."""
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping):
        return
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if isinstance(name, str) and (len(name) > 253 or not _NAME.match(name)):
        message = f'"{name[:80]}" is not a legal name: lower-case letters, digits, "-" and ".", at most 253'
        found.add("MESH0114", ("metadata", "name"), message, _lower_hint(name, _NAME))
    if (
        isinstance(namespace, str)
        and namespace
        and (len(namespace) > 63 or not _NAMESPACE.match(namespace))
    ):
        message = f'"{namespace[:80]}" is not a legal namespace: lower-case letters, digits and "-", at most 63'
        found.add(
            "MESH0115", ("metadata", "namespace"), message, _lower_hint(namespace, _NAMESPACE)
        )
    if isinstance(namespace, str) and namespace and not KINDS[kind].namespaced:
        message = f"{kind.value} lies in no namespace; there is one for the whole mesh"
        found.add("MESH0115", ("metadata", "namespace"), message, "remove the field", at_key=True)
    annotations = metadata.get("annotations")
    for key in annotations if isinstance(annotations, Mapping) else ():
        for start, reason in _FORBIDDEN_ANNOTATIONS:
            if str(key).startswith(start):
                path = ("metadata", "annotations", str(key))
                found.add("MESH0116", path, reason, "remove it", at_key=True)


def _lower_hint(name: str, form: re.Pattern[str]) -> str:
    mended = name.lower().replace("_", "-").replace(" ", "-")
    return f"for instance {mended}" if len(mended) <= 63 and form.match(mended) else ""
