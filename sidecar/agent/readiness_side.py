"""Watches the readiness of local workloads: one task for each probe, and their verdicts in the registration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import trio

from sidecar.agent.log import log
from sidecar.agent.probing import ask
from sidecar.registration.readiness import ProbeAnswered, ProbeTimes, Readiness
from store.objects.workload_group import ReadinessProbe

__all__ = ["ReadinessSide"]

EXEC_IS_OFF = (
    "its WorkloadGroup has a command run as probe, and this host runs none for others: "
    "set registration.exec_probes, or probe by httpGet, tcpSocket or grpc"
)


@dataclass(slots=True)
class _Watched:
    probe: ReadinessProbe
    readiness: Readiness
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


class ReadinessSide:
    """See the module's text.

    Args:
        exec_allowed: Whether probes may run commands.
        changed: Told whenever `unready` is another set than before.
    """

    def __init__(self, *, exec_allowed: bool, changed: Callable[[], None]) -> None:
        self._exec_allowed = exec_allowed
        self._changed = changed
        self._watched: dict[str, _Watched] = {}
        self._nursery: trio.Nursery | None = None

    @property
    def unready(self) -> frozenset[str]:
        """Workloads that are not ready."""
        return frozenset(name for name, one in self._watched.items() if one.readiness.reason)

    def reason(self, workload: str) -> str:
        """Why a workload is not ready; empty where it is, or is not probed."""
        watched = self._watched.get(workload)
        return watched.readiness.reason if watched is not None else ""

    def follow(self, probes: Mapping[str, ReadinessProbe]) -> None:
        """Watch these workloads from now on, by name; a probe that did not change goes on as it is."""
        for name in [n for n, one in self._watched.items() if probes.get(n) != one.probe]:
            self._watched.pop(name).scope.cancel()
        for name, probe in probes.items():
            if name not in self._watched:
                readiness = Readiness(ProbeTimes.of(probe), trio.current_time())
                self._watched[name] = watched = _Watched(probe, readiness)
                if probe.exec is not None and not self._exec_allowed:
                    readiness.reason = EXEC_IS_OFF
                    log.error("probe_refused", workload=name, reason=EXEC_IS_OFF)
                elif self._nursery is not None:
                    self._nursery.start_soon(self._watch, name, watched)

    async def run(self) -> None:
        """Probe until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for name, watched in self._watched.items():
                if watched.probe.exec is None or self._exec_allowed:
                    nursery.start_soon(self._watch, name, watched)
            await trio.sleep_forever()

    async def _watch(self, name: str, watched: _Watched) -> None:
        times = ProbeTimes.of(watched.probe)
        with watched.scope:
            while True:
                await trio.sleep_until(watched.readiness.deadline())
                began_s = trio.current_time()
                reason = await ask(watched.probe, times.timeout_s)
                for change in watched.readiness.handle(ProbeAnswered(reason), began_s):
                    write = log.info if change.is_ready else log.warning
                    write(
                        "readiness_changed", workload=name, is_ready=change.is_ready, reason=reason
                    )
                    self._changed()
