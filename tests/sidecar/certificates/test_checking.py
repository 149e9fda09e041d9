from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from sidecar.certificates.checking import Contents, Unusable, check
from sidecar.certificates.model import (
    NO_IDENTITY,
    SecretSource,
    authority_files,
    certificate_files,
    credential_authorities,
)
from tests.harness.identities import MeshAuthority, spiffe

AUTHORITY = MeshAuthority()
CHAIN, KEY = AUTHORITY.pair(spiffe("web"), "web.example.com")
PAIR = certificate_files("/c", "/k")
CA = authority_files("/ca", "/crl")


def why(source: SecretSource, contents: Contents) -> str:
    with pytest.raises(Unusable) as caught:
        check(source, contents)
    return str(caught.value)


def pem(key: PrivateKeyTypes, password: bytes = b"") -> bytes:
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, encryption)


def test_a_pair_is_taken_with_what_people_may_see_of_it() -> None:
    made = check(PAIR, {"/c": CHAIN, "/k": KEY})
    assert (made.certificate, made.key) == (CHAIN, KEY)
    assert made.leaf is not None
    assert made.leaf.names == (spiffe("web"), "web.example.com")
    assert "PRIVATE" not in repr(made)


def test_a_chain_may_have_more_than_the_leaf() -> None:
    assert check(PAIR, {"/c": CHAIN + AUTHORITY.pem, "/k": KEY}).leaf is not None


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ({"/c": "No such file or directory", "/k": KEY}, "/c cannot be read: No such file"),
        ({"/c": CHAIN, "/k": "Permission denied"}, "/k cannot be read: Permission denied"),
        ({"/c": CHAIN[:200], "/k": KEY}, "/c holds no usable PEM certificate"),
        ({"/c": b"", "/k": KEY}, "/c holds no usable PEM certificate"),
        ({"/c": CHAIN, "/k": KEY[:100]}, "/k holds no usable PEM private key"),
        ({"/c": CHAIN, "/k": AUTHORITY.pair("a")[1]}, "does not belong to the first certificate"),
        ({"/c": AUTHORITY.pem + CHAIN, "/k": KEY}, "does not belong to the first certificate"),
    ],
)
def test_what_cannot_serve_names_the_file_and_what_is_wrong(contents: Contents, words: str) -> None:
    said = why(PAIR, contents)
    assert words in said
    assert "BEGIN" not in said


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (pem(ed25519.Ed25519PrivateKey.generate()), "of a kind that Envoy does not take"),
        (pem(rsa.generate_private_key(65537, 1024)), "has 1024 bits"),
        (pem(ed25519.Ed25519PrivateKey.generate(), b"secret"), "is encrypted"),
    ],
)
def test_keys_that_envoy_would_refuse_are_refused_with_what_is_allowed(
    key: bytes, words: str
) -> None:
    assert words in why(PAIR, {"/c": CHAIN, "/k": key})


def test_a_bundle_is_whole_blocks_whatever_is_in_them() -> None:
    crl = {"/crl": b""}
    assert "/crl holds no PEM revocation list" in why(CA, {"/ca": AUTHORITY.pem, **crl})
    alone = authority_files("/ca")
    assert check(alone, {"/ca": AUTHORITY.pem * 3}).authorities == AUTHORITY.pem * 3
    assert "cut off" in why(alone, {"/ca": AUTHORITY.pem + AUTHORITY.pem[:80]})
    assert "no whole PEM certificate" in why(alone, {"/ca": b"x"})
    bad = b"-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n"
    assert "certificate 1 in /ca is not base64" in why(alone, {"/ca": bad})


def test_the_authorities_of_a_credential_may_lie_in_one_of_their_own() -> None:
    source = credential_authorities("/creds", "web")
    own, beside = source.files
    assert check(source, {own: AUTHORITY.pem, beside: "no"}).authorities == AUTHORITY.pem
    assert check(source, {own: "no", beside: AUTHORITY.pem}).authorities == AUTHORITY.pem
    assert "/creds/web/ca.crt cannot be read" in why(source, {own: "no", beside: "no"})


def test_a_workload_without_identity_is_told_what_to_set() -> None:
    assert "`identity`" in why(NO_IDENTITY.certificate, {})
