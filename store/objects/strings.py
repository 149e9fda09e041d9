"""StringMatch: how VirtualService and CORS compare strings.

Source: istio/api networking/v1alpha3/virtual_service.proto, message StringMatch.
"""

from __future__ import annotations

from typing import ClassVar

from store.objects.base import Choice
from store.objects.scalars import Maybe

__all__ = ["StringMatch"]


class StringMatch(Choice):
    """One way to compare a string; with none given the value need only be present."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("exact", "prefix", "regex"),)

    exact: Maybe[str] = None
    """The whole string, as it is."""
    prefix: Maybe[str] = None
    """The beginning of the string (`/foo` also matches `/foobar`)."""
    regex: Maybe[str] = None
    """RE2 expression that must match the whole string."""
