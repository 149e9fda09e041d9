"""The keyring: who holds no key is a stranger; keys change without downtime."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.gossip.keyring import KEYS_MAX, NONCE_BYTES, SEAL_BYTES, Keyring, Purpose
from store.errors import InputError

OLD, NEW = b"o" * 32, b"n" * 16
NONCE = b"\x01" * NONCE_BYTES


@given(st.binary(max_size=2000), st.sampled_from(Purpose))
def test_what_is_sealed_opens_and_is_as_much_longer_as_said(body: bytes, purpose: Purpose) -> None:
    ring = Keyring("mesh", [OLD])
    sealed = ring.seal(body, purpose, NONCE)
    assert len(sealed) == len(body) + SEAL_BYTES
    assert ring.open(sealed, purpose) == body


@given(st.binary(max_size=200), st.data())
def test_changed_bytes_do_not_open(body: bytes, data: st.DataObject) -> None:
    ring = Keyring("mesh", [OLD])
    sealed = bytearray(ring.seal(body, Purpose.DATAGRAM, NONCE))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    assert ring.open(bytes(sealed), Purpose.DATAGRAM) is None


@given(st.binary(max_size=200))
def test_strangers_bytes_do_not_open(sealed: bytes) -> None:
    assert Keyring("mesh", [OLD]).open(sealed, Purpose.DATAGRAM) is None


def test_29_another_mesh_or_purpose_does_not_open() -> None:
    sealed = Keyring("mesh", [OLD]).seal(b"hello", Purpose.DATAGRAM, NONCE)
    assert Keyring("other", [OLD]).open(sealed, Purpose.DATAGRAM) is None
    assert Keyring("mesh", [OLD]).open(sealed, Purpose.STREAM) is None


def test_36_at_every_step_of_a_rotation_old_and_new_understand_each_other() -> None:
    steps = [Keyring("mesh", [OLD])]
    steps.append(steps[-1].install(NEW))
    steps.append(steps[-1].use(NEW))
    steps.append(steps[-1].remove(OLD))
    for behind, ahead in itertools.pairwise(steps):
        for one, other in ((behind, ahead), (ahead, behind)):
            sealed = one.seal(b"hello", Purpose.DATAGRAM, NONCE)
            assert other.open(sealed, Purpose.DATAGRAM) == b"hello"
    assert (
        steps[0].open(steps[-1].seal(b"hello", Purpose.DATAGRAM, NONCE), Purpose.DATAGRAM) is None
    )


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ([], "empty"),
        ([b"short"], "5 bytes"),
        ([bytes([i]) * 32 for i in range(KEYS_MAX + 1)], f"{KEYS_MAX + 1} keys"),
    ],
)
def test_unusable_keys_are_refused_with_what_was_found(keys: list[bytes], found: str) -> None:
    with pytest.raises(InputError, match=found):
        Keyring("mesh", keys)


def test_key_in_use_cannot_be_removed_and_an_unknown_one_not_used() -> None:
    ring = Keyring("mesh", [OLD, NEW])
    with pytest.raises(InputError, match="in use"):
        ring.remove(OLD)
    with pytest.raises(InputError, match="not installed"):
        ring.use(b"z" * 32)
