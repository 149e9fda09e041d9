"""Names and values of HTTP headers, as matches and header edits have them.

Source: istio/istio pkg/config/validation/validation.go (ValidateHTTPHeaderNameOrJwtClaimRoute,
ValidateHTTPHeaderWithAuthorityOperationName, ValidateHTTPHeaderOperationName) and
header_value_validator.go, which follows Envoy's header formatter.
"""

from __future__ import annotations

import re

__all__ = [
    "JWT_CLAIM",
    "edited_name_fault",
    "matched_name_fault",
    "plain_name_fault",
    "removed_name_fault",
    "value_fault",
]

JWT_CLAIM = re.compile(r"@request\.auth\.claims(?:\.[^\s.\[\]]+|\[[^\[\]]+\])+\Z")
"""A header match on a claim of a verified token instead of a header."""

_TOKEN = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+\Z")
_PSEUDO = frozenset((":method", ":scheme", ":authority", ":path", ":status"))
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


def plain_name_fault(name: str) -> str:
    """What keeps `name` from being a header name."""
    if not name:
        return "is empty"
    if not _TOKEN.match(name):
        return "is not the name of a header: letters, digits and !#$%&'*+-.^_`|~"
    return ""


def matched_name_fault(name: str) -> str:
    """What keeps `name` from being one that a match may look at: a header, a pseudo-header or a token's claim."""
    if name in _PSEUDO or (name.startswith("@") and JWT_CLAIM.match(name)):
        return ""
    if name.startswith("@request.auth.claims"):
        return "is not the name of a claim: @request.auth.claims.NAME or @request.auth.claims[NAME]"
    return plain_name_fault(name)


def edited_name_fault(name: str) -> str:
    """What keeps `name` from being one that may be set or added in requests."""
    if name.lower() == ":authority":
        return ""
    if name.startswith(":"):
        return 'is a pseudo-header, and of these only ":authority" can be set'
    return "" if name.lower() == "host" else plain_name_fault(name)


def removed_name_fault(name: str) -> str:
    """What keeps `name` from being one that may be removed, or edited in responses."""
    if name.lower() == "host":
        return "cannot be changed here"
    if name.startswith(":"):
        return "is a pseudo-header, which cannot be changed here"
    return plain_name_fault(name)


def value_fault(value: str) -> str:
    """What keeps `value` from being a header value in Envoy's notation, where `%NAME(...)%` is a variable."""
    if _CONTROL.search(value):
        return "holds a control character"
    at = 0
    while (at := value.find("%", at)) >= 0:
        if value.startswith("%%", at):
            at += 2
            continue
        name = _VARIABLE.match(value, at + 1)
        if name is None:
            return f'has a "%" at character {at + 1} that begins no variable; for the sign itself write "%%"'
        end = _after_variable(value, name.end())
        if end < 0:
            return f'has the variable "%{name.group()}", which is not closed by "%"'
        at = end
    return ""


def _after_variable(value: str, at: int) -> int:
    """The position after `(arguments):LENGTH%`, of which only `%` must be there; -1 when it is not."""
    if value.startswith("(", at):
        at = _after_arguments(value, at + 1)
        if at < 0:
            return -1
    if value.startswith(":", at):
        at += 1
        while at < len(value) and value[at].isdigit():
            at += 1
    return at + 1 if value.startswith("%", at) else -1


def _after_arguments(value: str, at: int) -> int:
    quoted = False
    while at < len(value):
        if value[at] == "\\" and quoted:
            at += 1
        elif value[at] == '"':
            quoted = not quoted
        elif value[at] == ")" and not quoted:
            return at + 1
        at += 1
    return -1
