"""Steady traffic of the demo: every host asks the same at an even pace, and each answer is kept with its time.

What a fault costs, and when it is over, is read from these answers alone.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import ClientSession, ClientTimeout

from meshd.demo.traffic import TIMEOUT_S, ask

__all__ = ["Answer", "Record", "counted", "steady_traffic"]

ANSWERS_MAX = 10_000
"""Nobody watches the demo for so long; a bound all the same."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One request and where it went."""

    host: str
    """Whose sidecar it left through."""
    began_s: float
    """Monotonic seconds."""
    ended_s: float
    """Monotonic seconds."""
    place: str
    """As `meshd.demo.traffic.went_to` names it."""


class Record:
    """Answers so far, in the order in which they came."""

    def __init__(self) -> None:
        self._answers: list[Answer] = []

    def add(self, answer: Answer) -> None:
        """Keep one; beyond the bound none is kept."""
        if len(self._answers) < ANSWERS_MAX:
            self._answers.append(answer)

    def between(self, from_s: float, to_s: float = float("inf")) -> tuple[Answer, ...]:
        """Those that began at `from_s` or later and ended before `to_s`."""
        return tuple(one for one in self._answers if one.began_s >= from_s and one.ended_s < to_s)

    def seen_everywhere(self, place: str, hosts: Sequence[str], from_s: float) -> bool:
        """Whether requests of each of these hosts have gone to that place since."""
        found = {one.host for one in self.between(from_s) if one.place == place}
        return found.issuperset(hosts)


def counted(answers: Sequence[Answer]) -> Counter[str]:
    """How many went to each place."""
    return Counter(answer.place for answer in answers)


@asynccontextmanager
async def steady_traffic(
    url: str, proxies: Mapping[str, str], per_second: float
) -> AsyncIterator[Record]:
    """Ask from every host while the context is open.

    A slow answer holds up only its own place in the row: each host has two under way at most, so that a service that
    hangs does not stop the traffic, and a busy machine is not flooded.

    Args:
        url: What is asked for.
        proxies: Outbound listener of each host, by its name.
        per_second: Requests of each host in a second.
    """
    record = Record()
    pause_s = 2 / per_second
    async with ClientSession(timeout=ClientTimeout(total=TIMEOUT_S)) as session:

        async def go_on(host: str, proxy: str, first_s: float) -> None:
            await asyncio.sleep(first_s)
            while True:
                began_s = time.monotonic()
                place = await ask(session, url, proxy=proxy)
                ended_s = time.monotonic()
                record.add(Answer(host, began_s, ended_s, place))
                await asyncio.sleep(max(0.0, began_s + pause_s - ended_s))

        tasks = [
            asyncio.create_task(go_on(host, proxy, first_s))
            for host, proxy in proxies.items()
            for first_s in (0.0, pause_s / 2)
        ]
        try:
            yield record
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
