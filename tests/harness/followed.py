"""A real Envoy that follows a world of objects through the desired-state builder and the session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sidecar.agent.metrics import Metrics
from sidecar.agent.secret_files import SecretFiles
from sidecar.certificates.model import Material, SecretSource
from sidecar.mesh.model import Context, HostName, MeshChange
from sidecar.outlier.events import Imposed
from sidecar.outlier.model import Destination, Place
from sidecar.xds.compile import Bind, CompileOptions
from sidecar.xds.desired import Builder, BuilderSettings
from sidecar.xds.resource import DesiredChange, Resource
from tests.harness.catalogs import documents_of
from tests.harness.envoys import Lab, open_lab
from tests.harness.upstreams import Answer, request
from tests.harness.worlds import WEB, World

__all__ = ["Followed", "follow"]


@dataclass
class Followed:
    """Objects, the builder over them, and the Envoy that serves them."""

    lab: Lab
    world: World
    builder: Builder

    def __post_init__(self) -> None:
        self._waiting: DesiredChange | None = None
        self.files = SecretFiles(self._read, Metrics().secret_readings)
        """Certificates that objects name; they are looked at when a test says so."""

    async def put(self, *texts: str) -> None:
        """Publish objects one after another; wait until Envoy has them in force."""
        for document in (document for text in texts for document in documents_of(text)):
            self._follow(self.world.change(document))
        await self.lab.settled()

    async def delete(self, key: str) -> None:
        """Delete an object; wait until that is in force."""
        self._follow(self.world.change(key))
        await self.lab.settled()

    async def impose(self, host: str, imposed: Mapping[int, Imposed], *, port: int = 9080) -> None:
        """Impose this on endpoints of one destination, by their ports on loopback; wait until it is in force."""
        destination = Destination(HostName(host), port)
        names = {
            (destination, Place("127.0.0.1", number)): word for number, word in imposed.items()
        }
        self.follow(self.builder.impose(names))
        await self.lab.settled()

    async def get(self, host: str, path: str = "/", **fields: Any) -> Answer:
        """A request to the outbound listener."""
        return await request(self.lab.port, host, path, **fields)

    def answer(self, names: tuple[str, ...]) -> tuple[Resource, ...]:
        """What Envoy gets for the authorities that it asked for."""
        return _flat(self.builder.ask(names))

    def _follow(self, change: MeshChange) -> None:
        self._waiting = self.builder.update(self.world.views, change, "e@0")
        self.files.want(self.builder.secrets)
        if (waiting := self._waiting) is not None:
            self.follow(waiting)
        self._waiting = None

    def _read(
        self, materials: Mapping[SecretSource, Material], broken: frozenset[SecretSource]
    ) -> None:
        """As the node does: what names files that nobody looked at is told together with what came of them."""
        read = self.builder.put_secrets(materials, broken)
        if self._waiting is None:
            self.follow(read)
        else:
            self._waiting = self._waiting.then(read)

    def follow(self, change: DesiredChange) -> None:
        """Have Envoy follow this change."""
        gone = [(kind, name) for kind, names in change.removals.items() for name in sorted(names)]
        self.lab.desire(*_flat(change), remove=gone)


def _flat(change: DesiredChange) -> tuple[Resource, ...]:
    return tuple(r for resources in change.upserts.values() for r in resources.values())


@asynccontextmanager
async def follow(
    *texts: str,
    context: Context = WEB,
    outbound: bool = True,
    credentials: str = "/etc/meshd/credentials",
    **settings: object,
) -> AsyncIterator[Followed]:
    """An Envoy brought to the state of these objects; settings are those of the builder."""
    async with open_lab() as lab:
        world = World(context)
        for document in (document for text in texts for document in documents_of(text)):
            world.change(document)
        made = {
            "outbound": {context.name: Bind("127.0.0.1", lab.port)} if outbound else {},
            "options": CompileOptions(credentials=credentials, outbound_ports=(lab.port,)),
            **settings,
        }
        builder = Builder(BuilderSettings(**made))  # type: ignore[arg-type] # named by tests
        followed = Followed(lab, world, builder)
        lab.answer = followed.answer
        followed._follow(MeshChange(everything=True))
        await lab.settled()
        yield followed
