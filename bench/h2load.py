"""Load on a proxy by `h2load` (Debian: nghttp2-client), in HTTP/1.1 and HTTP/2, and how long each request took.

One thread of C that keeps a fixed number of requests under way: it uses a third of the processor time of the proxies
that it asks, so that on two cores the proxy is the bottleneck.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report import quantile

__all__ = ["CONNECTIONS", "PROTOCOLS", "WARM_S", "Load", "Missing", "load", "need"]

CONNECTIONS = 32
PROTOCOLS = {"http1": "http/1.1", "http2": "h2c"}
"""Names in the report, and h2load's."""
WARM_S = 0.3
"""Not counted at the beginning: connections are opened."""


class Missing(Exception):
    """A program is not installed; the text says how to get it."""


@dataclass(frozen=True)
class Load:
    """What one run found."""

    rps: float
    """Requests answered with 200 in a second."""
    p50_ms: float
    p99_ms: float


def need(program: str, package: str) -> str:
    """Path of a program.

    Raises:
        Missing: It is not installed.
    """
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found is None:
        raise Missing(f"{program} is not installed (Debian: apt-get install {package})")
    return found


def load(port: int, host: str, protocol: str, seconds: float, log: Path) -> Load:
    """Ask a proxy on 127.0.0.1 with one request after the other on each of the connections.

    Raises:
        Missing: There is no h2load.
        RuntimeError: Some request failed, or was not answered with 200.
    """
    log.unlink(missing_ok=True)
    command = [
        need("h2load", "nghttp2-client"),
        f"--clients={CONNECTIONS}",
        "--max-concurrent-streams=1",
        f"--no-tls-proto={PROTOCOLS[protocol]}",
        f"--duration={round(seconds * 1e3)}ms",
        f"--warm-up-time={round(WARM_S * 1e3)}ms",
        f"--connect-to=127.0.0.1:{port}",
        f"--log-file={log}",
        f"http://{host}/",
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    times = [line.split("\t") for line in log.read_text(encoding="ascii").splitlines()]
    good = [int(took_us) for _, status, took_us, *_ in times if status == "200"]
    # Those that are under way when the time is over are cut off.
    if len(times) - len(good) > CONNECTIONS or not good:
        raise RuntimeError(f"of {len(times)} requests {len(good)} were answered with 200:\n{text}")
    return _read(text, good)


def _read(text: str, took_us: Sequence[int]) -> Load:
    found = re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", text)
    if found is None:
        raise RuntimeError(f"h2load said something else than expected:\n{text}")
    p50, p99 = (quantile(took_us, share) / 1e3 for share in (0.50, 0.99))
    return Load(float(found.group(1)), p50, p99)
