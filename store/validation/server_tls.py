"""The rules for TLS that is terminated: of Gateway servers and of Sidecar ingress listeners.

Source: istio/istio pkg/config/validation/validation.go, validateTLSOptions.
"""

from __future__ import annotations

from store.diagnostics import Path, nearest_hint
from store.objects.tls import ServerTLSMode, ServerTLSSettings, TLSProtocol
from store.validation.findings import Findings
from store.validation.shared import quoted

__all__ = ["check_server_tls"]

CIPHERS = frozenset(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-RSA-AES256-SHA",
        "ECDHE-PSK-AES128-CBC-SHA",
        "ECDHE-PSK-AES256-CBC-SHA",
        "ECDHE-PSK-CHACHA20-POLY1305",
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "AES128-SHA",
        "AES256-SHA",
        "PSK-AES128-CBC-SHA",
        "PSK-AES256-CBC-SHA",
        "DES-CBC3-SHA",
    )
)
"""Ciphers that BoringSSL, Envoy's TLS library, knows for TLS up to 1.2."""

_TERMINATING = (ServerTLSMode.SIMPLE, ServerTLSMode.MUTUAL, ServerTLSMode.OPTIONAL_MUTUAL)
_ASKING = (ServerTLSMode.MUTUAL, ServerTLSMode.OPTIONAL_MUTUAL)
_PASSING = (ServerTLSMode.PASSTHROUGH, ServerTLSMode.AUTO_PASSTHROUGH)


def check_server_tls(tls: ServerTLSSettings, at: Path, found: Findings) -> None:
    """Check the TLS settings of a server whose port takes TLS."""
    mode = tls.mode or ServerTLSMode.PASSTHROUGH
    _check_ciphers(tls, at, found)
    given = _certificates(tls)
    if mode is ServerTLSMode.ISTIO_MUTUAL:
        for field in (*given, *(("caCertificates",) if tls.ca_certificates else ())):
            message = "ISTIO_MUTUAL takes the workload's own mesh certificate"
            found.add("MESH0361", (*at, field), message, f"remove {field}", at_key=True)
        return
    if mode in _PASSING:
        for field in given:
            message = f"{mode.value} does not terminate TLS, so that {field} is not used"
            found.add(
                "MESH0363",
                (*at, field),
                message,
                f"remove {field}, or take mode: SIMPLE",
                at_key=True,
            )
        return
    sources = {"privateKey": "serverCertificate"}
    kinds = list(dict.fromkeys(sources.get(field, field) for field in given))
    if len(kinds) > 1:
        message = f"{' and '.join(kinds)} are given, of which only one can be used"
        found.add("MESH0318", (*at, kinds[1]), message, "keep one of them", at_key=True)
    if tls.ca_crl and mode is ServerTLSMode.SIMPLE:
        message = "caCrl is for client certificates, which SIMPLE does not ask for"
        found.add(
            "MESH0318", (*at, "caCrl"), message, "remove caCrl, or take mode: MUTUAL", at_key=True
        )
    if tls.credential_name or tls.credential_names:
        return
    _check_files(tls, mode, at, found)


def _certificates(tls: ServerTLSSettings) -> list[str]:
    fields = {
        "serverCertificate": tls.server_certificate,
        "privateKey": tls.private_key,
        "credentialName": tls.credential_name,
        "credentialNames": tls.credential_names,
        "tlsCertificates": tls.tls_certificates,
    }
    return [field for field, value in fields.items() if value]


def _check_files(tls: ServerTLSSettings, mode: ServerTLSMode, at: Path, found: Findings) -> None:
    if not tls.tls_certificates:
        for field, value in (
            ("serverCertificate", tls.server_certificate),
            ("privateKey", tls.private_key),
        ):
            if not value:
                message = f"mode {mode.value} needs {field} (or credentialName)"
                found.add(
                    "MESH0361",
                    (*at, field),
                    message,
                    "name the file on the gateway's host",
                    at_key=True,
                )
    for index, pair in enumerate(tls.tls_certificates):
        here = (*at, "tlsCertificates", index)
        for field, value in (
            ("serverCertificate", pair.server_certificate),
            ("privateKey", pair.private_key),
        ):
            if not value:
                found.add("MESH0361", (*here, field), f"a pair needs {field}", at_key=True)
    if mode in _ASKING and not tls.ca_certificates and not tls.ca_cert_credential_name:
        message = f"mode {mode.value} needs caCertificates to verify client certificates with"
        found.add("MESH0361", (*at, "caCertificates"), message, at_key=True)


def _check_ciphers(tls: ServerTLSSettings, at: Path, found: Findings) -> None:
    if (
        tls.min_protocol_version in (TLSProtocol.TLSV1_0, TLSProtocol.TLSV1_1)
        and not tls.cipher_suites
    ):
        message = f"{tls.min_protocol_version} has no secure ciphers among the defaults"
        hint = "list cipherSuites, or take TLSV1_2"
        found.add("MESH0362", (*at, "minProtocolVersion"), message, hint)
    for index, cipher in enumerate(tls.cipher_suites):
        here = (*at, "cipherSuites", index)
        if cipher in tls.cipher_suites[:index]:
            found.add("MESH0362", here, f"{quoted(cipher)} is given twice", "remove one of the two")
        elif cipher not in CIPHERS:
            message = f"{quoted(cipher)} is not a cipher that Envoy knows; it is left out"
            found.add("MESH0362", here, message, nearest_hint(cipher, CIPHERS))
