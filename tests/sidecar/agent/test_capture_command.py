"""`meshd-sidecar capture`: from settings and flags to rules, and what is said when that cannot be."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sidecar.agent import main
from sidecar.agent.capture_plan import cgroup_place
from tests.harness.namespaces import as_user

CONFIG = """
node = "h1"
run_dir = "/tmp/x"
data_dir = "/tmp/x"
[capture]
enabled = true
user = "4242"
dns_servers = ["10.0.0.53"]
[[workloads]]
service = "web"
[[workloads.ports]]
number = 80
app_port = 8080
"""


class Typed:
    """Runs the command line and remembers what it said."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
    ) -> None:
        self._monkeypatch, self._capsys, self.config = monkeypatch, capsys, config
        self.said = self.complained = ""

    def __call__(self, *words: str) -> int:
        self._monkeypatch.setattr("sys.argv", ["meshd-sidecar", "capture", *words])
        status = main.run_command()
        self.said, self.complained = self._capsys.readouterr()
        return status

    def up(self, *words: str) -> int:
        """`capture up --print` with the settings."""
        return self("up", "--print", "--config", str(self.config), *words)


@pytest.fixture
def typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Typed:
    config = tmp_path / "sidecar.toml"
    config.write_text(CONFIG)
    monkeypatch.setattr(main, "DEFAULT_CONFIG", tmp_path / "absent.toml")
    return Typed(monkeypatch, capsys, config)


def test_rules_follow_from_the_settings_and_flags_win(typed: Typed) -> None:
    assert typed.up("--exclude-port", "22", "--dns", "--only-user", "1000") == 0
    assert "meta skuid { 4242 } counter return" in typed.said
    assert "elements = { 8080 };" in typed.said, "ports of workloads' applications"
    assert "meta skuid { 1000 } ip daddr @dns_servers_ipv4" in typed.said
    assert typed.up("--no-inbound", "--user", "4343") == 0
    assert "4343" in typed.said
    assert "prerouting" not in typed.said


def test_each_context_of_several_is_told(typed: Typed) -> None:
    contexts = "".join(
        f'[[contexts]]\nname = "{name}"\nusers = ["{user}"]\noutbound_port = {port}\n'
        for name, user, port in (("a", 1001, 15001), ("b", 1002, 15002))
    )
    typed.config.write_text(f"{CONFIG}{contexts}")
    assert typed.up() == 0
    assert 'redirect to :15101 comment "context a"' in typed.said
    assert 'redirect to :15102 comment "context b"' in typed.said
    assert typed.up("--only-user", "7") == 2
    assert "with several contexts" in typed.complained


def test_every_wrong_range_is_told_at_once_with_its_cure(typed: Typed) -> None:
    assert (
        typed.up("--exclude-range", "10.0.0.1/8", "--exclude-port", "http", "--include-port", "9-1")
        == 3
    )
    for said in ("write 10.0.0.0/8", "neither a port nor a range", "1-9"):
        assert said in typed.complained


def test_users_that_are_not_there_are_told_at_once(typed: Typed) -> None:
    assert typed.up("--user", "no-such-user", "--only-group", "no-such-group") == 3
    assert 'capture.user: there is no "no-such-user" on this machine' in typed.complained
    assert 'contexts groups: there is no "no-such-group"' in typed.complained


def test_a_gateway_has_nothing_to_capture_with(typed: Typed) -> None:
    typed.config.write_text(f'role = "gateway"\n{CONFIG}')
    assert typed.up() == 3
    assert "has no listeners for capture" in typed.complained


def test_a_user_of_the_sidecar_cannot_be_captured(typed: Typed) -> None:
    assert typed.up("--only-user", "4242") == 3
    assert "is the sidecar's own" in typed.complained


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_without_root_nothing_is_tried(typed: Typed) -> None:
    def status() -> tuple[int, str]:
        code = typed("status")
        return code, typed.complained

    code, complained = as_user(4999, status)
    assert code == 3
    assert "only be read and changed by root" in complained


def test_without_nft_the_package_is_named(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("sidecar.agent.nft.PLACES", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert typed("down") == 4
    assert "Install the package nftables" in typed.complained


def test_what_the_kernel_refuses_is_told_with_a_cure(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nft = tmp_path / "nft"
    nft.write_text(
        "#!/bin/sh\necho 'Error: Could not process rule: Operation not supported' >&2\nexit 1\n"
    )
    nft.chmod(nft.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert typed("up", "--config", str(typed.config)) == 6
    assert "nothing was changed" in typed.complained
    assert "kernel may lack" in typed.complained


def test_a_namespace_that_is_not_there_is_said(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name, **_: f"/bin/{name}")
    assert typed("down", "--netns", "no-such-namespace") == 4
    assert "there is no network namespace /run/netns/no-such-namespace" in typed.complained


@pytest.mark.parametrize(
    ("mounts", "place"),
    [
        ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0", ""),
        (
            "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0",
            "unified/",
        ),
        ("cgroup2 /run/elsewhere cgroup2 rw 0 0", None),
        ("", None),
    ],
)
def test_where_control_groups_are_is_read_from_the_mounts(mounts: str, place: str | None) -> None:
    assert cgroup_place(mounts) == place
