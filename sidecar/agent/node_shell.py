"""Carries out what the node decides, and tells it what happens: the daemon's middle.

Owns the connections to etcd, Envoy and the disk of one sidecar. Everything that the node handles is handled in
trio's thread, in the call that brings it, so that a published revision is on its way to Envoy when `publish`
returns.
"""

from __future__ import annotations

import gc
import math
import os
import random
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from importlib.metadata import version as installed_version
from typing import Any

import trio

from sidecar.agent.ads_driver import AdsDriver, Report
from sidecar.agent.catch_up import catch_up
from sidecar.agent.envoy import EnvoyLaunch, EnvoyProcess, find_envoy
from sidecar.agent.envoy_admin import AdminClient
from sidecar.agent.envoy_watch import EnvoyWatch
from sidecar.agent.host_facts import HostFacts, own_address
from sidecar.agent.http_api import Query
from sidecar.agent.last_good import LastGood
from sidecar.agent.log import log
from sidecar.agent.metrics import Metrics
from sidecar.agent.recall import look_up
from sidecar.agent.registrar import Registrar
from sidecar.agent.settings import SidecarSettings
from sidecar.agent.success import watch_successes
from sidecar.agent.tracing import endpoints_answer, trace_answer
from sidecar.node.events import (
    Desire,
    Effect,
    EnvoyAsked,
    EnvoyInForce,
    EnvoyRejected,
    Event,
    HostsAnswered,
    KeepLastGood,
    LookedUp,
    LookUp,
    RegistrationMissing,
    SnapshotArrived,
    Source,
    Tick,
    Transition,
)
from sidecar.node.node import Node
from sidecar.node.status import config_state, kept_hosts, mesh_counts, quarantined, rejected
from sidecar.registration.record import Stage
from sidecar.xds.bootstrap import BootstrapSettings, bootstrap_json
from sidecar.xds.desired import Builder
from sidecar.xds.events import (
    AskVirtualHosts,
    InForce,
    ResourceRejected,
    StreamClosed,
    StreamOpened,
)
from store.errors import ConflictError, MeshError
from store.etcd.client import EtcdClient
from store.etcd.watch import MirrorTask
from store.mirror import Mirror
from store.mirror.status import MirrorState
from store.objects import model_for
from store.objects.kinds import Kind
from store.snapshot import Snapshot

__all__ = ["NodeShell"]

ADMIN_RETRY_S = 0.2
"""Pause between looks at an Envoy whose admin socket does not answer yet."""


class NodeShell:
    """One sidecar at work; implements `sidecar.agent.http_api.Answers`.

    Args:
        settings: The effective settings.
    """

    def __init__(self, settings: SidecarSettings) -> None:
        self._settings = settings
        self._run_dir = settings.run_dir / settings.node
        self._data_dir = settings.data_dir / settings.node
        facts = HostFacts(settings, own_address(settings))
        self._started_at_s = 0.0
        self._last_good = LastGood(self._data_dir, settings.etcd.prefix)
        loaded = self._last_good.load()
        builder = partial(Builder, facts.builder())
        self._node = Node(
            settings.node, facts.contexts(), lambda _: builder(), memory=self._last_good.memory
        )
        self._node.preload(self._last_good.names)
        self._seed = loaded
        self._client = EtcdClient(settings.etcd, start_at=random.randrange(1 << 16))
        start_at = random.randrange(1 << 16)
        self._mirror = MirrorTask(
            settings.etcd, Mirror(random.Random(), seed=loaded), self._publish, start_at=start_at
        )
        self._driver = AdsDriver(self._run_dir / "ads.sock", self._reported)
        self._admin = AdminClient(self._run_dir / "admin.sock")
        self._envoy = EnvoyWatch()
        self._process = self._make_process() if settings.envoy.managed else None
        self._registrar = Registrar(self._client, facts.record(), settings.registration.ttl_s)
        self._metrics = Metrics(self.status)
        self._nursery: trio.Nursery | None = None
        self._changed = trio.Event()
        self._wake = trio.Event()
        self._frozen = False
        self._arrived_at_s: dict[int, float] = {}

    def _make_process(self) -> EnvoyProcess:
        settings = self._settings
        bootstrap = BootstrapSettings(
            node_id=settings.node,
            ads_socket=str(self._run_dir / "ads.sock"),
            admin_socket=str(self._run_dir / "admin.sock"),
            locality=settings.locality_value,
            outlier_log=str(self._data_dir / "outlier.log"),
        )
        launch = EnvoyLaunch(
            binary=find_envoy(settings.envoy.path),
            run_dir=self._run_dir,
            log_file=self._data_dir / "envoy.log",
            bootstrap=bootstrap_json(bootstrap),
            admin_socket=self._run_dir / "admin.sock",
            concurrency=settings.envoy.concurrency,
            drain_time_s=settings.envoy.drain_time_s,
            log_level=settings.envoy.log_level,
        )
        return EnvoyProcess(launch, self._envoy_event)

    # -- life -----------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; `started` once Envoy could connect and the last known good is loaded."""
        self._started_at_s = trio.current_time()
        _load_models()
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                if self._seed is not None:
                    self._handle(SnapshotArrived(self._seed, Source.DISK))
                    log.info("last_known_good_loaded", revision=self._seed.revision)
                elif self._last_good.refused:
                    log.warning("last_known_good_refused", reason=self._last_good.refused)
                nursery.start_soon(self._mirror.run)
                if self._seed is not None and self._may_find_envoy():
                    await catch_up(lambda: self._mirror.status, self._has_heard_etcd)
                await nursery.start(self._driver.run)
                if self._process is not None:
                    await nursery.start(self._process.run)
                nursery.start_soon(self._last_good.run, self._cache_failed)
                nursery.start_soon(self._tick)
                nursery.start_soon(watch_successes, self._admin, self._node, self._answered)
                nursery.start_soon(self._watch_envoy_version)
                if self._settings.registration.enabled and self._settings.workloads:
                    nursery.start_soon(self._register)
                task_status.started()
        finally:
            self._client.close()

    def _may_find_envoy(self) -> bool:
        """Whether an Envoy may run already: this sidecar's last, or one that a unit of its own starts."""
        return self._process is None or self._process.is_running_already()

    def _has_heard_etcd(self) -> bool:
        return self._node.source is Source.ETCD

    async def leave(self, drain_s: float) -> None:
        """Go in order: with a drain time the registration is withdrawn and Envoy ended, else both stay."""
        if drain_s <= 0 and self._settings.on_stop == "keep":
            await self._last_good.flush()
            return
        await self._registrar.leave(partial(self._drained, drain_s))
        await self._last_good.flush()
        if self._process is not None:
            await self._process.stop(drain_s)

    async def _drained(self, drain_s: float) -> None:
        """Give peers the time to stop asking: what is in flight then is finished by Envoy's own stop."""
        await trio.sleep(min(1.0, drain_s))

    async def _register(self) -> None:
        await self.wait_ready()
        await self._registrar.run()

    async def wait_ready(self) -> None:
        """Return when a configuration is in force in Envoy."""
        while not self.is_ready():
            await self._changed.wait()

    async def _tick(self) -> None:
        while True:
            deadline = self._node.deadline()
            with trio.move_on_at(math.inf if deadline is None else deadline) as scope:
                await self._wake.wait()
            self._wake = trio.Event()
            if scope.cancelled_caught:
                self._handle(Tick())

    async def _watch_envoy_version(self) -> None:
        while True:
            await self._envoy.wait_for_new()
            learnt = False
            while not learnt:
                with suppress(MeshError):
                    self._envoy.learn(await self._admin.server_info())
                    learnt = True
                await trio.sleep(ADMIN_RETRY_S)

    # -- events ---------------------------------------------------------------------------------

    def _publish(self, snapshot: Snapshot) -> None:
        self._arrived_at_s[snapshot.revision] = trio.current_time()
        with self._metrics.compile_seconds.time():
            self._handle(SnapshotArrived(snapshot, Source.ETCD))

    def _reported(self, report: Report) -> None:
        match report:
            case InForce():
                self._handle(EnvoyInForce(report.label))
                self._came_in_force()
            case ResourceRejected():
                self._metrics.nacks.labels(report.type_url.rpartition(".")[2]).inc()
                self._handle(EnvoyRejected(report))
            case AskVirtualHosts():
                self._handle(EnvoyAsked(report.names))
                self._last_good.names = self._node.builder.given_names()
            case StreamOpened():
                self._envoy.connected = True
                log.info("envoy_connected")
            case StreamClosed():
                self._envoy.connected = False
                log.warning("envoy_disconnected")
        self._announce()

    def _came_in_force(self) -> None:
        mark = self._node.in_force
        if mark is None:
            return
        now_s = trio.current_time()
        for revision in [known for known in self._arrived_at_s if known <= mark.snapshot.revision]:
            self._metrics.convergence_seconds.observe(now_s - self._arrived_at_s.pop(revision))
        if not self._frozen:
            # The mesh is loaded: what lives now lives long. Without this a full collection walks all of it.
            self._frozen = True
            gc.collect()
            gc.freeze()

    def _answered(self, hosts: frozenset[str]) -> None:
        self._handle(HostsAnswered(hosts))

    def _envoy_event(self, event: Any) -> None:
        self._envoy.note(event, trio.current_time())
        if self._envoy.restarted:
            self._metrics.envoy_restarts.inc()
        self._announce()

    def _cache_failed(self, reason: str) -> None:
        self._metrics.cache_failures.inc()
        log.error("last_known_good_not_written", reason=reason)

    def _handle(self, event: Event) -> None:
        self._perform(self._node.handle(event, trio.current_time()))
        self._wake.set()

    def _perform(self, effects: Iterable[Effect]) -> None:
        assert self._nursery is not None
        for effect in effects:
            match effect:
                case Desire():
                    self._driver.desire(effect.change)
                case LookUp():
                    self._nursery.start_soon(self._look_up, effect)
                case KeepLastGood():
                    self._last_good.keep(effect.snapshot, effect.memory)
                case RegistrationMissing():
                    if self._registrar.view.state == "registered":
                        self._registrar.write_again()
                case Transition():
                    getattr(log, effect.level)(effect.event, **effect.facts)
        self._announce()

    async def _look_up(self, effect: LookUp) -> None:
        answer = await look_up(self._client, effect.recall)
        self._handle(LookedUp(effect.recall, answer))

    def _announce(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # -- answers --------------------------------------------------------------------------------

    def is_ready(self) -> bool:
        """Whether some configuration is in force in Envoy now."""
        return self._node.in_force is not None and self._envoy.connected

    async def wait_in_force(self, revision: int) -> Mapping[str, Any]:
        """Return when `revision` or a later one is in force."""
        began_s = trio.current_time()
        while True:
            mark = self._node.in_force
            if mark is not None and mark.snapshot.revision >= revision and self._envoy.connected:
                return {
                    "node": self._settings.node,
                    "revision_in_force": mark.snapshot.revision,
                    "took_s": trio.current_time() - began_s,
                    "quarantined": quarantined(self._node),
                }
            await self._changed.wait()

    def status(self) -> Mapping[str, Any]:
        """Everything that is known of this sidecar."""
        now_s = trio.current_time()
        mirror = self._mirror.status
        session = self._driver.view()
        config = config_state(self._node, session, is_held=mirror.state is MirrorState.HELD)
        config["age_s"] = self._age_s(now_s)
        config["held"] = (
            None
            if mirror.held is None
            else {"cluster_id": f"{mirror.held.cluster_id:x}", "reason": mirror.held.reason}
        )
        return {
            "node": self._settings.node,
            "version": installed_version("meshd"),
            "pid": os.getpid(),
            "uptime_s": round(now_s - self._started_at_s, 3),
            "role": self._settings.role,
            "contexts": [
                {
                    "name": context.name,
                    "namespace": context.namespace,
                    "labels": context.labels,
                    "outbound": f"{context.outbound_bind}:{context.outbound_port}",
                }
                for context in self._settings.effective_contexts()
            ],
            "config": config,
            "store": {
                "state": mirror.state.value,
                "endpoints": list(self._settings.etcd.endpoints),
                "version": mirror.server_version,
                "error": mirror.reason,
                "since_s": round(now_s - mirror.since_s, 3),
            },
            "envoy": self._envoy.describe(now_s),
            "rejected": rejected(session),
            "quarantined": quarantined(self._node),
            "registration": self._registration(now_s),
            "kept_hosts": kept_hosts(self._node, now_s),
            "last_known_good": self._last_good.describe(),
            **mesh_counts(self._node),
        }

    def _age_s(self, now_s: float) -> float | None:
        """Seconds since what is in force was last known to be current; None while the store is followed."""
        mirror = self._mirror.status
        if mirror.is_fresh:
            return None
        if self._node.source is Source.DISK:
            return self._last_good.age_s()
        return None if mirror.heard_s is None else round(now_s - mirror.heard_s, 3)

    def _registration(self, now_s: float) -> Mapping[str, Any]:
        view = self._registrar.view
        left = None if view.renewed_at_s is None else view.renewed_at_s + view.ttl_s - now_s
        return {
            "state": view.state,
            "stage": self._registrar.stage.value if view.state != "off" else Stage.SERVING.value,
            "lease_s_left": None if left is None else round(left, 3),
            "workloads": self._registrar.describe(),
            "error": view.error,
        }

    def summary(self) -> str:
        """One line for `systemctl status`."""
        config = self.status()["config"]
        return f"revision {config['revision_in_force']} in force, {config['state']}"

    def trace(self, query: Query) -> Mapping[str, Any]:
        """Where a request would go, and why."""
        return trace_answer(self._node, query)

    def endpoints(self, host: str) -> Mapping[str, Any]:
        """Destinations of a host and their endpoints."""
        return endpoints_answer(self._node, host)

    def accept_epoch(self) -> Mapping[str, Any]:
        """Follow the store that is held as another epoch.

        Raises:
            ConflictError: Nothing is held.
        """
        held = self._mirror.status.held
        if held is None:
            raise ConflictError(
                "no other epoch of the store is held", hint="Nothing needs to be accepted"
            )
        self._mirror.accept_epoch()
        return {"accepted": f"{held.cluster_id:x}", "revision": held.revision}

    def metrics(self) -> bytes:
        """Prometheus text."""
        return self._metrics.text()


def _load_models() -> None:
    """Build the models of all kinds now: the first change must not pay for it (some 0.3 s)."""
    for kind in Kind:
        model_for(kind)
