from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.balancing.transport import lacks_identity, transport
from sidecar.certificates.model import presumed_identity
from tests.harness.compiled import IDENTITY, V1, plan

HOST = V1.host


def tls(**settings: object) -> dict[str, object]:
    return {"tls": settings}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "mutual TLS to endpoints that have an identity, as spiffe://td/x"),
        (tls(mode="DISABLE"), "plain text (DISABLE)"),
        (
            tls(mode="ISTIO_MUTUAL", subjectAltNames=["spiffe://td/y", "z"]),
            "mutual TLS (ISTIO_MUTUAL) as spiffe://td/x, to spiffe://td/y or z, "
            f"server name outbound_.9080_.v1_.{HOST}",
        ),
        (tls(mode="SIMPLE", sni="a.b"), "TLS (SIMPLE), server name a.b"),
        (tls(mode="SIMPLE", insecureSkipVerify=True), "TLS (SIMPLE), not verified"),
        (
            tls(mode="MUTUAL", clientCertificate="/c", privateKey="/k"),
            "mutual TLS (MUTUAL) with /c",
        ),
        (tls(mode="MUTUAL", credentialName="own"), "mutual TLS (MUTUAL) with own"),
    ],
)
def test_it_is_told_in_words(document: dict[str, object], words: str) -> None:
    assert transport(plan(document=document, identity=IDENTITY)) == words


def test_plain_text_that_nobody_asked_for_is_not_worth_a_word() -> None:
    assert transport(plan()) == ""
    assert transport(plan(identity=replace(IDENTITY, is_held=False))) == ""


def test_who_has_nothing_to_show_is_told_only_where_that_is_known() -> None:
    asked = tls(mode="ISTIO_MUTUAL")
    assert lacks_identity(plan(document=asked))
    assert lacks_identity(plan(document=asked, identity=replace(IDENTITY, is_held=False)))
    assert not lacks_identity(plan(document=asked, identity=IDENTITY))
    assert not lacks_identity(plan(document=asked, identity=presumed_identity("spiffe://td/x")))
    assert not lacks_identity(plan())
