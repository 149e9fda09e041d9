"""The observer: counts of our own Envoy's requests become what we think of each endpoint.

First-hand outcomes only: an endpoint that our Envoy has ejected, or that we keep requests from, keeps what was
thought of it. Knows nothing of other hosts; `sidecar.outlier.telling` decides which of it the mesh is told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from sidecar.outlier.events import EndpointName
from sidecar.outlier.evidence_codec import EPISODE_MAX
from sidecar.outlier.model import (
    Destination,
    DestinationFacts,
    EjectionPolicy,
    EndpointFact,
    Outcomes,
    Place,
    Row,
    RowClass,
)
from sidecar.outlier.sight import TRIAL_SUCCESSES, Phase, Sight
from sidecar.outlier.windows import failures_of

__all__ = ["ACTIVE_S", "Observer"]

ACTIVE_S = 60.0
"""A destination without attempts for so long is not one that we use; an accusation without attempts for so long,
although requests may go there, is dropped."""

_LOOK_S_MAX = 1.0
"""Looks are at most so far apart while there is traffic; with none, the one before may be long ago."""
_BASE_HALF_LIFE_S = 60.0
_BASE_ERRORS = 0.02
_BASE_FAILURES_MIN = 3.0
_CAREFUL_FAILURES = 3
_SICK_DESTINATIONS = 2
_SICK_SHARE = 0.5


@dataclass(slots=True)
class _Use:
    """How we fare with a destination as a whole."""

    last_attempt_s: float = -math.inf
    base_ok: float = 0.0
    base_failures: float = 0.0
    """Failures that a success followed: errors of everyday."""
    counted_s: float = 0.0

    def add(self, ok: int, failures: int, now_s: float) -> None:
        faded = 0.5 ** (max(0.0, now_s - self.counted_s) / _BASE_HALF_LIFE_S)
        self.base_ok = self.base_ok * faded + ok
        self.base_failures = self.base_failures * faded + failures
        self.counted_s = now_s


@dataclass(slots=True)
class _Level:
    """The level at which an endpoint was ejected last."""

    level: int
    failed_trials: int
    """Of that ejection."""
    healthy_since_s: float


class Observer:
    """What this host thinks of the endpoints that it uses."""

    def __init__(self) -> None:
        self._facts: Mapping[Destination, DestinationFacts] = {}
        self._places: dict[EndpointName, EndpointFact] = {}
        self._sights: dict[EndpointName, Sight] = {}
        self._bad: set[EndpointName] = set()
        self._uses: dict[Destination, _Use] = {}
        self._levels: dict[EndpointName, _Level] = {}
        self._locally: frozenset[EndpointName] = frozenset()
        self._settling: dict[EndpointName, float] = {}
        self._last_look_s = -math.inf

    def learn_facts(self, facts: Mapping[Destination, DestinationFacts]) -> None:
        """The destinations that take part. What is no more, or another workload now, is forgotten."""
        self._facts = facts
        self._places = {
            (destination, endpoint.place): endpoint
            for destination, found in facts.items()
            for endpoint in found.endpoints
        }
        for name in [name for name, sight in self._sights.items() if self._is_other(name, sight)]:
            del self._sights[name]
            self._bad.discard(name)
            self._levels.pop(name, None)
            self._settling.pop(name, None)
        self._uses = {one: use for one, use in self._uses.items() if one in facts}
        self._levels = {name: level for name, level in self._levels.items() if name in self._places}

    def count(self, outcomes: Mapping[EndpointName, Outcomes], now_s: float) -> set[EndpointName]:
        """Take in a look; the endpoints whose row may be another one now."""
        began_s = max(self._last_look_s, now_s - _LOOK_S_MAX)
        self._last_look_s = now_s
        settling = {
            name for name, since_s in self._settling.items() if now_s - since_s < _LOOK_S_MAX
        }
        self._settling.clear()
        touched = set()
        for name, found in outcomes.items():
            if name not in self._places or name in self._locally or name in settling:
                continue
            if found.ok + failures_of(found) <= 0:
                continue
            sight = self._sight(name)
            if sight.phase is not Phase.HELD:
                self._count_one(name, sight, found, began_s, now_s)
                touched.add(name)
        return touched

    def learn_local(self, ejected: frozenset[EndpointName], now_s: float) -> set[EndpointName]:
        """What our own Envoy's detector has ejected. What ends there was begun before, and says nothing.

        In the middle of a trial that has failed once, Envoy's giving up is the second failure: it sends nothing more,
        so another would not come, and each further host would try it in its turn.

        Returns:
            The endpoints whose row is another one now.
        """
        failed = set()
        for name in self._locally ^ ejected:
            self._settling[name] = now_s
            sight = self._sights.get(name)
            if sight is None:
                continue
            sight.last_attempt_s = now_s
            if name in ejected and sight.phase is Phase.TRYING and sight.run:
                sight.accuse(now_s, self._episode(name, now_s), self._failed_trials(name))
                self._bad.add(name)
                failed.add(name)
        self._locally = ejected
        return failed

    def learn_phase(self, name: EndpointName, phase: Phase, now_s: float) -> None:
        """How outcomes of an endpoint are to be read from now on."""
        sight = self._sights.get(name)
        if sight is None:
            if phase is Phase.FREE or name not in self._places:
                return
            sight = self._sight(name)
        if sight.phase is not phase:
            if Phase.HELD in (sight.phase, phase):
                self._settling[name] = now_s
            sight.enter(phase, now_s)

    def learn_level(self, name: EndpointName, level: int, failed_trials: int, now_s: float) -> None:
        """The mesh has it ejected at this level: the next ejection is one above, less what it forgets in health."""
        if name in self._places:
            self._levels[name] = _Level(level, failed_trials, now_s)

    def forget_levels(self, cleared_s: Callable[[Destination, Place], float]) -> None:
        """Forget ejections that ended before an operator cleared the endpoint; `cleared_s` says when, -inf: never."""
        self._levels = {
            name: level
            for name, level in self._levels.items()
            if level.healthy_since_s > cleared_s(*name)
        }

    def phase(self, name: EndpointName) -> Phase:
        """How outcomes of an endpoint are read."""
        sight = self._sights.get(name)
        return Phase.FREE if sight is None else sight.phase

    def retire(self, name: EndpointName, now_s: float, *, even_local: bool = False) -> bool:
        """Our accusation is answered; whether there was one that ends by it.

        One that our own Envoy shares stays, unless an operator wants it gone (`even_local`).
        """
        sight = self._sights.get(name)
        if sight is None or sight.row_class is not RowClass.BAD:
            return False
        if name in self._locally and not even_local:
            return False
        sight.retire(now_s)
        self._bad.discard(name)
        return True

    def drop_silent(self, now_s: float) -> set[EndpointName]:
        """Drop accusations that nothing has renewed although requests may go there."""
        over = {name for name, due_s in self._silent() if due_s <= now_s}
        for name in over:
            self._sights[name].retire(now_s)
            self._bad.discard(name)
        return over

    def deadline(self) -> float | None:
        """When `drop_silent` has something to drop."""
        return min((due_s for _, due_s in self._silent()), default=None)

    def row(self, name: EndpointName, now_s: float) -> Row | None:
        """What we could say of an endpoint; None where we do not use its destination, or do not know it."""
        destination, place = name
        fact = self._places.get(name)
        if fact is None:
            return None
        sight = self._sights.get(name)
        if sight is not None and sight.row_class is RowClass.BAD:
            return sight.row(destination, place, now_s)
        use = self._uses.get(destination)
        if use is None or now_s - use.last_attempt_s > ACTIVE_S:
            return None
        if sight is None:
            return Row(destination, place, fact.generation, RowClass.NEUTRAL)
        sight.classify(now_s)
        return sight.row(destination, place, now_s)

    def accused(self) -> set[EndpointName]:
        """The endpoints that we think BAD."""
        return set(self._bad)

    def is_sick(self, now_s: float, agreed: Iterable[EndpointName]) -> bool:
        """Whether it is probably our own fault: failures at several destinations, half of all that we talk to.

        Args:
            now_s: The time.
            agreed: Endpoints that the mesh ejects: that they fail is no fault of ours.
        """
        bad = self._bad.difference(agreed)
        if len({destination for destination, _ in bad}) < _SICK_DESTINATIONS:
            return False
        recent = sum(
            1
            for name, sight in self._sights.items()
            if name in bad or now_s - sight.last_attempt_s <= ACTIVE_S
        )
        return len(bad) >= _SICK_SHARE * recent

    def _count_one(
        self, name: EndpointName, sight: Sight, found: Outcomes, began_s: float, now_s: float
    ) -> None:
        destination = name[0]
        use = self._uses.setdefault(destination, _Use(counted_s=now_s))
        use.last_attempt_s = now_s
        if found.ok:
            use.add(found.ok, failures_of(found) + sight.run, now_s)
        sight.count(found, began_s, now_s)
        is_bad = sight.row_class is RowClass.BAD
        if sight.phase is Phase.TRYING:
            if sight.fails_trial():
                sight.accuse(now_s, self._episode(name, now_s), self._failed_trials(name))
            elif not is_bad or sight.ok_run >= TRIAL_SUCCESSES:
                sight.classify(now_s)
        elif not sight.is_failing(self._m(destination, use)):
            # Only a success ends an accusation: after a hold the run begins anew with the first failure.
            if found.ok or not is_bad:
                sight.classify(now_s)
        elif not is_bad:
            sight.accuse(now_s, self._episode(name, now_s))
        if sight.row_class is RowClass.BAD:
            self._bad.add(name)
        else:
            self._bad.discard(name)

    def _m(self, destination: Destination, use: _Use) -> int:
        """Failures in a row until we accuse: one more where errors are everyday."""
        m = self._policy(destination).failures
        attempts = use.base_ok + use.base_failures
        if use.base_failures >= _BASE_FAILURES_MIN and use.base_failures > _BASE_ERRORS * attempts:
            return max(m, _CAREFUL_FAILURES)
        return m

    def _episode(self, name: EndpointName, now_s: float) -> int:
        """One above the level of the last ejection, less one for each base ejection time in health since."""
        last = self._levels.get(name)
        if last is None:
            return 1
        base_s = self._policy(name[0]).base_ejection_s
        level = last.level - int((now_s - last.healthy_since_s) / base_s)
        return min(EPISODE_MAX, max(0, level) + 1)

    def _failed_trials(self, name: EndpointName) -> int:
        """Trials of this ejection that had failed before, and this one."""
        last = self._levels.get(name)
        return min(EPISODE_MAX, 1 + (last.failed_trials if last else 0))

    def _policy(self, destination: Destination) -> EjectionPolicy:
        return self._facts[destination].policy

    def _sight(self, name: EndpointName) -> Sight:
        sight = self._sights.get(name)
        if sight is None:
            sight = self._sights[name] = Sight(self._places[name].generation)
        return sight

    def _is_other(self, name: EndpointName, sight: Sight) -> bool:
        fact = self._places.get(name)
        return fact is None or fact.generation != sight.generation

    def _silent(self) -> Iterator[tuple[EndpointName, float]]:
        """Accusations that may be renewed by requests, and when they are too old."""
        for name in self._bad:
            sight = self._sights[name]
            if sight.phase is Phase.FREE and name not in self._locally:
                yield name, sight.last_attempt_s + ACTIVE_S
