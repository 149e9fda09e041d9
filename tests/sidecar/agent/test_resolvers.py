"""Resolvers of this machine, and where their file may go wrong."""

from __future__ import annotations

import os
from pathlib import Path

from sidecar.agent.resolvers import Resolvers, read_resolvers


def test_name_servers_are_read_and_all_else_is_passed_over() -> None:
    text = "# x\nnameserver 10.0.0.1\nsearch a b\nnameserver fe80::1%eth0\nnameserver nonsense\nnameserver 10.0.0.1\n"
    assert read_resolvers(text) == ("10.0.0.1", "fe80::1")
    assert len(read_resolvers("".join(f"nameserver 10.0.0.{n}\n" for n in range(1, 9)))) == 3


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    resolvers = Resolvers(path=path)
    assert resolvers.addresses() == ()
    path.write_text("nameserver 10.0.0.1\n")
    assert resolvers.addresses() == ("10.0.0.1",)
    path.write_text("nameserver 10.0.0.2\n")
    os.utime(path, (1, 1))
    assert resolvers.addresses() == ("10.0.0.2",)
    path.unlink()
    assert resolvers.addresses() == ("10.0.0.2",), "what was known is better than nothing"


def test_what_settings_say_wins(tmp_path: Path) -> None:
    assert Resolvers(("10.9.9.9",), tmp_path / "absent").addresses() == ("10.9.9.9",)
