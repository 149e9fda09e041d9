"""Access logs: as text or JSON, to a file or to Envoy's own output, of everything or of errors only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.reviews import REVIEWS, reviews_mesh, reviews_to
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

WRITTEN_S = 40.0
"""Envoy writes a file every ten seconds."""

Meshed = tuple[MeshFixture, SidecarProcess]


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with reviews_mesh() as (mesh, client):
        mesh.put(reviews_to("v1"))
        yield mesh, client


def log_to(mesh: MeshFixture, file: str, encoding: str, *, errors_only: bool = False) -> None:
    spec = {
        "accessLogFile": file,
        "accessLogEncoding": encoding,
        "accessLogErrorsOnly": errors_only,
    }
    mesh.put(
        "apiVersion: meshd.io/v1\nkind: MeshConfig\nmetadata: {name: mesh}\n"
        f"spec: {json.dumps(spec)}\n"
    )


def lines(file: Path, count: int) -> list[str]:
    """Wait until a file has so many lines."""

    def found() -> list[str]:
        written = file.read_text().splitlines() if file.exists() else []
        return written if len(written) >= count else []

    return wait_until(found, WRITTEN_S, f"{count} lines in {file}")


def objects(file: Path, count: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(file, count)]


def test_json_has_istios_fields_on_both_sides(meshed: Meshed, tmp_path: Path) -> None:
    mesh, client = meshed
    own = tmp_path / "own.log"
    other = mesh.sidecar(
        "logged", telemetry={"access_log": str(own), "access_log_encoding": "JSON"}
    )
    headers = {"user-agent": "probe", "x-request-id": "3f1a1b1c-0c0d-4e0e-8f0f-000102030405"}
    assert other.ask(REVIEWS, "/x?y=1", headers=headers, method="POST", body=b"abc").status == 200
    (line,) = objects(own, 1)
    assert line["method"] == "POST"
    assert line["path"] == "/x?y=1"
    assert line["authority"] == REVIEWS
    assert (line["response_code"], line["bytes_received"]) == (200, 3)
    assert line["response_flags"] in ("-", None)
    assert line["request_id"] == headers["x-request-id"]
    assert line["user_agent"] == "probe"
    assert line["upstream_cluster"] == "outbound|9080|v1|reviews.default.svc.cluster.local"
    assert line["upstream_host"].startswith("127.0.0.1:")
    assert line["duration"] >= 0
    assert client.ask(REVIEWS).status == 200


def test_errors_only_leaves_out_what_went_well(meshed: Meshed, tmp_path: Path) -> None:
    mesh, client = meshed
    file = tmp_path / "errors.log"
    log_to(mesh, str(file), "JSON", errors_only=True)
    for path in ("/well", "/?status=404", "/?status=500", "/well-again"):
        client.ask(REVIEWS, path)
    assert client.ask("nobody-there:9080").status >= 400
    wait_until(
        lambda: {line["path"] for line in objects(file, 1)} >= {"/?status=404", "/?status=500"},
        WRITTEN_S,
        f"both errors in {file}",
    )
    assert not [line for line in objects(file, 1) if "well" in (line["path"] or "")]


def test_text_is_envoys_line(meshed: Meshed, tmp_path: Path) -> None:
    mesh, client = meshed
    file = tmp_path / "text.log"
    log_to(mesh, str(file), "TEXT")
    assert client.ask(REVIEWS, "/plain").status == 200
    assert '"GET /plain HTTP/1.1" 200' in "\n".join(lines(file, 1))


def test_standard_output_is_envoys_own(meshed: Meshed) -> None:
    mesh, client = meshed
    log_to(mesh, "/dev/stdout", "JSON")
    assert client.ask(REVIEWS, "/to-stdout").status == 200
    wait_until(
        lambda: '"path":"/to-stdout"' in (client.data_dir / "envoy.log").read_text(),
        WRITTEN_S,
        "the line in the output of Envoy",
    )
