"""Requests, and the server that answers them, for `bench.evidence`: each in a process of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

__all__ = ["load", "upstream"]

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CONNECTIONS = 4


def upstream(port: int) -> None:
    """Answer every request on every address of this host, at `port`, until killed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(ANSWER)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "0.0.0.0", port, backlog=1024)
        await server.serve_forever()

    asyncio.run(main())


def load(port: int, hosts: Sequence[str], rate: float) -> None:
    """Send `rate` requests a second, to each host in turn, until killed."""

    async def client(offset: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in itertools.count():
            host = hosts[(offset + number * CONNECTIONS) % len(hosts)]
            writer.write(f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-len")),
                b": 0",
            )
            await reader.readexactly(int(length.partition(b":")[2]))
            due = began + (number + 1) * CONNECTIONS / rate
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def main() -> None:
        await asyncio.gather(*(client(number) for number in range(CONNECTIONS)))

    asyncio.run(main())
