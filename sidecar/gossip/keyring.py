"""The shared keys: who holds none is a stranger, whatever it sends.

AES-GCM with 16, 24 or 32 byte keys. Sealed: one byte of version, 12 bytes of nonce, ciphertext, 16 bytes of tag.
The mesh id and the purpose (datagram, stream or relay) are associated data: a frame of another mesh with the same key
does not open, nor does a datagram as a stream. All keys open; the first one seals. Rotation without downtime:
install the new key everywhere, use it everywhere, remove the old one everywhere. Keyrings are immutable: each step
makes another one.

Nonces come from the shell (`os.urandom`). Random nonces of 96 bits bound a key to about 2^32 frames: at ten frames
a second and host, a thousand hosts reach it after five days, thirty hosts after half a year: rotate before. Pure
otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from store.errors import InputError

__all__ = ["KEYS_MAX", "NONCE_BYTES", "SEAL_BYTES", "Keyring", "Purpose"]

NONCE_BYTES = 12
"""Length of the nonce that `Keyring.seal` takes."""
SEAL_BYTES = 1 + NONCE_BYTES + 16
"""What sealing adds to a body."""
KEYS_MAX = 4
"""Keys held at once: opening tries each, so a stranger's datagram costs as many attempts."""

_VERSION = b"\x01"


class Purpose(Enum):
    """What a sealed body is for; one does not open as the other."""

    DATAGRAM = b"datagram"
    STREAM = b"stream"
    RELAY = b"relay"
    """Words of the relay (`sidecar.relay.wire`), over TCP as well."""


class Keyring:
    """The keys of a mesh, the sealing one first.

    Args:
        mesh_id: Name of the mesh, bound into each seal.
        keys: One to `KEYS_MAX` keys of 16, 24 or 32 bytes; repeated ones count once.

    Raises:
        InputError: No key, too many, or one of another length.
    """

    def __init__(self, mesh_id: str, keys: Iterable[bytes]) -> None:
        self._mesh_id = mesh_id
        self._keys = tuple(dict.fromkeys(keys))
        if not self._keys:
            raise InputError("The keyring is empty", hint="Generate one key of 32 bytes.")
        if len(self._keys) > KEYS_MAX:
            raise InputError(
                f"The keyring has {len(self._keys)} keys; at most {KEYS_MAX} are held",
                hint="Remove keys that no member uses any more.",
            )
        for key in self._keys:
            if len(key) not in (16, 24, 32):
                raise InputError(
                    f"A gossip key has {len(key)} bytes; 16, 24 or 32 are allowed",
                    hint="Generate one of 32 bytes.",
                )
        self._ciphers = tuple(AESGCM(key) for key in self._keys)

    @property
    def keys(self) -> tuple[bytes, ...]:
        """All keys, the sealing one first."""
        return self._keys

    def install(self, key: bytes) -> Keyring:
        """A keyring that opens with this key too. Raises InputError as the constructor does."""
        return Keyring(self._mesh_id, (*self._keys, key))

    def use(self, key: bytes) -> Keyring:
        """A keyring that seals with this key. Raises InputError when it is not installed."""
        if key not in self._keys:
            raise InputError(
                "This gossip key is not installed", hint="Install it everywhere first."
            )
        return Keyring(self._mesh_id, (key, *self._keys))

    def remove(self, key: bytes) -> Keyring:
        """A keyring without this key; the sealing one stays. Raises InputError when it is the sealing one."""
        if key == self._keys[0]:
            raise InputError("The key in use cannot be removed", hint="Use another one first.")
        return Keyring(self._mesh_id, (k for k in self._keys if k != key))

    def seal(self, body: bytes, purpose: Purpose, nonce: bytes) -> bytes:
        """Encrypt and authenticate; never twice with the same nonce (`NONCE_BYTES` random bytes)."""
        sealed = self._ciphers[0].encrypt(nonce, body, self._bound_to(purpose))
        return _VERSION + nonce + sealed

    def open(self, sealed: bytes, purpose: Purpose) -> bytes | None:
        """The body, or None when no key opens it: a stranger, another mesh, another purpose, or damage."""
        if len(sealed) < SEAL_BYTES or sealed[:1] != _VERSION:
            return None
        nonce, rest = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, rest, self._bound_to(purpose))
            except InvalidTag:
                continue
        return None

    def _bound_to(self, purpose: Purpose) -> bytes:
        return b"meshd gossip\0" + purpose.value + b"\0" + self._mesh_id.encode()
