"""The node: from snapshots to what Envoy should have, and from Envoy's answers back to what is in force.

    snapshot ─► catalog ─► registrations ─► mesh ─► views ─► builder ─► Desire
    EnvoyRejected ─► the object at fault is quarantined, its last accepted generation goes the same way
    EnvoyEnded ─► the same for what changed, when Envoy crashes on it again and again
    EnvoyAsked ─► builder ─► Desire        EnvoyInForce ─► KeepLastGood
    EndpointsJudged ─► builder ─► Desire   (endpoints alone)
    builder ─► WantSecrets ─► files ─► SecretsRead ─► builder ─► Desire   (secrets alone)

Pure: time is an argument. Knows neither etcd nor sockets nor what is inside a resource.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import assert_never

from sidecar.certificates.model import SecretSource
from sidecar.mesh.mesh import CONFIG_REF, Mesh
from sidecar.mesh.model import Context, MeshChange
from sidecar.mesh.view import View
from sidecar.mesh.virtual_addresses import VirtualAddresses
from sidecar.node.blame import culprit, is_superseded
from sidecar.node.contexts import resembling, with_identity
from sidecar.node.crashes import Suspects, note_step, verdict_text
from sidecar.node.events import (
    PUT_OFF_FROM,
    CompareRegistration,
    Effect,
    EndpointsJudged,
    EnvoyAsked,
    EnvoyEjected,
    EnvoyEnded,
    EnvoyForgot,
    EnvoyInForce,
    EnvoyRejected,
    Event,
    HostsAnswered,
    HostsHeldAlive,
    JudgeSome,
    KeepLastGood,
    LocalPortsChanged,
    LookedUp,
    LookUp,
    ParticipantsChanged,
    SecretsRead,
    SiblingsChanged,
    SnapshotArrived,
    Source,
    Tick,
    Transition,
)
from sidecar.node.marks import InForceMark, Marks, label_of
from sidecar.node.participants import Participants
from sidecar.node.secrets import SecretGate, identity_secrets
from sidecar.node.telling import told_of_quarantine, told_of_registrations
from sidecar.registration.claims import Admitted, RefusedClaim, refused_claims
from sidecar.registration.events import (
    GossipAlive,
    RegistrationsSeen,
    RequestsSucceeded,
    SettingsRead,
    TimePassed,
)
from sidecar.registration.expiry import Registrations
from sidecar.xds.desired import Builder
from sidecar.xds.events import ResourceRejected
from sidecar.xds.resource import DesiredChange
from store.catalog import Catalog, CatalogChange
from store.catalog.catalog import CatalogStep
from store.catalog.parts import CatalogMemory
from store.keys import host_key
from store.objects.host import HostRegistration

__all__ = ["Node"]


class Node:
    """See the module's text. One per daemon; not thread-safe.

    Args:
        host: This host's own name, to see whether its registration is there.
        contexts: Workload contexts, by name.
        make_builder: Makes the desired-state builder.
        memory: What a former run remembered beside the snapshot that comes first.
        is_judged: Whether the rules of this very program found everything else in that snapshot valid.
        kept: Registrations that a former run had in force although they had run out.
        addresses: Virtual addresses for services that have none; None where nothing is captured by name.
        put_off_from: Keys from which on a load puts the judgement of what nobody asks for off; see `JudgeSome`.
    """

    def __init__(
        self,
        host: str,
        contexts: Sequence[Context],
        make_builder: Callable[[Sequence[Context]], Builder],
        *,
        memory: CatalogMemory = (),
        is_judged: bool = False,
        kept: Mapping[str, HostRegistration] | None = None,
        put_off_from: int = PUT_OFF_FROM,
        addresses: VirtualAddresses | None = None,
    ) -> None:
        self._own_key = host_key(host)
        self._addresses = addresses
        self._contexts = tuple(contexts)
        self._builder = make_builder(self._contexts)
        self._registrations = Registrations()
        self._kept_before = dict(kept or {})
        self.catalog = Catalog.empty(memory=memory, is_judged=is_judged, put_off_from=put_off_from)
        """Objects in force."""
        self.mesh: Mesh | None = None
        """The mesh in force; None before the first snapshot."""
        self.views: Mapping[str, View] = {}
        """What each context sees, by its name."""
        self.source: Source | None = None
        """Where the newest snapshot came from."""
        self.in_force: InForceMark | None = None
        """The newest snapshot that Envoy had wholly in force."""
        self.participants = Participants()
        """Destinations that take part in shared ejection and are used here."""
        self.suspects = Suspects()
        """Changes that Envoy has not lived with for long."""
        self._refused_claims: dict[str, tuple[RefusedClaim, ...]] = {}
        self._siblings = ""
        self._owes_judgement = False
        self._marks = Marks()
        self._secrets = SecretGate()
        self._out: list[Effect] = []

    @property
    def builder(self) -> Builder:
        """The desired state."""
        return self._builder

    @property
    def contexts(self) -> Sequence[Context]:
        """The workload contexts, with their identities as files give them."""
        return self._contexts

    @property
    def identity_secrets(self) -> frozenset[SecretSource]:
        """What the identities of all contexts are made of: to be read before anything is built with them."""
        return identity_secrets(self._contexts)

    @property
    def registrations(self) -> Registrations:
        """The registrations in force, with those kept though they ran out."""
        return self._registrations

    @property
    def refused_claims(self) -> list[RefusedClaim]:
        """Workloads that do not serve since their hosts may not claim them, by host."""
        return [claim for _, claims in sorted(self._refused_claims.items()) for claim in claims]

    def handle(self, event: Event, now_s: float) -> list[Effect]:
        """Take one event and say what to do.

        Args:
            event: What happened.
            now_s: Monotonic seconds.
        """
        match event:
            case SnapshotArrived():
                self._snapshot(event, now_s)
            case LookedUp():
                self._step(self.catalog.recalled(event.recall, event.answer), now_s)
            case EnvoyAsked():
                self._ask(event.names)
            case EnvoyInForce():
                self._has_in_force(event.label, now_s)
            case EnvoyRejected():
                self._reject(event.rejected, now_s)
            case HostsAnswered():
                for host in sorted(event.hosts):
                    self._registrations.handle(RequestsSucceeded(host), now_s)
            case HostsHeldAlive():
                for host in sorted(event.hosts):
                    self._registrations.handle(GossipAlive(host), now_s)
            case EndpointsJudged():
                self._desire(self._builder.impose(event.imposed))
            case EnvoyEjected():
                self._builder.ejected(event.until_s)
            case EnvoyEnded():
                self._end(event.status, now_s)
            case EnvoyForgot():
                self._desire(self._builder.forget_ejections())
            case JudgeSome():
                self._judge(event.count, now_s)
            case LocalPortsChanged():
                self._desire(self._builder.serve(event.ports, event.workloads))
                seen = self._be(resembling(self._contexts, event.contexts))
                if seen is not None:
                    self._desire(seen, always=True)
            case SecretsRead():
                self._read_secrets(event)
            case Tick():
                self._release(now_s)
                self._out += told_of_registrations(self._registrations.handle(TimePassed(), now_s))
                self._advance(CatalogChange())
            case _:
                assert_never(event)
        self._settle(now_s)
        out, self._out = self._out, []
        return out

    def deadline(self) -> float | None:
        """When `Tick` is due if nothing else happens."""
        deadlines = (self._registrations.deadline(), self._builder.release_due_s())
        return min((at for at in deadlines if at is not None), default=None)

    def preload(self, names: Iterable[str]) -> None:
        """Build these virtual hosts with the first state: they were in use before a restart."""
        self._builder.preload(names)

    # -- events ---------------------------------------------------------------------------------

    def _snapshot(self, event: SnapshotArrived, now_s: float) -> None:
        before = self.catalog
        step = self.catalog.apply(event.snapshot)
        was_watched = self.source is not Source.DISK
        self.source = event.source
        self._step(step, now_s, was_watched=was_watched)
        if step.catalog.refusal and step.catalog.refusal != before.refusal:
            self._say("store_format_too_new", "error", reason=step.catalog.refusal)
        if event.source is Source.ETCD:
            own = event.snapshot.get(self._own_key)
            self._out.append(CompareRegistration(own, event.snapshot.revision))

    def _ask(self, names: Sequence[str]) -> None:
        if self.mesh is None:
            # An answer would say that what Envoy should have is known, and that it is nothing.
            self._builder.preload(names)
        else:
            self._desire(self._builder.ask(names), always=True)

    def _step(self, step: CatalogStep, now_s: float, *, was_watched: bool = True) -> None:
        before, self.catalog = self.catalog, step.catalog
        is_first = self.mesh is None
        self._out += [LookUp(recall) for recall in step.recalls]
        if step.change.quarantine:
            self._out += told_of_quarantine(before, step.catalog)
        claimed = step.change.hosts | step.change.admissions
        self._judge_claims(step.catalog, claimed)
        hosts = Admitted(step.catalog.hosts, step.catalog.admission)
        if self._kept_before and step.catalog.snapshot is not None:
            self._keep_again(hosts, now_s)
        seen = RegistrationsSeen(hosts, claimed, was_watched=was_watched)
        self._out += told_of_registrations(self._registrations.handle(seen, now_s))
        if self._advance(step.change) and not is_first:
            note_step(self.suspects, before, step)
        if self.mesh is not None and CONFIG_REF in step.change.refs:
            read = SettingsRead(self.mesh.config.registration)
            self._out += told_of_registrations(self._registrations.handle(read, now_s))
            self._advance(CatalogChange())

    def _judge_claims(self, catalog: Catalog, hosts: Iterable[str]) -> None:
        """Note what these hosts claim and may not."""
        for host in sorted(hosts):
            admission = catalog.admission(host)
            registration = catalog.hosts.get(host) if admission is not None else None
            refused = refused_claims(host, registration, admission)
            before = self._refused_claims.pop(host, ())
            if refused:
                self._refused_claims[host] = refused
            for claim in refused:
                if claim not in before:
                    facts = {"host": host, "workload": claim.workload, "reason": claim.reason}
                    self._out.append(Transition("workload_refused", facts, "warning"))

    def _judge(self, count: int, now_s: float) -> None:
        step = self.catalog.judge(count)
        if step.change:
            self._step(step, now_s)

    def _settle(self, now_s: float) -> None:
        """Quarantine what was found to be bad when something asked for it; what stands in for it may be bad too."""
        while (step := self.catalog.settle()).change:
            self._step(step, now_s)
        if self._owes_judgement and self.catalog.is_judged:
            self._advance(
                CatalogChange()
            )  # The label says again, and now as judged, what is in force.

    def _keep_again(self, hosts: Mapping[str, HostRegistration], now_s: float) -> None:
        """Go on keeping what a former run kept: seen, then gone. Their grace periods begin anew."""
        gone = {host: row for host, row in self._kept_before.items() if host not in hosts}
        self._kept_before = {}
        for seen in ({**hosts, **gone}, hosts):
            event = RegistrationsSeen(seen, None, was_watched=False)
            self._out += told_of_registrations(self._registrations.handle(event, now_s))

    def _advance(self, change: CatalogChange) -> bool:
        """Bring mesh and desired state to the catalog and the registrations of now; whether Envoy's part changes."""
        catalog = self.catalog
        if catalog.snapshot is None:
            return False
        registrations = self._registrations.registrations()
        if self.mesh is None:
            self.mesh = Mesh.build(catalog, registrations)
            mesh_change = MeshChange(everything=True)
        else:
            self.mesh, mesh_change = self.mesh.apply(catalog, change, registrations)
        self.views = self._see(self.mesh)
        label = label_of(catalog.snapshot)
        self._owes_judgement = not catalog.is_judged
        self._marks.remember(
            InForceMark(label, catalog.snapshot, catalog.memory, catalog.is_judged)
        )
        told = self._builder.update(self.views, mesh_change, label)
        self._desire(told, always=True)
        return bool(told)

    def _see(self, mesh: Mesh) -> dict[str, View]:
        contexts = self._contexts
        shown = {one.identity.certificate if one.identity else None for one in contexts}
        is_apart, addresses = len(shown) > 1, self._addresses
        return {
            context.name: View(mesh, context, len(contexts), is_apart=is_apart, addresses=addresses)
            for context in contexts
        }

    def _read_secrets(self, event: SecretsRead) -> None:
        """Hand on what files give; an identity that is there for the first time is used from now on."""
        waiting = self._secrets.read(event)
        change = self._builder.put_secrets(event.materials, event.broken)
        seen = self._be(tuple(with_identity(one, event.materials) for one in self._contexts))
        if seen is not None:
            change = change.then(seen)
        if waiting is not None:
            change = waiting.then(change)
        self._desire(change, always=waiting is not None or seen is not None)

    def _be(self, contexts: tuple[Context, ...]) -> DesiredChange | None:
        """See the mesh with the eyes of these contexts from now on; None where that is nothing new."""
        is_different, self._contexts = contexts != self._contexts, contexts
        if is_different and self.mesh is not None and self.catalog.snapshot is not None:
            self.views = self._see(self.mesh)
            label = label_of(self.catalog.snapshot)
            return self._builder.update(self.views, MeshChange(everything=True), label)
        return None

    def _release(self, now_s: float) -> None:
        due_s = self._builder.release_due_s()
        if due_s is not None and due_s <= now_s:
            self._desire(self._builder.release(now_s))

    def _desire(self, change: DesiredChange, *, always: bool = False) -> None:
        """Tell Envoy's session, `always` for the label's sake; then who takes part, where that changed with it."""
        wanted = self._builder.secrets | self.identity_secrets
        self._out += self._secrets.tell(change, wanted, always=always)
        if self.mesh is not None and self._builder.siblings != self._siblings:
            self._siblings = self._builder.siblings
            self._out.append(SiblingsChanged(self._siblings))
        touched = {name: self._builder.clusters_of(name) for name in self._builder.take_touched()}
        if touched and self.participants.refresh(touched, self.views):
            facts, clusters = self.participants.facts, self.participants.clusters
            self._out.append(ParticipantsChanged(facts, clusters))

    def _reject(self, rejected: ResourceRejected, now_s: float) -> None:
        self._say(
            "resource_rejected",
            "error",
            type=rejected.type_url.rpartition(".")[2],
            resource=rejected.name,
            reason=rejected.detail,
        )
        if rejected.conflict:
            return  # a sibling or the host is to blame: the session offers it again by itself
        if is_superseded(self._builder.resources, rejected):
            return  # one bad object spoils several resources: the first refusal has taken it back already
        blamed = culprit(self.catalog.objects, rejected)
        if blamed is not None:
            ref, mod_revision = blamed
            self._step(self.catalog.reject(ref, mod_revision, rejected.detail), now_s)

    def _end(self, status: int | None, now_s: float) -> None:
        """Envoy ended: take back what it crashes on, before another one is started."""
        convicted = self.suspects.ended(status, now_s)
        if not convicted:
            return
        reason = verdict_text(status, len(convicted))
        self._say("envoy_crashes_with_changes", "error", objects=len(convicted), reason=reason)
        for ref, mod_revision in sorted(convicted.items()):
            self._step(self.catalog.reject(ref, mod_revision, reason, crashed=True), now_s)

    def _has_in_force(self, label: str, now_s: float) -> None:
        mark = self._marks.reach(label)
        if mark is None:
            return
        self.suspects.in_force(label, self._marks.labels, now_s)
        self.in_force = mark
        registered = self._registrations.registrations()
        kept = {host: registered[host] for host in self._registrations.kept()}
        self._out.append(KeepLastGood(mark.snapshot, mark.memory, kept, mark.is_judged))

    def _say(self, event: str, level: str = "info", **facts: object) -> None:
        self._out.append(Transition(event, facts, level))
