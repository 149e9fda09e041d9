"""A real Envoy for tests: with our session and ADS server before it (`Lab`), or a scripted server (`Bare`)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import trio
import trio.lowlevel

from sidecar.agent.ads_driver import AdsDriver, Report
from sidecar.agent.ads_server import AdsServer, StreamEvent
from sidecar.agent.envoy import EnvoyEvent, EnvoyProcess
from sidecar.agent.envoy_admin import AdminClient
from sidecar.agent.envoy_program import EnvoyLaunch, find_envoy
from sidecar.agent.outcomes_reports import LoadReported, Reporting
from sidecar.xds.bootstrap import BootstrapSettings, bootstrap_json
from sidecar.xds.events import (
    AskVirtualHosts,
    DeltaRequest,
    Effect,
    Event,
    InForce,
    ResourceRejected,
    SendResponse,
    SessionState,
    StreamOpened,
)
from sidecar.xds.resource import Resource, TypeUrl
from sidecar.xds.session import REMOVAL_GRACE_S
from tests.harness.fake_envoy import change, show
from tests.harness.processes import free_port, wait_until_async
from tests.harness.upstreams import request

__all__ = ["Bare", "Lab", "bare_lab", "launch_in", "open_lab"]

T = TypeVar("T")
READY_S = 20.0
POLL_S = 0.0005
"""How long Envoy may take for anything on a busy machine of two cores."""


def launch_in(directory: Path, **settings: object) -> EnvoyLaunch:
    """How to start an Envoy whose files are all in `directory`."""
    admin = directory / "admin.sock"
    bootstrap = bootstrap_json(
        BootstrapSettings("node", str(directory / "ads.sock"), str(admin), **settings)  # type: ignore[arg-type] # named by tests
    )
    return EnvoyLaunch(find_envoy(), directory, directory / "envoy.log", bootstrap, admin)


def _set_event() -> trio.Event:
    event = trio.Event()
    event.set()
    return event


@dataclass
class Lab:
    """One Envoy, our driver before it, and everything that was said."""

    directory: Path
    nursery: trio.Nursery
    port: int = field(default_factory=free_port)
    """A free port for a listener."""
    said: list[Event | Effect] = field(default_factory=list)
    exits: list[EnvoyEvent] = field(default_factory=list)
    answer: Callable[[tuple[str, ...]], Iterable[Resource]] | None = None
    """Answers asked virtual hosts, with whatever they need."""
    loads: Callable[[LoadReported], None] | None = None
    """Told of Envoy's load reports."""
    removal_grace_s: float = REMOVAL_GRACE_S
    """How long clusters stay that nothing names any more."""
    revision: int = 0
    _scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    _ended: trio.Event = field(default_factory=_set_event)

    def __post_init__(self) -> None:
        self.process = EnvoyProcess(launch_in(self.directory), self.exits.append)
        self._new_driver()

    @property
    def admin(self) -> AdminClient:
        return self.process.admin

    def _new_driver(self) -> None:
        self.driver = AdsDriver(
            self.directory / "ads.sock",
            self._reported,
            observe=self.said.append,
            loads=self._loads_reported,
            removal_grace_s=self.removal_grace_s,
        )

    def report(self, reporting: Reporting) -> None:
        """Have Envoy report load so; whichever driver there is."""
        self.driver.report(reporting)

    def _loads_reported(self, report: LoadReported) -> None:
        if self.loads is not None:
            self.loads(report)

    def _reported(self, report: Report) -> None:
        if isinstance(report, AskVirtualHosts) and self.answer is not None:
            self.desire(*self.answer(report.names))

    async def start_driver(self) -> None:
        await self.nursery.start(self._run_driver)

    async def _run_driver(self, *, task_status: trio.TaskStatus[None]) -> None:
        await self._ended.wait()  # The one before owns the socket until it has ended.
        self._scope, self._ended = trio.CancelScope(), trio.Event()
        try:
            with self._scope:
                await self.driver.run(task_status=task_status)
        finally:
            self._ended.set()

    def kill_driver(self) -> None:
        """The sidecar goes away; the next `start_driver` is one that knows nothing."""
        self._scope.cancel()
        self._new_driver()

    def desire(self, *resources: Resource, remove: Iterable[tuple[TypeUrl, str]] = ()) -> str:
        """Make the desired state so; returns its label."""
        self.revision += 1
        label = f"e@{self.revision}"
        self.driver.desire(change(label, *resources, remove=remove).change)
        return label

    async def settled(self, label: str = "", deadline_s: float = READY_S) -> None:
        """Wait until the label (default: the last) is in force."""
        label = label or f"e@{self.revision}"

        def reached() -> bool:
            view = self.driver.view()
            return view.in_force == label and view.state is SessionState.IN_FORCE

        await wait_until_async(reached, deadline_s, f"{label} in force; {self.dialogue()[-30:]}")

    async def put(self, *resources: Resource, remove: Iterable[tuple[TypeUrl, str]] = ()) -> float:
        """`desire`, then wait until in force; returns how long it took, in seconds."""
        began = trio.current_time()
        label = self.desire(*resources, remove=remove)
        while self.driver.view().in_force != label:
            await trio.sleep(POLL_S)  # spinning would keep the threads of gRPC from running
            assert trio.current_time() < began + READY_S, self.dialogue()[-30:]
        return trio.current_time() - began

    async def serves(self, host: str, text: str, deadline_s: float = READY_S) -> None:
        """Wait until a request for `host` is answered with `text`."""

        async def answered() -> bool:
            return (await request(self.port, host)).text == text

        await wait_until_async(answered, deadline_s, f"{host} to answer {text!r}")

    async def stat(self, name: str) -> int:
        """One counter or gauge; 0 while Envoy has none of that name."""
        return (await self.admin.stats(f"^{name}$")).get(name, 0)

    def of(self, kind: type[T]) -> list[T]:
        """Everything said of one kind."""
        return [item for item in self.said if isinstance(item, kind)]

    def dialogue(self) -> list[str]:
        """What went over the wire, shortened."""
        lines = []
        for item in self.said:
            if isinstance(item, SendResponse | InForce | ResourceRejected | AskVirtualHosts):
                lines += [f"-> {line}" for line in show([item])]
            elif isinstance(item, DeltaRequest):
                lines.append(f"<- {describe(item)}")
            else:
                lines.append(type(item).__name__)
        return lines


def describe(asked: DeltaRequest) -> str:
    """A request in one line."""
    kind = asked.type_url.rpartition(".")[2]
    parts = [kind, *(f"+{name}" for name in asked.subscribe)]
    parts += [f"-{name}" for name in asked.unsubscribe]
    parts += [f"{name}={version}" for name, version in asked.initial_versions.items()]
    if asked.nonce:
        parts.append("ack" if asked.error is None else f"nack {asked.error}")
    return " ".join(parts)


@dataclass
class Bare:
    """One Envoy before a server that says only what a test tells it to."""

    directory: Path
    nursery: trio.Nursery
    requests: list[DeltaRequest] = field(default_factory=list)
    stream: int = 0
    port: int = field(default_factory=free_port)
    _nonces: int = 0
    _scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    _ended: trio.Event = field(default_factory=_set_event)

    def __post_init__(self) -> None:
        self.process = EnvoyProcess(launch_in(self.directory), lambda _event: None)

    async def start_server(self) -> None:
        """A new server on the same socket, which has heard nothing yet."""
        self.server = AdsServer(self.directory / "ads.sock", self._arrived)
        await self.nursery.start(self._run_server)

    async def _run_server(self, *, task_status: trio.TaskStatus[None]) -> None:
        await self._ended.wait()  # The one before owns the socket until it has ended.
        self._scope, self._ended = trio.CancelScope(), trio.Event()
        try:
            with self._scope:
                await self.server.run(task_status=task_status)
        finally:
            self._ended.set()

    def kill_server(self) -> None:
        self.requests.clear()
        self._scope.cancel()

    @property
    def admin(self) -> AdminClient:
        return self.process.admin

    def _arrived(self, event: StreamEvent) -> None:
        if isinstance(event, StreamOpened):
            self.stream = event.stream
        elif isinstance(event, DeltaRequest):
            self.requests.append(event)

    def send(self, type_url: TypeUrl, *resources: Resource, removed: Iterable[str] = ()) -> str:
        """Send a response; returns its nonce."""
        self._nonces += 1
        nonce = f"n{self._nonces}"
        self.server.send(
            SendResponse(self.stream, type_url, nonce, resources, tuple(removed), "bare")
        )
        return nonce

    async def asked(self, type_url: TypeUrl, name: str = "") -> DeltaRequest:
        """Wait for a request of this type, subscribing to `name` if given."""

        def found() -> DeltaRequest | None:
            for asked in self.requests:
                if asked.type_url == type_url and (not name or name in asked.subscribe):
                    return asked
            return None

        what = f"a request for {type_url.name} {name}"
        answer = await wait_until_async(found, READY_S, what)
        assert answer is not None
        return answer

    async def answered(self, nonce: str, deadline_s: float = READY_S) -> DeltaRequest:
        """Wait for the ACK or NACK of a response."""

        def found() -> DeltaRequest | None:
            return next((asked for asked in self.requests if asked.nonce == nonce), None)

        answer = await wait_until_async(found, deadline_s, f"the answer to {nonce}")
        assert answer is not None
        return answer

    def has_answered(self, nonce: str) -> bool:
        """Whether the ACK or NACK has come."""
        return any(asked.nonce == nonce for asked in self.requests)

    async def give(self, type_url: TypeUrl, *resources: Resource) -> DeltaRequest:
        """Wait until the type is asked for, send, and wait for the answer."""
        await self.asked(type_url)
        return await self.answered(self.send(type_url, *resources))

    async def serve(
        self, cla: Iterable[Resource], clusters: Iterable[Resource], *rest: Resource
    ) -> None:
        """Bring up clusters with endpoints, listeners and routes, in Envoy's own order."""
        await self.asked(TypeUrl.CLUSTER)
        self.send(TypeUrl.CLUSTER, *clusters)
        if claims := tuple(cla):
            await self.give(TypeUrl.ENDPOINTS, *claims)
        for type_url in (TypeUrl.LISTENER, TypeUrl.ROUTES):
            await self.give(type_url, *(item for item in rest if item.type_url is type_url))

    async def stat(self, name: str) -> int:
        """One counter or gauge; 0 while Envoy has none of that name."""
        return (await self.admin.stats(f"^{name}$")).get(name, 0)


@asynccontextmanager
async def open_lab(*, start_envoy: bool = True, **fields: float) -> AsyncIterator[Lab]:
    """An Envoy with our driver; everything is ended and removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="lab-"))
    try:
        async with trio.open_nursery() as nursery:
            lab = Lab(directory, nursery, **fields)  # type: ignore[arg-type] # named by tests
            await lab.start_driver()
            if start_envoy:
                await nursery.start(lab.process.run)
            try:
                yield lab
            finally:
                with trio.CancelScope(shield=True):
                    await lab.process.stop(0)
            nursery.cancel_scope.cancel()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def bare_lab() -> AsyncIterator[Bare]:
    """An Envoy before a scripted server."""
    directory = Path(tempfile.mkdtemp(prefix="bare-"))
    try:
        async with trio.open_nursery() as nursery:
            bare = Bare(directory, nursery)
            await bare.start_server()
            await nursery.start(bare.process.run)
            try:
                yield bare
            finally:
                with trio.CancelScope(shield=True):
                    await bare.process.stop(0)
            nursery.cancel_scope.cancel()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
