"""What gossip keeps on disk."""

from __future__ import annotations

import base64
import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.agent.gossip_keys import (
    EpochFile,
    KeyringFile,
    host_signer,
    key_fingerprint,
    parse_key,
)
from sidecar.gossip.keyring import Purpose
from store.errors import InputError

ONE, TWO, THREE = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2, 3))


def keyring(path: Path, *keys: str) -> KeyringFile:
    path.write_text("# ours\n\n" + "\n".join(keys) + "\n")
    path.chmod(0o600)
    return KeyringFile(path, "mesh")


def test_the_first_key_of_the_file_seals_and_all_open(tmp_path: Path) -> None:
    both = keyring(tmp_path / "both", ONE, TWO)
    first = keyring(tmp_path / "first", ONE)
    second = keyring(tmp_path / "second", TWO)
    sealed = both.keyring.seal(b"body", Purpose.DATAGRAM, os.urandom(12))
    assert first.keyring.open(sealed, Purpose.DATAGRAM) == b"body"
    assert second.keyring.open(sealed, Purpose.DATAGRAM) is None
    assert both.keyring.open(
        second.keyring.seal(b"body", Purpose.DATAGRAM, os.urandom(12)), Purpose.DATAGRAM
    )


def test_each_step_of_a_rotation_is_on_disk_before_it_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    held = keyring(path, ONE)
    steps: list[tuple[Callable[[str], bool], str, list[str]]] = [
        (held.install, TWO, [ONE, TWO]),
        (held.use, key_fingerprint(base64.b64decode(TWO)), [TWO, ONE]),
        (held.remove, ONE, [TWO]),
    ]
    for step, which, expected in steps:
        assert step(which)
        assert [base64.b64encode(key).decode() for key in held.keyring.keys] == expected
        assert KeyringFile(path, "mesh").keyring.keys == held.keyring.keys
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_step_that_was_taken_already_changes_nothing(tmp_path: Path) -> None:
    held = keyring(tmp_path / "keys", ONE, TWO)
    before = (tmp_path / "keys").stat().st_ino
    assert not held.install(TWO)
    assert not held.use(ONE)
    assert not held.remove(THREE)
    assert (tmp_path / "keys").stat().st_ino == before


def test_what_cannot_be_written_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    held = keyring(folder / "keys", ONE)
    (folder / ".keys.new").mkdir()  # where the next file would be written; holds for root, too
    with pytest.raises(InputError, match=r"cannot be written.*not changed"):
        held.install(TWO)
    assert held.fingerprints() == (key_fingerprint(base64.b64decode(ONE)),)


def test_the_sealing_key_is_not_removed_and_a_missing_one_not_used(tmp_path: Path) -> None:
    held = keyring(tmp_path / "keys", ONE, TWO)
    with pytest.raises(InputError, match="in use cannot be removed"):
        held.remove(ONE)
    with pytest.raises(InputError, match="not installed here"):
        held.use(THREE)


def test_a_file_changed_by_hand_is_taken_up_and_a_broken_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    held = keyring(path, ONE)
    assert not held.refresh()
    path.write_text(f"{TWO}\n{ONE}\n")
    assert held.refresh()
    assert held.fingerprints()[0] == key_fingerprint(base64.b64decode(TWO))
    path.write_text("torn")
    assert held.refresh()
    assert f"{path}:1:" in held.error
    assert len(held.keyring.keys) == 2
    with pytest.raises(InputError, match=r"the keyring was not changed.*keys:1"):
        held.install(THREE)
    path.write_text(f"{ONE}\n")
    assert held.refresh()
    assert held.error == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "keyring is empty"),
        ("AAAA\n", ":3: a gossip key has 3 bytes; 16, 24 or 32"),
        (f"{ONE}\n\nno key at all\n", ":5: a gossip key is not base64"),
        ("\n".join(base64.b64encode(bytes([n]) * 16).decode() for n in range(5)), "5 keys"),
        ("\x00" * 70_000, "it is no keyring"),
    ],
)
def test_a_file_without_usable_keys_says_where(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        keyring(tmp_path / "keys", content)


def test_a_file_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keyring(path, ONE)
    path.chmod(0o644)
    with pytest.raises(InputError, match=r"mode is 0644.*chmod 600"):
        KeyringFile(path, "mesh")
    path.chmod(0o640)
    assert KeyringFile(path, "mesh").keyring.keys


def test_no_error_about_a_key_repeats_it() -> None:
    for text in ("secret-but-short", "c2hvcnQ="):
        with pytest.raises(InputError) as caught:
            parse_key(text)
        assert text not in str(caught.value)


@given(st.binary(max_size=200))
def test_any_bytes_as_a_file_are_keys_or_an_input_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys"
        path.write_bytes(content)
        path.chmod(0o600)
        with contextlib.suppress(InputError):
            assert KeyringFile(path, "mesh").keyring.keys


def test_a_host_keeps_its_key(tmp_path: Path) -> None:
    path = tmp_path / "host.key"
    made, kept = host_signer(path)
    assert kept == ""
    assert path.stat().st_mode & 0o777 == 0o600
    again, _ = host_signer(path)
    assert again.public == made.public


def test_a_host_without_a_disk_has_a_key_and_says_that_it_will_change(tmp_path: Path) -> None:
    signer, why = host_signer(tmp_path / "nowhere" / "host.key")
    assert len(signer.public) == 32
    assert "cannot be written" in why


def test_a_broken_host_key_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "host.key"
    path.write_text("torn")
    with pytest.raises(InputError, match="no Ed25519 private key"):
        host_signer(path)
    assert path.read_text() == "torn"


def test_the_next_epoch_is_greater_whatever_the_clock_says(tmp_path: Path) -> None:
    path = tmp_path / "epoch"
    by_clock = EpochFile(path).next_epoch()
    assert by_clock > 1_700_000_000_000
    far = by_clock + 10**9  # the clock was a week ahead then
    EpochFile(path).keep(far)
    assert EpochFile(path).next_epoch() == far + 1
    assert EpochFile(path).next_epoch() == far + 2


@pytest.mark.parametrize("content", ["", "torn", "-5", "9" * 40, "\x00\xff"])
def test_a_torn_epoch_file_leaves_the_clock(tmp_path: Path, content: str) -> None:
    path = tmp_path / "epoch"
    path.write_text(content)
    assert 1_700_000_000_000 < EpochFile(path).next_epoch() < 1 << 52


def test_a_disk_that_cannot_be_written_does_not_stop_gossip(tmp_path: Path) -> None:
    epochs = EpochFile(tmp_path / "nowhere" / "epoch")
    assert epochs.next_epoch() > 0
    assert "cannot be written" in epochs.error
