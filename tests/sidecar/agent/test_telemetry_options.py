from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sidecar.agent.telemetry_options import TelemetryOptions
from sidecar.telemetry.model import MESH_DECIDES, LocalTelemetry
from store.objects.telemetry import AccessLogEncoding


def test_unless_told_the_mesh_decides() -> None:
    assert TelemetryOptions().local == MESH_DECIDES


def test_each_setting_may_be_the_hosts_own() -> None:
    told = TelemetryOptions(
        metrics="off",
        metrics_sizes="on",
        access_log="",
        access_log_encoding="JSON",
        access_log_errors_only="on",
        tracing_collector="otel:4317",
        tracing_sampling=0,
    )
    assert told.local == LocalTelemetry(
        metrics=False,
        sizes=True,
        access_log="",
        access_log_encoding=AccessLogEncoding.JSON,
        access_log_errors_only=True,
        collector="otel:4317",
        sampling_percent=0.0,
    )


@pytest.mark.parametrize(
    "told",
    [
        {"metrics": "yes"},
        {"access_log": "relative.log"},
        {"tracing_collector": "otel"},
        {"tracing_collector": "otel:99999"},
        {"tracing_sampling": 101},
        {"acess_log": "/a"},
    ],
)
def test_what_cannot_be_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TelemetryOptions.model_validate(told)
