"""What our own Envoy is told: the mesh's judgements, our part in trials, our own Envoy's ejections counted in.

The judgement is the mesh's; this is one host's way to carry it out. Endpoints that our Envoy has ejected by itself
count against the caps, so that both together leave the destination usable; whoever fell last is given up first.
After a passed trial hosts return one after the other within some seconds: the endpoint may be cold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.outlier.caps import caps
from sidecar.outlier.decision import Judgement
from sidecar.outlier.events import EndpointName, Imposed
from sidecar.outlier.hashing import fraction, stable_hash
from sidecar.outlier.model import Destination, DestinationFacts, Place
from sidecar.outlier.phases import CAUTION_S
from sidecar.outlier.sight import Phase
from sidecar.outlier.view import JudgementState, Reason

__all__ = ["RETURN_S", "Imposing"]

RETURN_S = 3.0
"""Time over which hosts return to an endpoint that has passed its trial."""


@dataclass(frozen=True, slots=True)
class _Held:
    imposed: Imposed | None
    """None: we try it, with all our requests."""
    phase: Phase
    on_trial: bool = False
    """By others, if not by us."""


class Imposing:
    """What is imposed on our Envoy.

    Args:
        node: This host.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._held: dict[EndpointName, _Held] = {}
        self._returns_s: dict[EndpointName, float] = {}
        self._capped: set[EndpointName] = set()

    def carry_out(
        self,
        destination: Destination,
        facts: DestinationFacts | None,
        judged: Mapping[Place, Judgement],
        locally: frozenset[EndpointName],
        now_s: float,
    ) -> dict[EndpointName, Phase]:
        """Take over the judgements of one destination.

        Args:
            destination: Which destination.
            facts: Its endpoints; None: it takes no part any more.
            judged: What the mesh makes of them.
            locally: What our own Envoy has ejected.
            now_s: The time.

        Returns:
            The endpoints of it that we see in another phase now.
        """
        before = {name: held for name, held in self._held.items() if name[0] == destination}
        after: dict[EndpointName, _Held] = {}
        known = {endpoint.place for endpoint in facts.endpoints} if facts else set()
        for name in before.keys() | {(destination, place) for place in judged}:
            if name[1] not in known:
                self._returns_s.pop(name, None)
                continue
            held = self._one(name, judged.get(name[1]), before.get(name), now_s)
            if held is not None:
                after[name] = held
        self._capped = {name for name in self._capped if name[0] != destination}
        if facts is not None:
            self._trim(destination, facts, judged, after, locally)
        for name in before:
            self._held.pop(name, None)
        self._held.update(after)
        phases = {}
        for name in before.keys() | after.keys():
            old = before[name].phase if name in before else Phase.FREE
            new = after[name].phase if name in after else Phase.FREE
            if old is not new:
                phases[name] = new
        return phases

    def imposed(self) -> dict[EndpointName, Imposed]:
        """All that is imposed."""
        return {name: held.imposed for name, held in self._held.items() if held.imposed is not None}

    def destinations(self) -> set[Destination]:
        """Destinations of which something is imposed or tried."""
        return {destination for destination, _ in self._held}

    def is_capped(self, name: EndpointName) -> bool:
        """Whether it is spared here, because our own Envoy has others ejected."""
        return name in self._capped

    def deadline(self, destination: Destination) -> float | None:
        """When we return to an endpoint of this destination next."""
        due = [at_s for name, at_s in self._returns_s.items() if name[0] == destination]
        return min(due, default=None)

    def _one(
        self, name: EndpointName, judgement: Judgement | None, before: _Held | None, now_s: float
    ) -> _Held | None:
        if judgement is not None and judgement.is_ejected:
            self._returns_s.pop(name, None)
            on_trial = judgement.state is JudgementState.TRIAL
            if on_trial:
                starts_s = judgement.trial.starts_s(self._node)
                if starts_s <= now_s:
                    careful = now_s < starts_s + CAUTION_S
                    return _Held(Imposed.TRIAL if careful else None, Phase.TRYING, on_trial)
            return _Held(Imposed.EJECTED, Phase.HELD, on_trial)
        if before is None or before.phase is not Phase.HELD:
            return None
        if name not in self._returns_s:
            if not _has_recovered(judgement, before):
                return None
            (host, port), place = name
            share = fraction("return", self._node, host, port, *place)
            self._returns_s[name] = now_s + RETURN_S * share
        if self._returns_s[name] <= now_s:
            del self._returns_s[name]
            return None
        return before

    def _trim(
        self,
        destination: Destination,
        facts: DestinationFacts,
        judged: Mapping[Place, Judgement],
        after: dict[EndpointName, _Held],
        locally: frozenset[EndpointName],
    ) -> None:
        """Spare what fell last, where our own Envoy's ejections use up the cap.

        What the mesh imposes stays within the cap by itself, too: of what our Envoy leaves out anyhow, and of what we
        have yet to return to, the last goes.
        """
        limits = caps(facts)
        priorities = {one.place: one.priority for one in facts.endpoints if one.takes_requests}
        for place, priority in priorities.items():
            if (destination, place) in locally:
                limits[priority].taken += 1
        kept = dict.fromkeys(limits, 0)
        ejected = [
            name
            for name, held in after.items()
            if held.imposed is Imposed.EJECTED and name[1] in priorities
        ]
        in_order = sorted(
            ejected, key=lambda one: (one in self._returns_s, _order(one, judged.get(one[1])))
        )
        for name in in_order:
            priority = priorities[name[1]]
            limit = limits[priority]
            is_over = kept[priority] >= limit.allowed
            if is_over or (name not in locally and limit.take() is not None):
                del after[name]
                self._capped.add(name)
            else:
                kept[priority] += 1


def _has_recovered(judgement: Judgement | None, before: _Held) -> bool:
    """Whether it is the endpoint that got better; a trial may also end by all accusers taking their word back."""
    if judgement is None or judgement.reason in (Reason.QUORUM, Reason.COUNTER_EVIDENCE):
        return before.on_trial
    return judgement.reason is Reason.RECOVERED


def _order(name: EndpointName, judgement: Judgement | None) -> tuple[float, int, Place]:
    quorum_s = judgement.poll.quorum_s if judgement is not None else float("inf")
    return (quorum_s, stable_hash(*name[0], *name[1]), name[1])
