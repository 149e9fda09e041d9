"""One resource type on one stream: subscriptions, what Envoy holds, responses in flight, bisection.

Decides *what* there is to say on this type and what an answer means; *when* it may be said is the session's
business (order over the types). A channel dies with its stream, as nonces do.
Source: Envoy xDS protocol, "Incremental xDS"; docs/xds.md, protocol obligations 1 to 8 and M6, M7, M9, M12.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from sidecar.xds.events import DeltaRequest
from sidecar.xds.resource import Resource, TypeUrl
from sidecar.xds.session_blame import blamed
from sidecar.xds.session_ledger import Ledger, Rejection

__all__ = ["Batch", "Channel", "Flight", "Wait"]

WILDCARD = "*"
UNSURE = "?"
"""Held version of a resource whose response was refused: a NACK does not say what is in force (M6)."""
REMOVABLE = frozenset({TypeUrl.CLUSTER, TypeUrl.LISTENER, TypeUrl.VIRTUAL_HOST})
"""Types whose removal Envoy acts upon; for the others it acknowledges and ignores it (M9)."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A name that waits to be sent."""

    first: int
    """Number of the oldest change of it that Envoy has not acknowledged."""
    last: int
    """Number of its newest change."""
    since_s: float
    """When it began to wait."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one response will hold."""

    resources: tuple[Resource, ...] = ()
    removed: tuple[str, ...] = ()
    bisecting: int = 0

    def __bool__(self) -> bool:
        return bool(self.resources or self.removed)


@dataclass(frozen=True, slots=True)
class Flight:
    """A response that Envoy has not answered yet."""

    batch: Batch
    waits: dict[str, Wait]
    """The waits of the names in it, to be taken up again if it is refused."""
    sent_at_s: float
    order: int
    """Its place among all responses of the session."""
    fed: set[str] = field(default_factory=set)
    """Clusters in it that Envoy has taken endpoints for since."""
    warm: set[str] = field(default_factory=set)
    """Those of them that have every secret that they name as well: warm, although the ACK may be withheld (M2)."""

    @property
    def first(self) -> int | None:
        """Oldest change in it; None when it carries none (CDS removals, mere answers)."""
        return min((wait.first for wait in self.waits.values()), default=None)

    @property
    def first_cold(self) -> int | None:
        """Oldest change in it of a cluster that is not known to be warm."""
        cold = (wait.first for name, wait in self.waits.items() if name not in self.warm)
        return min(cold, default=None)


class Channel:
    """State of one type on one stream."""

    def __init__(self, type_url: TypeUrl, ledger: Ledger) -> None:
        self.type_url = type_url
        self.ledger = ledger
        self.requested = False
        """Whether Envoy has sent a request of this type on this stream."""
        self.answer_due = False
        """Whether a first wildcard request is still without an answer (even an empty one, 12b)."""
        self.wildcard = False
        self.names: set[str] = set()
        """Names subscribed to by name."""
        self.view: dict[str, str] = {}
        """Version by name that Envoy has once all in flight is acknowledged."""
        self.pending: dict[str, Wait] = {}
        self.forced: set[str] = set()
        """Pending names to be sent even in the version that Envoy has."""
        self.leaving: dict[str, float] = {}
        """Clusters to be removed, and since when; apart, because they wait for routes to go first."""
        self.asks: set[str] = set()
        """Virtual hosts that Envoy asked for and nobody has given us yet."""
        self.flights: dict[str, Flight] = {}
        self._groups: deque[tuple[str, ...]] = deque()
        self._deferred: list[str] = []
        self._round = 0

    # -- what is to be said ---------------------------------------------------------------------

    def note(self, names: Iterable[str], seq: int, now_s: float, *, force: bool = False) -> None:
        """Mark names whose target may differ from what Envoy has; those it does not want are skipped.

        A word that there is no such virtual host is for those who asked: told to an Envoy before it asks, it would
        leave the request hanging that makes it ask (docs/xds.md, 12j).
        """
        for name in names:
            if not (force or self.wildcard or name in self.names or name in self.view):
                continue
            if name not in self.names and self._is_mere_word(name):
                continue
            if self.type_url is TypeUrl.CLUSTER and name not in self.ledger.desired and not force:
                self.pending.pop(name, None)
                if name in self.view:
                    self.leaving.setdefault(name, now_s)
                continue
            self.leaving.pop(name, None)
            wait = self.pending.get(name)
            self.pending[name] = Wait(
                wait.first if wait else seq, seq, wait.since_s if wait else now_s
            )
            if force:
                self.forced.add(name)

    def wait_from(self, now_s: float) -> None:
        """Let everything that waits begin to wait now: until now nobody knew what there was to send.

        An Envoy that claims what it holds waits for us as long as we know nothing; that is no time in which a cluster
        could have warmed.
        """
        self.pending = {name: replace(wait, since_s=now_s) for name, wait in self.pending.items()}

    def _is_mere_word(self, name: str) -> bool:
        target = self.ledger.target(name)
        return self.type_url is TypeUrl.VIRTUAL_HOST and target is not None and not target.body

    def take(self, may_go: Callable[[str, Wait], bool]) -> Batch:
        """Next batch of what may go now. Names that turn out to need nothing are settled silently."""
        while True:
            if not self._groups and self._deferred:
                self._groups.extend((name,) for name in self._deferred)
                self._deferred.clear()
                self._round = 2
            if not self._groups:
                self._round = 0
                return self._gather(tuple(self.pending), may_go, bisecting=0)
            batch = self._gather(
                self._groups.popleft(), lambda _name, _wait: True, bisecting=self._round
            )
            if batch:
                return batch

    def _gather(
        self, names: Iterable[str], may_go: Callable[[str, Wait], bool], *, bisecting: int
    ) -> Batch:
        resources: list[Resource] = []
        removed: list[str] = []
        for name in names:
            wait = self.pending.get(name)
            if wait is None or not may_go(name, wait):
                continue
            target = self.ledger.target(name)
            if target is not None:
                if name in self.forced or self.view.get(name) != target.version:
                    resources.append(target)
                    continue
            elif self._must_remove(name):
                removed.append(name)
                continue
            del self.pending[name]
            self.forced.discard(name)
        return Batch(tuple(resources), tuple(removed), bisecting)

    def _must_remove(self, name: str) -> bool:
        if self.type_url is TypeUrl.VIRTUAL_HOST and name in self.asks:
            return False
        if name in self.forced:
            return True
        return name not in self.ledger.desired and name in self.view and self.type_url in REMOVABLE

    def sent(self, nonce: str, batch: Batch, now_s: float, order: int) -> None:
        """Record that the batch went out under this nonce, as the session's response number `order`."""
        waits: dict[str, Wait] = {}
        for resource in batch.resources:
            self.view[resource.name] = resource.version
        for name in batch.removed:
            self.view.pop(name, None)
            self.ledger.given_up.pop(name, None)
        for name in (*(resource.name for resource in batch.resources), *batch.removed):
            self.forced.discard(name)
            self.leaving.pop(name, None)
            if (wait := self.pending.pop(name, None)) is not None:
                waits[name] = wait
        self.answer_due = False
        self.flights[nonce] = Flight(batch, waits, now_s, order)

    @property
    def oldest_change(self) -> int | None:
        """Number of the oldest change that is not acknowledged; None when all are."""
        waiting = [wait.first for wait in self.pending.values()]
        flying = [flight.first for flight in self.flights.values()]
        return min([*waiting, *(first for first in flying if first is not None)], default=None)

    # -- what Envoy says ------------------------------------------------------------------------

    def acknowledge(self, nonce: str) -> Flight | None:
        """Take an ACK; returns what it acknowledges. A nonce of no flight is stale, and ignored."""
        flight = self.flights.pop(nonce, None)
        if flight is not None:
            for resource in flight.batch.resources:
                self.ledger.accept(resource.name, resource)
        return flight

    def fed(self, endpoints: Flight) -> None:
        """Envoy took these endpoints: clusters of the same name that were sent before have theirs."""
        names = [resource.name for resource in endpoints.batch.resources]
        for flight in self.flights.values():
            if flight.order < endpoints.order:
                flight.fed.update(name for name in names if name in flight.waits)

    def note_warm(self, secrets: Channel) -> None:
        """Clusters that have their endpoints, and every secret that they name, are warm."""
        for flight in self.flights.values():
            for cluster in flight.batch.resources:
                if cluster.name in flight.fed and all(
                    secrets.holds(one.name) for one in cluster.secrets
                ):
                    flight.warm.add(cluster.name)

    def holds(self, name: str) -> bool:
        """Whether Envoy has taken a resource on this stream, or claimed it, in whatever version."""
        return name in self.view and not any(
            name == flying.name
            for flight in self.flights.values()
            for flying in flight.batch.resources
        )

    def refuse(self, nonce: str, detail: str) -> list[Rejection]:
        """Take a NACK: find the culprit, or queue smaller groups that will find it.

        Returns:
            Refusals that became certain by this answer.
        """
        flight = self.flights.pop(nonce, None)
        if flight is None:
            return []
        batch = flight.batch
        for resource in batch.resources:
            if self.view.get(resource.name) == resource.version:
                self.view[resource.name] = UNSURE
            self._wait_again(resource.name, flight)
        for name in batch.removed:
            self.view.setdefault(name, UNSURE)
            if batch.resources:
                self._wait_again(name, flight)
        if not batch.resources:
            return []
        if len(batch.resources) == 1 and not batch.removed:
            name = batch.resources[0].name
            if batch.bisecting == 1:
                self._deferred.append(name)
                return []
            return self._reject(batch.resources, detail)
        culprits = blamed(detail, batch.resources)
        if culprits:
            return self._reject(culprits, detail)
        self._split(batch)
        return []

    def _wait_again(self, name: str, flight: Flight) -> None:
        old = flight.waits.get(name)
        new = self.pending.get(name)
        if old is not None:
            self.pending[name] = Wait(old.first, new.last if new else old.last, old.since_s)
        elif new is None:
            self.pending[name] = Wait(0, 0, flight.sent_at_s)

    def _split(self, batch: Batch) -> None:
        names = [resource.name for resource in batch.resources]
        half = (len(names) + 1) // 2
        groups = [batch.removed, tuple(names[:half]), tuple(names[half:])]
        self._groups.extendleft(group for group in reversed(groups) if group)
        self._round = self._round or 1

    def _reject(self, culprits: Iterable[Resource], detail: str) -> list[Rejection]:
        rejections = (self.ledger.reject(resource, detail) for resource in culprits)
        return [rejection for rejection in rejections if rejection is not None]

    def subscribe(self, event: DeltaRequest, seq: int, now_s: float) -> None:
        """Take the subscriptions of a request, whether or not it also answers something."""
        first = not self.requested
        claimed = event.initial_versions if first else {}
        if first:
            self.requested = True
            self.view.update(event.initial_versions)
            for name, version in event.initial_versions.items():
                self.ledger.claim(name, version)
            self.wildcard = not event.subscribe
        for name in event.subscribe:
            self._subscribe_name(name, seq, now_s, claimed=name in claimed)
        if first:
            self.answer_due = self.wildcard
            self.note(list(self.view), seq, now_s)
            if self.wildcard:
                self.note(self.ledger.desired, seq, now_s)
        for name in event.unsubscribe:
            self._unsubscribe_name(name, seq, now_s)

    def _subscribe_name(self, name: str, seq: int, now_s: float, *, claimed: bool) -> None:
        if name == WILDCARD:
            self.wildcard = True
            self.note(self.ledger.desired, seq, now_s)
            return
        self.names.add(name)
        unknown_host = self.type_url is TypeUrl.VIRTUAL_HOST and name not in self.ledger.desired
        if unknown_host:
            self.asks.add(name)
        elif not claimed:
            self.note((name,), seq, now_s, force=True)

    def _unsubscribe_name(self, name: str, seq: int, now_s: float) -> None:
        if name == WILDCARD:
            self.wildcard = False
            for held in [held for held in self.view if held not in self.names]:
                self._forget(held)
            return
        if name not in self.names:
            return
        self.names.discard(name)
        self.asks.discard(name)
        if self.wildcard:
            self.note((name,), seq, now_s, force=True)
        else:
            self._forget(name)

    def _forget(self, name: str) -> None:
        self.view.pop(name, None)
        self.pending.pop(name, None)
        self.forced.discard(name)
        self.leaving.pop(name, None)
