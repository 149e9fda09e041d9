"""Settings of real sidecars that gossip on loopback, and waits for what they hold."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from tests.harness.mesh import MeshFixture
from tests.harness.sidecars import SidecarProcess, listen_port

__all__ = ["KEY", "OTHER_KEY", "gossip", "key_file", "wait_members"]

KEY = b"1" * 32
OTHER_KEY = b"2" * 32


def key_file(folder: Path, name: str, *keys: bytes) -> Path:
    """A keyring file; one that is there stays as it is."""
    path = folder / name
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text("".join(base64.b64encode(key).decode() + "\n" for key in keys))
    return path


def gossip(mesh: MeshFixture, *, on_stop: str = "keep", **told: Any) -> dict[str, Any]:
    """Settings of one that gossips on a free port, or with `port` None on one that it keeps over a restart."""
    told = {"port": 0, **told}
    if told["port"] is None:
        told["port"] = listen_port()
    file = told.pop("key_file", None) or key_file(mesh.root, "gossip.keys", KEY)
    table = {"enabled": "on", "key_file": str(file), **told}
    return {"gossip": table, "on_stop": on_stop}


def wait_members(
    sidecar: SidecarProcess, *, within_s: float = 45.0, **counts: int
) -> dict[str, Any]:
    """Wait until it holds so many members so; its gossip then."""
    found: dict[str, Any] = sidecar.wait_status(
        f"members {counts}",
        lambda now: all(
            now["gossip"].get("members", {}).get(status) == count
            for status, count in counts.items()
        ),
        within_s,
    )["gossip"]
    return found
