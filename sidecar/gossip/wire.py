"""The fields that messages are made of, as they are on the wire: what each may be, and how they are packed.

Strict: a number that is a string, or a name of 101 characters, is no field. `sidecar.gossip.frames` says what frames
are made of them.
"""

from __future__ import annotations

from typing import Annotated

import msgpack
from pydantic import Field

from sidecar.gossip.claims import EPOCH_MAX, INCARNATION_MAX
from sidecar.gossip.keyring import SEAL_BYTES

__all__ = [
    "BODY_BYTES_MAX",
    "DATAGRAM_BYTES_MAX",
    "NODE_CHARS_MAX",
    "STREAM_BYTES_MAX",
    "U32",
    "Address",
    "Epoch",
    "Incarnation",
    "Node",
    "pack",
]

DATAGRAM_BYTES_MAX = 1200
"""Sealed. Fits every IPv6 path (1,280) with room for headers and tunnels."""
BODY_BYTES_MAX = DATAGRAM_BYTES_MAX - SEAL_BYTES
"""Of a datagram, unsealed."""
STREAM_BYTES_MAX = 4 << 20
"""Of a request or an answer over TCP: 10,000 members with long names."""
NODE_CHARS_MAX = 100
"""Of the name of a host: so that the longest frame with one claim, or one record, fits a datagram."""

U32 = Annotated[int, Field(strict=True, ge=0, lt=1 << 32)]
Node = Annotated[
    str, Field(strict=True, min_length=1, max_length=NODE_CHARS_MAX, pattern=r"^[!-~]+$")
]
Address = Annotated[
    str,
    Field(
        strict=True,
        max_length=56,
        pattern=r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-fA-F:.]{2,45}\]):[0-9]{1,5}$",
    ),
]
Epoch = Annotated[int, Field(strict=True, ge=0, le=EPOCH_MAX)]
Incarnation = Annotated[int, Field(strict=True, ge=0, le=INCARNATION_MAX)]


def pack(fields: object) -> bytes:
    """These fields as msgpack."""
    packed = msgpack.packb(fields)
    assert isinstance(packed, bytes)
    return packed
