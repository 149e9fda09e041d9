"""What the mesh of a run is configured with: files for `meshd put`. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from chaos.checkers.mixtures import GROUPS

__all__ = ["KEYS", "PORT", "change", "first_value", "group_of", "register", "services", "text"]

PORT = 9080
TIMEOUT = "2s"
"""Of requests to the services: what hangs is known to hang soon."""
DETECTION = {
    "consecutive5xxErrors": 5,
    "interval": "1s",
    "baseEjectionTime": "5s",
    "maxEjectionPercent": 50,
    "splitExternalLocalOriginErrors": True,
}
CONNECTING = {"tcp": {"connectTimeout": "1s"}}
"""A host that is gone without a word is noticed by connections that do not come about; by default that takes 10 s."""
KEYS = ("reg-1", "reg-2", "reg-3")
"""VirtualServices that writers write over and over, each a register."""


def group_of(host: str) -> str:
    """Which of the two groups of applications a host's belongs to, by the parity of its number."""
    return GROUPS[int(host[1:]) % 2]


def services() -> list[dict[str, Any]]:
    """Routes and policies of `web`, and settings of the mesh."""
    return [
        _object(
            "DestinationRule",
            "web",
            host="web",
            trafficPolicy={"outlierDetection": DETECTION, "connectionPool": CONNECTING},
        ),
        _object(
            "VirtualService",
            "web",
            hosts=["web"],
            http=[
                {
                    "route": [{"destination": {"host": "web"}}],
                    "timeout": TIMEOUT,
                    "retries": {"attempts": 0},
                }
            ],
        ),
        {
            "apiVersion": "meshd.io/v1",
            "kind": "MeshConfig",
            "metadata": {"name": "mesh"},
            "spec": {
                "registration": {"gracePeriod": "600s"},
                "ejection": {"baseEjectionTime": "5s", "maxEjectionTime": "20s"},
            },
        },
    ]


def change(number: int) -> list[dict[str, Any]]:
    """One change set of the probed service: a route of this number, and the subset that it names."""
    subset = f"v{number}"
    header = {"response": {"set": {"x-change": str(number)}}}
    return [
        _object(
            "DestinationRule",
            "probe",
            host="probe",
            subsets=[{"name": subset, "labels": {"group": GROUPS[number % 2]}}],
        ),
        _object(
            "VirtualService",
            "probe",
            hosts=["probe"],
            http=[
                {
                    "route": [{"destination": {"host": "probe", "subset": subset}}],
                    "headers": header,
                    "timeout": TIMEOUT,
                    "retries": {"attempts": 0},
                }
            ],
        ),
    ]


def first_value(key: str) -> str:
    """What a register holds when a run begins."""
    return f"{key}-0"


def register(key: str, value: str, resource_version: str = "") -> dict[str, Any]:
    """A register's next value, to be written over one version; without one, over whatever is there."""
    made = _object(
        "VirtualService",
        key,
        hosts=[f"{key}.example.com"],
        http=[{"directResponse": {"status": 200, "body": {"string": value}}}],
    )
    if resource_version:
        made["metadata"]["resourceVersion"] = resource_version
    return made


def text(objects: Sequence[dict[str, Any]]) -> str:
    """As a file: JSON documents are YAML."""
    return "".join(f"---\n{json.dumps(one)}\n" for one in objects)


def _object(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }
