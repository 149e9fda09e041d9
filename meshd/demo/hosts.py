"""Who lives where in the demo: three hosts with an application or more each, one at the edge, one outside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["EDGE", "HOSTS", "OUTSIDE", "App", "Host", "Place", "settings_text"]

SERVICE_PORT = 9080
"""Port that every service of the mesh is addressed by."""


@dataclass(frozen=True, slots=True)
class App:
    """One copy of a sample service on a host."""

    service: str
    version: str = "v1"
    namespace: str = "default"

    @property
    def name(self) -> str:
        """Name of its process, and of its workload."""
        return f"{self.service}-{self.version}"


@dataclass(frozen=True, slots=True)
class Host:
    """One host of the demo: a sidecar, its Envoy, and applications."""

    name: str
    number: int
    """Last number of its address."""
    apps: tuple[App, ...] = ()
    is_gateway: bool = False


HOSTS = (
    Host("vm-1", 1, (App("productpage"), App("reviews", "v1"))),
    Host("vm-2", 2, (App("details"), App("reviews", "v2"), App("catalog", namespace="shop"))),
    Host("vm-3", 3, (App("ratings"), App("reviews", "v3"), App("orders", namespace="shop"))),
)
"""The hosts with applications."""
EDGE = Host("edge", 4, is_gateway=True)
"""The host in gateway role: what comes from outside comes in here."""
OUTSIDE = Host("outside", 20, (App("quotes"),))
"""Not in the mesh: an external service that demands client certificates."""


@dataclass(frozen=True, slots=True)
class Place:
    """The addresses and ports that one host got."""

    host: Host
    address: str
    outbound_port: int
    app_ports: Mapping[str, int]
    """By name of the app."""
    inbound_ports: Mapping[str, int]
    """By name of the app."""
    gossip_port: int = 7946
    """UDP and TCP, at its address."""

    @property
    def proxy(self) -> str:
        """The outbound listener, as applications name it."""
        return f"http://{self.address}:{self.outbound_port}"


def settings_text(place: Place, etcd: str, directory: Path) -> str:
    """The sidecar's settings file (TOML) for one host.

    Args:
        place: Where it lives.
        etcd: Endpoint of etcd.
        directory: The demo's own; sockets go to `run/` and state to `data/` below it, where the gossip key lies.
    """
    host = place.host
    lines = [
        f"node = {_text(host.name)}",
        f"address = {_text(place.address)}",
        f"outbound_bind = {_text(place.address)}",
        f"outbound_port = {place.outbound_port}",
        f"run_dir = {_text(directory / 'run')}",
        f"data_dir = {_text(directory / 'data')}",
        'locality = "demo/room-1"',
        'on_stop = "leave"',
    ]
    if host.is_gateway:
        lines += ['role = "gateway"', 'labels = { app = "ingress" }']
    lines += ["", "[etcd]", f"endpoints = [{_text(etcd)}]"]
    lines += ["", "[gossip]", 'enabled = "on"', f"port = {place.gossip_port}"]
    for app in host.apps:
        lines += [
            "",
            "[[workloads]]",
            f"name = {_text(app.name)}",
            f"namespace = {_text(app.namespace)}",
            f"service = {_text(app.service)}",
            f"labels = {{ app = {_text(app.service)}, version = {_text(app.version)} }}",
            "[[workloads.ports]]",
            f"number = {SERVICE_PORT}",
            'name = "http"',
            'protocol = "HTTP"',
            f"app_address = {_text(place.address)}",
            f"app_port = {place.app_ports[app.name]}",
            f"inbound_port = {place.inbound_ports[app.name]}",
        ]
    return "\n".join(lines) + "\n"


def _text(value: object) -> str:
    """A TOML string; JSON's escapes are TOML's."""
    return json.dumps(str(value))
