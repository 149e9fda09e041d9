"""A delta-ADS client that behaves as Envoy was measured to behave: the session's opponent in unit tests.

It keeps what it was given, withholds the CDS ACK while a cluster warms (M2), drops endpoints that no cluster
asked for, ignores removals of endpoints and routes (M9), applies nothing of a response with a decode error and
the good part of one with a semantic error (M6).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from sidecar.xds.events import (
    DeltaRequest,
    Desired,
    Effect,
    Event,
    InForce,
    SendResponse,
    StreamClosed,
    StreamOpened,
    Tick,
)
from sidecar.xds.resource import DesiredChange, Resource, TypeUrl
from sidecar.xds.session import Session

CDS, EDS, LDS, RDS, VHDS = (
    TypeUrl.CLUSTER,
    TypeUrl.ENDPOINTS,
    TypeUrl.LISTENER,
    TypeUrl.ROUTES,
    TypeUrl.VIRTUAL_HOST,
)
NAMES = {CDS: "CDS", EDS: "EDS", LDS: "LDS", RDS: "RDS", VHDS: "VHDS", TypeUrl.SECRET: "SDS"}


def resource(type_url: TypeUrl, name: str, version: str = "1") -> Resource:
    return Resource(type_url, name, version, f"{name}={version}".encode())


def change(label: str, *upserts: Resource, remove: Iterable[tuple[TypeUrl, str]] = ()) -> Desired:
    """A `Desired` event of these resources and removals."""
    added: dict[TypeUrl, dict[str, Resource]] = {}
    for item in upserts:
        added.setdefault(item.type_url, {})[item.name] = item
    gone: dict[TypeUrl, frozenset[str]] = {}
    for type_url, name in remove:
        gone[type_url] = gone.get(type_url, frozenset()) | {name}
    return Desired(DesiredChange(label, added, gone))


def show(effects: Iterable[Effect]) -> list[str]:
    """Effects as short lines: `CDS a@1 b@2 -c`."""
    lines = []
    for effect in effects:
        if isinstance(effect, SendResponse):
            name = NAMES.get(TypeUrl(effect.type_url), effect.type_url)
            parts = [f"{item.name}@{item.version}" for item in effect.resources]
            lines.append(" ".join([name, *parts, *(f"-{gone}" for gone in effect.removed)]))
        elif isinstance(effect, InForce):
            lines.append(f"in force {effect.label}")
        else:
            lines.append(type(effect).__name__)
    return lines


@dataclass
class Wire:
    """A session, a clock that only moves when told, and the numbers of streams."""

    session: Session = field(default_factory=Session)
    now_s: float = 100.0
    stream: int = 0

    def open(self) -> list[Effect]:
        self.stream += 1
        return self.handle(StreamOpened(self.stream))

    def close(self) -> list[Effect]:
        return self.handle(StreamClosed(self.stream))

    def handle(self, event: Event) -> list[Effect]:
        return self.session.handle(event, self.now_s)

    def ask(self, type_url: str, *names: str, **fields: object) -> list[Effect]:
        """Send a request that subscribes to `names` and has the other fields."""
        request = DeltaRequest(self.stream, type_url, subscribe=names)
        return self.handle(replace(request, **fields))  # type: ignore[arg-type] # tests name real fields

    def ack(self, effect: Effect, error: str | None = None) -> list[Effect]:
        assert isinstance(effect, SendResponse)
        return self.handle(
            DeltaRequest(self.stream, effect.type_url, nonce=effect.nonce, error=error)
        )

    def wait(self, seconds: float) -> list[Effect]:
        self.now_s += seconds
        return self.handle(Tick())


@dataclass
class FakeEnvoy:
    """The client. `bad` are versions that it refuses."""

    wire: Wire
    bad: set[str] = field(default_factory=set)
    semantic: bool = False
    """Whether bad resources are refused after the good ones of the response were applied (M6)."""
    held: dict[TypeUrl, dict[str, str]] = field(
        default_factory=lambda: {type_url: {} for type_url in TypeUrl}
    )
    watched: set[str] = field(default_factory=set)
    """Clusters whose endpoints it has subscribed to."""
    warming: set[str] = field(default_factory=set)
    withheld: list[SendResponse] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    """Everything the session did, for tests to look at."""
    routes: tuple[str, ...] = ("outbound",)
    sent_by_version: dict[tuple[str, str, str], int] = field(default_factory=dict)

    asked_clusters: bool = False
    """Whether clusters were asked for on this stream."""

    def ask_clusters(self) -> None:
        """Ask for clusters on this stream, which Envoy puts off while one warms (M3)."""
        self.asked_clusters = True
        self._first_request(CDS)

    def connect(self) -> None:
        """Open a stream and ask for everything, as Envoy does: CDS last if a cluster warms (M3)."""
        self.take(self.wire.open())
        self.withheld.clear()
        self.asked_clusters = False
        if not self.warming:
            self.ask_clusters()
        for type_url in (EDS, LDS, RDS, VHDS):
            self._first_request(type_url)

    def _first_request(self, type_url: TypeUrl) -> None:
        subscribe: tuple[str, ...] = ()
        if type_url is EDS:
            subscribe = tuple(sorted(self.watched))
            if not subscribe:
                return
        if type_url is RDS:
            subscribe = self.routes
        request = DeltaRequest(
            self.wire.stream,
            type_url,
            subscribe=subscribe,
            initial_versions=dict(self.held[type_url]),
            node_id="node",
        )
        self.take(self.wire.handle(request))

    def take(self, effects: Iterable[Effect]) -> None:
        """Obey the session's responses, until it has none left."""
        queue = list(effects)
        while queue:
            effect = queue.pop(0)
            self.effects.append(effect)
            if isinstance(effect, SendResponse):
                queue.extend(self._answer(effect))

    def _answer(self, response: SendResponse) -> list[Effect]:
        type_url = TypeUrl(response.type_url)
        names = [item.name for item in response.resources]
        assert len(set(names)) == len(names), f"duplicate name in {response}"
        for item in response.resources:
            key = (response.type_url, item.name, item.version)
            self.sent_by_version[key] = self.sent_by_version.get(key, 0) + 1
        bad = [item.name for item in response.resources if item.version in self.bad]
        if bad and not self.semantic:
            return self._reply(response, error="Proto constraint validation failed")
        out = self._apply(type_url, response, set(bad))
        if bad:
            return out + self._reply(response, error="missing ): ((")
        if type_url is CDS and self.warming:
            self.withheld.append(response)
            return out
        return out + self._reply(response)

    def _apply(self, type_url: TypeUrl, response: SendResponse, bad: set[str]) -> list[Effect]:
        held = self.held[type_url]
        fresh: list[str] = []
        for item in response.resources:
            if item.name in bad:
                continue
            if type_url is EDS:
                if item.name not in self.watched:
                    continue
                self.warming.discard(item.name)
            elif type_url is CDS and held.get(item.name) != item.version:
                self.warming.add(item.name)
                fresh.append(item.name)
            held[item.name] = item.version
        if type_url in (CDS, LDS, VHDS):
            for name in response.removed:
                held.pop(name, None)
        gone = response.removed if type_url is CDS else ()
        return self._watch(fresh, gone) + (self._release() if type_url is EDS else [])

    def _watch(self, fresh: list[str], gone: Iterable[str]) -> list[Effect]:
        new = tuple(name for name in fresh if name not in self.watched)
        self.watched.update(new)
        dropped = tuple(name for name in gone if name in self.watched)
        for name in gone:
            self.watched.discard(name)
            self.warming.discard(name)
            self.held[EDS].pop(name, None)
        if not new and not dropped:
            return []
        request = DeltaRequest(self.wire.stream, EDS, subscribe=new, unsubscribe=dropped)
        return self.wire.handle(request)

    def _release(self) -> list[Effect]:
        if self.warming:
            return []
        waiting, self.withheld = self.withheld, []
        out: list[Effect] = []
        for response in waiting:
            out += self._reply(response)
        return out

    def _reply(self, response: SendResponse, error: str | None = None) -> list[Effect]:
        if response.stream != self.wire.stream:
            return []
        return self.wire.handle(
            DeltaRequest(response.stream, response.type_url, nonce=response.nonce, error=error)
        )
