"""One workload context's share of the desired state: its outbound listener and hosts, and its declared listeners.

Hosts are loaded whole within the budget. A mesh that outgrows it is loaded on demand from then on, and stays so until
the sidecar starts anew: what Envoy holds is then kept authority by authority, as if it had been asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.mesh.model import MeshChange
from sidecar.mesh.view import View
from sidecar.routing.build import catch_all
from sidecar.routing.originals import captured_host
from sidecar.routing.table import VirtualHost
from sidecar.telemetry.packing import Observer, Reporter
from sidecar.telemetry.party import NOBODY, Party
from sidecar.xds.captured import Captured
from sidecar.xds.compile import Bind, CompileOptions, compile_outbound_listener
from sidecar.xds.destinations import Destinations
from sidecar.xds.eager import EagerHosts
from sidecar.xds.edges import Edges
from sidecar.xds.holdings import Holdings
from sidecar.xds.on_demand import OnDemandHosts
from sidecar.xds.peers import peer_word
from sidecar.xds.route_tables import RouteTables

__all__ = ["Outbound"]


class Outbound:
    """See the module's text.

    Args:
        context: Name of the context; empty on a host with one.
        bind: Where its outbound listener listens; None where it has none.
        holdings: Where resources are put.
        destinations: Where the destinations that it names are kept.
        options: Facts about this host.
        party: The workload that it speaks for.
        budget_services: Services up to which the mesh is loaded whole.
        unknown_max: Cap on authorities that the mesh does not know.
    """

    def __init__(
        self,
        context: str,
        bind: Bind | None,
        holdings: Holdings,
        destinations: Destinations,
        options: CompileOptions,
        party: Party = NOBODY,
        *,
        budget_services: int,
        unknown_max: int,
    ) -> None:
        self.route_config = f"outbound.{context}" if context else "outbound"
        """Name of its route configuration, and of its listener."""
        self._bind = bind
        self._holdings = holdings
        self._options = options.on_behalf(Observer(Reporter.SOURCE, context), party)
        self._budget = budget_services
        self._unknown_max = unknown_max
        self._tables = RouteTables(context, holdings, destinations)
        self._edges = Edges(context, holdings, destinations, self._tables)
        self._captured: Captured | None = None
        self._eager: EagerHosts | None = EagerHosts() if budget_services else None
        self._asked: OnDemandHosts | None = None if budget_services else OnDemandHosts(unknown_max)

    def capture(self, captured: Captured) -> None:
        """Serve captured connections of this context as well; before the first update."""
        self._captured = captured

    @property
    def route_configs(self) -> tuple[str, ...]:
        """Names of the route configurations that Envoy may ask for hosts of."""
        captured = () if self._captured is None else (self._captured.route_config,)
        return (self.route_config, *captured)

    @property
    def on_demand(self) -> bool:
        """Whether hosts are loaded when first asked for."""
        return self._asked is not None

    @property
    def unknown(self) -> int:
        """Authorities given that the mesh does not know."""
        return self._asked.unknown if self._asked else 0

    @property
    def refusals(self) -> int:
        """Questions for unknown authorities that were over the cap, ever."""
        return self._asked.refusals if self._asked else 0

    def given(self) -> Iterable[str]:
        """Full names of the virtual hosts that were asked for."""
        authorities = self._asked.given if self._asked else ()
        return [f"{self.route_config}/{authority}" for authority in authorities]

    def update(self, view: View, change: MeshChange) -> None:
        """Follow a change of the mesh."""
        options = self._options.observing(view.config)
        if self._options.party.workload:  # its group may have given it other labels
            party = Party.of(
                self._options.party.workload, view.context.namespace, view.context.labels
            )
            options = options.on_behalf(options.observer, party)
        self._tables.peer_of = peer_word(view, options)
        if self._bind is not None:
            if change.everything:
                self._holdings.put(
                    compile_outbound_listener(
                        self.route_config, self._bind, self.route_config, options
                    )
                )
            self._update_hosts(view, change)
        if self._captured is not None:
            self._captured.update(view, change, options)
        self._edges.update(view, change, options)

    def ask(self, view: View, authorities: Iterable[str]) -> set[str]:
        """Have virtual hosts for authorities; return those that get none."""
        wanted = set(authorities)
        if self._asked is None:
            return wanted - self._tables.names(self.route_config)
        refused = set()
        for authority, found in self._asked.ask(view, wanted).items():
            if found is None:
                refused.add(authority)
            else:
                self._put(view, found, asked=authority)
        return refused

    def _put(self, view: View, found: VirtualHost, *, asked: str | None = None) -> None:
        """Have a virtual host, for captured requests as well."""
        self._tables.put(self.route_config, found, asked=asked)
        if self._captured is not None:
            captured = captured_host(view, found)
            self._tables.put(self._captured.route_config, captured, asked=asked)

    def _drop(self, name: str) -> None:
        for route_config in self.route_configs:
            self._tables.drop(route_config, name)

    def _put_base(self, view: View, base: tuple[VirtualHost, ...]) -> None:
        self._tables.put_base(self.route_config, base)
        if self._captured is not None:
            captured = tuple(captured_host(view, one) for one in base)
            self._tables.put_base(self._captured.route_config, captured)

    def _update_hosts(self, view: View, change: MeshChange) -> None:
        if self._eager is not None and view.service_count() > self._budget:
            self._go_on_demand(view)
            return
        if self._eager is not None:
            self._put_base(view, (catch_all(view),))
            for name, found in self._eager.update(view, change).items():
                if found is None:
                    self._drop(name)
                else:
                    self._put(view, found)
        elif self._asked is not None:
            self._put_base(view, ())
            for authority, given in self._asked.update(view, change).items():
                self._put(view, given, asked=authority)

    def _go_on_demand(self, view: View) -> None:
        """Load on demand from now on; keep what Envoy has, but no wildcard: it would swallow later questions."""
        held = self._tables.names(self.route_config)
        self._eager = None
        self._asked = OnDemandHosts(self._unknown_max)
        self._put_base(view, ())
        for name in sorted(held):
            if name.startswith("*"):
                self._drop(name)
        self.ask(view, [name for name in held if not name.startswith("*")])
