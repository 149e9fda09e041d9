"""Whether the files of a secret are good: readable PEM, of a kind that Envoy takes, key and certificate a pair.

Envoy would refuse them as well, but by words that name no file, and what it had before is told by nobody. Rules of
what it takes: BoringSSL with Envoy's context_impl.cc (RSA from 2,048 bits, ECDSA on P-256, P-384 or P-521).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

from sidecar.certificates.model import Leaf, Material, SecretSource

__all__ = ["Contents", "Unusable", "check"]

RSA_BITS_MIN = 2048
CURVES = ("secp256r1", "secp384r1", "secp521r1")
"""P-256, P-384 and P-521."""

_BEGIN = b"-----BEGIN CERTIFICATE-----"
_BLOCK = re.compile(_BEGIN + rb"([^-]+)-----END CERTIFICATE-----")

Contents = Mapping[str, "bytes | str"]
"""What a path holds; text says why it cannot be read."""


class Unusable(Exception):
    """The files of a source cannot serve; the text names the file, what is wrong and what to do."""


def check(source: SecretSource, contents: Contents) -> Material:
    """The material of a source.

    Args:
        source: Which files.
        contents: What each of them holds, those of `source.files`.

    Raises:
        Unusable: They cannot serve.
    """
    if not source.files:
        raise Unusable(
            "this workload has no identity; name its files under `identity` in the settings of its sidecar"
        )
    if source.certificate:
        return _pair(source, contents)
    readable = (path for path in source.authorities if isinstance(contents[path], bytes))
    path = next(readable, source.authorities[-1])
    bundle = _bytes(path, contents)
    _check_bundle(path, bundle)
    revoked = b""
    if source.revoked:
        revoked = _bytes(source.revoked, contents)
        _revocations(source.revoked, revoked)
    return Material(source, authorities=bundle, revoked=revoked)


def _pair(source: SecretSource, contents: Contents) -> Material:
    chain = _bytes(source.certificate, contents)
    leaf = _certificates(source.certificate, chain)[0]
    if not source.key:
        raise Unusable(f"no key is named for the certificate {source.certificate}; name its file")
    secret = _bytes(source.key, contents)
    key = _key(source.key, secret)
    try:
        belongs = _same(leaf.public_key(), key.public_key())
    except (UnsupportedAlgorithm, ValueError):
        belongs = False
    if not belongs:
        raise Unusable(
            f"the key in {source.key} does not belong to the first certificate in "
            f"{source.certificate}; replace both together"
        )
    return Material(source, certificate=chain, key=secret, leaf=_leaf(leaf))


def _bytes(path: str, contents: Contents) -> bytes:
    found = contents[path]
    if isinstance(found, str):
        raise Unusable(f"{path} cannot be read: {found}")
    return found


def _certificates(path: str, text: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError as problem:
        raise Unusable(
            f"{path} holds no usable PEM certificate ({_first_line(problem)}); "
            "write a whole file under another name and rename it"
        ) from problem


def _check_bundle(path: str, text: bytes) -> None:
    """Whole PEM blocks, at least one.

    What is in them is not judged: bundles of operating systems hold what no RFC allows, and Envoy takes it.
    """
    blocks = _BLOCK.findall(text)
    if not blocks or len(blocks) != text.count(_BEGIN):
        raise Unusable(
            f"{path} holds no whole PEM certificate, or one that is cut off; "
            "write a whole file under another name and rename it"
        )
    for number, block in enumerate(blocks, 1):
        try:
            base64.b64decode(b"".join(block.split()), validate=True)
        except binascii.Error as problem:
            raise Unusable(f"certificate {number} in {path} is not base64") from problem


def _revocations(path: str, text: bytes) -> None:
    try:
        x509.load_pem_x509_crl(text)
    except ValueError as problem:
        raise Unusable(f"{path} holds no PEM revocation list ({_first_line(problem)})") from problem


def _key(path: str, text: bytes) -> PrivateKeyTypes:
    try:
        key = serialization.load_pem_private_key(text, password=None)
    except TypeError as problem:
        raise Unusable(
            f"the key in {path} is encrypted; Envoy needs it without a passphrase"
        ) from problem
    except (ValueError, UnsupportedAlgorithm) as problem:
        # The library's own words may quote the input.
        raise Unusable(f"{path} holds no usable PEM private key") from problem
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < RSA_BITS_MIN:
            raise Unusable(
                f"the RSA key in {path} has {key.key_size} bits; Envoy takes {RSA_BITS_MIN} and more"
            )
    elif not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise Unusable(
            f"the key in {path} is of a kind that Envoy does not take; "
            "allowed are RSA, and ECDSA on P-256, P-384 or P-521"
        )
    return key


def _same(one: PublicKeyTypes, other: PublicKeyTypes) -> bool:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return one.public_bytes(encoding, form) == other.public_bytes(encoding, form)


def _leaf(certificate: x509.Certificate) -> Leaf:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(str(name.value) for name in found)
    except (x509.ExtensionNotFound, ValueError):
        names = ()
    return Leaf(
        names=names,
        subject=certificate.subject.rfc4514_string(),
        serial=f"{certificate.serial_number:x}",
        not_after_s=certificate.not_valid_after_utc.timestamp(),
    )


def _first_line(problem: Exception) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0][:120]
