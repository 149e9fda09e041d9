"""Admission: what an administrator says about one host: by which key peers know it, and for whom it may speak.

Written by people or their tools with an administrator's rights (key `admission/<host>`), never by the host itself. It
is none of the published kinds: it has no namespace and no history, and routes nothing.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from store.objects.base import Model
from store.objects.host import HostNameText, NamespaceText
from store.objects.scalars import Items

__all__ = ["ADMISSION_API_VERSION", "ADMISSION_KIND", "PUBLIC_KEY_BYTES", "Admission"]

ADMISSION_API_VERSION = "meshd.io/v1"
ADMISSION_KIND = "Admission"
PUBLIC_KEY_BYTES = 32
"""Of an Ed25519 public key."""


def _checked_key(text: str) -> str:
    try:
        size = len(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        size = -1
    if size != PUBLIC_KEY_BYTES:
        found = "which is not base64" if size < 0 else f"which is {size} bytes"
        raise PydanticCustomError(
            "public_key",
            'found "{found}", {why}; an Ed25519 public key is 32 bytes in base64, as `meshd status` shows it',
            {"found": text[:80], "why": found},
        )
    return text


class Admission(Model):
    """What one host is, and what it may claim."""

    api_version: Literal["meshd.io/v1"]
    """Always `meshd.io/v1`."""
    kind: Literal["Admission"]
    """Always `Admission`."""
    host: HostNameText
    """Name of the host, as in the key."""
    public_key: Annotated[str, AfterValidator(_checked_key)]
    """Ed25519 public key of the host, base64 of 32 bytes: words in its name that another key signed are refused."""
    namespaces: Items[NamespaceText] = ()
    """Namespaces whose workloads it may register; empty: all. Others of it do not serve (`meshd status` names them)."""
    service_accounts: Items[Annotated[str, Field(max_length=253)]] = ()
    """Service accounts that its workloads may have; empty: all; a workload that names none has `default`."""

    @property
    def key(self) -> bytes:
        """The public key itself."""
        return base64.b64decode(self.public_key)
