"""Rotation of the shared key through the status API, while one host is down."""

from __future__ import annotations

import base64
import json

import pytest

from tests.harness.gossip_settings import KEY, OTHER_KEY, gossip, key_file, wait_members
from tests.harness.mesh import MeshFixture
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

OLD, NEW = (base64.b64encode(key).decode() for key in (KEY, OTHER_KEY))


def ask(sidecar: SidecarProcess, deed: str, key: str) -> list[str]:
    """Fingerprints of the keys after it."""
    code, text = sidecar.page(
        f"/v1/keyring/{deed}", method="POST", body=json.dumps({"key": key}).encode()
    )
    assert code == 200, text
    assert key not in text
    found: list[str] = json.loads(text)["keys"]
    return found


def test_a_rotation_loses_nobody_and_who_was_down_is_told_the_key_by_its_file() -> None:
    with MeshFixture() as mesh:
        # Each has a keyring of its own, as hosts have.
        files = [key_file(mesh.root, f"{n}.keys", KEY) for n in range(3)]
        sidecars = [
            mesh.sidecar(f"g{n}", wait=False, **gossip(mesh, key_file=file))
            for n, file in enumerate(files)
        ]
        for sidecar in sidecars:
            sidecar.wait_ready()
            wait_members(sidecar, alive=2)
        one, two, down = sidecars
        down.kill()
        for deed, key, held in (("install", NEW, 2), ("use", NEW, 2), ("remove", OLD, 1)):
            for sidecar in (one, two):
                assert len(ask(sidecar, deed, key)) == held
                wait_members(sidecar, alive=1, within_s=90)
        assert files[0].read_text().split() == files[1].read_text().split()
        assert NEW in files[0].read_text()
        assert OLD not in files[0].read_text()
        assert files[0].stat().st_mode & 0o777 == 0o600
        # Its key is of no use any more; it is invisible, and says nothing wrong.
        down.start().wait_ready()
        down.wait_status(
            "calls that nobody answers",
            lambda now: any(name.startswith("answer_") for name in now["gossip"]["dropped"]),
        )
        assert down.status()["gossip"]["members"]["alive"] == 0
        # A person brings the new one; it is taken up without a restart.
        files[2].write_text(NEW + "\n")
        for sidecar in sidecars:
            wait_members(sidecar, alive=2, within_s=90)
