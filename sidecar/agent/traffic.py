"""Metrics of requests: Envoy's numbers, asked for when somebody asks us, with the labels that this host knows.

Nothing runs between two questions. The numbers of all listeners come in one answer of Envoy's admin socket, of our
statistics alone; text is taken apart and put together in a thread, since there may be thousands of lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import trio

from sidecar.agent.envoy_admin import AdminClient
from sidecar.agent.log import log
from sidecar.mesh.model import HostName
from sidecar.mesh.names import resolve
from sidecar.mesh.view import View
from sidecar.node.node import Node
from sidecar.telemetry.exposition import Reading, read, render
from sidecar.telemetry.labels import Destination, Facts, Labels, labels_of
from sidecar.telemetry.packing import unpack
from sidecar.telemetry.party import NOBODY, Party
from sidecar.telemetry.standard import METRICS, SCOPE, TCP_METRICS, Metric
from store.errors import AgentUnavailable

__all__ = ["MeshFacts", "Traffic"]

ANSWER_WITHIN_S = 5.0
"""How long Envoy may take; then a scrape has the sidecar's own metrics alone."""


class MeshFacts:
    """Implements `Facts` from settings and from what the contexts see.

    Args:
        node: The sidecar's core.
        parties: The workload that each context speaks for; its labels are those that the context has now.
    """

    def __init__(self, node: Node, parties: Mapping[str, Party]) -> None:
        self._node = node
        self._parties = parties

    def context(self, name: str) -> Party:
        """The workload that sends through the listeners of a context."""
        party, view = self._parties.get(name, NOBODY), self._node.views.get(name)
        if view is None or not party.workload:
            return party
        return Party.of(party.workload, party.namespace, view.context.labels)

    def local(self, port: str) -> Destination:
        """The local workload behind an inbound port."""
        found = self._node.builder.local_port(port)
        if found is None:
            # A port that a Sidecar opened: it is of the host's own workload.
            party = self.context(next(iter(self._parties), ""))
            return Destination(namespace=party.namespace, party=party)
        party, view = found.party, self._view("")
        if view is None or not found.service:
            return Destination(namespace=party.namespace, party=party)
        host = resolve(found.service, party.namespace, view.config.domain)
        return Destination(host, _short(host, party.namespace, view), party.namespace, "", party)

    def destination(self, context: str, host: str, subset: str) -> Destination:
        """The service of that host name as the context sees it."""
        view = self._view(context)
        service = view.destination(HostName(host)) if view is not None else None
        if view is None or service is None:
            return Destination(host=host, name=host, subset=subset)
        name = _short(host, service.namespace, view)
        labels = (view.subset_labels(service.host, subset) or {}) if subset else {}
        version = labels.get("version", "")
        party = Party(
            namespace=service.namespace,
            app=labels.get("app", ""),
            version=version,
            service=name,
            revision=version,
        )
        return Destination(host, name, service.namespace, subset, party)

    def _view(self, context: str) -> View | None:
        views = self._node.views
        return views.get(context) or next(iter(views.values()), None)


def _short(host: str, namespace: str, view: View) -> str:
    """Name of a service without its namespace and the mesh's domain; a host of elsewhere keeps its own."""
    return host.removesuffix(f".{namespace}.svc.{view.config.domain}")


class Traffic:
    """Asks one Envoy.

    Args:
        admin: Its admin interface.
        facts: What this host knows.
    """

    def __init__(self, admin: AdminClient, facts: Facts) -> None:
        self._admin = admin
        self._facts = facts
        self._failed = False

    async def text(self) -> bytes:
        """The metrics of requests and connections in Prometheus' text format; empty while Envoy does not answer."""
        with trio.move_on_after(ANSWER_WITHIN_S):
            try:
                answer = await self._admin.get(f"/stats/prometheus?filter=^{SCOPE}%5C.")
            except AgentUnavailable as problem:
                self._note_failure(problem)
                return b""
            reading = await trio.to_thread.run_sync(read, answer.decode("utf-8", "replace"))
            labels = self._labels(reading, METRICS, tcp=False)
            tcp_labels = self._labels(reading, TCP_METRICS, tcp=True)
            self._failed = False
            return await trio.to_thread.run_sync(render, reading, labels, tcp_labels)
        return b""

    def _labels(
        self, reading: Reading, metrics: Iterable[Metric], *, tcp: bool
    ) -> dict[str, Labels]:
        unpacked = ((tag, unpack(tag)) for tag in reading.tags(metrics))
        return {
            tag: labels_of(packed, self._facts, tcp=tcp)
            for tag, packed in unpacked
            if packed is not None
        }

    def _note_failure(self, problem: AgentUnavailable) -> None:
        """Once for each time that Envoy goes away."""
        if not self._failed:
            log.warning("envoy_metrics_unavailable", reason=problem.message)
        self._failed = True
