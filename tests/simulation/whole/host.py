"""One sidecar: all cores, wired as the daemon wires them (`sidecar.agent.node_shell` and beside it), without IO."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from sidecar.agent.own_standing import own_standing
from sidecar.gossip import Status
from sidecar.gossip import events as heard
from sidecar.gossip.records import Topic
from sidecar.mesh.model import Context, Locality
from sidecar.node import events as node_events
from sidecar.node.node import Node
from sidecar.outlier import events as outlier_events
from sidecar.outlier.model import Observer, Outcomes, Place
from sidecar.registration.record import OwnPort, OwnRecord, OwnWorkload
from sidecar.standing import events as standing_events
from sidecar.standing.model import HASH_DIGITS, Standing, Sync
from sidecar.xds.compile import Bind
from sidecar.xds.desired import Builder, BuilderSettings
from sidecar.xds.events import (
    AskVirtualHosts,
    Desired,
    Event,
    InForce,
    ResourceRejected,
    SendResponse,
    StreamClosed,
    StreamOpened,
    Tick,
)
from sidecar.xds.session import Session
from store.catalog.generations import Compacted, Recall
from store.catalog.parts import CatalogMemory
from store.mirror import MirrorState
from store.objects.host import HostRegistration
from store.snapshot import Entry, Snapshot
from tests.simulation.whole.envoy import Envoy
from tests.simulation.whole.judging import Judging, Named
from tests.simulation.whole.recalling import recall
from tests.simulation.whole.registering import Registering
from tests.simulation.whole.sources import RelayWays, Sources
from tests.simulation.whole.store import StoreSite
from tests.simulation.whole.telling import Telling
from tests.simulation.whole.timing import Timer
from tests.simulation.world import World as Clock

__all__ = ["Disk", "Sidecar", "Watcher"]

SERVICE = "shop"
PORT = 80
INBOUND_PORT = 15006
KEEP_AFTER_S = 0.2
"""As `sidecar.agent.last_good.SETTLE_S`."""
CATCH_UP_S, CATCH_UP_MAX_S, POLL_S = 0.15, 1.0, 0.05
"""As `sidecar.agent.catch_up`, looked at less often."""
PULSE_S = 5.0
"""As `sidecar.agent.gossip_side.PULSE_LONGEST_S`."""
MEMBERS_SETTLE_S = 0.05
RECALL_AGAIN_S = 1.0


@dataclass
class Disk:
    """What outlives a process of the sidecar."""

    snapshot: Snapshot | None = None
    memory: CatalogMemory = ()
    kept: Mapping[str, HostRegistration] = field(default_factory=dict)
    is_judged: bool = False
    names: tuple[str, ...] = ()
    imposed: Mapping[Named, outlier_events.Imposed] = field(default_factory=dict)
    epoch: int = 0


class Watcher(Protocol):
    """Sees what a sidecar does; the checkers."""

    def took(self, sidecar: Sidecar, snapshot: Snapshot, source: node_events.Source) -> None:
        """It takes a snapshot in."""

    def imposed(self, sidecar: Sidecar, imposed: Mapping[Named, outlier_events.Imposed]) -> None:
        """It imposes this on endpoints."""

    def in_force(self, sidecar: Sidecar, label: str) -> None:
        """Its Envoy has this in force."""


class Sidecar:
    """One process.

    Args:
        name: Of its host.
        clock: The time, and the gossip of all hosts.
        site: etcd.
        ways: Between relays.
        disk: What a former process left.
        envoy: Its Envoy, which may run already.
        watcher: Sees what it does.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        site: StoreSite,
        ways: RelayWays,
        disk: Disk,
        envoy: Envoy,
        watcher: Watcher,
    ) -> None:
        self.name, self.clock, self.disk, self.envoy = name, clock, disk, envoy
        self._watcher = watcher
        self.lives = True
        disk.epoch = max(int(clock.now_s * 1000), disk.epoch + 1)
        gossip = clock.start(name, epoch=disk.epoch)
        self.address = gossip.address.rpartition(":")[0]
        settings = BuilderSettings(outbound={"": Bind("127.0.0.1", 15001)})
        self.node = Node(
            name,
            (Context("", "default"),),
            lambda _: Builder(settings),
            memory=disk.memory,
            is_judged=disk.is_judged,
            kept=disk.kept,
        )
        self.node.preload(disk.names)
        self.session = Session()
        self._judging = Judging(name, clock, disk.epoch, disk.imposed, self)
        self._telling = Telling(name, clock, self)
        self.sources = Sources(
            name, clock, site, ways, self._take, self._telling.changed, seed=disk.snapshot
        )
        self.registering = Registering(
            clock, self.sources.link, self._record(gossip.address), self._is_alive
        )
        self.transitions: list[tuple[float, node_events.Transition]] = []
        self.label_in_force = ""
        self.has_had_hosts = bool(disk.kept)
        """Whether it found hosts on its disk, or in anything that was in force in this life."""
        if disk.snapshot is not None and any(disk.snapshot.hosts()):
            self.has_had_hosts = True
        self._is_current = False
        self._listens = False
        self._registers = False
        self._members_due = False
        self._ads: deque[Event] = deque()
        self._ads_busy = False
        self._wanted: node_events.KeepLastGood | None = None
        self._seen: object = None
        self._node_timer = self._timer(self.node.deadline, self._node_tick)
        self._ads_timer = self._timer(self.session.deadline, lambda: self.ads_heard(Tick()))

    # -- life -----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Run: in the order of `NodeShell.run`."""
        self._judging.recall()
        if self.disk.snapshot is not None:
            self._watcher.took(self, self.disk.snapshot, node_events.Source.DISK)
            self.handle(node_events.SnapshotArrived(self.disk.snapshot, node_events.Source.DISK))
        self.sources.begin()
        self._see_members()
        self._catch_up(self.clock.now_s + CATCH_UP_MAX_S)
        self._telling.begin()
        self.after(PULSE_S, self._pulse)

    def end(self) -> None:
        """Be killed."""
        self.lives = False
        self.sources.end()
        self.clock.kill(self.name)
        self.envoy.disconnected()

    def is_listening(self) -> bool:
        """Whether Envoy may connect."""
        return self.lives and self._listens

    def _catch_up(self, until_s: float) -> None:
        """Listen to etcd for a moment before an Envoy that runs is led anywhere (`sidecar.agent.catch_up`)."""
        status, now_s = self.sources.mirror.status, self.clock.now_s
        known = self.node.source in (node_events.Source.ETCD, node_events.Source.PEERS)
        is_silent = status.is_fresh and now_s - status.since_s > CATCH_UP_S
        if (
            self.disk.snapshot is None
            or known
            or is_silent
            or status.state is MirrorState.BACKOFF
            or now_s >= until_s
        ):
            self._listens = True
        else:
            self.after(POLL_S, partial(self._catch_up, until_s))

    # -- configuration --------------------------------------------------------------------------

    def _take(self, snapshot: Snapshot, source: node_events.Source) -> None:
        self._watcher.took(self, snapshot, source)
        self.handle(node_events.SnapshotArrived(snapshot, source))

    def _node_tick(self) -> None:
        self.handle(node_events.Tick())

    def handle(self, event: node_events.Event) -> None:
        """Tell the node, and do what it says."""
        for effect in self.node.handle(event, self.clock.now_s):
            self._do(effect)
        if isinstance(event, node_events.SnapshotArrived):
            self._follow_registrations()
        self._judging.look_at_envoy()
        self._node_timer.arm()
        self._telling.changed()

    def _do(self, effect: node_events.Effect) -> None:
        match effect:
            case node_events.Desire(change):
                self.ads_heard(Desired(change))
            case node_events.LookUp(wanted):
                self._look_up(wanted)
            case node_events.KeepLastGood():
                if self._wanted is None:
                    self.after(KEEP_AFTER_S, self._write)
                self._wanted = effect
            case node_events.CompareRegistration(entry, revision):
                self.registering.compare(entry, revision)
            case node_events.ParticipantsChanged():
                self._members_changed()
                self._judging.participate(effect)
            case node_events.Transition():
                self.transitions.append((self.clock.now_s, effect))
            case _:
                pass  # secrets and siblings: there are none

    def _write(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            disk = self.disk
            disk.snapshot, disk.memory = wanted.snapshot, wanted.memory
            disk.kept, disk.is_judged = wanted.kept, wanted.is_judged
            disk.names = tuple(self.node.builder.given_names())

    def _look_up(self, wanted: Recall) -> None:
        def found(entry: Entry | Compacted | None) -> None:
            if self.lives:
                self.handle(node_events.LookedUp(wanted, entry))

        def failed() -> None:
            self.after(RECALL_AGAIN_S, lambda: self._look_up(wanted))

        recall(self.sources.link, wanted, found, failed)

    def _follow_registrations(self) -> None:
        registrations = self.node.registrations.registrations()
        if registrations is not self._seen:
            self._seen = registrations
            host = self.clock.hosts[self.name]
            if not host.core.snapshot().names(Status.ALIVE, Status.SUSPECT):
                found = tuple(self.clock.seeds(host))
                self.after(0.001, lambda: self.clock.give(host, heard.SeedsFound(found)))

    # -- Envoy ----------------------------------------------------------------------------------

    def ads_heard(self, event: Event) -> None:
        """The session's events, one after another (`sidecar.agent.ads_driver`)."""
        if not self.lives:
            return
        self._ads.append(event)
        if self._ads_busy:
            return
        self._ads_busy = True
        try:
            while self._ads:
                self._ads_step(self._ads.popleft())
        finally:
            self._ads_busy = False
        self._ads_timer.arm()

    def _ads_step(self, event: Event) -> None:
        for effect in self.session.handle(event, self.clock.now_s):
            match effect:
                case SendResponse():
                    self.envoy.hear(effect)
                case InForce(label):
                    self._is_current = True
                    self.label_in_force = label
                    self._watcher.in_force(self, label)
                    self.handle(node_events.EnvoyInForce(label))
                    if self.node.in_force is not None and not self.has_had_hosts:
                        self.has_had_hosts = any(self.node.in_force.snapshot.hosts())
                    self._register()
                case ResourceRejected():
                    self.handle(node_events.EnvoyRejected(effect))
                case AskVirtualHosts(names):
                    self.handle(node_events.EnvoyAsked(names))
        if isinstance(event, StreamOpened | StreamClosed):
            self._is_current = False
            self._telling.changed()

    def _register(self) -> None:
        """The application is there once Envoy is: register, once in a life."""
        if not self._registers:
            self._registers = True
            self.registering.begin()

    def counted(
        self,
        outcomes: Mapping[tuple[str, Place], Outcomes],
        until_s: Mapping[tuple[str, Place], float],
    ) -> None:
        """Envoy reports how requests ended, and what its own detector has ejected; by cluster."""
        if self.lives:
            self._judging.counted(outcomes, until_s)

    def answered(self, hosts: frozenset[str]) -> None:
        """Requests to these hosts succeeded (`sidecar.agent.success`)."""
        kept = hosts.intersection(self.node.registrations.kept())
        if self.lives and kept:
            self.handle(node_events.HostsAnswered(kept))

    def envoy_forgot(self) -> None:
        """Envoy's process is another."""
        if self.lives:
            self.handle(node_events.EnvoyForgot())

    # -- ejection -------------------------------------------------------------------------------

    def held_ejections(self) -> frozenset[tuple[str, Place]]:
        """Ejections of Envoy's own that the node imposes in its place."""
        return self.node.builder.held_ejections()

    def imposes(
        self,
        judged: Mapping[Named, outlier_events.Imposed],
        all_of: Mapping[Named, outlier_events.Imposed],
    ) -> None:
        """Have Envoy leave this out, and remember it."""
        self._watcher.imposed(self, judged)
        self.handle(node_events.EndpointsJudged(all_of))
        self.disk.imposed = all_of

    # -- gossip ---------------------------------------------------------------------------------

    def told(self, effect: heard.Effect) -> None:
        """Gossip tells something."""
        if not self.lives:
            return
        self.sources.told(effect)
        match effect:
            case heard.RecordHeard(record) if record.topic is Topic.STANDING:
                self._telling.heard(standing_events.RecordHeard(record))
            case heard.RecordHeard(record) if record.topic in (Topic.EVIDENCE, Topic.OVERRIDES):
                self._judging.judge(outlier_events.RecordHeard(record))
            case heard.RecordDropped(Topic.STANDING, node):
                self._telling.heard(standing_events.RecordDropped(node))
            case heard.MemberChanged():
                self._telling.heard(effect)
                self._members_changed()
            case _:
                pass

    def say(self, topic: Topic, page: int, body: bytes) -> None:
        """Have gossip carry this to all."""
        word = heard.SayRecord(topic, page, body)
        host = self.clock.hosts[self.name]
        self.clock.at(self.clock.now_s, lambda: self.clock.give(host, word))

    def _members_changed(self) -> None:
        if not self._members_due:
            self._members_due = True
            self.after(MEMBERS_SETTLE_S, self._see_members)

    def _see_members(self) -> None:
        self._members_due = False
        found = {self.name: Observer(self.name, True, Locality(), self.address)}
        for member in self.clock.hosts[self.name].core.snapshot().members:
            node = member.identity.node
            address = member.identity.address.rpartition(":")[0]
            found[node] = Observer(node, member.status is Status.ALIVE, Locality(), address)
        self._judging.judge(outlier_events.ObserversSeen(found))

    def _pulse(self) -> None:
        kept = self.node.registrations.kept()
        alive = self.clock.held(self.name, Status.ALIVE)
        if found := frozenset(alive.intersection(kept)):
            self.handle(node_events.HostsHeldAlive(found))
        self.after(PULSE_S, self._pulse)

    def own_standing(self) -> Standing:
        """How it is, as the others are told; one that lies does so here."""
        own = own_standing(
            self.node,
            self.sources.sync(),
            self.session.rejected,
            is_current=self._is_current,
            version="simulated",
        )
        snapshot = self.node.catalog.snapshot
        if self.sources.lie is None or snapshot is None:
            return own
        told = self.sources.lie(snapshot)
        return replace(
            own, received=told.revision, received_hash=told.hash[:HASH_DIGITS], sync=Sync.STORE
        )

    # -- small ----------------------------------------------------------------------------------

    def _record(self, gossip_address: str) -> OwnRecord:
        port = OwnPort(PORT, f"http-{PORT}", "HTTP", INBOUND_PORT)
        workload = OwnWorkload(SERVICE, "default", SERVICE, {"app": SERVICE}, (port,))
        return OwnRecord(self.name, self.address, (workload,), gossip_address=gossip_address)

    def _is_alive(self) -> bool:
        return self.lives

    def after(self, pause_s: float, action: Callable[[], None]) -> None:
        """Do this later, if this process lives then."""
        self.clock.at(self.clock.now_s + pause_s, lambda: action() if self.lives else None)

    def _timer(self, deadline: Callable[[], float | None], wake: Callable[[], None]) -> Timer:
        return Timer(self.clock, deadline, wake, self._is_alive)
