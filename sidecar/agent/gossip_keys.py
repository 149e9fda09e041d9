"""What gossip keeps on disk: the shared keys, this host's own key, and the boot epoch.

The keyring file has one key in a line (base64 of 16, 24 or 32 bytes), the sealing one first; `#` begins a comment. It
is made by a person (`meshd keyring generate`) and changed live through the API, which writes it before it uses it. A
file that is changed by hand is read again within seconds; one that cannot be used leaves the keys as they were, and
says so. Nothing here prints a key: people see fingerprints.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sidecar.agent.run_files import write_atomically
from sidecar.gossip.claims import EPOCH_MAX
from sidecar.gossip.keyring import Keyring
from sidecar.gossip.signing import Signer
from store.errors import InputError

__all__ = ["EpochFile", "KeyringFile", "host_signer", "key_fingerprint", "parse_key"]

FILE_BYTES_MAX = 65_536
"""Of a keyring file: four keys and many comments."""
FINGERPRINT_CHARS = 16
"""64 bits: enough to tell four keys apart, and no help in guessing one."""
_HEADER = "# Keys of this mesh's gossip: the first one seals, all open. Keep it secret."


def key_fingerprint(key: bytes) -> str:
    """What people see of a shared key."""
    return hashlib.sha256(b"meshd gossip key\0" + key).hexdigest()[:FINGERPRINT_CHARS]


def parse_key(text: str) -> bytes:
    """A shared key from its text.

    Raises:
        InputError: It is not base64 of 16, 24 or 32 bytes. The message does not repeat it.
    """
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as problem:
        raise InputError(
            "a gossip key is not base64", hint="`meshd keyring generate` makes one"
        ) from problem
    if len(key) not in (16, 24, 32):
        raise InputError(
            f"a gossip key has {len(key)} bytes; 16, 24 or 32 are allowed",
            hint="`meshd keyring generate` makes one of 32",
        )
    return key


class KeyringFile:
    """The shared keys, as they are on disk and in use.

    Args:
        path: The file.
        mesh_id: Name of the mesh, bound into each seal.

    Raises:
        InputError: The file is missing, open to everybody, or has no usable keys.
    """

    def __init__(self, path: Path, mesh_id: str) -> None:
        self.path = path
        self.mesh_id = mesh_id
        """Name of the mesh."""
        self._seen = _mark(path)
        self.keyring = self._read()
        """The keys in use."""
        self.error = ""
        """Why the file as it is now is not in use; empty when it is."""

    def fingerprints(self) -> tuple[str, ...]:
        """Of all keys, the sealing one first."""
        return tuple(key_fingerprint(key) for key in self.keyring.keys)

    def refresh(self) -> bool:
        """Read the file again where it changed; whether the keys or the error did."""
        mark = _mark(self.path)
        if mark == self._seen:
            return False
        self._seen = mark
        before, error_before = self.keyring.keys, self.error
        try:
            self.keyring, self.error = self._read(), ""
        except InputError as problem:
            self.error = str(problem)
        return (before, error_before) != (self.keyring.keys, self.error)

    def install(self, text: str) -> bool:
        """Open with this key too; whether that is new. Raises InputError: no key, too many, or not written."""
        return self._change(self._current().install(parse_key(text)))

    def use(self, which: str) -> bool:
        """Seal with this key, named by its text or fingerprint; whether that is new.

        Raises:
            InputError: It is not installed, or the file cannot be written.
        """
        keyring = self._current()
        key = self._find(keyring, which)
        if key is None:
            raise InputError(
                "this gossip key is not installed here",
                hint="`meshd keyring install` it on every host first",
            )
        return self._change(keyring.use(key))

    def remove(self, which: str) -> bool:
        """Forget this key, named by its text or fingerprint; False when it was not there.

        Raises:
            InputError: It is the sealing one, or the file cannot be written.
        """
        keyring = self._current()
        key = self._find(keyring, which)
        return key is not None and self._change(keyring.remove(key))

    def _current(self) -> Keyring:
        """The keys after what others wrote meanwhile. A file that is broken must be mended first."""
        self.refresh()
        if self.error:
            raise InputError(
                f"the keyring was not changed: {self.error}", hint=f"Mend or restore {self.path}"
            )
        return self.keyring

    def _find(self, keyring: Keyring, which: str) -> bytes | None:
        which = which.strip()
        for key in keyring.keys:
            if which in (key_fingerprint(key), base64.b64encode(key).decode()):
                return key
        return None

    def _change(self, keyring: Keyring) -> bool:
        if keyring.keys == self.keyring.keys:
            return False
        lines = [_HEADER, *(base64.b64encode(key).decode() for key in keyring.keys)]
        try:
            write_atomically(self.path, "\n".join(lines) + "\n")
        except OSError as problem:
            raise InputError(
                f"{self.path} cannot be written: {problem.strerror}; the keyring was not changed",
                hint="Let the sidecar's user write the file and its folder, or change the file by hand",
            ) from problem
        self._seen = _mark(self.path)
        self.keyring = keyring
        return True

    def _read(self) -> Keyring:
        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(FILE_BYTES_MAX + 1)
        except OSError as problem:
            raise InputError(
                f"the gossip keys in {self.path} cannot be read: {problem.strerror}",
                hint="`meshd keyring generate` makes a first one; all hosts of a mesh share it",
            ) from problem
        if mode & (stat.S_IROTH | stat.S_IWOTH):
            raise InputError(
                f"{self.path} is open to every user of this machine, its mode is {mode & 0o777:04o}",
                hint=f"chmod 600 {self.path}; if others may have read it, take another key",
            )
        return Keyring(self.mesh_id, self._keys(content))

    def _keys(self, content: bytes) -> Iterable[bytes]:
        if len(content) > FILE_BYTES_MAX:
            raise InputError(f"{self.path} has more than {FILE_BYTES_MAX} bytes: it is no keyring")
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            text = line.partition("#")[0].strip()
            if text:
                try:
                    yield parse_key(text)
                except InputError as problem:
                    raise InputError(
                        f"{self.path}:{number}: {problem.message}", hint=problem.hint
                    ) from problem


def _mark(path: Path) -> tuple[int, ...]:
    """Differs when the file may have changed."""
    try:
        found = path.stat()
    except OSError as problem:
        return (problem.errno or 0,)
    return (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


def host_signer(path: Path) -> tuple[Signer, str]:
    """This host's own key, made where there is none; and why it could not be kept, or empty.

    Raises:
        InputError: The file is there and is no Ed25519 key: it is not replaced, for peers know the host by it.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return _new_signer(path)
    except OSError as problem:
        raise InputError(
            f"the host's key in {path} cannot be read: {problem.strerror}",
            hint="Let the sidecar's user read it",
        ) from problem
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(
            f"{path} is no Ed25519 private key in PEM",
            hint="Restore it, or delete it for a new one: where admission is closed, "
            "the host's admission record must then name the new key",
        )
    return Signer.from_seed(key.private_bytes_raw()), ""


def _new_signer(path: Path) -> tuple[Signer, str]:
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    signer = Signer.from_seed(key.private_bytes_raw())
    try:
        write_atomically(path, text)
    except OSError as problem:
        return signer, f"{path} cannot be written: {problem.strerror}"
    return signer, ""


class EpochFile:
    """The boot epoch of the last life, so that the next is greater although the clock went backwards.

    Args:
        path: The file. It may be missing, torn or unwritable: gossip goes by the clock then, and by what peers know.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.error = ""
        """Why the last epoch could not be written; empty when it was."""

    def next_epoch(self) -> int:
        """max(milliseconds since 1970, the last life's + 1), written down."""
        epoch = min(EPOCH_MAX, max(int(time.time() * 1000), self._last() + 1))
        self.keep(epoch)
        return epoch

    def keep(self, epoch: int) -> None:
        """Write down the epoch of this life. Never raises."""
        try:
            write_atomically(self._path, f"{epoch}\n")
            self.error = ""
        except OSError as problem:
            self.error = f"{self._path} cannot be written: {problem.strerror}"

    def _last(self) -> int:
        try:
            text = self._path.read_bytes()[:32].strip()
        except OSError:
            return 0
        return int(text) if text.isdigit() and int(text) < EPOCH_MAX else 0
