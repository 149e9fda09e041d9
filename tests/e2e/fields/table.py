"""All cases that prove fields, by what they are about; each group shares one Envoy."""

from __future__ import annotations

from collections.abc import Mapping

from tests.e2e.fields import (
    action_cases,
    connection_cases,
    gateway_cases,
    group_cases,
    http_cases,
    policy_cases,
    service_cases,
    sidecar_cases,
)
from tests.harness.field_cases import Case

__all__ = ["GROUPS"]

GROUPS: Mapping[str, tuple[Case, ...]] = {
    "http conditions": http_cases.CASES,
    "http actions": action_cases.CASES,
    "policies": policy_cases.CASES,
    "gateways": gateway_cases.CASES,
    "groups": group_cases.CASES,
    "services": service_cases.CASES,
    "sidecars": sidecar_cases.CASES,
    "connections": connection_cases.CASES,
}
