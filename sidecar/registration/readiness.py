"""Whether a workload is ready, from the answers of its probe: thresholds and pauses, no clock and no socket.

    UNKNOWN ──success × successThreshold──> READY ──failure × failureThreshold──> UNREADY ──success × ...──> READY

A workload counts as not ready until its probe has succeeded often enough: peers send nothing to an application that
nobody has seen answer. Numbers and defaults are those of Istio's agent (pkg/istio-agent/health/health_check.go,
fillInDefaults).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from store.objects.workload_group import ReadinessProbe

__all__ = ["ProbeAnswered", "ProbeTimes", "Readiness", "ReadinessChanged", "State"]


@dataclass(frozen=True, slots=True)
class ProbeTimes:
    """How often is probed and what it takes to change the verdict."""

    initial_delay_s: float = 0.0
    timeout_s: float = 1.0
    """How long one probe may take."""
    period_s: float = 10.0
    """From the beginning of one probe to that of the next."""
    success_threshold: int = 1
    """Successes in a row until ready."""
    failure_threshold: int = 1
    """Failures in a row until not ready."""

    @classmethod
    def of(cls, probe: ReadinessProbe) -> ProbeTimes:
        """The times that a group's probe asks for; what it leaves out, or gives as 0, is the default."""
        return cls(
            initial_delay_s=float(probe.initial_delay_seconds or 0),
            timeout_s=float(probe.timeout_seconds or 1),
            period_s=float(probe.period_seconds or 10),
            success_threshold=probe.success_threshold or 1,
            failure_threshold=probe.failure_threshold or 1,
        )


class State(StrEnum):
    """What is known of the workload."""

    UNKNOWN = "unknown"
    """Not probed often enough yet; counts as not ready."""
    READY = "ready"
    UNREADY = "unready"


@dataclass(frozen=True, slots=True)
class ProbeAnswered:
    """One probe ended."""

    reason: str = ""
    """Why it failed; empty where it succeeded."""


@dataclass(frozen=True, slots=True)
class ReadinessChanged:
    """The verdict is another one."""

    is_ready: bool
    reason: str
    """Why it is not ready; empty where it is."""


class Readiness:
    """See the module's text. One per workload and probe.

    Args:
        times: Thresholds and pauses.
        now_s: When watching begins, monotonic seconds.
    """

    def __init__(self, times: ProbeTimes, now_s: float) -> None:
        self._times = times
        self._next_s = now_s + times.initial_delay_s
        self._in_a_row = 0
        self._last_failed = False
        self.state = State.UNKNOWN
        """What is known by now."""
        self.reason = "its probe has not succeeded yet"
        """Why it is not ready; empty where it is."""

    def deadline(self) -> float:
        """When the next probe is due, monotonic seconds."""
        return self._next_s

    def handle(self, event: ProbeAnswered, began_s: float) -> list[ReadinessChanged]:
        """Take the answer of one probe.

        Args:
            event: How it ended.
            began_s: When it began.
        """
        self._next_s = began_s + self._times.period_s
        failed = bool(event.reason)
        self._in_a_row = self._in_a_row + 1 if failed is self._last_failed else 1
        self._last_failed = failed
        if failed:
            return self._failed(event.reason)
        if self.state is State.READY or self._in_a_row < self._times.success_threshold:
            return []
        self.state, self.reason = State.READY, ""
        return [ReadinessChanged(True, "")]

    def _failed(self, reason: str) -> list[ReadinessChanged]:
        if self.state is not State.READY:
            self.reason = reason
        if self.state is State.UNREADY or self._in_a_row < self._times.failure_threshold:
            return []
        self.state, self.reason = State.UNREADY, reason
        return [ReadinessChanged(False, reason)]
