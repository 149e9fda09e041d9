from __future__ import annotations

import pytest

from sidecar.telemetry.model import (
    MESH_DECIDES,
    AccessLogging,
    LocalTelemetry,
    Telemetry,
    Tracing,
)
from store.objects.mesh_config import MeshConfigSpec
from store.objects.telemetry import AccessLogEncoding, collector_place

MESH = MeshConfigSpec.model_validate(
    {
        "accessLogFile": "/dev/stdout",
        "accessLogEncoding": "JSON",
        "tracing": {"collector": "[fd00::1]:4317", "sampling": 5},
    }
)


def test_a_mesh_that_says_nothing_has_metrics_alone() -> None:
    assert MESH_DECIDES.over(MeshConfigSpec()) == Telemetry(metrics=True)


def test_the_mesh_speaks_where_the_host_does_not() -> None:
    assert MESH_DECIDES.over(MESH) == Telemetry(
        metrics=True,
        access_log=AccessLogging("/dev/stdout", AccessLogEncoding.JSON),
        tracing=Tracing("fd00::1", 4317, 5),
    )


def test_the_host_speaks_before_the_mesh() -> None:
    own = LocalTelemetry(
        metrics=False,
        sizes=False,
        access_log="",
        collector="otel:4317",
        sampling_percent=0.0,
    )
    assert own.over(MESH) == Telemetry(sizes=False, tracing=Tracing("otel", 4317, 0.0))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("otel.example.com:4317", ("otel.example.com", 4317)),
        ("10.0.0.1:1", ("10.0.0.1", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("", None),
        ("otel", None),
        (":4317", None),
        ("otel:0", None),
        ("otel:65536", None),
        ("::1:4317", None),
        ("http://otel:4317", None),
        ("otel:4317 ", None),
    ],
)
def test_a_collector_is_a_host_and_a_port(text: str, place: tuple[str, int] | None) -> None:
    assert collector_place(text) == place
