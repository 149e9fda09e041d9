"""Real sidecars that gossip: how they find each other, and what they make of those who go."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.mesh import MeshFixture
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]


def key_file(folder: Path, name: str = "gossip.keys", *keys: bytes) -> Path:
    path = folder / name
    path.touch(mode=0o600)
    path.write_text("".join(base64.b64encode(key).decode() + "\n" for key in keys or [b"1" * 32]))
    return path


def gossip(mesh: MeshFixture, **settings: Any) -> dict[str, Any]:
    """Settings of one that gossips on a free port of loopback."""
    file = settings.pop("key_file", None) or key_file(mesh.root)
    return {"gossip": {"enabled": "on", "key_file": str(file), "port": 0, **settings}}


def wait_members(sidecar: SidecarProcess, status: str, count: int) -> dict[str, Any]:
    found: dict[str, Any] = sidecar.wait_status(
        f"{count} members {status}",
        lambda now: now["gossip"].get("members", {}).get(status) == count,
    )["gossip"]
    return found


@pytest.fixture
def mesh() -> Iterator[MeshFixture]:
    with MeshFixture() as mesh:
        yield mesh


def test_hosts_without_workloads_find_each_other_through_etcd_alone(mesh: MeshFixture) -> None:
    sidecars = [mesh.sidecar(f"g{n}", wait=False, **gossip(mesh)) for n in range(3)]
    for sidecar in sidecars:
        sidecar.wait_ready()
    for sidecar in sidecars:
        found = wait_members(sidecar, "alive", 2)
        assert found["state"] == "on"
        assert len(base64.b64decode(found["public_key"])) == 32
