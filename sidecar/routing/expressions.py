r"""Regular expressions as Envoy reads them: RE2, the whole value must match, `\1` in a substitution.

The one door to RE2: matching and rewriting remember their compiled expressions together.
"""

from __future__ import annotations

from functools import lru_cache

import re2

__all__ = ["fits", "replaced"]

_REGEXES_KEPT = 4096
"""Compiled expressions remembered; a mesh seldom has more distinct ones."""


def fits(pattern: str, value: str) -> bool:
    """Whether the whole value matches; False for a pattern that RE2 refuses."""
    expression = _compiled(pattern)
    return expression is not None and expression.fullmatch(value) is not None


def replaced(pattern: str, substitution: str, text: str) -> str:
    r"""The text with every match replaced (RE2::GlobalReplace); `\0` to `\9` are groups, `\\` a backslash."""
    expression = _compiled(pattern)
    if expression is None:
        return text
    pieces: list[str] = []
    end = 0
    for found in expression.finditer(text):
        pieces += (text[end : found.start()], _filled(substitution, found))
        end = found.end()
    return "".join((*pieces, text[end:]))


def _filled(substitution: str, found: re2._Match) -> str:
    """A substitution with the groups of one match put in."""
    out: list[str] = []
    characters = iter(substitution)
    for character in characters:
        if character != "\\":
            out.append(character)
            continue
        follower = next(characters, "")
        out.append((found.group(int(follower)) or "") if follower.isdigit() else follower)
    return "".join(out)


@lru_cache(maxsize=_REGEXES_KEPT)
def _compiled(pattern: str) -> re2._Regexp | None:
    """The compiled expression, or None where RE2 refuses it (Envoy would refuse the route)."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error:
        return None
