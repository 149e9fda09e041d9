"""Virtual addresses on disk: only ever added to; a torn line does no harm."""

from __future__ import annotations

from pathlib import Path

from sidecar.agent.virtual_address_file import NAME, VirtualAddressFile
from sidecar.mesh.model import HostName

A, B = HostName("a.example"), HostName("b.example")


def test_what_was_given_is_there_again(tmp_path: Path) -> None:
    file = VirtualAddressFile(tmp_path)
    addresses = file.load(ipv6=False)
    given = addresses.of(A)
    file.keep(addresses.take_new())
    file.keep(addresses.take_new())
    assert (tmp_path / NAME).read_text().count("\n") == 1
    assert file.load(ipv6=False).of(A) == given


def test_a_torn_line_is_passed_over_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("a.example 7\nb.exam")
    file = VirtualAddressFile(tmp_path)
    addresses = file.load(ipv6=False)
    assert addresses.of(A) == ("240.240.0.8",)
    given = addresses.of(B)
    file.keep(addresses.take_new())
    assert file.load(ipv6=False).of(B) == given


def test_a_disk_that_takes_nothing_does_not_stop_the_sidecar(tmp_path: Path) -> None:
    file = VirtualAddressFile(tmp_path / "absent")
    addresses = file.load(ipv6=False)
    addresses.of(A)
    file.keep(addresses.take_new())
