"""One Envoy in the place of a sidecar and of a gateway, driven by the real builder and session, mesh after mesh.

A thread runs trio for the whole of a test module, so that plain tests (Hypothesis) may ask for one mesh after another.
"""

from __future__ import annotations

import itertools
import os
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import trio
import trio.lowlevel

from sidecar.agent.envoy import EnvoyExited
from sidecar.agent.metrics import Metrics
from sidecar.agent.secret_files import SecretFiles
from sidecar.certificates.model import Material, SecretSource
from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, MeshChange
from sidecar.mesh.view import View
from sidecar.xds import protos as pb
from sidecar.xds.compile import Bind, CompileOptions
from sidecar.xds.compile.encoding import resource
from sidecar.xds.desired import Builder, BuilderSettings
from sidecar.xds.events import ResourceRejected
from sidecar.xds.resource import DesiredChange, Resource, TypeUrl
from tests.harness.catalogs import Document, Store
from tests.harness.certificates import Authority
from tests.harness.differential.applications import (
    ID,
    Answer,
    Client,
    Seen,
    applications,
)
from tests.harness.envoys import open_lab
from tests.harness.processes import free_ports, wait_until_async
from tests.sidecar.routing.samples import Ask
from tests.sidecar.routing.strategies import (
    CERTIFICATE,
    ENDPOINT_SLOTS,
    ENTRY_SLOTS,
    KEY,
    SENDER,
    TCP_SLOT,
    TLS_SLOT,
    Entry,
)

__all__ = ["Outcome", "Stand", "Standing", "stand"]

T = TypeVar("T")
DEADLINE_S = 60.0
_RESOLVER = {"RES_OPTIONS": "timeout:1 attempts:1"}
"""Environment of Envoy: names that nobody has are soon given up."""
ANSWER_S = 20.0
CONNECTIONS = 12
"""Requests under way at once."""
ROUTES = f"outbound.{SENDER}"


@dataclass(frozen=True)
class Outcome:
    """What became of one request."""

    id: str
    answer: Answer
    seen: tuple[Seen, ...]
    """The request, its repetitions and its copies, as applications got them."""


@dataclass
class Standing:
    """A mesh in force."""

    views: Mapping[str, View]


class Stand:
    """See the module's text; made by `stand`."""

    def __init__(self, directory: Path, *, budget_services: int) -> None:
        self._budget = budget_services
        self._certificate, self._key = Authority(directory / "ca").server_of("*.test")
        self._tls = ssl.create_default_context()
        self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE
        self._ids = itertools.count(1)
        self._clients: list[Client] = []
        self._waiting = DesiredChange("e@0")
        self._files = SecretFiles(self._read, Metrics().secret_readings)
        self.real: dict[int, int] = {}
        """The open port behind each slot."""

    def call(self, function: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Run an async function in the stand's thread."""
        try:
            return trio.from_thread.run(function, *arguments, trio_token=self._token)
        except trio.RunFinishedError:
            raise AssertionError("the stand has ended; see the error of its thread") from None

    # -- the thread -----------------------------------------------------------------------------

    async def main(self, ready: threading.Event) -> None:
        """Everything that runs for the length of the stand."""
        async with (
            applications(len(ENDPOINT_SLOTS)) as self.applications,
            open_lab(removal_grace_s=0.0) as self.lab,
        ):
            self.real = dict(zip(ENDPOINT_SLOTS, self.applications.ports, strict=True))
            others = [*ENTRY_SLOTS.values(), TLS_SLOT, TCP_SLOT]
            self.real |= dict(zip(others, free_ports(len(others)), strict=True))
            self.real[ENTRY_SLOTS[Entry.OUTBOUND]] = self.lab.port
            self._builder = Builder(
                BuilderSettings(
                    {SENDER: Bind("127.0.0.1", self.lab.port)},
                    options=CompileOptions(outbound_ports=(self.lab.port,)),
                    budget_services=self._budget,
                )
            )
            self.lab.answer = lambda names: _flat(self._builder.ask(names))
            self._token = trio.lowlevel.current_trio_token()
            self._over = trio.Event()
            ready.set()
            await self._over.wait()
            for client in self._clients:
                await client.aclose()

    def end(self) -> None:
        """Let `main` return."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._over.set)

    # -- meshes ---------------------------------------------------------------------------------

    def real_port(self, slot: int) -> int:
        return self.real.get(slot, slot)

    def bound(self, document: object) -> object:
        """A document with open ports and real files in the place of those that stand for them."""
        match document:
            case bool():
                return document
            case int():
                return self.real_port(document)
            case str():
                return self.bound_text(document)
            case Mapping():
                return {self.bound(key): self.bound(value) for key, value in document.items()}
            case list() | tuple():
                return [self.bound(value) for value in document]
        return document

    def bound_text(self, text: str) -> str:
        """A text with open ports in the place of those that stand for them."""
        files = {CERTIFICATE: str(self._certificate), KEY: str(self._key)}
        if text in files:
            return files[text]
        for slot, port in self.real.items():
            text = text.replace(f"{slot}", f"{port}")
        return text

    async def publish(self, documents: Sequence[Document], contexts: Sequence[Context]) -> Standing:
        """Bring Envoy from whatever it has to this mesh, and return when its worker has it too.

        Raises:
            AssertionError: Envoy refused something, or took too long.
        """
        store = Store()
        for document in documents:
            store.put([self.bound(document)])  # type: ignore[list-item] # a mapping stays one
        mesh = Mesh.build(store.catalog, store.registrations)
        views = {one.name: View(mesh, one, len(contexts)) for one in contexts}
        self.lab.said.clear()
        self.lab.exits.clear()
        self._waiting = self._builder.update(views, MeshChange(everything=True), "e@0")
        self._files.want(self._builder.secrets)
        self._desire(self._waiting)
        await self.lab.settled()
        await wait_until_async(
            self._has_nothing_else, DEADLINE_S, "Envoy to forget the mesh before"
        )
        ended = [one for one in self.lab.exits if isinstance(one, EnvoyExited)]
        assert not ended, f"Envoy ended: {ended}; {self.lab.dialogue()[-40:]}"
        refused = self.lab.of(ResourceRejected)
        assert not refused, f"Envoy refuses {refused}"
        await self._reach_the_worker()
        return Standing(views)

    def _read(
        self, materials: Mapping[SecretSource, Material], broken: frozenset[SecretSource]
    ) -> None:
        """As the node does: what names files is told together with what came of them."""
        self._waiting = self._waiting.then(self._builder.put_secrets(materials, broken))

    def _has_nothing_else(self) -> bool:
        clusters = self.lab.driver.view().types[TypeUrl.CLUSTER]
        return clusters.held == clusters.desired and not clusters.in_flight

    def _desire(self, change: DesiredChange) -> None:
        gone = [(kind, name) for kind, names in change.removals.items() for name in sorted(names)]
        self.lab.desire(*_flat(change), remove=gone)

    async def _reach_the_worker(self) -> None:
        """A last change, and wait until requests meet it: a worker takes changes one after another."""
        mark = str(next(self._ids))
        self.lab.desire(_canary(mark))
        client = await self._connect(Entry.OUTBOUND, "")
        try:
            answer = Answer(0)
            with trio.move_on_after(DEADLINE_S):
                while answer.body != mark.encode():
                    answer = await client.ask("GET", "/", [("host", "canary.test")])
            assert answer.body == mark.encode(), (
                f"{answer}; {self.lab.exits}; {self.lab.dialogue()[-20:]}"
            )
        finally:
            await client.aclose()

    # -- requests -------------------------------------------------------------------------------

    async def ask(self, asks: Sequence[Ask]) -> list[Outcome]:
        """Send all of these, many at once; their outcomes in their order. Applications forget what was before."""
        self.applications.seen.clear()
        self.lab.exits.clear()
        waiting = list(enumerate(asks))[::-1]
        ids = [str(next(self._ids)) for _ in asks]
        answers: dict[int, Answer] = {}
        with trio.fail_after(DEADLINE_S):
            async with trio.open_nursery() as nursery:
                for _ in range(min(CONNECTIONS, len(asks))):
                    nursery.start_soon(self._work, waiting, ids, answers)
        ended = [one for one in self.lab.exits if isinstance(one, EnvoyExited)]
        assert not ended, f"Envoy ended: {ended}; {self.lab.dialogue()[-40:]}"
        seen = self.applications.seen
        return [
            Outcome(id_, answers[number], tuple(seen.get(id_, ())))
            for number, id_ in enumerate(ids)
        ]

    async def copies_arrived(self, wanted: Callable[[], bool]) -> bool:
        """Wait for copies, which arrive when they do; False where they did not in time."""
        try:
            await wait_until_async(wanted, 5.0, "copies")
        except AssertionError:
            return False
        return True

    async def _work(
        self, waiting: list[tuple[int, Ask]], ids: list[str], answers: dict[int, Answer]
    ) -> None:
        """One of several clients: take the next request until there is none."""
        clients: dict[tuple[Entry, str], Client] = {}
        try:
            while waiting:
                number, ask = waiting.pop()
                answers[number] = await self._send(clients, ask, ids[number])
        finally:
            for client in clients.values():
                await client.aclose()

    async def _send(self, clients: dict[tuple[Entry, str], Client], ask: Ask, id_: str) -> Answer:
        asked = ask.request
        name = asked.authority.partition(":")[0].removesuffix(".")
        server_name = name if ask.entry is Entry.HTTPS else ""
        place = (ask.entry, server_name)
        authority = self.bound_text(asked.authority)
        fields = [("host", authority), *asked.headers, (ID, id_)]
        if asked.method in ("POST", "PUT"):
            fields.append(("content-length", "0"))
        target = f"{asked.scheme}://{authority}{asked.path}" if ask.is_absolute else asked.path
        client = clients.pop(place, None)
        if client is None:
            try:
                client = await self._connect(*place)
            except (OSError, trio.BrokenResourceError):
                return Answer(0)
        answer = Answer(0, body=b"no answer in time")
        with trio.move_on_after(ANSWER_S):
            answer = await client.ask(asked.method, target, fields)
        if answer.status and ("connection", "close") not in answer.fields:
            clients[place] = client
        else:
            await client.aclose()
        return answer

    async def _connect(self, entry: Entry, server_name: str) -> Client:
        stream: trio.abc.Stream
        stream = await trio.open_tcp_stream("127.0.0.1", self.real[ENTRY_SLOTS[entry]])
        if entry is Entry.HTTPS:
            secure = trio.SSLStream(
                stream, self._tls, server_hostname=server_name or None, https_compatible=True
            )
            try:
                await secure.do_handshake()
            except trio.BrokenResourceError:
                await trio.aclose_forcefully(secure)
                raise
            stream = secure
        return Client(stream)


def _canary(mark: str) -> Resource:
    """A virtual host whose answer is `mark`, under the name that Envoy asks for where it loads hosts on demand."""
    name = f"{ROUTES}/canary.test"
    host = pb.VirtualHost(name=name, domains=["canary.test"])
    route = host.routes.add(name=mark)
    route.match.prefix = "/"
    route.direct_response.status = 200
    route.direct_response.body.inline_string = mark
    return resource(TypeUrl.VIRTUAL_HOST, name, host, aliases=(name,))


def _flat(change: DesiredChange) -> tuple[Resource, ...]:
    return tuple(r for resources in change.upserts.values() for r in resources.values())


@contextmanager
def stand(directory: Path, *, budget_services: int) -> Iterator[Stand]:
    """A stand for the length of the block."""
    before = {name: os.environ.get(name) for name in _RESOLVER}
    os.environ.update(_RESOLVER)
    made = Stand(directory, budget_services=budget_services)
    ready = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            trio.run(made.main, ready)
        except BaseException as problem:  # noqa: BLE001 - told to the test's thread
            failed.append(problem)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        ready.wait()
        if failed:
            raise failed[0]
        try:
            yield made
        finally:
            made.end()
    finally:
        thread.join()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    if failed:
        raise failed[0]
