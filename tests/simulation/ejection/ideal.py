"""An ideal observer to measure against: it sees all outcomes at once, and knows who is really sick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.outlier.events import EndpointName, Imposed

if TYPE_CHECKING:
    from tests.simulation.ejection.mesh import Mesh

__all__ = ["Ideal"]

STEP_S = 0.01


class Ideal:
    """Takes an endpoint out everywhere as soon as enough hosts have failed enough, back in as soon as it is well.

    The thresholds are the policy's (2 or 3 hosts with 2 failures in a row); there is no hold-off, no poll, no way to
    go, and no mistake: only endpoints that fail for everybody are taken, as many as the cap allows.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._out: dict[EndpointName, Imposed] = {}

    def start(self) -> None:
        """Look from now on."""
        self._mesh.world.at(self._mesh.world.now_s, self._look)

    def _look(self) -> None:
        mesh = self._mesh
        mesh.world.at(mesh.world.now_s + STEP_S, self._look)
        out: dict[EndpointName, Imposed] = {}
        if any(f.meets("", mesh.now_s) for f in mesh.setup.faults if f.observers is None):
            for host in mesh.hosts.values():
                for cluster in host.clusters.values():
                    cluster.advance(mesh.world.now_s)
            for d in range(len(mesh.destinations)):
                out |= self._of_destination(d)
        if out != self._out:
            self._out = out
            for host in mesh.hosts.values():
                mesh.impose(host, out)

    def _of_destination(self, d: int) -> dict[EndpointName, Imposed]:
        mesh = self._mesh
        policy = mesh.setup.policy
        quorum = policy.quorum or (2 if len(mesh.hosts) < 10 else 3)
        sick = {
            e
            for fault in mesh.setup.faults
            if fault.observers is None
            and fault.destination in (None, d)
            and fault.share >= 0.5
            and fault.meets("", mesh.now_s)
            for e in fault.endpoints
        }
        name, places = mesh.destinations[d], mesh.places[d]
        out: dict[EndpointName, Imposed] = {}
        for e in sorted(sick):
            accusers = sum(
                host.clusters[name].endpoints[e].run >= policy.failures
                or host.clusters[name].endpoints[e].ejected_at_s is not None
                for host in mesh.hosts.values()
            )
            key = (name, places[e])
            room = (len(out) + 1) / len(places) <= policy.max_ejection_share or not out
            if room and (key in self._out or accusers >= quorum):
                out[key] = Imposed.EJECTED
        return out
