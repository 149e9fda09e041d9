"""Where things lie in etcd: keys to identities and back.

    <prefix>/format                               stored format
    <prefix>/mesh                                 MeshConfig
    <prefix>/ns/<namespace>/<plural>/<name>       one object
    <prefix>/hosts/<host>                         what one host registers
    <prefix>/admission/<host>                     what an administrator says about a host
    <prefix>-history/<namespace>/<change>         one record for each change set

Namespace first, so that one etcd role for each team and each host is enough. Keys are handled relative to
the prefix (`ns/default/virtualservices/reviews`); only the shell sees whole ones. Names are Kubernetes'
(DNS-1123 subdomain), namespaces too (DNS-1123 label), so no key needs escaping.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

from store.errors import InputError
from store.objects.kinds import KINDS, Kind, ObjectRef, kind_by_plural

__all__ = [
    "DEFAULT_PREFIX",
    "FORMAT_KEY",
    "MESH_KEY",
    "AdmissionKey",
    "FormatKey",
    "HostKey",
    "MeshKey",
    "absolute_key",
    "admission_key",
    "check_prefix",
    "history_key",
    "history_prefix",
    "host_key",
    "is_host_name",
    "is_name",
    "is_namespace",
    "key_range",
    "object_key",
    "parse_key",
    "relative_key",
    "why_no_key",
]

DEFAULT_PREFIX = "/meshd/v1"
"""Prefix of all keys where the settings name no other."""
FORMAT_KEY = "format"
"""Relative key of the stored format."""
MESH_KEY = "mesh"
"""Relative key of the MeshConfig, and that object's only name."""

NAME_LENGTH_MAX = 253
NAMESPACE_LENGTH_MAX = 63

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NAMESPACE = re.compile(_LABEL)
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_CHANGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._-]+)+")
_MESH_WIDE_HISTORY = "_mesh"


class HostKey(NamedTuple):
    """The key of one host's registration."""

    host: str


class AdmissionKey(NamedTuple):
    """The key of what an administrator says about one host."""

    host: str


class FormatKey(NamedTuple):
    """The key of the stored format."""


MeshKey: TypeAlias = ObjectRef | HostKey | AdmissionKey | FormatKey
"""What a key of the mesh stands for."""


def is_name(text: str) -> bool:
    """Whether `text` can be an object's name: a DNS-1123 subdomain of at most 253 characters."""
    return len(text) <= NAME_LENGTH_MAX and _NAME.fullmatch(text) is not None


def is_namespace(text: str) -> bool:
    """Whether `text` can be a namespace: a DNS-1123 label of at most 63 characters."""
    return len(text) <= NAMESPACE_LENGTH_MAX and _NAMESPACE.fullmatch(text) is not None


def is_host_name(text: str) -> bool:
    """Whether `text` can name a host: letters, digits, `-`, `.`, `_`, at most 253 of them."""
    return len(text) <= NAME_LENGTH_MAX and _HOST.fullmatch(text) is not None


def object_key(ref: ObjectRef) -> str:
    """Relative key of an object.

    Raises:
        InputError: Its name or namespace cannot be part of a key.
    """
    if ref.kind is Kind.MESH_CONFIG:
        if ref.namespace or ref.name not in ("", MESH_KEY):
            raise InputError(
                f"{ref}: there is one MeshConfig, with the name {MESH_KEY} and no namespace",
                hint=f"Write `name: {MESH_KEY}` and leave the namespace out",
            )
        return MESH_KEY
    if not is_namespace(ref.namespace):
        raise InputError(f"{ref}: {_illegal_namespace(ref.namespace)}")
    if not is_name(ref.name):
        raise InputError(f"{ref}: {_illegal_name(ref.name)}")
    return f"ns/{ref.namespace}/{KINDS[ref.kind].plural}/{ref.name}"


def host_key(host: str) -> str:
    """Relative key of the registration of `host`.

    Raises:
        InputError: It cannot be a host's name.
    """
    return f"hosts/{_checked_host(host)}"


def admission_key(host: str) -> str:
    """Relative key of the admission record of `host`.

    Raises:
        InputError: It cannot be a host's name.
    """
    return f"admission/{_checked_host(host)}"


def parse_key(relative: str) -> MeshKey | None:
    """What a relative key stands for; None for one that is none of the mesh's (`why_no_key` says why)."""
    found = _parse(relative)
    return None if isinstance(found, str) else found


def why_no_key(relative: str) -> str:
    """What is wrong with a relative key and what is allowed; empty when nothing is."""
    found = _parse(relative)
    return found if isinstance(found, str) else ""


def _parse(relative: str) -> MeshKey | str:
    match relative.split("/"):
        case ["ns", namespace, plural, name]:
            return _parse_object(namespace, plural, name)
        case ["mesh"]:
            return ObjectRef(Kind.MESH_CONFIG, "", MESH_KEY)
        case ["format"]:
            return FormatKey()
        case ["hosts", host]:
            return HostKey(host) if is_host_name(host) else _illegal_host(host)
        case ["admission", host]:
            return AdmissionKey(host) if is_host_name(host) else _illegal_host(host)
        case ["ns", *_]:
            return "an object's key is ns/NAMESPACE/PLURAL/NAME"
        case _:
            return "keys begin with ns/, hosts/ or admission/, or are mesh or format"


def _parse_object(namespace: str, plural: str, name: str) -> ObjectRef | str:
    kind = kind_by_plural(plural)
    if kind is None or not KINDS[kind].namespaced:
        plurals = ", ".join(names.plural for names in KINDS.values() if names.namespaced)
        return f'"{_shown(plural)}" is no kind that lies in a namespace; allowed: {plurals}'
    if not is_namespace(namespace):
        return _illegal_namespace(namespace)
    if not is_name(name):
        return _illegal_name(name)
    return ObjectRef(kind, namespace, name)


def check_prefix(prefix: str) -> str:
    """`prefix` itself, when it can be the prefix of a mesh.

    Raises:
        InputError: It does not begin with `/`, ends with one, or has other characters than letters,
            digits, `.`, `_`, `-`.
    """
    if not _PREFIX.fullmatch(prefix):
        raise InputError(
            f'prefix "{_shown(prefix)}" is not made of /parts of letters, digits, ".", "_" and "-"',
            hint=f"Write for instance {DEFAULT_PREFIX}, without a final /",
        )
    return prefix


def absolute_key(prefix: str, relative: str) -> str:
    """The whole key of a relative one."""
    return f"{prefix}/{relative}"


def relative_key(prefix: str, key: str) -> str | None:
    """The relative key of a whole one; None when it does not lie under the prefix (`/a/bc` not under `/a/b`)."""
    start = f"{prefix}/"
    return key[len(start) :] if key.startswith(start) else None


def key_range(prefix: str, folder: str = "") -> tuple[str, str]:
    """First key, and the one after the last, of all keys below `folder` (all of the mesh: empty)."""
    start = f"{prefix}/{folder.strip('/')}/" if folder else f"{prefix}/"
    return start, start[:-1] + "0"  # "0" follows "/" in ASCII


def history_prefix(prefix: str) -> str:
    """Prefix of the history of a mesh; it lies beside the mesh, so that no change is watched twice."""
    return f"{prefix}-history"


def history_key(prefix: str, namespace: str, change: str) -> str:
    """Whole key of the record of one change set in one namespace (empty: of the MeshConfig).

    Raises:
        InputError: Namespace or change id cannot be part of a key.
    """
    if namespace and not is_namespace(namespace):
        raise InputError(_illegal_namespace(namespace))
    if not _CHANGE.fullmatch(change):
        raise InputError(
            f'"{_shown(change)}" is not a change id: letters, digits, ".", "_", "-", at most 128',
            hint="`meshd history` lists the changes",
        )
    return f"{history_prefix(prefix)}/{namespace or _MESH_WIDE_HISTORY}/{change}"


def _checked_host(host: str) -> str:
    if not is_host_name(host):
        raise InputError(_illegal_host(host))
    return host


def _illegal_name(name: str) -> str:
    return (
        f'"{_shown(name)}" is not a name: lower-case letters, digits, "-" and ".", '
        f"beginning and ending with a letter or digit, at most {NAME_LENGTH_MAX}"
    )


def _illegal_namespace(namespace: str) -> str:
    return (
        f'"{_shown(namespace)}" is not a namespace: lower-case letters, digits and "-", '
        f"beginning and ending with a letter or digit, at most {NAMESPACE_LENGTH_MAX}"
    )


def _illegal_host(host: str) -> str:
    return (
        f'"{_shown(host)}" is not a host\'s name: letters, digits, "-", "." and "_", '
        f"beginning and ending with a letter or digit, at most {NAME_LENGTH_MAX}"
    )


def _shown(text: str) -> str:
    short = text if len(text) <= 80 else f"{text[:77]}..."
    return short.encode("utf-8", "backslashreplace").decode()
