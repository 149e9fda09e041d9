"""Durations: Go's notation in, float seconds out.

Istio's objects carry durations as strings (`1h2m3.5s4ms`), which Go's time.ParseDuration reads. Source:
pkg.go.dev/time#ParseDuration; the CRD's rule is `duration(self) >= duration('1ms')` for most fields. No field
has a meaning for a negative one.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

__all__ = ["Duration", "PositiveDuration", "format_duration", "parse_duration"]

SECONDS: dict[str, float] = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # U+00B5, the micro sign
    "μs": 1e-6,  # U+03BC, the Greek letter
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
"""Length of each unit that Go knows, in seconds; there is no day."""

LONGEST_S = (2**63 - 1) / 1e9
"""Go counts nanoseconds in an int64: about 292 years."""

_TERM = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h)"
_WHOLE = re.compile(rf"\+?(?:{_TERM})+")
_PARTS = re.compile(r"([0-9.]+)([a-zµμ]+)")


def parse_duration(text: str) -> float:
    """Seconds that `text` says, in Go's notation; `0` needs no unit.

    Raises:
        ValueError: With a message that says what is wrong and what is allowed.
    """
    if text == "0":
        return 0.0
    if len(text) > 100 or not _WHOLE.fullmatch(text):
        raise ValueError(_complaint(text))
    seconds = sum(float(number) * SECONDS[unit] for number, unit in _PARTS.findall(text))
    if seconds > LONGEST_S:
        raise ValueError(f"{_shown(text)} is longer than the longest duration, about 292 years")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest notation that Go reads back as `seconds`, to the nanosecond."""
    if seconds == 0:
        return "0s"
    if seconds == int(seconds):
        whole = int(seconds)
        hours, minutes = whole // 3600, whole % 3600 // 60
        parts = [(hours, "h"), (minutes, "m"), (whole % 60, "s")]
        return "".join(f"{count}{unit}" for count, unit in parts if count)
    if seconds < 1 and round(seconds * 1e9) % 1_000_000 == 0:
        return f"{round(seconds * 1000)}ms"
    return f"{seconds:.9f}".rstrip("0") + "s"


def _complaint(text: str) -> str:
    if text.startswith("-"):
        return f"{_shown(text)} is negative; a duration is 0 or more"
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return f'{_shown(text)} has no unit; write "{text[:60]}s" for seconds or "{text[:60]}ms" for milliseconds'
    if re.fullmatch(r"[0-9.]+ ?(d|day|days|w)", text):
        return f'{_shown(text)}: the longest unit is the hour; write for instance "24h" for a day'
    return f'{_shown(text)} is not a duration; write numbers with units h, m, s, ms, us, ns, such as "1.5s" or "1h30m"'


def _shown(text: str) -> str:
    return f'"{text}"' if len(text) <= 60 else f'"{text[:57]}..."'


def _from_document(value: object) -> object:
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except ValueError as problem:
            raise PydanticCustomError("duration", "{problem}", {"problem": str(problem)}) from None
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise PydanticCustomError(
            "duration_type",
            'a duration is a string with a unit; write "{value}s" for seconds',
            {"value": str(value)[:60]},
        )
    raise PydanticCustomError(
        "duration_type", 'a duration is a string with units h, m, s, ms, such as "1.5s"'
    )


def _at_least_a_millisecond(seconds: float) -> float:
    if seconds < 0.001:
        raise PydanticCustomError(
            "duration_too_short",
            "{found} is too short; the shortest duration here is 1ms",
            {"found": format_duration(seconds)},
        )
    return seconds


Duration = Annotated[
    float,
    Field(ge=0),
    BeforeValidator(_from_document),
    WithJsonSchema({"type": "string", "format": "duration"}),
]
"""A duration of 0 or more, in seconds once read."""
PositiveDuration = Annotated[
    Duration,
    AfterValidator(_at_least_a_millisecond),
    WithJsonSchema({"type": "string", "format": "duration", "minimum": "1ms"}),
]
"""A duration of at least one millisecond, in seconds once read (the CRD's rule for most fields)."""
