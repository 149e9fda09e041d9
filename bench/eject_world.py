"""Endpoints that break on command, and clients that note every failure, for `bench.eject`: a process each.

Times are of the machine's monotonic clock, which all its processes share.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["ENDPOINTS", "address", "clients", "endpoints"]

ENDPOINTS = 10
"""Endpoints of each service; the first of them is the one that breaks."""
HANG_S = 30.0
"""How long one that hangs keeps a request."""
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
_BROKEN = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"


def address(endpoint: int) -> str:
    """Where an endpoint listens: addresses of loopback, so that each is a host of its own."""
    return f"127.0.2.{endpoint + 1}"


@dataclass
class _Endpoint:
    """One endpoint of one service."""

    host: str
    port: int
    mode: str = "ok"
    server: asyncio.Server | None = None
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def become(self, mode: str) -> None:
        """`ok`, `5xx`, `hang` or `refused`."""
        self.mode = mode
        if mode == "refused" and self.server is not None:
            self.server.close()
            self.server = None
            for writer in list(self.open):
                writer.transport.abort()
        elif mode != "refused" and self.server is None:
            self.server = await asyncio.start_server(self._serve, self.host, self.port, backlog=512)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                if self.mode == "hang":
                    await asyncio.sleep(HANG_S)
                writer.write(_BROKEN if self.mode == "5xx" else _OK)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()


def endpoints(ports: Sequence[int]) -> None:
    """Serve one service of ten endpoints at each port; lines on standard input: `<index of port> <mode>`."""

    async def main() -> None:
        services = [[_Endpoint(address(n), port) for n in range(ENDPOINTS)] for port in ports]
        for endpoint in itertools.chain.from_iterable(services):
            await endpoint.become("ok")
        print("ready", flush=True)
        async for line in _lines():
            which, mode = line.split()
            await services[int(which)][0].become(mode)
            print(json.dumps(time.monotonic()), flush=True)

    asyncio.run(main())


@dataclass
class _Client:
    """One sidecar's applications: requests that come at random, each on a connection that is free or new."""

    number: int
    port: int
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def ask(self, host: str, failures: list[tuple[int, float]]) -> None:
        """One request; one that fails is noted with when it ended."""
        try:
            reader, writer = self.idle.pop() if self.idle else await self._connect()
            writer.write(f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or b"0"))
            self.idle.append((reader, writer))
            is_failed = not head.startswith(b"http/1.1 200")
        except (OSError, asyncio.IncompleteReadError):
            is_failed = True
        if is_failed:
            failures.append((self.number, time.monotonic()))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


def clients(ports: Sequence[int], seed: int) -> None:
    """Send requests through the sidecars at these ports.

    Lines on standard input: `go <host> <requests a second and sidecar>`, and `stop`, which is answered by a line with
    the number of requests sent and the failures, as (sidecar, when).
    """
    rng = random.Random(seed)

    async def send(
        client: _Client, host: str, rate: float, failures: list[tuple[int, float]], sent: list[int]
    ) -> None:
        due = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while True:
                due += rng.expovariate(rate)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                sent[0] += 1
                group.create_task(client.ask(host, failures))

    async def main() -> None:
        all_clients = [_Client(number, port) for number, port in enumerate(ports)]
        running: list[asyncio.Task[None]] = []
        failures: list[tuple[int, float]] = []
        sent = [0]
        async for line in _lines():
            verb, *words = line.split()
            if verb == "go":
                failures, sent = [], [0]
                rate = float(words[1])
                running = [
                    asyncio.create_task(send(client, words[0], rate, failures, sent))
                    for client in all_clients
                ]
            else:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
                print(json.dumps([sent[0], failures]), flush=True)

    asyncio.run(main())


class _Lines:
    """Standard input, line by line."""

    def __aiter__(self) -> _Lines:
        return self

    async def __anext__(self) -> str:
        line: str = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        if not line:
            raise StopAsyncIteration
        return line


def _lines() -> _Lines:
    return _Lines()


if __name__ == "__main__":
    told = [int(word) for word in sys.argv[2:]]
    if sys.argv[1] == "endpoints":
        endpoints(told)
    else:
        clients(told[1:], told[0])
