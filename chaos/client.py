"""The load of one test host: requests through its sidecar, as many a second as told whatever the answers take.

    python -m chaos.client h1 --listener http://127.0.0.1:15001 --rate 20 --out requests.jsonl --probes probes.jsonl

One request in four is a probe (`chaos.checkers.mixtures`). Every request is written down as a record of
`chaos.history`, with Envoy's reason for a failure as far as its answer shows it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO

import aiohttp

from chaos.history import Probe, Request

__all__ = ["Client", "main", "reason_of"]

TIMEOUT_S = 8.0
"""Above every timeout that the mesh has."""
WEB, PROBED = "web:9080", "probe:9080"


def reason_of(status: int, backend: str, body: str) -> str:
    """Envoy's response flag, read from the answer that it makes itself; empty where the application answered."""
    if backend or 0 < status < 400:
        return ""
    match status:
        case 404:
            return "NR"
        case 504:
            return "UT"
        case 503 if "no healthy upstream" in body:
            return "UH"
        case 503 if "overflow" in body:
            return "UO"
        case 503 if not body:
            return "NC"
        case _:
            return "UF"


class Client:
    """Sends and records.

    Args:
        host: Whose load it is.
        listener: The sidecar's outbound listener.
        rate: Requests a second.
        requests: Where records of requests go.
        probes: Where records of probes go.
    """

    def __init__(
        self, host: str, listener: str, rate: float, requests: IO[str], probes: IO[str]
    ) -> None:
        self._host = host
        self._listener = listener
        self._rate = rate
        self._requests = requests
        self._probes = probes
        self._rng = random.Random(host)

    async def run(self, stopped: asyncio.Event) -> None:
        """Send until stopped; requests under way are waited for."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=256)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            asyncio.TaskGroup() as tasks,
        ):
            number, next_s = 0, time.monotonic()
            while not stopped.is_set():
                number += 1
                tasks.create_task(self._one(session, is_probe=number % 4 == 0))
                next_s += self._rng.expovariate(self._rate)
                await asyncio.sleep(max(0.0, next_s - time.monotonic()))

    async def _one(self, session: aiohttp.ClientSession, *, is_probe: bool) -> None:
        at_s = time.monotonic()
        status, backend, reason, route = 0, "", "", ""
        service = PROBED if is_probe else WEB
        try:
            async with session.get(self._listener, headers={"Host": service}) as response:
                body = await response.text()
                status = response.status
                backend = response.headers.get("x-backend", "")
                route = response.headers.get("x-change", "")
                reason = reason_of(status, backend, body)
        except TimeoutError:
            reason = "timeout"
        except aiohttp.ClientConnectorError:
            reason = "refused"
        except (aiohttp.ClientError, OSError) as problem:
            reason = type(problem).__name__
        took_s = time.monotonic() - at_s
        request = Request(at_s, took_s, self._host, service, status, backend, reason)
        self._requests.write(json.dumps(asdict(request)) + "\n")
        if is_probe:
            group = "" if not backend else ("odd", "even")[int(backend[1:]) % 2 == 0]
            number = int(route) if route.isdigit() else None
            probe = Probe(at_s, self._host, status, number, group, reason)
            self._probes.write(json.dumps(asdict(probe)) + "\n")


async def _run(options: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    out, probed = Path(options.out), Path(options.probes)
    with out.open("a", 1) as requests, probed.open("a", 1) as probes:  # noqa: ASYNC230 - lines of local files
        client = Client(options.host, options.listener, options.rate, requests, probes)
        await client.run(stopped)


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("--listener", required=True)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--out", required=True)
    parser.add_argument("--probes", required=True)
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
