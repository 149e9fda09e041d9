"""Walks through the steps: puts objects, waits until they are in force, sends requests, judges the counts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from meshd.cli.session import Session
from meshd.demo.commands import Output, run_meshd, shown
from meshd.demo.hosts import EDGE, HOSTS, OUTSIDE
from meshd.demo.illness import Scene
from meshd.demo.playground import GATEWAY_HOST, OUTSIDE_NAME, Playground
from meshd.demo.publishing import Published, Publisher
from meshd.demo.screen import Screen
from meshd.demo.steps import STEPS, Step
from meshd.demo.traffic import Door, Question, deviations, send
from store.errors import InputError
from store.etcd.client import EtcdClient
from store.etcd.settings import EtcdSettings

__all__ = ["Walk", "samples_directory"]

BROKEN_KEY = "/meshd/v1/ns/default/virtualservices/reviews"
STEP_S = 90.0
"""How long one step may take on a busy machine; seconds are normal."""


def samples_directory() -> Path:
    """`deploy/samples` of the checkout that this program runs from.

    Raises:
        InputError: It is not there: this is an installed package.
    """
    directory = Path(__file__).resolve().parents[2] / "deploy" / "samples"
    if not directory.is_dir():
        raise InputError(
            f"{directory}: the demo's objects are not there",
            hint="The demo runs from a checkout: git clone the repository, then ./dev demo",
        )
    return directory


@dataclass(slots=True)
class Walk:
    """One walk through the demo on a running playground."""

    playground: Playground
    screen: Screen
    only: int | None = None
    """Number of the one step to show; those before it are put without a word."""

    async def run(self) -> list[str]:
        """Take every step; returns the titles of those that failed."""
        failed = []
        settings = EtcdSettings(endpoints=(self.playground.etcd,))
        with EtcdClient(settings) as client:
            publisher = Publisher(Session({}, {}), client, self.playground.agents())
            for number, step in enumerate(STEPS, 1):
                if self.only is not None and number > self.only:
                    break
                self.playground.processes.check()
                files = [self._place(file) for file in step.files]
                if self.only is not None and number < self.only:
                    if not step.is_broken:
                        await publisher.put(files, step.title)
                    continue
                try:
                    async with asyncio.timeout(STEP_S):
                        problems = await self._take(number, step, files, publisher)
                except TimeoutError:
                    problems = [f"this step was not over after {STEP_S:g} s"]
                for problem in problems:
                    self.screen.bad(problem)
                if problems:
                    failed.append(step.title)
        return failed

    async def _take(
        self, number: int, step: Step, files: Sequence[Path], publisher: Publisher
    ) -> list[str]:
        screen = self.screen
        screen.title(f"{number} of {len(STEPS)}: {step.title}")
        screen.text(step.text)
        screen.line()
        named = " ".join(f"-f deploy/samples/{file}" for file in step.files)
        verb = f"etcdctl put {BROKEN_KEY} < deploy/samples/{step.files[0]}"
        screen.command(verb if step.is_broken else f"meshd put --wait {named}")
        for file in files:
            screen.objects(file.read_text(encoding="utf-8"))
        if step.is_broken:
            published = await publisher.etcdctl_put(BROKEN_KEY, files[0])
        else:
            published = await publisher.put(files, step.title)
        problems = self._say_times(published, by_etcdctl=step.is_broken)
        problems += await self._judge_quarantine(expected=step.is_broken)
        if step.shows_status:
            problems += await self._status_from_one()
        if step.illness:
            scene = Scene(self.playground, screen, self._meshd, step.illness)
            problems += await scene.play()
        for question in step.questions:
            problems += await self._ask(question)
        if step.trace:
            problems += await self._trace(step.trace)
        return problems

    def _place(self, sample: str) -> Path:
        """The sample with this mesh's files, addresses and ports, as a file."""
        text = (samples_directory() / sample).read_text(encoding="utf-8")
        target = self.playground.directory / "samples" / sample
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.playground.placed(text), encoding="utf-8")
        return target

    def _say_times(self, published: Published, *, by_etcdctl: bool) -> list[str]:
        """When it was in force at each host, and when one host knew that of all."""
        for line in published.lines:
            self.screen.fact("put", line)
        times = "  ".join(f"{host} {ms:.1f} ms" for host, ms in published.in_force_ms.items())
        since = "the start of etcdctl" if by_etcdctl else "the put was sent"
        self.screen.fact("in force", times)
        self.screen.fact(
            "",
            f"since {since}; etcd's answer came after {published.acknowledged_ms:.1f} ms"
            f" (revision {published.revision})",
        )
        self.screen.fact(
            "mesh",
            f"{published.speaker} has heard of all {published.mesh_hosts} hosts that they have it in force"
            f" after {published.mesh_ms:.1f} ms",
        )
        if published.mesh_hosts != len(self.playground.agents()):
            return [f"{published.speaker} has heard of {published.mesh_hosts} hosts only"]
        return []

    async def _judge_quarantine(self, *, expected: bool) -> list[str]:
        """Every sidecar must have the bad object in quarantine, or nothing."""
        problems = []
        for agent in self.playground.agents():
            status = await asyncio.to_thread(agent.status)
            rows = status["quarantined"]
            if expected != bool(rows):
                found = ", ".join(row["object"] for row in rows) or "nothing"
                problems.append(f"{agent.node}: in quarantine: {found}")
            for row in rows if expected else ():
                reason = row["diagnostics"][0]
                self.screen.fact(
                    "quarantine",
                    f"{agent.node}: {row['object']} of revision {row['revision']}; "
                    f"revision {row['serving_revision']} serves",
                )
                self.screen.fact("", f"{reason['code']} {reason['path']}: {reason['message']}")
        return problems

    async def _ask(self, question: Question) -> list[str]:
        question, door = self._open_door(question)
        counts = await send(question, door)
        self.screen.counts(counts, asked=question.asked)
        problems = deviations(counts, question)
        if not problems:
            self.screen.good("as it should be")
        return problems

    def _open_door(self, question: Question) -> tuple[Question, Door]:
        playground = self.playground
        [outside_port] = playground.places[OUTSIDE.name].app_ports.values()
        url = question.url.format(gateway=playground.gateway_port, outside=outside_port)
        question = replace(question, url=url)
        if question.door == "sidecars":
            return question, Door(proxies=[playground.places[host.name].proxy for host in HOSTS])
        addresses = {
            GATEWAY_HOST: playground.places[EDGE.name].address,
            OUTSIDE_NAME: playground.places[OUTSIDE.name].address,
        }
        name = urlsplit(url).hostname or ""
        return question, Door(addresses={name: addresses[name]}, tls=playground.tls())

    async def _trace(self, arguments: Sequence[str]) -> list[str]:
        """Show what the sidecar itself says about such a request."""
        return await self._show("trace", *arguments)

    async def _status_from_one(self) -> list[str]:
        """Show the whole mesh as one host alone tells of it."""
        self.screen.text(f"  One host tells of all; on {HOSTS[0].name}, where no other sidecar is:")
        return await self._show("status", run_dir=self.playground.alone_dir)

    async def _show(self, *arguments: str, run_dir: Path | None = None) -> list[str]:
        self.screen.command(shown(arguments))
        output = await self._meshd(arguments, run_dir)
        self.screen.objects(output.text)
        if output.status:
            return [f"meshd {arguments[0]} ended with status {output.status}"]
        return []

    async def _meshd(self, arguments: Sequence[str], run_dir: Path | None = None) -> Output:
        playground = self.playground
        return await run_meshd(
            arguments,
            playground.processes.environment,
            etcd=playground.etcd,
            run_dir=run_dir or playground.run_dir,
        )
