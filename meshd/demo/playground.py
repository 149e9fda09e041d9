"""The demo's mesh as processes: etcd, sidecars with their Envoys, sample services, one service outside.

Everything lives in one directory and on loopback addresses of its own. `close` ends all of it and removes the
directory, whatever state it is in; it is safe to call at any moment, and twice.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import shutil
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from meshd.cli.agents import Agent
from meshd.cli.keys import new_key, write_new
from meshd.demo.addresses import Subnet, claim_subnet
from meshd.demo.certificates import make_authority
from meshd.demo.hosts import EDGE, HOSTS, OUTSIDE, Host, Place, settings_text
from meshd.demo.processes import Processes, clean_environment
from store.errors import AgentUnavailable, MeshError
from store.etcd.programs import find_program

__all__ = ["Playground"]

READY_S = 30.0
"""How long each part may take to come up on a slow machine."""
POLL_S = 0.02
OUTBOUND, INBOUND, APP, GATEWAY, OUTSIDE_PORT = 15001, 15006, 9080, 8443, 8443
GOSSIP = 7946
GATEWAY_HOST = "books.example.com"
OUTSIDE_NAME = "quotes.example.com"
CLIENT_NAME = "demo-mesh"
"""Common name of the certificate that sidecars show to the service outside."""


class Playground:
    """One running demo mesh; `open` starts it, `close` removes every trace."""

    def __init__(self) -> None:
        # As short as can be: paths of unix sockets have 107 bytes, and TMPDIR may be long.
        parent = "/tmp" if os.access("/tmp", os.W_OK | os.X_OK) else None
        self.directory = Path(tempfile.mkdtemp(prefix="meshd-demo-", dir=parent))
        self.processes = Processes(self.directory, clean_environment())
        self.places: dict[str, Place] = {}
        self.etcd = ""
        """Endpoint of etcd."""
        self.gateway_port = 0
        self._subnet: Subnet | None = None

    @property
    def run_dir(self) -> Path:
        """Directory of the sidecars' sockets."""
        return self.directory / "run"

    @property
    def certificates(self) -> Path:
        """Directory of certificates and keys."""
        return self.directory / "certs"

    def agents(self) -> tuple[Agent, ...]:
        """The status sockets of all sidecars, the gateway's last."""
        return tuple(
            Agent(host.name, self.run_dir / host.name / "status.sock") for host in (*HOSTS, EDGE)
        )

    @property
    def alone_dir(self) -> Path:
        """A run directory in which only the first host's sidecar is: the view from one machine of a real mesh."""
        return self.directory / "alone"

    # -- start ----------------------------------------------------------------------------------

    async def open(self) -> None:
        """Start everything, and return when every host sees every other.

        Raises:
            MeshError: Something did not come up; the message has the end of its log.
        """
        subnet = self._subnet = claim_subnet()
        self._make_certificates()
        self._make_gossip_key()
        await self._start_etcd(subnet)
        for host in HOSTS:
            self._start_host(self._place(subnet, host))
        edge = self._place(subnet, EDGE)
        self.gateway_port = subnet.port(edge.address, GATEWAY)
        self._start_sidecar(edge)
        outside = self._place(subnet, OUTSIDE, OUTSIDE_PORT)
        self._start_outside(outside)
        await self._wait_for_services()
        await self._until(self._everybody_is_known, "every host to know every other")
        self.alone_dir.mkdir()
        (self.alone_dir / HOSTS[0].name).symlink_to(self.run_dir / HOSTS[0].name)

    def _make_certificates(self) -> None:
        authority = make_authority(self.certificates)
        authority.issue(GATEWAY_HOST)
        authority.issue(OUTSIDE_NAME)
        authority.issue(CLIENT_NAME, is_client=True, stem="client")

    def _make_gossip_key(self) -> None:
        """One for all hosts, where each looks for it; on real machines each has a copy."""
        folder = self.directory / "data"
        folder.mkdir(exist_ok=True)
        write_new(str(folder / "gossip.keys"), f"{new_key()}\n")

    async def _start_etcd(self, subnet: Subnet) -> None:
        address = subnet.address(100)
        port, peer = subnet.port(address, 2379), subnet.port(address, 2380)
        self.etcd, peer_url = f"http://{address}:{port}", f"http://{address}:{peer}"
        command = [
            str(find_program("etcd")),
            *("--name", "demo", "--data-dir", str(self.directory / "etcd")),
            *("--listen-client-urls", self.etcd, "--advertise-client-urls", self.etcd),
            *("--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url),
            *("--initial-cluster", f"demo={peer_url}"),
            # Alone it need not wait a second for other candidates.
            *("--heartbeat-interval", "20", "--election-timeout", "200"),
            *("--logger", "zap", "--log-level", "warn"),
        ]
        self.processes.start("etcd", command)
        await self._until(
            lambda: _answers(address, port, "/health", '"true"'), "etcd to be healthy"
        )

    def _place(self, subnet: Subnet, host: Host, first_port: int = APP) -> Place:
        address = subnet.address(host.number)
        names = [app.name for app in host.apps]
        place = Place(
            host,
            address,
            subnet.port(address, OUTBOUND),
            {name: subnet.port(address, first_port + i) for i, name in enumerate(names)},
            {name: subnet.port(address, INBOUND + i) for i, name in enumerate(names)},
            subnet.port(address, GOSSIP),
        )
        self.places[host.name] = place
        return place

    def _start_host(self, place: Place) -> None:
        self._start_sidecar(place)
        for app in place.host.apps:
            listen = f"{place.address}:{place.app_ports[app.name]}"
            flags = ["--version", app.version, "--listen", listen, "--proxy", place.proxy]
            command = [sys.executable, "-m", "meshd.demo.services", app.service, *flags]
            self.processes.start(app.name, command)

    def _start_sidecar(self, place: Place) -> None:
        settings = self.directory / f"{place.host.name}.toml"
        settings.write_text(settings_text(place, self.etcd, self.directory), encoding="utf-8")
        command = [sys.executable, "-m", "sidecar.agent.main", "run", "--config", str(settings)]
        self.processes.start(f"sidecar-{place.host.name}", command)

    def _start_outside(self, place: Place) -> None:
        certs = self.certificates
        for app in place.host.apps:
            listen = f"{place.address}:{place.app_ports[app.name]}"
            tls = ["--cert", str(certs / f"{OUTSIDE_NAME}.pem")]
            tls += [
                "--key",
                str(certs / f"{OUTSIDE_NAME}.key"),
                "--client-ca",
                str(certs / "ca.pem"),
            ]
            command = [sys.executable, "-m", "meshd.demo.services", app.service]
            self.processes.start(app.name, [*command, "--listen", listen, *tls])

    async def _wait_for_services(self) -> None:
        for place in self.places.values():
            for name, port in place.app_ports.items():
                is_up = _accepts if place.host is OUTSIDE else _is_healthy
                await self._until(partial(is_up, place.address, port), f"{name} to answer")

    def _everybody_is_known(self) -> bool:
        """Whether each sidecar has every host's registration in force, and gossips with all others."""
        for agent in self.agents():
            try:
                status = agent.status()
            except AgentUnavailable:
                return False
            config = status["config"]
            is_current = config["revision_in_force"] == config["revision_received"]
            if status["hosts"] < len(HOSTS) or not is_current or config["state"] != "in-force":
                return False
            members = status["gossip"].get("members") or {}
            if members.get("alive", 0) < len(
                HOSTS
            ):  # the edge gossips, too; oneself is not counted
                return False
        return True

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + READY_S
        while not await asyncio.to_thread(condition):
            self.processes.check()
            if time.monotonic() > end:
                raise MeshError(
                    f"waited {READY_S:g} s for {what}; it did not come",
                    hint=f"Logs were in {self.directory}/log; --keep leaves them in place",
                )
            await asyncio.sleep(POLL_S)

    # -- use ------------------------------------------------------------------------------------

    def placed(self, text: str) -> str:
        """A sample's text for this mesh: its files, addresses and ports instead of the sample's."""
        edge, outside = self.places[EDGE.name], self.places[OUTSIDE.name]
        [outside_port] = outside.app_ports.values()
        replacements: Mapping[str, str] = {
            "/etc/meshd/certs": str(self.certificates),
            "number: 8443": f"number: {self.gateway_port}",
            "bind: 0.0.0.0": f"bind: {edge.address}",
            "address: 192.0.2.10": f"address: {outside.address}",
            "http: 8443": f"http: {outside_port}",
        }
        for old, new in replacements.items():
            text = text.replace(old, new)
        return text

    def tls(self) -> ssl.SSLContext:
        """TLS that trusts the demo's CA, without a client certificate."""
        return ssl.create_default_context(cafile=str(self.certificates / "ca.pem"))

    # -- end ------------------------------------------------------------------------------------

    def close(self) -> None:
        """End every process, give every port back, remove the directory."""
        sidecars = [name for name in self.processes.running if name.startswith("sidecar-")]
        self.processes.stop(sidecars)
        self.processes.sweep()
        self.processes.stop(list(self.processes.running))
        if self._subnet is not None:
            self._subnet.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def _answers(address: str, port: int, path: str, text: str) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=1.0)
    try:
        connection.request("GET", path)
        return text in connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _is_healthy(address: str, port: int) -> bool:
    return _answers(address, port, "/health", "alive")


def _accepts(address: str, port: int) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=1.0)
    try:
        connection.connect()
    except OSError:
        return False
    finally:
        connection.close()
    return True
