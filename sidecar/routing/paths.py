"""A request's path as a gateway reads it: normalised before any routing, and forwarded so.

Envoy's `normalize_path`, which is Chromium's canonical form of a path (googleurl, url_canon_path.cc): dot segments
are resolved, backslashes are slashes, percent-encoding stands exactly where it must. The query is left alone.
"""

from __future__ import annotations

import string

__all__ = ["normal_path"]

_NEVER_ENCODED = frozenset(f"{string.ascii_letters}{string.digits}-._~")
_ALWAYS_ENCODED = frozenset('"<>^`{|}')
_HEX_DIGITS = frozenset(string.hexdigits)


def normal_path(path: str) -> str:
    """The path, with its query, as it is after normalisation.

    Args:
        path: As received; one that does not begin with a slash (`*`) is left alone.
    """
    if not path.startswith("/"):
        return path
    only, mark, query = path.partition("?")
    return _without_dots("".join(_encoded(only))) + mark + query


def _encoded(path: str) -> list[str]:
    """The characters of a path, each as it is to stand."""
    out: list[str] = []
    position = 0
    while position < len(path):
        one = path[position]
        digits = path[position + 1 : position + 3]
        position += 1
        if one == "%" and len(digits) == 2 and _HEX_DIGITS.issuperset(digits):
            meant = chr(int(digits, 16))
            out.append(meant if meant in _NEVER_ENCODED else f"%{digits}")
            position += 2
        elif one == "\\":
            out.append("/")
        elif one in _ALWAYS_ENCODED or not one.isascii():
            out += (f"%{byte:02X}" for byte in one.encode())
        else:
            out.append(one)
    return out


def _without_dots(path: str) -> str:
    """The path without `.` and `..` segments; nothing lies above the root."""
    kept: list[str] = []
    segments = path[1:].split("/")
    for number, segment in enumerate(segments):
        is_last = number == len(segments) - 1
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
            continue
        if is_last:
            kept.append("")
    return "/" + "/".join(kept)
