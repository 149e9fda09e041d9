"""Our own voice: which of our rows the mesh hears now, and as what they count here.

Joins what we think (`observer`), what others accuse (`evidence`) and what was told (`telling`). Our own rows count in
our own decision as the mesh knows them, no more and no less: so all who hold the same rows decide alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sidecar.outlier.events import EndpointName, Say
from sidecar.outlier.evidence import Evidence
from sidecar.outlier.model import Observer, Row, RowClass
from sidecar.outlier.observer import Observer as OwnObserver
from sidecar.outlier.sight import Phase
from sidecar.outlier.telling import Telling, is_news
from sidecar.outlier.votes import SEVERAL_USERS

__all__ = ["Voice"]


class Voice:
    """What this host says.

    Args:
        node: This host.
        own: What it thinks.
        evidence: Everybody's rows; ours are kept there as they were said.
    """

    def __init__(self, node: str, own: OwnObserver, evidence: Evidence) -> None:
        self._node = node
        self._own = own
        self._evidence = evidence
        self._telling = Telling()
        self._counting: frozenset[str] = frozenset()
        self.is_sick = False
        """Most of what we talk to fails: we accuse nobody."""

    @property
    def said(self) -> Mapping[EndpointName, Row]:
        """Our rows as the mesh knows them."""
        return self._telling.said

    @property
    def unsaid(self) -> int:
        """Rows that found no room, in all."""
        return self._telling.unsaid

    def learn_observers(self, observers: Mapping[str, Observer]) -> None:
        """The members of the mesh: whose accusations are worth an answer."""
        self._counting = frozenset(node for node, one in observers.items() if one.counts)

    def examine(self, now_s: float, agreed: Iterable[EndpointName]) -> set[EndpointName]:
        """Whether we are sick ourselves; the endpoints whose rows that changes.

        Args:
            now_s: The time.
            agreed: Endpoints that the mesh ejects.
        """
        before = self.is_sick
        self.is_sick = self._own.is_sick(now_s, agreed)
        return self._own.accused() if before != self.is_sick else set()

    def tell(self, name: EndpointName, now_s: float) -> bool:
        """Say our row about an endpoint, where the mesh should know it now; whether that changed anything."""
        said = self._telling.said.get(name)
        row = self._wanted(name, now_s)
        if row is None:
            if said is None or (
                said.row_class is not RowClass.BAD and self._own.row(name, now_s) is not None
            ):
                return False
            self._telling.withdraw(name)
            self._keep(name)
            return True
        accusations = self._evidence.accusations(name, self._node)
        trying = self._own.phase(name) is Phase.TRYING
        if said is not None and not is_news(said, row, accusations, on_trial=trying):
            return False
        before = set(self._telling.said)
        told = self._telling.tell(row)
        for one in {name} | before - self._telling.said.keys():  # it may have made room for itself
            self._keep(one)
        return told

    def renew(self, now_s: float, lifetime_s: float) -> set[EndpointName]:
        """Refresh the pages whose time has come; the endpoints of their rows."""
        touched = self._telling.renew(now_s, lifetime_s, lambda name: self._wanted(name, now_s))
        for name in touched:
            self._keep(name)
        return touched

    def speak(self, now_s: float) -> list[Say]:
        """The pages that changed since the last time."""
        return self._telling.speak(now_s)

    def deadline(self, lifetime_s: float) -> float | None:
        """When `renew` has something to do."""
        return self._telling.deadline(lifetime_s)

    def _wanted(self, name: EndpointName, now_s: float) -> Row | None:
        """Our row, where the mesh should know of it: an accusation, or the answer to accusations of others."""
        row = self._own.row(name, now_s)
        if row is None or (row.row_class is RowClass.BAD and self.is_sick):
            return None
        if row.row_class is RowClass.BAD:
            return row
        # In a large mesh one accuser decides nothing, and is not worth an answer by everybody.
        matter = 1 if len(self._counting) < SEVERAL_USERS else 2
        accusers = self._evidence.accusations(name, self._node).keys() & self._counting
        return row if len(accusers) >= matter else None

    def _keep(self, name: EndpointName) -> None:
        said = self._telling.said.get(name)
        if said is None:
            self._evidence.remove(self._node, name)
        else:
            self._evidence.put(self._node, said)
