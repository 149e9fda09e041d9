"""What an administrator says about a host."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from store.codec import decode
from store.objects.admission import Admission

KEY = base64.b64encode(bytes(range(32))).decode()


def admission(**changes: Any) -> dict[str, Any]:
    return {
        "apiVersion": "meshd.io/v1",
        "kind": "Admission",
        "host": "vm-7",
        "publicKey": KEY,
        **changes,
    }


def read(document: dict[str, Any]) -> Any:
    return decode("admission/vm-7", json.dumps(document).encode())


def test_a_record_names_the_key_and_what_the_host_may_claim() -> None:
    found = read(admission(namespaces=["shop"], serviceAccounts=["reviews"]))
    assert found.diagnostics == ()
    assert isinstance(found.object, Admission)
    assert found.object.key == bytes(range(32))
    assert found.object.namespaces == ("shop",)
    assert found.object.service_accounts == ("reviews",)


def test_yaml_as_a_person_writes_it_is_read() -> None:
    text = f"apiVersion: meshd.io/v1\nkind: Admission\npublicKey: {KEY}\n"
    assert isinstance(decode("admission/vm-7", text.encode()).object, Admission)


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"publicKey": "AAAA"}, "MESH0106", "which is 3 bytes; an Ed25519 public key is 32"),
        ({"publicKey": "no key"}, "MESH0106", "which is not base64"),
        ({"host": "vm-8"}, "MESH0410", 'found "vm-8", the key says "vm-7"'),
        ({"namespaces": ["Shop!"]}, "MESH0106", "not a DNS-1123 label"),
        ({"pubkey": "x"}, "MESH0102", "Admission is written by an administrator"),
        ({"kind": "HostRegistration"}, "MESH0105", "Admission"),
    ],
)
def test_what_is_wrong_with_a_record_is_said(
    changes: dict[str, Any], code: str, words: str
) -> None:
    found = read(admission(**changes))
    assert found.object is None
    assert [problem.code for problem in found.diagnostics] == [code]
    assert words in found.diagnostics[0].message


def test_a_record_without_a_key_is_refused() -> None:
    document = admission()
    del document["publicKey"]
    found = read(document)
    assert found.object is None
    assert [problem.code for problem in found.diagnostics] == ["MESH0101"]
