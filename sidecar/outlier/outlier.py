"""Shared ejection of one host: outcomes of its own requests in, evidence of others in, verdicts out.

Composes the parts; each event runs through all of them once:

    outcomes ─> observer ─┐                        ┌─> imposing ─> Impose
                          ├─> voice ───> Say       │      │ phase of each endpoint
    records ──> evidence ─┴─> suspects ─> decision ┴──────┴─> observer

It knows no clock and no network: records come from gossip, signed and checked, and leave through `Say`. With nobody
else in the mesh nothing is ever ejected here: Envoy's own detector decides, as without us.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from sidecar.gossip.records import Topic
from sidecar.outlier.decision import Judgement, Mesh, decide
from sidecar.outlier.events import (
    DestinationsSeen,
    Effect,
    EndpointName,
    EnvoyEjects,
    Event,
    Impose,
    Imposed,
    ObserversSeen,
    OperatorSaid,
    OutcomesCounted,
    RecordHeard,
    TimePassed,
    VerdictChanged,
)
from sidecar.outlier.evidence import Evidence
from sidecar.outlier.imposing import Imposing
from sidecar.outlier.model import Destination, DestinationFacts, Observer, Place
from sidecar.outlier.observer import Observer as OwnObserver
from sidecar.outlier.overrides import Overrides
from sidecar.outlier.pacing import Pacing
from sidecar.outlier.poison import Suspects
from sidecar.outlier.reporting import changes, endpoint_views
from sidecar.outlier.view import JudgementState, OutlierView
from sidecar.outlier.voice import Voice
from sidecar.outlier.votes import ANSWER_SHARE, Members, hold_s

__all__ = ["Outlier"]

_ROUNDS_MAX = 8
"""What one event changes may change more; what is left after so many rounds waits for the next event."""
_PATIENCE_S = 18.0
"""For destinations that we do not use: 60 % of the default base ejection time."""


class Outlier:
    """The core of shared ejection.

    Args:
        node: This host.
        epoch: Boot epoch of this life: records of ours with a lower one are of an earlier life.
    """

    def __init__(self, node: str, epoch: int = 0) -> None:
        self._node = node
        self._now_s = 0.0
        self._lifetime_s = 15.0
        self._facts: Mapping[Destination, DestinationFacts] = {}
        self._observers: Mapping[str, Observer] = {node: Observer(node, counts=True)}
        self._members = self._near = Members.of(self._observers)
        self._locally: frozenset[EndpointName] = frozenset()
        self._own = OwnObserver()
        self._evidence = Evidence()
        self._voice = Voice(node, self._own, self._evidence)
        self._voice.learn_observers(self._observers)
        self._suspects = Suspects(self._evidence, self._patience_s)
        self._overrides = Overrides(node, epoch)
        self._imposing = Imposing(node)
        self._judged: dict[Destination, dict[Place, Judgement]] = {}
        self._due: dict[Destination, float] = {}
        self._pacing = Pacing()
        self._imposed: dict[EndpointName, Imposed] = {}
        self._counters: Counter[str] = Counter()

    def handle(self, event: Event, now_s: float) -> list[Effect]:
        """Take in what happened; tell what to do. Never raises on what other hosts said.

        Raises:
            InputError: An operator's word that cannot hold (`OperatorSaid` only); nothing changed.
        """
        now_s = self._now_s = max(now_s, self._now_s)
        own: set[EndpointName] = set()
        touched: set[EndpointName] = set()
        dirty: set[Destination] = set()
        match event:
            case OutcomesCounted():
                own = self._own.count(event.outcomes, now_s)
            case EnvoyEjects():
                dirty = {destination for destination, _ in self._locally ^ event.endpoints}
                own = self._own.learn_local(event.endpoints, now_s)
                self._locally = event.endpoints
            case DestinationsSeen():
                touched, dirty = self._learn_facts(event)
            case ObserversSeen():
                touched, dirty = self._learn_observers(event.observers)
            case RecordHeard():
                touched, dirty = self._hear(event, now_s)
            case OperatorSaid():
                self._overrides.say(event.override, now_s)
                own, dirty = self._obey(now_s)
            case TimePassed():
                pass
        touched |= self._pass_time(now_s, own, dirty)
        if isinstance(event, RecordHeard):
            touched = self._pacing.admit(touched, now_s)
        touched |= self._pacing.due(now_s)
        verdicts = self._settle(own, touched, dirty, now_s)
        effects: list[Effect] = [*self._voice.speak(now_s), *self._overrides.speak(now_s)]
        imposed = self._imposing.imposed()
        if imposed != self._imposed:
            self._imposed = imposed
            effects.append(Impose(imposed))
        return effects + verdicts

    def deadline(self) -> float | None:
        """When to say `TimePassed` if nothing else happens; None: nobody accuses, nothing is imposed."""
        moments = (
            self._voice.deadline(self._lifetime_s),
            self._evidence.deadline(),
            self._own.deadline(),
            self._overrides.deadline(),
            min(self._due.values(), default=None),
            self._pacing.deadline(),
        )
        return min((at_s for at_s in moments if at_s is not None), default=None)

    def view(self, now_s: float | None = None) -> OutlierView:
        """What is held now; with `now_s`, as of then."""
        return OutlierView(
            at_s=self._now_s if now_s is None else now_s,
            node=self._node,
            endpoints=endpoint_views(
                self._judged,
                self._evidence,
                self._mesh(),
                self._facts,
                self._imposing,
                self._locally,
                self._now_s if now_s is None else now_s,
            ),
            overrides=self._overrides.view(),
            self_sick=self._voice.is_sick,
            ignored_observers=tuple(sorted(self._suspects.ignored)),
            destinations=len(self._facts),
            rows_said=len(self._voice.said),
            rows_held=len(self._evidence) - len(self._voice.said),
            counters={
                **self._counters,
                "pages_refused": self._evidence.pages_refused,
                "rows_refused": self._evidence.rows_refused,
                "rows_unsaid": self._voice.unsaid,
                "overrides_refused": self._overrides.refused,
            },
        )

    def _learn_facts(self, event: DestinationsSeen) -> tuple[set[EndpointName], set[Destination]]:
        self._facts = event.facts
        self._lifetime_s = event.lifetime_s
        self._own.learn_facts(event.facts)
        dirty = {*self._evidence.destinations(), *self._imposing.destinations(), *self._judged}
        return set(self._voice.said) | self._suspects.accused(), dirty

    def _learn_observers(
        self, observers: Mapping[str, Observer]
    ) -> tuple[set[EndpointName], set[Destination]]:
        ourselves = Observer(self._node, counts=True)
        self._observers = {self._node: ourselves, **observers}
        self._evidence.keep(self._observers)
        self._voice.learn_observers(self._observers)
        accused = self._suspects.accused()
        self._suspects.judge(accused, self._observers)
        self._count_members()
        return accused, set(self._evidence.destinations())

    def _hear(self, event: RecordHeard, now_s: float) -> tuple[set[EndpointName], set[Destination]]:
        record = event.record
        if record.topic is Topic.OVERRIDES:
            return self._obey(now_s) if self._overrides.hear(record, now_s) else (set(), set())
        if record.topic is not Topic.EVIDENCE or record.node == self._node:
            return set(), set()
        return self._evidence.hear(record, now_s, self._lifetime_s), set()

    def _obey(self, now_s: float) -> tuple[set[EndpointName], set[Destination]]:
        """Operators' words changed: what they cleared is forgotten here, too."""
        self._own.forget_levels(self._overrides.cleared_s)
        own = set()
        for name in self._own.accused():
            row = self._own.row(name, now_s)
            cleared = row is not None and row.since_s <= self._overrides.cleared_s(*name)
            if cleared and self._own.retire(name, now_s, even_local=True):
                own.add(name)
        return own, set(self._judged) | self._imposing.destinations()

    def _pass_time(
        self, now_s: float, own: set[EndpointName], dirty: set[Destination]
    ) -> set[EndpointName]:
        touched = self._evidence.bury(now_s)
        own |= self._own.drop_silent(now_s)
        if self._overrides.expire(now_s):
            dirty |= set(self._evidence.destinations())
        return touched | self._voice.renew(now_s, self._lifetime_s)

    def _settle(
        self,
        own: set[EndpointName],
        touched: set[EndpointName],
        dirty: set[Destination],
        now_s: float,
    ) -> list[Effect]:
        """Judge anew whatever is touched, until nothing changes any more.

        Args:
            own: Endpoints of which our own row may be another one now.
            touched: Endpoints whose rows changed.
            dirty: Destinations to judge for another reason.
            now_s: The time.
        """
        verdicts: list[Effect] = []
        dirty |= {one for one, due_s in self._due.items() if due_s <= now_s}
        for _ in range(_ROUNDS_MAX):
            own |= self._voice.examine(now_s, self._agreed())
            touched |= {name for name in own | touched if self._voice.tell(name, now_s)}
            if not touched and not dirty:
                return verdicts
            flipped = self._suspects.judge(touched, self._observers)
            dirty |= {destination for destination, _ in touched}
            if flipped:
                self._count_members()
                dirty |= self._destinations_of(flipped)
            own, touched = set(), set()
            for destination in sorted(dirty):
                found, changed = self._judge(destination, now_s)
                own |= found
                verdicts += changed
            dirty = set()
        for destination, _ in own:
            self._due[destination] = now_s
        return verdicts

    def _judge(
        self, destination: Destination, now_s: float
    ) -> tuple[set[EndpointName], list[VerdictChanged]]:
        """Judge a destination and carry it out; endpoints whose row of ours may be another one now, and verdicts."""
        facts = self._facts.get(destination)
        before = self._judged.get(destination, {})
        after: dict[Place, Judgement] = {}
        if facts is not None:
            rows = self._evidence.of(destination)
            after = decide(destination, facts, rows, self._mesh(), now_s)
        if after:
            self._judged[destination] = after
        else:
            self._judged.pop(destination, None)
        phases = self._imposing.carry_out(destination, facts, after, self._locally, now_s)
        for name, phase in phases.items():
            self._own.learn_phase(name, phase, now_s)
        touched = set()
        for place in before.keys() | after.keys():
            if self._learn(destination, place, before.get(place), after.get(place), now_s):
                touched.add((destination, place))
        self._schedule(destination, after, now_s)
        verdicts = changes(destination, before, after, self._evidence.of(destination), facts, now_s)
        self._counters.update(verdict.verdict for verdict in verdicts)
        return touched, verdicts

    def _learn(
        self,
        destination: Destination,
        place: Place,
        before: Judgement | None,
        after: Judgement | None,
        now_s: float,
    ) -> bool:
        """What a judgement means for our own row; whether the row changed by it."""
        name = (destination, place)
        ejected = after if after is not None and after.is_ejected else None
        held = ejected or (before if before is not None and before.is_ejected else None)
        if held is not None and self._overrides.cleared_s(*name) < held.since_s:
            self._own.learn_level(name, held.level, held.failed_trials, now_s)
        if ejected is not None:
            return False
        answered = after is not None and after.state is JudgementState.RESTORED
        over = before is not None and before.state is JudgementState.TRIAL
        return (answered or over) and self._own.retire(name, now_s)

    def _schedule(
        self, destination: Destination, judged: Mapping[Place, Judgement], now_s: float
    ) -> None:
        moments = [one.until_s for one in judged.values() if one.until_s is not None]
        for one in judged.values():
            if one.state is JudgementState.TRIAL:
                step_s = one.trial.next_step_s(self._node, now_s)
                moments += [] if step_s is None else [step_s]
        returns_s = self._imposing.deadline(destination)
        moments += [] if returns_s is None else [returns_s]
        self._due.pop(destination, None)
        later = [at_s for at_s in moments if at_s > now_s]
        if later:
            self._due[destination] = min(later)

    def _agreed(self) -> Iterator[EndpointName]:
        """The endpoints that the mesh ejects."""
        for destination, judged in self._judged.items():
            for place, one in judged.items():
                if one.is_ejected:
                    yield destination, place

    def _destinations_of(self, nodes: Iterable[str]) -> set[Destination]:
        nodes = set(nodes)
        return {
            destination
            for destination in self._evidence.destinations()
            if any(not nodes.isdisjoint(about) for about in self._evidence.of(destination).values())
        }

    def _count_members(self) -> None:
        ignored = self._suspects.ignored
        ourselves = self._observers[self._node]
        self._members = Members.of(self._observers, ignored)
        self._near = Members.of(self._observers, ignored, ourselves)

    def _mesh(self) -> Mesh:
        return Mesh(
            self._members,
            self._near,
            self._suspects.ignored,
            self._overrides.cleared_s,
            self._overrides.override,
        )

    def _patience_s(self, destination: Destination) -> float:
        facts = self._facts.get(destination)
        return _PATIENCE_S if facts is None else ANSWER_SHARE * hold_s(facts.policy, 1)
