"""One endpoint falls ill under traffic, is ejected by all hosts together, is well again and returns everywhere.

Everything that is said here is measured: what requests met, what each sidecar answers about ejections. What hosts
decide, and why, is theirs (`docs/ejection.md`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import ClientSession, ClientTimeout

from meshd.cli.agents import Agent
from meshd.demo.commands import Output, shown
from meshd.demo.hosts import HOSTS, App, Place
from meshd.demo.playground import Playground
from meshd.demo.screen import Screen
from meshd.demo.steady import Record, counted, steady_traffic
from meshd.demo.steps import Illness
from meshd.demo.traffic import Question, deviations
from store.errors import MeshError

__all__ = ["Look", "Scene", "accusers", "is_back", "row_of"]

PER_SECOND = 3.0
"""Requests of each host: one a second to each endpoint. From ten on Envoys alone would be as fast."""
WAIT_S = 30.0
"""For each turn of the story; seconds are normal."""
POLL_S = 0.05
SETTLE_S = 0.5
"""From what a sidecar says to the last request that its Envoy had sent before."""
CALM_REQUESTS = 15
"""Requests during the ejection that are judged."""
ENVOY_ALONE = 5
"""Failures that each Envoy would need by itself: consecutive5xxErrors of the sample."""
_UNDER_WAY = ("pending", "ejected", "trial")

Json = Mapping[str, Any]


def row_of(answer: Json, endpoint: str) -> Json | None:
    """What a sidecar's answer about ejections says of an endpoint (`address:port`); None when it says nothing."""
    rows: Sequence[Json] = answer["endpoints"]
    return next((row for row in rows if row["endpoint"] == endpoint), None)


def is_back(row: Json | None) -> bool:
    """Whether a host uses the endpoint as any other, by what it says of it."""
    if row is None:
        return True
    return row["state"] not in _UNDER_WAY and row["imposed"] is None and not row["locally_ejected"]


def accusers(row: Json) -> list[str]:
    """Hosts that accuse it, of what the row says."""
    return [one["node"] for one in row.get("witnesses", ()) if one["class"] == "bad"]


@dataclass(frozen=True, slots=True)
class Look:
    """What one sidecar said of the endpoint."""

    asked_s: float
    """When it was asked (monotonic seconds)."""
    answered_s: float
    """When the answer came (monotonic seconds)."""
    row: Json | None
    """Its row; None: it says nothing of the endpoint."""


@dataclass(slots=True)
class Scene:
    """The story of one illness, on a running playground."""

    playground: Playground
    screen: Screen
    meshd: Callable[[Sequence[str]], Awaitable[Output]]
    """Runs `meshd` with these arguments."""
    illness: Illness
    problems: list[str] = field(default_factory=list)
    """What was not as it should be."""

    async def play(self) -> list[str]:
        """Tell it from beginning to end; returns what was not as it should be.

        Raises:
            MeshError: A turn of it did not come in time.
        """
        proxies = {host.name: self.playground.places[host.name].proxy for host in HOSTS}
        self.screen.fact("traffic", f"{PER_SECOND:g} requests a second from each host, to the end")
        async with steady_traffic(self.illness.url, proxies, PER_SECOND) as record:
            began_s = time.monotonic()
            await self._until(
                partial(self._is_reached, record, list(proxies), began_s),
                "every host to reach every endpoint",
            )
            sick_s = await self._order("sick")
            out_s, until_s = await self._see_ejected(record, sick_s)
            await asyncio.gather(self._tell(), self._see_calm(record, out_s, until_s))
            well_s = await self._order("well")
            await self._see_return(record, well_s)
        return self.problems

    # -- the turns ------------------------------------------------------------------------------

    async def _order(self, how: str) -> float:
        """Tell the copy how to be; when it had heard it (monotonic seconds)."""
        place, app = self._home()
        url = f"http://{place.address}:{place.app_ports[app.name]}/{how}"
        self.screen.command(f"curl -X POST {url}")
        async with (
            ClientSession(timeout=ClientTimeout(total=WAIT_S)) as session,
            session.post(url, raise_for_status=True),
        ):
            return time.monotonic()

    async def _see_ejected(self, record: Record, sick_s: float) -> tuple[float, float]:
        """Wait until all have ejected it: when that was, and until when at least (monotonic seconds)."""
        seen = await self._see_everywhere(
            lambda row: row is not None and row["imposed"] == "ejected", "to have it ejected"
        )
        out_s = time.monotonic()
        self._say("ejected", seen, sick_s, "it fell ill")
        failed = [one for one in record.between(0.0, out_s) if not self._is_good(one.place)]
        self.screen.fact(
            "",
            f"{len(failed)} requests have failed; {len(HOSTS)} Envoys alone need"
            f" {ENVOY_ALONE} each, {ENVOY_ALONE * len(HOSTS)}",
        )
        until_s = []
        for node, look in seen.items():
            row = look.row or {}
            if len(accusers(row)) < max(2, row.get("quorum", 0)):
                self.problems.append(f"{node}: ejected without two who accuse it: {row}")
            until_s.append(look.asked_s + (row.get("until_s") or 0.0))
        return out_s, min(until_s)

    async def _tell(self) -> None:
        """Show the story as any host tells it."""
        arguments = ("ejections", "-o", "wide")
        output = await self.meshd(arguments)
        self.screen.command(shown(arguments))
        self.screen.objects(output.text)
        if output.status or self._endpoint() not in output.text:
            self.problems.append(
                f"meshd ejections ended with status {output.status}, and should name {self._endpoint()}"
            )

    async def _see_calm(self, record: Record, out_s: float, until_s: float) -> None:
        """Nobody is sent to it any more, until the hold is over and a few try it."""
        from_s = out_s + SETTLE_S
        await self._until(
            lambda: (
                len(record.between(from_s, until_s)) >= CALM_REQUESTS or time.monotonic() > until_s
            ),
            "requests while it is ejected",
        )
        counts = counted(record.between(from_s, until_s))
        share = 1 / len(self.illness.others)
        question = Question(
            f"{counts.total()} while it is ejected",
            self.illness.url,
            counts.total(),
            dict.fromkeys(self.illness.others, share),
        )
        self.screen.counts(counts, asked=question.asked)
        wrong = deviations(counts, question) if counts else ["no request was answered meanwhile"]
        self.problems += wrong
        if not wrong:
            self.screen.good("no request fails any more")

    async def _see_return(self, record: Record, well_s: float) -> None:
        """It is tried, and then used by all as before."""
        seen = await self._see_everywhere(is_back, "to use it again")
        back_s = max(look.answered_s for look in seen.values())
        await self._until(
            lambda: record.seen_everywhere(self.illness.well, list(seen), back_s),
            "every host to reach it again",
        )
        self._say("back", seen, well_s, "it is well")
        since = record.between(well_s)
        failed = counted([one for one in since if not self._is_good(one.place)])
        if failed:
            self.problems.append(f"requests failed though it is well: {dict(failed)}")
        else:
            self.screen.good(f"none of {len(since)} requests has failed since it is well")

    # -- looking --------------------------------------------------------------------------------

    async def _see_everywhere(
        self, condition: Callable[[Json | None], bool], what: str
    ) -> dict[str, Look]:
        """For each host that asks, the look at which the condition had come true.

        Raises:
            MeshError: It has not come true everywhere in time; it says what the others say.
        """
        users = {host.name for host in HOSTS}
        agents = [agent for agent in self.playground.agents() if agent.node in users]
        looks: dict[str, Look] = {}

        async def watch(agent: Agent) -> None:
            while True:
                asked_s = time.monotonic()
                answer = await asyncio.to_thread(agent.page, "ejections")
                row = row_of(answer, self._endpoint())
                looks[agent.node] = Look(asked_s, time.monotonic(), row)
                if condition(row):
                    return
                await asyncio.sleep(POLL_S)

        try:
            async with asyncio.timeout(WAIT_S):
                await asyncio.gather(*(watch(agent) for agent in agents))
        except TimeoutError as problem:
            late = {node: look.row for node, look in looks.items() if not condition(look.row)}
            raise MeshError(f"waited {WAIT_S:g} s for hosts {what}; they say: {late}") from problem
        return {host.name: looks[host.name] for host in HOSTS}

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + WAIT_S
        while not condition():
            self.playground.processes.check()
            if time.monotonic() > end_s:
                raise MeshError(f"waited {WAIT_S:g} s for {what}; it did not come")
            await asyncio.sleep(POLL_S)

    def _say(self, name: str, seen: Mapping[str, Look], from_s: float, since: str) -> None:
        told = "  ".join(f"{host} {one.answered_s - from_s:.1f} s" for host, one in seen.items())
        self.screen.fact(name, f"{told}  since {since}")

    def _is_reached(self, record: Record, hosts: Sequence[str], from_s: float) -> bool:
        """Whether each of these hosts has reached each copy since."""
        places = (self.illness.well, *self.illness.others)
        return all(record.seen_everywhere(place, hosts, from_s) for place in places)

    def _is_good(self, place: str) -> bool:
        return place in (self.illness.well, *self.illness.others)

    def _endpoint(self) -> str:
        """Where requests to the copy arrive: its sidecar's listener."""
        place, app = self._home()
        return f"{place.address}:{place.inbound_ports[app.name]}"

    def _home(self) -> tuple[Place, App]:
        """The host that the copy is on."""
        wanted = App(self.illness.service, self.illness.version)
        [found] = [place for place in self.playground.places.values() if wanted in place.host.apps]
        return found, wanted
