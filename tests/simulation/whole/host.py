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
from sidecar.outlier.model import Destination, Observer, Outcomes, Place
from sidecar.outlier.outlier import Outlier
from sidecar.outlier.view import JudgementState
from sidecar.registration.record import OwnPort, OwnRecord, OwnWorkload
from sidecar.standing import events as standing_events
from sidecar.standing.model import HASH_DIGITS, Standing, Sync
from sidecar.standing.standings import Standings
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
from store.catalog.generations import Compacted, Recall, RecallSource
from store.catalog.parts import CatalogMemory
from store.mirror import MirrorState
from store.objects.host import HostRegistration
from store.snapshot import Entry, Snapshot
from tests.simulation.whole.envoy import Envoy
from tests.simulation.whole.registering import Registering
from tests.simulation.whole.sources import RelayWays, Sources
from tests.simulation.whole.store import Etcd, StoreSite
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
SYNC_S, PENDING_MAX_S, LOOK_S = 1.0, 10.0, 0.1
"""As `sidecar.agent.outlier_memory`."""
LOOK_AGAIN_S = 2.0
"""As `sidecar.agent.mesh_wide.LOOK_AGAIN_S`."""
PULSE_S = 5.0
"""As `sidecar.agent.gossip_side.PULSE_LONGEST_S`."""
MEMBERS_SETTLE_S = 0.05
RECALL_AGAIN_S = 1.0

Named = outlier_events.EndpointName


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
        self.outlier = Outlier(name, disk.epoch)
        self.standings = Standings(name)
        self.sources = Sources(
            name, clock, site, ways, self._take, self._changed, seed=disk.snapshot
        )
        self.registering = Registering(
            clock, self.sources.link, self._record(gossip.address), self._is_alive
        )
        self.transitions: list[tuple[float, node_events.Transition]] = []
        self.label_in_force = ""
        self._is_current = False
        self._listens = False
        self._registers = False
        self._said: Standing | None = None
        self._look_due = False
        self._members_due = False
        self._ads: deque[Event] = deque()
        self._ads_busy = False
        self._judgements: deque[outlier_events.Event] = deque()
        self._judging = False
        self._clusters: Mapping[str, object] = {}
        self._destinations: dict[str, Destination] = {}
        self._until: Mapping[tuple[str, Place], float] = {}
        self._ejected: frozenset[Named] = frozenset()
        self._imposed: Mapping[Named, outlier_events.Imposed] = {}
        self._recalled: Mapping[Named, outlier_events.Imposed] = {}
        self._wanted: node_events.KeepLastGood | None = None
        self._seen: object = None
        self._node_timer = self._timer(self.node.deadline, self._node_tick)
        self._ads_timer = self._timer(self.session.deadline, lambda: self.ads_heard(Tick()))
        self._outlier_timer = self._timer(
            self.outlier.deadline, lambda: self._judge(outlier_events.TimePassed())
        )
        self._standings_timer = self._timer(
            self.standings.deadline, lambda: self._tell_standings(standing_events.TimePassed())
        )

    # -- life -----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Run: in the order of `NodeShell.run`."""
        self._recalled = dict(self.disk.imposed)
        if self._recalled:
            self._handle(node_events.EndpointsJudged(self._recalled))
        if self.disk.snapshot is not None:
            self._watcher.took(self, self.disk.snapshot, node_events.Source.DISK)
            self._handle(node_events.SnapshotArrived(self.disk.snapshot, node_events.Source.DISK))
        self.sources.begin()
        self._see_members()
        self._catch_up(self.clock.now_s + CATCH_UP_MAX_S)
        self._after(SYNC_S, self._let_go)
        self._after(LOOK_AGAIN_S, self._look_again)
        self._after(PULSE_S, self._pulse)

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
            self._after(POLL_S, partial(self._catch_up, until_s))

    # -- configuration --------------------------------------------------------------------------

    def _take(self, snapshot: Snapshot, source: node_events.Source) -> None:
        self._watcher.took(self, snapshot, source)
        self._handle(node_events.SnapshotArrived(snapshot, source))

    def _node_tick(self) -> None:
        self._handle(node_events.Tick())

    def _handle(self, event: node_events.Event) -> None:
        for effect in self.node.handle(event, self.clock.now_s):
            self._do(effect)
        if isinstance(event, node_events.SnapshotArrived):
            self._follow_registrations()
        self._held_changed()
        self._node_timer.arm()
        self._changed()

    def _do(self, effect: node_events.Effect) -> None:
        match effect:
            case node_events.Desire(change):
                self.ads_heard(Desired(change))
            case node_events.LookUp(recall):
                self._look_up(recall)
            case node_events.KeepLastGood():
                if self._wanted is None:
                    self._after(KEEP_AFTER_S, self._write)
                self._wanted = effect
            case node_events.CompareRegistration(entry, revision):
                self.registering.compare(entry, revision)
            case node_events.ParticipantsChanged():
                self._clusters = effect.clusters
                self._destinations = {
                    name: one.destination for name, one in effect.clusters.items()
                }
                self._members_changed()
                self._judge(outlier_events.DestinationsSeen(effect.facts))
                self._held_changed()
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

    def _look_up(self, recall: Recall) -> None:
        def serve(etcd: Etcd) -> Entry | Compacted | None:
            if recall.source is RecallSource.HISTORY:
                return None
            if recall.revision < etcd.compacted:
                return Compacted()
            if recall.revision > etcd.revision:
                raise LookupError
            return etcd.snapshots[recall.revision].get(recall.key)

        def guarded(etcd: Etcd) -> tuple[Entry | Compacted | None] | None:
            try:
                return (serve(etcd),)
            except LookupError:
                return None

        def done(answer: tuple[Entry | Compacted | None] | None) -> None:
            if not self.lives:
                return
            if answer is None:
                self._after(RECALL_AGAIN_S, lambda: self._look_up(recall))
            else:
                self._handle(node_events.LookedUp(recall, answer[0]))

        self.sources.link.call(guarded, done)

    def _follow_registrations(self) -> None:
        registrations = self.node.registrations.registrations()
        if registrations is not self._seen:
            self._seen = registrations
            host = self.clock.hosts[self.name]
            if not host.core.snapshot().names(Status.ALIVE, Status.SUSPECT):
                found = tuple(self.clock.seeds(host))
                self._after(0.001, lambda: self.clock.give(host, heard.SeedsFound(found)))

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
                    self._handle(node_events.EnvoyInForce(label))
                    self._register()
                case ResourceRejected():
                    self._handle(node_events.EnvoyRejected(effect))
                case AskVirtualHosts(names):
                    self._handle(node_events.EnvoyAsked(names))
        if isinstance(event, StreamOpened | StreamClosed):
            self._is_current = False
            self._changed()

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
        if not self.lives:
            return
        found: dict[Named, Outcomes] = {}
        for (cluster, place), row in outcomes.items():
            if cluster in self._destinations:
                found[self._destinations[cluster], place] = row
        if until_s != self._until:
            self._until = until_s
            self._handle(node_events.EnvoyEjected(until_s))
        if found:
            self._judge(outlier_events.OutcomesCounted(found))

    def answered(self, hosts: frozenset[str]) -> None:
        """Requests to these hosts succeeded (`sidecar.agent.success`)."""
        kept = hosts.intersection(self.node.registrations.kept())
        if self.lives and kept:
            self._handle(node_events.HostsAnswered(kept))

    def envoy_forgot(self) -> None:
        """Envoy's process is another."""
        if self.lives:
            self._handle(node_events.EnvoyForgot())

    # -- ejection -------------------------------------------------------------------------------

    def _held_changed(self) -> None:
        out = {*self._until, *self.node.builder.held_ejections()}
        ejected = frozenset(
            (self._destinations[cluster], place)
            for cluster, place in out
            if cluster in self._destinations
        )
        if ejected != self._ejected:
            self._ejected = ejected
            self._judge(outlier_events.EnvoyEjects(ejected))

    def _judge(self, event: outlier_events.Event) -> None:
        self._judgements.append(event)
        if self._judging:
            return
        self._judging = True
        try:
            while self._judgements:
                effects = self.outlier.handle(self._judgements.popleft(), self.clock.now_s)
                for effect in effects:
                    if isinstance(effect, outlier_events.Impose):
                        self._imposed = effect.imposed
                        self._impose()
                    elif isinstance(effect, outlier_events.Say):
                        self._say(effect.topic, effect.page, effect.body)
        finally:
            self._judging = False
        self._outlier_timer.arm()

    def _impose(self) -> None:
        self._watcher.imposed(self, self._imposed)
        imposed = {**self._recalled, **self._imposed}
        self._handle(node_events.EndpointsJudged(imposed))
        self.disk.imposed = imposed

    def _let_go(self) -> None:
        """What was imposed before a restart counts for a moment (`sidecar.agent.outlier_memory`)."""
        if not self._recalled:
            return
        rows = self.outlier.view(self.clock.now_s).endpoints
        waiting = {
            (row.destination, row.place) for row in rows if row.state is JudgementState.PENDING
        }
        began_s = self.disk.epoch / 1000
        if self.clock.now_s > began_s + SYNC_S + PENDING_MAX_S:
            waiting = set()
        kept = {at: word for at, word in self._recalled.items() if at in waiting}
        if kept != self._recalled:
            self._recalled = kept
            self._impose()
        self._after(LOOK_S, self._let_go)

    # -- gossip ---------------------------------------------------------------------------------

    def told(self, effect: heard.Effect) -> None:
        """Gossip tells something."""
        if not self.lives:
            return
        self.sources.told(effect)
        match effect:
            case heard.RecordHeard(record) if record.topic is Topic.STANDING:
                self._tell_standings(standing_events.RecordHeard(record))
            case heard.RecordHeard(record) if record.topic in (Topic.EVIDENCE, Topic.OVERRIDES):
                self._judge(outlier_events.RecordHeard(record))
            case heard.RecordDropped(Topic.STANDING, node):
                self._tell_standings(standing_events.RecordDropped(node))
            case heard.MemberChanged():
                self._tell_standings(effect)
                self._members_changed()
            case _:
                pass

    def _say(self, topic: Topic, page: int, body: bytes) -> None:
        word = heard.SayRecord(topic, page, body)
        host = self.clock.hosts[self.name]
        self.clock.at(self.clock.now_s, lambda: self.clock.give(host, word))

    def _members_changed(self) -> None:
        if not self._members_due:
            self._members_due = True
            self._after(MEMBERS_SETTLE_S, self._see_members)

    def _see_members(self) -> None:
        self._members_due = False
        found = {self.name: Observer(self.name, True, Locality(), self.address)}
        for member in self.clock.hosts[self.name].core.snapshot().members:
            node = member.identity.node
            address = member.identity.address.rpartition(":")[0]
            found[node] = Observer(node, member.status is Status.ALIVE, Locality(), address)
        self._judge(outlier_events.ObserversSeen(found))

    def _pulse(self) -> None:
        kept = self.node.registrations.kept()
        alive = self.clock.held(self.name, Status.ALIVE)
        if found := frozenset(alive.intersection(kept)):
            self._handle(node_events.HostsHeldAlive(found))
        self._after(PULSE_S, self._pulse)

    # -- what is said of ourselves --------------------------------------------------------------

    def _changed(self) -> None:
        if not self._look_due:
            self._look_due = True
            self._after(0.0, self._look)

    def _look_again(self) -> None:
        self._changed()
        self._after(LOOK_AGAIN_S, self._look_again)

    def _look(self) -> None:
        self._look_due = False
        own = own_standing(
            self.node,
            self.sources.sync(),
            self.session.rejected,
            is_current=self._is_current,
            version="simulated",
        )
        snapshot = self.node.catalog.snapshot
        if self.sources.lie is not None and snapshot is not None:
            told = self.sources.lie(snapshot)
            own = replace(
                own, received=told.revision, received_hash=told.hash[:HASH_DIGITS], sync=Sync.STORE
            )
        if own != self._said:
            self._said = own
            self._tell_standings(standing_events.OwnChanged(own))

    def _tell_standings(self, event: standing_events.Event) -> None:
        for effect in self.standings.handle(event, self.clock.now_s):
            if isinstance(effect, standing_events.Say):
                self._say(Topic.STANDING, 0, effect.body)
        self._standings_timer.arm()

    # -- small ----------------------------------------------------------------------------------

    def _record(self, gossip_address: str) -> OwnRecord:
        port = OwnPort(PORT, f"http-{PORT}", "HTTP", INBOUND_PORT)
        workload = OwnWorkload(SERVICE, "default", SERVICE, {"app": SERVICE}, (port,))
        return OwnRecord(self.name, self.address, (workload,), gossip_address=gossip_address)

    def _is_alive(self) -> bool:
        return self.lives

    def _after(self, pause_s: float, action: Callable[[], None]) -> None:
        self.clock.at(self.clock.now_s + pause_s, lambda: action() if self.lives else None)

    def _timer(self, deadline: Callable[[], float | None], wake: Callable[[], None]) -> Timer:
        return Timer(self.clock, deadline, wake, self._is_alive)
