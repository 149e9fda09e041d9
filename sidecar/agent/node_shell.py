"""Carries out what the node decides, and tells it what happens: the daemon's middle.

Owns the connections to etcd, Envoy and the disk of one sidecar. Everything that the node handles is handled in
trio's thread, in the call that brings it, so that a published revision is on its way to Envoy when `publish`
returns.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import trio

from sidecar.agent.ads_driver import Report
from sidecar.agent.answers import NodeAnswers
from sidecar.agent.bell import Bell
from sidecar.agent.catch_up import catch_up
from sidecar.agent.collection import Collection
from sidecar.agent.convergence import Convergence
from sidecar.agent.dns_side import DnsSide
from sidecar.agent.envoy import EnvoyEvent, EnvoyExited, EnvoyStarted
from sidecar.agent.envoy_side import EnvoySide
from sidecar.agent.envoy_watch import EnvoyWatch
from sidecar.agent.gossip_side import GossipSide
from sidecar.agent.host_facts import HostFacts
from sidecar.agent.judging import judge_the_rest, load_models
from sidecar.agent.last_good import LastGood
from sidecar.agent.launch import write_siblings
from sidecar.agent.log import log
from sidecar.agent.metrics import Metrics
from sidecar.agent.outcomes_reports import LoadReported
from sidecar.agent.outlier_side import make_outlier
from sidecar.agent.own_workloads import OwnWorkloads
from sidecar.agent.recall import look_up
from sidecar.agent.registrar import Registrar
from sidecar.agent.secret_files import SecretFiles
from sidecar.agent.settings import SidecarSettings
from sidecar.agent.sources import Sources
from sidecar.agent.success import watch_successes
from sidecar.agent.traffic import MeshFacts, Traffic
from sidecar.agent.turns import Alarm
from sidecar.certificates.model import Material, SecretSource
from sidecar.node.events import (
    CompareRegistration,
    Desire,
    Effect,
    EnvoyAsked,
    EnvoyEnded,
    EnvoyForgot,
    EnvoyInForce,
    EnvoyRejected,
    Event,
    HostsAnswered,
    HostsHeldAlive,
    KeepLastGood,
    LookedUp,
    LookUp,
    ParticipantsChanged,
    SecretsRead,
    SiblingsChanged,
    SnapshotArrived,
    Source,
    Tick,
    Transition,
    WantSecrets,
)
from sidecar.node.node import Node
from sidecar.xds.desired import Builder
from sidecar.xds.events import (
    AskVirtualHosts,
    InForce,
    ResourceRejected,
    StreamClosed,
    StreamOpened,
)
from sidecar.xds.events import Effect as SessionEffect
from sidecar.xds.events import Event as SessionEvent
from store.etcd.client import EtcdClient
from store.snapshot import Snapshot

__all__ = ["NodeShell"]

PEERS_HEAR_S = 1.0
"""How long peers may take to hear that this host drains, before it says that it is gone."""


class NodeShell:
    """One sidecar at work.

    Args:
        settings: The effective settings.
        address: The address that peers reach this host under.
        envoy_side: Envoy; `run` opens it where it is not open yet.
        collection: Governs the collector.
    """

    def __init__(
        self,
        settings: SidecarSettings,
        address: str,
        envoy_side: EnvoySide,
        collection: Collection,
    ) -> None:
        self._settings = settings
        self._envoy_side = envoy_side
        self._collection = collection
        self._facts = facts = HostFacts(settings, address)
        self._last_good = LastGood(settings.data_dir / settings.node, settings.etcd.prefix)
        self._seed = self._last_good.load()
        built = facts.builder()
        builder = partial(Builder, built)
        self._dns = DnsSide(settings)
        self._node = self._made_node(builder)
        self._client = EtcdClient(settings.etcd, start_at=random.randrange(1 << 16))
        self._metrics = Metrics()
        self._metrics.dns(self._dns.describe)
        self._driver = envoy_side.driver
        self._envoy = EnvoyWatch()
        self.gossip = GossipSide(settings, address, self._node.registrations)
        """Gossip; its port is bound, its shell is there where it is on."""
        self.sources = Sources(
            settings,
            self.gossip,
            self._node.registrations,
            self._take,
            self._source_changed,
            seed=self._seed,
        )
        """etcd and peers."""
        self._registrar = Registrar(
            self._client, facts.record(self.gossip.address), settings.registration.ttl_s
        )
        self._secrets = SecretFiles(self._secrets_read, self._metrics.secret_readings)
        self._convergence = Convergence()
        self._changed = Bell()
        self._own_workloads = OwnWorkloads(
            settings,
            facts,
            self._registrar,
            serve=self._handle,
            until_served=partial(self._changed.until, self._takes_requests),
            changed=self._changed,
        )
        self._nursery: trio.Nursery | None = None
        self._alarm = Alarm(self._node.deadline, lambda: self._handle(Tick()))
        self.answers = self._made_answers(
            Traffic(envoy_side.admin, MeshFacts(self._node, built.parties))
        )
        """What the status API answers."""
        self._outlier = make_outlier(
            settings,
            address,
            node=self._node,
            handle=self._handle,
            envoy=envoy_side,
            gossip=self.gossip.shell,
            registry=self._metrics.registry,
        )
        self._join_mesh()

    def _made_node(self, builder: Callable[[], Builder]) -> Node:
        """The core, with what a former run left on disk."""
        before = self._last_good
        node = Node(
            self._settings.node,
            self._facts.contexts(),
            lambda _: builder(),
            memory=before.memory,
            is_judged=before.is_judged,
            kept=before.kept,
            addresses=self._dns.addresses,
        )
        node.preload(before.names)
        return node

    def _made_answers(self, traffic: Traffic) -> NodeAnswers:
        return NodeAnswers(
            settings=self._settings,
            node=self._node,
            sources=self.sources,
            driver=self._driver,
            envoy=self._envoy,
            registrar=self._registrar,
            secrets=self._secrets.keeper,
            last_good=self._last_good,
            measured=self._metrics,
            changed=self._changed,
            started_at_s=trio.current_time(),
            describe_gossip=self.gossip.describe,
            traffic=traffic.text,
        )

    def _join_mesh(self) -> None:
        """Make the answers speak for the whole mesh where this host gossips."""
        whole_mesh = self.answers.whole_mesh
        if self.gossip.shell is None:
            whole_mesh.wide.off = self.gossip.off
        else:
            whole_mesh.wide.join(self.gossip.shell)
            self.gossip.shell.listen(self._metrics.gossip)
        whole_mesh.ejection = self._outlier

    # -- life -----------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; `started` once Envoy could connect and the last known good is loaded."""
        load_models()
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                if self._last_good.refused:
                    log.warning("last_known_good_refused", reason=self._last_good.refused)
                await nursery.start(self._dns.run)
                self._outlier.recall()
                # Before anything is built: an identity that comes later changes every cluster.
                self._secrets.want(self._node.identity_secrets)
                self._load_last_good()
                self._envoy_side.listen(self)
                nursery.start_soon(self._outlier.run)
                self.sources.begin()
                nursery.start_soon(self.sources.run)
                nursery.start_soon(self.gossip.run, self._held_alive, self._grace_s)
                if self._seed is not None and not self._envoy_side.is_open:
                    await catch_up(lambda: self.sources.status, self._has_heard_others)
                await nursery.start(self._envoy_side.run)
                nursery.start_soon(self._envoy_side.renew, self.wait_ready)
                nursery.start_soon(self._last_good.run, self._cache_failed)
                nursery.start_soon(self._alarm.run)
                nursery.start_soon(judge_the_rest, self.wait_ready, self._node, self._handle)
                nursery.start_soon(self._secrets.run)
                nursery.start_soon(
                    watch_successes, self._envoy_side.admin, self._node, self._answered
                )
                nursery.start_soon(self._envoy.learn_versions, self._envoy_side.admin)
                nursery.start_soon(self.answers.whole_mesh.wide.run)
                nursery.start_soon(self._own_workloads.readiness.run)
                if self._settings.registration.enabled and self._has_what_to_register():
                    nursery.start_soon(self._own_workloads.register)
                task_status.started()
        finally:
            self._client.close()

    def _load_last_good(self) -> None:
        seed = self._seed
        with self._collection.paused(0 if seed is None else len(seed)):
            if seed is not None:
                self._handle(SnapshotArrived(seed, Source.DISK))
                log.info("last_known_good_loaded", revision=seed.revision)

    def _has_heard_others(self) -> bool:
        return self._node.source in (Source.ETCD, Source.PEERS)

    async def wait_ready(self) -> None:
        """Return when a configuration is in force in Envoy."""
        await self._changed.until(self.answers.is_ready)

    async def stay(self) -> None:
        """Prepare for the end of this process alone: Envoy serves on, the registration stays until its lease ends."""
        await self._last_good.flush()

    async def withdraw(self, drain_s: float) -> None:
        """Take the registration back in steps, so that peers stop asking; does nothing the second time."""
        await self._registrar.withdraw(partial(trio.sleep, min(PEERS_HEAR_S, drain_s)))

    async def end(self, drain_s: float) -> None:
        """Leave for good: withdraw, let requests in flight finish for at most `drain_s`, end Envoy."""
        await self.withdraw(drain_s)
        await self.gossip.leave()
        await self._last_good.flush()
        if self._envoy_side.process is not None:
            await self._envoy_side.process.stop(drain_s)

    def _has_what_to_register(self) -> bool:
        return bool(self._settings.workloads or self.gossip.address)

    def _takes_requests(self) -> bool:
        return self._own_workloads.are_served(
            self._driver.view(), is_connected=self._envoy.connected
        )

    # -- events ---------------------------------------------------------------------------------

    def _take(self, snapshot: Snapshot, source: Source) -> None:
        """There is a newer snapshot, from etcd or peers."""
        label = f"{snapshot.epoch}@{snapshot.revision}"
        self._convergence.arrived(label, trio.current_time())
        with self._collection.paused(len(snapshot)), self._metrics.compile_seconds.time():
            self._handle(SnapshotArrived(snapshot, source))

    def _source_changed(self) -> None:
        self._changed.ring()

    def reported(self, report: Report) -> None:
        """The session's word (`sidecar.agent.envoy_side.Listener`)."""
        match report:
            case InForce():
                self._envoy.is_current = True
                self._handle(EnvoyInForce(report.label))
                self._came_in_force(report.label)
            case ResourceRejected():
                self._handle(EnvoyRejected(report))
            case AskVirtualHosts():
                self._handle(EnvoyAsked(report.names))
                self._last_good.names = self._node.builder.given_names()
            case StreamOpened():
                self._envoy.opened(report.stream)
            case StreamClosed():
                self._envoy.closed(report.stream)
        self._changed.ring()

    def observed(self, said: SessionEvent | SessionEffect) -> None:
        """All that the session hears and says."""
        now_s = trio.current_time()
        self._metrics.dialogue(said, now_s)
        self._node.suspects.observe(said, now_s)
        self._changed.ring()

    def _came_in_force(self, label: str) -> None:
        for took_s in self._convergence.in_force(label, trio.current_time()):
            self._metrics.convergence_seconds.observe(took_s)

    def _answered(self, hosts: frozenset[str]) -> None:
        self._handle(HostsAnswered(hosts))

    def _held_alive(self, hosts: frozenset[str]) -> None:
        self._handle(HostsHeldAlive(hosts))

    def _grace_s(self) -> float:
        mesh = self._node.mesh
        return math.inf if mesh is None else mesh.config.registration.grace_period

    def loads_reported(self, report: LoadReported) -> None:
        """Envoy reported load; it is only noted here."""
        self._outlier.loads_reported(report)

    def process_event(self, event: EnvoyEvent) -> None:
        """Envoy's process started or ended."""
        if isinstance(event, EnvoyStarted) and not event.adopted:
            self._handle(EnvoyForgot())
        self._envoy.note(event, trio.current_time())
        if isinstance(event, EnvoyExited):  # the next one begins without what this one crashed on
            self._handle(EnvoyEnded(event.status))
        self._changed.ring()

    def _secrets_read(
        self, materials: Mapping[SecretSource, Material], broken: frozenset[SecretSource]
    ) -> None:
        self._handle(SecretsRead(materials, broken))
        held = (one for one in self._node.contexts if one.identity and one.identity.is_held)
        secured = frozenset(context.name for context in held)
        if self._facts.secure(secured):
            self._own_workloads.say()

    def _cache_failed(self, reason: str) -> None:
        self._metrics.cache_failures.inc()
        log.error("last_known_good_not_written", reason=reason)

    def _handle(self, event: Event) -> None:
        effects = self._node.handle(event, trio.current_time())
        self._dns.follow(self._node.views)
        self._perform(effects)
        if isinstance(event, SnapshotArrived):
            self.gossip.follow(self._node.catalog, self._node.mesh)
            self.sources.follow()
            if self._own_workloads.follow(self._node.mesh) and self._nursery is not None:
                self._nursery.start_soon(self._own_workloads.say_when_served)
        self._outlier.held_changed()
        if self._node.deadline() != self._alarm.at_s:
            self._alarm.look_again()
        self._changed.ring()

    def _perform(self, effects: Iterable[Effect]) -> None:
        assert self._nursery is not None
        for effect in effects:
            match effect:
                case Desire():
                    self._driver.desire(effect.change)
                case LookUp():
                    self._nursery.start_soon(self._look_up, effect)
                case KeepLastGood():
                    self._last_good.keep(
                        effect.snapshot, effect.memory, effect.kept, is_judged=effect.is_judged
                    )
                case CompareRegistration():
                    self._registrar.compare(effect.entry, effect.revision)
                case SiblingsChanged():
                    write_siblings(self._settings, effect.text)
                case ParticipantsChanged():
                    self._outlier.follow(effect)
                case WantSecrets():
                    self._secrets.want(effect.sources)
                case Transition():
                    getattr(log, effect.level)(effect.event, **effect.facts)

    async def _look_up(self, effect: LookUp) -> None:
        answer = await look_up(self._client, effect.recall)
        self._handle(LookedUp(effect.recall, answer))
