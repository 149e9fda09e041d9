"""Requirement 46: a signature holds for one record of one host in one mesh, and for nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.gossip import Record, Signer, Topic
from sidecar.gossip.signing import fingerprint, verify
from store.errors import InputError

SIGNER = Signer.from_seed(bytes(range(32)))
SAID = SIGNER.sign(Record(Topic.EVIDENCE, "n1", 2, 5, 7, b"bad", b"", b""), "mesh")


def test_what_was_signed_is_verified_whatever_its_age() -> None:
    assert SAID.key == SIGNER.public
    assert verify(SAID, "mesh")
    assert verify(replace(SAID, age_ms=99), "mesh")


@pytest.mark.parametrize(
    "altered",
    [
        replace(SAID, topic=Topic.STANDING),
        replace(SAID, node="n2"),
        replace(SAID, page=3),
        replace(SAID, epoch=6),
        replace(SAID, version=8),
        replace(SAID, body=b"bad "),
        replace(SAID, key=Signer.from_seed(bytes(32)).public),
        replace(SAID, key=b"\xff" * 32),
        replace(SAID, key=b"short"),
        replace(SAID, signature=bytes(64)),
        replace(SAID, signature=b""),
    ],
    ids=lambda record: "",
)
def test_46_whatever_is_altered_is_noticed(altered: Record) -> None:
    assert not verify(altered, "mesh")


def test_46_words_of_another_mesh_are_none_of_this_one() -> None:
    assert not verify(SAID, "mesh2")
    assert not verify(SAID, "")


@given(st.text(max_size=8), st.text(max_size=8), st.binary(max_size=8))
def test_46_no_byte_moves_from_one_field_to_the_next(mesh: str, node: str, body: bytes) -> None:
    said = SIGNER.sign(Record(Topic.EVIDENCE, node, 0, 1, 1, body, b"", b""), mesh)
    assert verify(said, mesh)
    if node:
        assert not verify(replace(said, node=node[1:]), mesh + node[0])
    if body:
        assert not verify(replace(said, body=body[1:]), mesh)


def test_key_of_another_length_is_refused_with_what_to_do() -> None:
    with pytest.raises(InputError, match="The host key has 31 bytes; 32 are wanted"):
        Signer.from_seed(bytes(31))


def test_fingerprints_are_short_and_differ() -> None:
    other = Signer.from_seed(bytes(32))
    assert len(fingerprint(SIGNER.public)) == 16
    assert fingerprint(SIGNER.public) != fingerprint(other.public)
