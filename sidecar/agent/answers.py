"""What the sidecar answers: status, readiness, traces, waits for a revision. Reads everything, changes nothing.

The one exception is `accept_epoch`, which passes a person's decision on to the sources.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version as installed_version
from typing import Any

import trio

from sidecar.agent.ads_driver import AdsDriver
from sidecar.agent.bell import Bell
from sidecar.agent.envoy_watch import EnvoyWatch
from sidecar.agent.last_good import LastGood
from sidecar.agent.mesh_answers import MeshAnswers
from sidecar.agent.mesh_wide import MeshWide
from sidecar.agent.metrics import Metrics
from sidecar.agent.own_standing import own_standing
from sidecar.agent.pages import Query
from sidecar.agent.registrar import Registrar
from sidecar.agent.secret_answers import certificate_troubles, identities, secrets_answer
from sidecar.agent.settings import SidecarSettings
from sidecar.agent.sources import Sources
from sidecar.agent.tracing import endpoints_answer, trace_answer
from sidecar.agent.wanted import Wanted
from sidecar.agent.wanted_wait import wait_for
from sidecar.certificates.keeping import Keeper
from sidecar.node.events import Source
from sidecar.node.marks import InForceMark
from sidecar.node.node import Node
from sidecar.node.status import (
    config_state,
    kept_hosts,
    mesh_counts,
    quarantined,
    refused_claims,
    rejected,
)
from sidecar.registration.record import Stage
from sidecar.standing.model import Standing
from sidecar.xds.events import ResourceRejected, SessionState, SessionView
from sidecar.xds.resource import TypeUrl

__all__ = ["NodeAnswers"]


_VERSION = installed_version("meshd")


async def _no_traffic() -> bytes:
    return b""


def _no_gossip() -> Mapping[str, Any]:
    return {"state": "off", "reason": "this sidecar was built without it"}


@dataclass(frozen=True, kw_only=True)
class NodeAnswers:
    """Implements `sidecar.agent.pages.Answers` for one sidecar."""

    settings: SidecarSettings
    """Its settings."""
    node: Node
    """Its core."""
    sources: Sources
    """etcd and peers."""
    driver: AdsDriver
    """Its session with Envoy."""
    envoy: EnvoyWatch
    """What is known of its Envoy."""
    registrar: Registrar
    """Its registration."""
    secrets: Keeper
    """Its certificates."""
    last_good: LastGood
    """Its disk."""
    measured: Metrics
    """Its metrics."""
    changed: Bell
    """Rings whenever any of these may have changed."""
    started_at_s: float
    """When the daemon began, monotonic seconds."""
    describe_gossip: Callable[[], Mapping[str, Any]] = _no_gossip
    """The `gossip` part of the status."""
    traffic: Callable[[], Awaitable[bytes]] = _no_traffic
    """Envoy's metrics of requests, in Prometheus' text format."""

    @cached_property
    def whole_mesh(self) -> MeshAnswers:
        """What it answers for the whole mesh; knows of this host only until gossip joins."""
        wide = MeshWide(self.settings.node, self.own_standing, self.changed)
        return MeshAnswers(
            wide,
            self.wait_in_force,
            self.describe_gossip,
            lambda: self.node.participants.facts,
        )

    def own_standing(self) -> Standing:
        """What is told the others of this host's configuration."""
        return own_standing(
            self.node,
            self.sources.sync(trio.current_time()),
            self._refused(self.driver.rejected),
            is_current=self._is_current(),
            version=_VERSION,
        )

    def is_ready(self) -> bool:
        """Whether Envoy serves a configuration: all of it is in force, or only clusters that cannot warm are missing.

        A cluster may warm for ever (a certificate that is not there); what starts after this host must not wait
        for it.
        """
        return self._is_current() or (self.envoy.connected and _only_warms(self.driver.view()))

    def _is_current(self) -> bool:
        return self.node.in_force is not None and self.envoy.is_current

    async def wait_in_force(self, wanted: Wanted) -> Mapping[str, Any]:
        """Return when `wanted`, or a later revision of the epoch that is followed, is in force."""
        began_s = trio.current_time()
        mark = await wait_for(wanted, self._in_force, self.changed, heard=self.sources.heard_s)
        return {
            "node": self.settings.node,
            "epoch": str(mark.snapshot.epoch),
            "revision_in_force": mark.snapshot.revision,
            "took_s": trio.current_time() - began_s,
            "quarantined": quarantined(self.node),
            "rejected": rejected(self._refused(self.driver.rejected)),
        }

    def _refused(self, by_envoy: tuple[ResourceRejected, ...]) -> tuple[ResourceRejected, ...]:
        """What Envoy refuses, and what it cannot serve because this host has no certificate for it."""
        return (*by_envoy, *certificate_troubles(self.node, self.secrets))

    def _in_force(self) -> InForceMark | None:
        """What is in force of the epoch that is followed; None while it is in doubt which one that is."""
        mark, newest = self.node.in_force, self.node.catalog.snapshot
        if mark is None or newest is None or not self._is_current():
            return None
        is_followed = mark.snapshot.epoch == newest.epoch and self.sources.held() is None
        return mark if is_followed else None

    def status(self) -> Mapping[str, Any]:
        """Everything that is known of this sidecar."""
        now_s = trio.current_time()
        mirror, held = self.sources.status, self.sources.held()
        session = self.driver.view()
        config = config_state(self.node, session, is_held=self.sources.is_held())
        source = self.sources.source(self.node.source)
        config["source"] = source.value if source is not None else "none"
        config["sync"] = self.sources.sync(now_s).value
        config["age_s"] = self._age_s(now_s)
        config["held"] = (
            None
            if held is None
            else {"cluster_id": f"{held.cluster_id:x}", "reason": held.reason, "by": held.by}
        )
        counters = mirror.counters
        return {
            "node": self.settings.node,
            "version": _VERSION,
            "pid": os.getpid(),
            "uptime_s": round(now_s - self.started_at_s, 3),
            "role": self.settings.role,
            "contexts": [
                {
                    "name": context.name,
                    "namespace": context.namespace,
                    "labels": context.labels,
                    "outbound": f"{context.outbound_bind}:{context.outbound_port}",
                }
                for context in self.settings.effective_contexts()
            ],
            "config": config,
            "store": {
                "state": mirror.state.value if self.sources.store.is_watched else "unwatched",
                "endpoints": list(self.settings.etcd.endpoints),
                "version": mirror.server_version,
                "revision": mirror.revision,
                "error": mirror.reason,
                "since_s": round(now_s - mirror.since_s, 3),
                "watches": counters.streams,
                "compactions": counters.compactions,
                "lists": counters.lists,
            },
            "envoy": self.envoy.describe(now_s),
            "rejected": rejected(self._refused(session.rejected)),
            "identities": identities(self.node, self.secrets, time.time()),
            "secrets": secrets_answer(self.node, self.secrets, now_s),
            "quarantined": quarantined(self.node),
            "registration": self._registration(now_s),
            "kept_hosts": kept_hosts(self.node, now_s),
            "refused_claims": refused_claims(self.node),
            "last_known_good": self.last_good.describe(),
            "gossip": self.describe_gossip(),
            "relay": self.sources.describe(now_s),
            **mesh_counts(self.node),
        }

    def _age_s(self, now_s: float) -> float | None:
        """Seconds since what is in force was last known to be current; None while the store is followed."""
        is_from_disk = self.node.source is Source.DISK
        return self.sources.stale_s(now_s, self.last_good.age_s() if is_from_disk else None)

    def _registration(self, now_s: float) -> Mapping[str, Any]:
        view = self.registrar.view
        left = None if view.renewed_at_s is None else view.renewed_at_s + view.ttl_s - now_s
        return {
            "state": view.state,
            "stage": self.registrar.stage.value if view.state != "off" else Stage.SERVING.value,
            "lease_s_left": None if left is None else round(left, 3),
            "workloads": self.registrar.describe(),
            "error": view.error,
        }

    def summary(self) -> str:
        """One line for `systemctl status`."""
        mark = self.node.in_force
        session = self.driver.view()
        state = config_state(self.node, session, is_held=self.sources.is_held())["state"]
        return f"revision {mark.snapshot.revision if mark else 0} in force, {state}"

    def trace(self, query: Query) -> Mapping[str, Any]:
        """Where a request would go, and why."""
        return trace_answer(self.node, query)

    def endpoints(self, host: str) -> Mapping[str, Any]:
        """Destinations of a host and their endpoints."""
        return endpoints_answer(self.node, host)

    def accept_epoch(self) -> Mapping[str, Any]:
        """Follow the store that is held as another epoch.

        Raises:
            ConflictError: Nothing is held.
        """
        held = self.sources.accept_epoch()
        return {"accepted": f"{held.cluster_id:x}", "revision": held.revision}

    async def metrics(self) -> bytes:
        """Prometheus text: the sidecar's own metrics, and Envoy's of requests."""
        return self.measured.text(self.status()) + await self.traffic()


def _only_warms(view: SessionView) -> bool:
    """Whether Envoy has answered for everything but clusters, and has listeners."""
    others = [row for type_url, row in view.types.items() if type_url is not TypeUrl.CLUSTER]
    is_settled = not any(row.pending or row.in_flight for row in others)
    is_warming = view.state is SessionState.WARMING
    return is_warming and is_settled and view.types[TypeUrl.LISTENER].held > 0
