"""What this host has seen of one endpoint: from counts of looks to a class.

    run      failures since the last look that held a success; time does not end it
    BAD      run >= m, or of the last two looks with attempts (five attempts or more) 85 % failed
    CLEAR    the last look held successes only, or few failures, and of the window less than 30 % failed
    NEUTRAL  anything else

A look is a difference of counters: the order within it is not known, so a success in it ends the run. Times are on
the safe side of it: a success counts from the beginning of its look (it may be older than we know), an accusation
from its end. The rule is step 1 of docs/ejection.md; looks instead of single requests, as Envoy counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.outlier.evidence_codec import OK_RUN_MAX
from sidecar.outlier.model import Destination, Outcomes, Place, Row, RowClass
from sidecar.outlier.windows import Window, failures_of, total

__all__ = ["TRIAL_FAILURES", "TRIAL_SUCCESSES", "Phase", "Sight"]

TRIAL_FAILURES = 2
"""Failures in a row that fail a trial: one may be chance."""
TRIAL_SUCCESSES = 3
"""Successes in a row with which one observer has passed its trial."""

_RATIO_ATTEMPTS = 5
_RATIO_BAD = 0.85
_RATIO_CLEAR = 0.3
_NEVER = -math.inf


class Phase(StrEnum):
    """How outcomes of an endpoint are to be read."""

    FREE = "free"
    """Requests go to it as usual."""
    HELD = "held"
    """None should go to it: what still ends was begun before and says nothing."""
    TRYING = "trying"
    """We are among those who try whether it has recovered."""


@dataclass(slots=True)
class Sight:
    """One endpoint as this host sees it."""

    generation: int
    """The workload that it was all seen of."""
    phase: Phase = Phase.FREE
    phase_since_s: float = _NEVER
    row_class: RowClass = RowClass.NEUTRAL
    run: int = 0
    last_attempt_s: float = _NEVER
    """Or when requests were let to it again."""
    last_ok_s: float = _NEVER
    ok_run: int = 0
    first_failure_s: float = _NEVER
    since_s: float = _NEVER
    accused_s: float = _NEVER
    episode: int = 0
    failed_trials: int = 0
    _good_since_s: float = _NEVER
    _run_began_s: float = _NEVER
    _run_counts: Outcomes = field(default_factory=Outcomes)
    """Since the run began; of a BAD row what it says."""
    _looks: list[tuple[float, Outcomes]] = field(default_factory=list)
    """The last two with attempts, and when they began."""
    _window: Window = field(default_factory=Window)

    def count(self, outcomes: Outcomes, began_s: float, now_s: float) -> None:
        """Take in a look with attempts. What it means is decided by `classify`."""
        failures = failures_of(outcomes)
        self.last_attempt_s = now_s
        self._window.add(outcomes, now_s)
        self._looks = [*self._looks[-1:], (began_s, outcomes)]
        if not outcomes.ok:
            self.ok_run = 0
            if not self.run:
                self._run_began_s = began_s
                self._run_counts = Outcomes()
            self.run += failures
            self._run_counts = total(self._run_counts, outcomes)
            return
        self.last_ok_s = max(began_s, self.last_ok_s)
        if self._good_since_s == _NEVER:
            self._good_since_s = now_s
        self.run = 0
        few = failures < _RATIO_CLEAR * (failures + outcomes.ok)
        self.ok_run = min(OK_RUN_MAX, self.ok_run + outcomes.ok) if few else 0

    def fails_trial(self) -> bool:
        """Whether the last look ends a trial badly: failures in a row, or half of it and more than one."""
        if self.run >= TRIAL_FAILURES:
            return True
        last = self._looks[-1][1] if self._looks else Outcomes()
        failures = failures_of(last)
        return failures >= TRIAL_FAILURES and failures >= last.ok

    def is_failing(self, m: int) -> bool:
        """Whether it is BAD by its looks alone."""
        return self.run >= m or self._mostly_fails()

    def accuse(self, now_s: float, episode: int, failed_trials: int = 0) -> None:
        """It becomes BAD; or, BAD already, its trial failed."""
        if self.row_class is not RowClass.BAD:
            self.row_class = RowClass.BAD
            self.since_s = now_s
            self._good_since_s = _NEVER
            self.episode = episode
            self.first_failure_s = min(now_s, self._failing_since_s())
            if not self.run:
                self._run_counts = total(*(counts for _, counts in self._looks))
        self.accused_s = now_s
        self.failed_trials = failed_trials

    def classify(self, now_s: float) -> None:
        """It is not BAD: by its window it is CLEAR or NEUTRAL."""
        self.since_s = self.accused_s = self.first_failure_s = _NEVER
        self.episode = self.failed_trials = 0
        counts = self._window.counts(now_s)
        if self.phase == Phase.TRYING and self.ok_run < TRIAL_SUCCESSES:
            self.row_class = RowClass.NEUTRAL
            return
        failures = failures_of(counts)
        good = counts.ok and not self.run and failures < _RATIO_CLEAR * (failures + counts.ok)
        self.row_class = RowClass.CLEAR if good else RowClass.NEUTRAL
        if good:
            self.since_s = self._good_since_s

    def retire(self, now_s: float) -> None:
        """Its accusation is answered, or too old: begin anew. Successes of late stay: they are part of the answer."""
        self.run = 0
        self._run_counts = Outcomes()
        self._looks = []
        self._window.clear()
        self.classify(now_s)

    def enter(self, phase: Phase, now_s: float) -> None:
        """Outcomes are to be read in another way from now on."""
        if phase == self.phase:
            return
        if self.phase == Phase.HELD:
            self.run = self.ok_run = 0
            self._good_since_s = _NEVER
            self._looks = []
            self._window.clear()
            self.last_attempt_s = now_s
        self.phase = phase
        self.phase_since_s = now_s

    def row(self, destination: Destination, place: Place, now_s: float) -> Row:
        """What we could say of it."""
        bad = self.row_class is RowClass.BAD
        counts = self._run_counts if bad else self._window.counts(now_s)
        return Row(
            destination,
            place,
            self.generation,
            self.row_class,
            ok=counts.ok,
            external=counts.external,
            gateway=counts.gateway,
            local=counts.local,
            first_failure_s=self.first_failure_s,
            accused_s=self.accused_s,
            last_ok_s=self.last_ok_s,
            ok_run=self.ok_run,
            episode=self.episode,
            since_s=self.since_s,
            failed_trials=self.failed_trials,
        )

    def _mostly_fails(self) -> bool:
        counts = total(*(counts for _, counts in self._looks))
        failures = failures_of(counts)
        attempts = failures + counts.ok
        return attempts >= _RATIO_ATTEMPTS and failures >= _RATIO_BAD * attempts

    def _failing_since_s(self) -> float:
        if self.run:
            return self._run_began_s
        return self._looks[0][0] if self._looks else math.inf
