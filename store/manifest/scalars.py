"""What an unquoted word of YAML means: the core schema of YAML 1.2 without its odder numbers.

Only null, true, false, decimal integers and decimal fractions are not text. So NO, on, 12:30, 1_000, 0x1F
and 0443 stay text, where readers of YAML 1.1 take them for a boolean, a number of seconds and other
numbers; `old_reading` says so.

Source: YAML 1.2.2 section 10.3.2; https://yaml.org/type/ (bool, int, float) for YAML 1.1.
"""

from __future__ import annotations

import math
import re

__all__ = ["Scalar", "old_reading", "resolve"]

Scalar = str | int | float | bool | None

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER_STARTS = frozenset("+-.0123456789")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})\Z")
_FRACTION = re.compile(
    r"[-+]?(?:(?:0|[1-9][0-9]{0,30})(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?\Z"
)

_OLD_WORDS = {
    **dict.fromkeys(("yes", "Yes", "YES", "on", "On", "ON"), "true"),
    **dict.fromkeys(("no", "No", "NO", "off", "Off", "OFF"), "false"),
}
_OLD_BINARY = re.compile(r"[-+]?0b[01_]+\Z")
_OLD_OCTAL = re.compile(r"[-+]?0o?[0-7_]+\Z")
_OLD_HEXADECIMAL = re.compile(r"[-+]?0x[0-9a-fA-F_]+\Z")
_OLD_GROUPED = re.compile(r"[-+]?[1-9][0-9_]{0,30}(?:\.[0-9_]*)?\Z")
_OLD_SIXTIES = re.compile(r"[-+]?[1-9][0-9_]{0,8}(?::[0-5]?[0-9]){1,4}\Z")
_OLD_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")


def resolve(word: str) -> Scalar:
    """The value of an unquoted word."""
    if word in _WORDS:
        return _WORDS[word]
    if word[0] not in _NUMBER_STARTS:
        return word
    if _INTEGER.match(word):
        return int(word)
    if _FRACTION.match(word):
        number = float(word)
        return number if math.isfinite(number) else word
    return word


def old_reading(word: str) -> str:
    """What a reader of YAML 1.1 makes of an unquoted word that is text here; empty when it is text there too."""
    if word in _OLD_WORDS:
        return _OLD_WORDS[word]
    if word[0] not in _NUMBER_STARTS:
        return ""
    digits = word.replace("_", "").lstrip("+-")
    sign = "-" if word[0] == "-" else ""
    if not digits.strip("0box"):
        return f"the number {sign}0" if digits and _OLD_OCTAL.match(word) else ""
    if _OLD_SIXTIES.match(word):
        total = 0
        for part in digits.split(":"):
            total = total * 60 + int(part)
        return f"the number {sign}{total}"
    for form, base in ((_OLD_BINARY, 2), (_OLD_OCTAL, 8), (_OLD_HEXADECIMAL, 16)):
        if form.match(word):
            bare = digits.removeprefix("0b").removeprefix("0o").removeprefix("0x")
            return f"the number {sign}{int(bare, base)}" if len(bare) <= 64 else "a number"
    if "_" in word and _OLD_GROUPED.match(word):
        return f"the number {sign}{digits}"
    if _OLD_SPECIAL.match(word):
        return "not a number" if "n" in word.lower().removesuffix("inf") else "infinity"
    return ""
