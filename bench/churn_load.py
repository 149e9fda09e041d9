"""Requests at a steady rate to many hosts through one proxy, each answer looked at; a process of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

__all__ = ["Answers", "send_steadily"]

CONNECTIONS = 8
ANSWER_S = 10.0
"""When a request without an answer has failed."""


@dataclass
class Answers:
    """What became of the requests."""

    sent: int = 0
    failures: list[str] = field(default_factory=list)
    """What each failed request met."""
    slowest_s: float = 0.0


def send_steadily(port: int, hosts: Sequence[str], rate: float, stop: Connection) -> None:
    """Send until something comes over `stop`; then tell `Answers` over it."""

    async def client(offset: int, answers: Answers) -> None:
        began, number = time.monotonic(), 0
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not stop.poll():
            host = hosts[(offset + number * CONNECTIONS) % len(hosts)]
            asked = time.monotonic()
            answers.sent += 1
            try:
                async with asyncio.timeout(ANSWER_S):
                    status = await _ask(reader, writer, host)
            except (OSError, EOFError, TimeoutError) as problem:
                status = f"{type(problem).__name__}: {problem}"
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            answers.slowest_s = max(answers.slowest_s, time.monotonic() - asked)
            if status != "200":
                answers.failures.append(f"{host}: {status}")
            number += 1
            due = began + number * CONNECTIONS / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        writer.close()

    async def main() -> None:
        answers = Answers()
        await asyncio.gather(*(client(number, answers) for number in range(CONNECTIONS)))
        stop.send(answers)

    asyncio.run(main())


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> str:
    """The status of one answer, whose body is read too."""
    writer.write(f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = next((line for line in head.split("\r\n") if line.startswith("content-length:")), ":0")
    await reader.readexactly(int(length.partition(":")[2]))
    return head.split(" ")[1]
