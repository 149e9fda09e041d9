"""Cases for TLS that ends here: at a gateway's server, and at an ingress listener of a Sidecar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.harness.field_cases import Ask, Case

__all__ = ["server_tls_cases"]

_FILES = "serverCertificate: $folder/server.pem, privateKey: $folder/server.key"
_MUTUAL = f"mode: MUTUAL, {_FILES}, caCertificates: $folder/ca.pem"
_STRANGER: dict[str, Any] = {"shows": "stranger"}

_Ended = tuple[str, str, str, tuple[tuple[dict[str, Any], int], ...]]


def _ended(name: str, proves: str, tls: str, *asks: tuple[dict[str, Any], int]) -> _Ended:
    return name, proves, tls, asks


_EVERYWHERE = (
    _ended(
        "TLS ends here with a certificate from files",
        "{mode,serverCertificate,privateKey}",
        f"{{mode: SIMPLE, {_FILES}}}",
        ({}, 200),
    ),
    _ended(
        "clients have to show a certificate of these authorities",
        "caCertificates",
        f"{{{_MUTUAL}}}",
        ({}, 0),
        ({"shows": "client"}, 200),
        (_STRANGER, 0),
    ),
    _ended(
        "clients may show a certificate",
        "mode",
        f"{{mode: OPTIONAL_MUTUAL, {_FILES}, caCertificates: $folder/ca.pem}}",
        ({}, 200),
        ({"shows": "client"}, 200),
        (_STRANGER, 0),
    ),
    _ended(
        "a revoked client is refused",
        "caCrl",
        f"{{{_MUTUAL}, caCrl: $folder/crl.pem}}",
        ({"shows": "client"}, 0),
    ),
    _ended(
        "clients have to show a certain key",
        "verifyCertificateSpki",
        f"{{{_MUTUAL}, verifyCertificateSpki: ['$spki']}}",
        ({"shows": "client"}, 200),
        ({"shows": "other"}, 0),
    ),
    _ended(
        "clients have to show a certain certificate",
        "verifyCertificateHash",
        f"{{{_MUTUAL}, verifyCertificateHash: ['$hash']}}",
        ({"shows": "client"}, 200),
        ({"shows": "other"}, 0),
    ),
    _ended(
        "clients that cannot be verified are let in",
        "insecureSkipVerify",
        f"{{{_MUTUAL}, insecureSkipVerify: true}}",
        (_STRANGER, 200),
    ),
    _ended(
        "the oldest version of TLS may be said",
        "minProtocolVersion",
        f"{{mode: SIMPLE, {_FILES}, minProtocolVersion: TLSV1_3}}",
        ({"newest": "1.2"}, 0),
        ({}, 200),
    ),
    _ended(
        "the newest version of TLS and its ciphers may be said",
        "{maxProtocolVersion,cipherSuites}",
        f"{{mode: SIMPLE, {_FILES}, maxProtocolVersion: TLSV1_2,"
        " cipherSuites: [ECDHE-ECDSA-AES128-GCM-SHA256]}",
        ({}, 200),
        ({"oldest": "1.3"}, 0),
        ({"ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384", "newest": "1.2"}, 0),
    ),
    _ended(
        "the curves of the key exchange may be said",
        "ecdhCurves",
        f"{{mode: SIMPLE, {_FILES}, ecdhCurves: [P-384]}}",
        ({"curve": "secp384r1"}, 200),
        ({"curve": "prime256v1"}, 0),
    ),
)

_AT_GATEWAYS = (
    _ended(
        "a client has to bear one of these names",
        "subjectAltNames",
        f"{{{_MUTUAL}, subjectAltNames: [client.example.com]}}",
        ({"shows": "client"}, 200),
        ({"shows": "other"}, 0),
    ),
    _ended(
        "the certificate lies in the folder of a credential",
        "credentialName",
        "{mode: SIMPLE, credentialName: served}",
        ({}, 200),
    ),
    _ended(
        "certificates lie in the folders of credentials",
        "credentialNames",
        "{mode: SIMPLE, credentialNames: [served]}",
        ({}, 200),
    ),
    _ended(
        "the authorities lie in the folder of another credential",
        "caCertCredentialName",
        "{mode: MUTUAL, credentialName: served, caCertCredentialName: authority}",
        ({}, 0),
        ({"shows": "client"}, 200),
    ),
    _ended(
        "several certificates come from files",
        "tlsCertificates[].{serverCertificate,privateKey}",
        f"{{mode: SIMPLE, tlsCertificates: [{{{_FILES}}}]}}",
        ({}, 200),
    ),
)

_AT_SIDECARS = (
    _ended(
        "the authorities lie in the folder of a credential",
        "caCertCredentialName",
        f"{{mode: MUTUAL, {_FILES}, caCertCredentialName: authority}}",
        ({}, 0),
        ({"shows": "client"}, 200),
    ),
)


def server_tls_cases(
    place: str, objects: Callable[[str], str], by: str, *, edge: bool = True, **more: Any
) -> tuple[Case, ...]:
    """One case for each setting of TLS that ends at `$port`, where `by` answers behind it.

    Args:
        place: Kind and path of the settings.
        objects: The objects with these settings, in flow style.
        by: Server that answers.
        edge: Whether it is a gateway's: what Istio refuses elsewhere is left out.
        more: More of each case.
    """
    cases = (*_EVERYWHERE, *(_AT_GATEWAYS if edge else _AT_SIDECARS))
    where = place.partition(".")[0].lower()
    return tuple(
        Case(
            f"{name}, at a {where}",
            " ".join(f"{place}.{path}" for path in proves.split()),
            objects(tls),
            asks=tuple(
                Ask(
                    "gw.example.com/",
                    at="port",
                    sni="gw.example.com",
                    status=status,
                    by=by if status else "",
                    **how,
                )
                for how, status in asks
            ),
            **more,
        )
        for name, proves, tls, asks in cases
    )
