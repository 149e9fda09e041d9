"""Registrations that run out: kept on evidence, guarded per service, halted when the store is sick."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sidecar.registration.census import group_of, serving_workloads
from sidecar.registration.events import (
    Departure,
    Effect,
    GossipAlive,
    HostKept,
    HostLeft,
    HostReturned,
    RegistrationsChanged,
    RegistrationsSeen,
    RemovalsHalted,
    RemovalsResumed,
    RequestsSucceeded,
    SettingsRead,
    TimePassed,
)
from sidecar.registration.expiry import HALT_GRACES_MAX, Registrations
from store.objects.host import HostRegistration
from store.objects.mesh_config import RegistrationSettings
from tests.harness.objects import registration, workload

GRACE_S = 600.0
SETTINGS = RegistrationSettings()


def host(name: str, service: str = "reviews", **fields: object) -> HostRegistration:
    return HostRegistration.model_validate(registration(name, workload("w", service), **fields))


class Driver:
    """Feeds a core with what the store holds, in virtual time."""

    def __init__(self, *hosts: HostRegistration) -> None:
        self.core = Registrations(SETTINGS)
        self.now_s = 1000.0
        self.stored: dict[str, HostRegistration] = {}
        self.put(*hosts)

    def put(self, *hosts: HostRegistration) -> list[Effect]:
        self.stored.update({one.host: one for one in hosts})
        return self.see({one.host for one in hosts})

    def delete(self, *names: str) -> list[Effect]:
        for name in names:
            del self.stored[name]
        return self.see(set(names))

    def see(self, changed: set[str] | None) -> list[Effect]:
        hosts = None if changed is None else frozenset(changed)
        return self.core.handle(RegistrationsSeen(dict(self.stored), hosts), self.now_s)

    def wait(self, seconds: float) -> list[Effect]:
        """Let time pass, waking the core at each of its deadlines."""
        end = self.now_s + seconds
        effects: list[Effect] = []
        while (due := self.core.deadline()) is not None and due <= end:
            self.now_s = max(self.now_s, due)
            effects += self.core.handle(TimePassed(), self.now_s)
        self.now_s = end
        return effects

    @property
    def in_force(self) -> set[str]:
        return set(self.core.registrations())


def fleet(count: int, service: str = "reviews") -> list[HostRegistration]:
    return [host(f"vm-{number}", service) for number in range(count)]


class TestLeaving:
    @pytest.mark.parametrize("state", ["draining", "withdrawn"])
    def test_a_host_that_said_so_leaves_at_once(self, state: str) -> None:
        mesh = Driver(*fleet(3))
        mesh.put(host("vm-0", state=state))
        effects = mesh.delete("vm-0")
        assert HostLeft("vm-0", ("w",), Departure.WITHDRAWN) in effects
        assert effects[-1] == RegistrationsChanged(frozenset({"vm-0"}))
        assert mesh.in_force == {"vm-1", "vm-2"}
        assert mesh.core.kept() == {}

    def test_even_the_last_endpoint_may_leave_on_purpose(self) -> None:
        mesh = Driver(host("vm-0"))
        mesh.put(host("vm-0", state="withdrawn"))
        mesh.delete("vm-0")
        assert mesh.in_force == set()

    def test_of_a_host_that_ran_out_only_serving_workloads_stay(self) -> None:
        both = registration("vm-0", workload("a", "x"), workload("b", "y", state="draining"))
        mesh = Driver(HostRegistration.model_validate(both), *fleet(5)[1:])
        effects = mesh.delete("vm-0")
        assert HostLeft("vm-0", ("b",), Departure.WITHDRAWN) in effects
        assert HostKept("vm-0", ("a",)) in effects
        kept = mesh.core.registrations()["vm-0"]
        assert [one.name for one in kept.workloads] == ["a"]

    def test_a_host_without_workloads_simply_goes(self) -> None:
        empty = HostRegistration.model_validate(registration("vm-0"))
        mesh = Driver(empty)
        assert mesh.delete("vm-0") == [RegistrationsChanged(frozenset({"vm-0"}))]


class TestGrace:
    def test_a_host_that_ran_out_stays_for_the_grace_period_and_no_longer(self) -> None:
        mesh = Driver(*fleet(4))
        assert mesh.delete("vm-0") == [
            HostKept("vm-0", ("w",)),
            RegistrationsChanged(frozenset({"vm-0"})),
        ]
        assert mesh.core.deadline() == mesh.now_s + GRACE_S
        assert mesh.wait(GRACE_S - 1) == []
        assert "vm-0" in mesh.in_force
        assert mesh.wait(1) == [
            HostLeft("vm-0", ("w",), Departure.EXPIRED),
            RegistrationsChanged(frozenset({"vm-0"})),
        ]
        assert mesh.in_force == {"vm-1", "vm-2", "vm-3"}
        assert mesh.core.deadline() is None

    @pytest.mark.parametrize("evidence", [RequestsSucceeded("vm-0"), GossipAlive("vm-0")])
    def test_evidence_begins_the_grace_period_anew(
        self, evidence: RequestsSucceeded | GossipAlive
    ) -> None:
        mesh = Driver(*fleet(4))
        mesh.delete("vm-0")
        mesh.wait(GRACE_S - 1)
        assert mesh.core.handle(evidence, mesh.now_s) == []
        mesh.wait(GRACE_S - 1)
        assert "vm-0" in mesh.in_force
        mesh.wait(1)
        assert "vm-0" not in mesh.in_force

    def test_evidence_for_a_registered_or_unknown_host_means_nothing(self) -> None:
        mesh = Driver(*fleet(2))
        for name in ("vm-0", "stranger"):
            assert mesh.core.handle(RequestsSucceeded(name), mesh.now_s) == []
        assert mesh.in_force == {"vm-0", "vm-1"}

    def test_registering_again_clears(self) -> None:
        mesh = Driver(*fleet(4))
        mesh.delete("vm-0")
        mesh.wait(30)
        effects = mesh.put(host("vm-0"))
        assert HostReturned("vm-0", 30.0) in effects
        assert mesh.core.kept() == {}
        mesh.wait(10 * GRACE_S)
        assert mesh.in_force == {f"vm-{n}" for n in range(4)}

    def test_a_shorter_grace_period_holds_at_once(self) -> None:
        mesh = Driver(*fleet(4))
        mesh.delete("vm-0")
        mesh.now_s += 60
        shorter = RegistrationSettings.model_validate({"gracePeriod": "30s"})
        assert HostLeft("vm-0", ("w",), Departure.EXPIRED) in mesh.core.handle(
            SettingsRead(shorter), mesh.now_s
        )

    def test_status_says_why_a_host_is_in_force(self) -> None:
        mesh = Driver(*fleet(4))
        mesh.delete("vm-0")
        began = mesh.now_s
        kept = mesh.core.kept()["vm-0"]
        assert (kept.since_s, kept.until_s) == (began, began + GRACE_S)
        assert kept.reason == "its registration ran out and the grace period is not over"
        mesh.core.handle(GossipAlive("vm-0"), began + 10)
        kept = mesh.core.kept()["vm-0"]
        assert kept.until_s == began + 10 + GRACE_S
        assert kept.reason == "gossip holds it alive since its registration ran out"


class TestGuards:
    def test_the_last_endpoint_of_a_service_is_never_taken(self) -> None:
        mesh = Driver(host("vm-0", "lonely"), *(host(f"o-{n}", "other") for n in range(5)))
        mesh.delete("vm-0")
        mesh.wait(100 * GRACE_S)
        assert "vm-0" in mesh.in_force
        kept = mesh.core.kept()["vm-0"]
        assert kept.until_s is None
        assert kept.reason == "it is the last endpoint of its service"

    def test_never_more_than_half_of_a_service_is_taken_however_slowly_it_dies(self) -> None:
        mesh = Driver(*fleet(8), *(host(f"o-{n}", "other") for n in range(30)))
        for number in range(8):
            mesh.delete(f"vm-{number}")
            mesh.wait(3 * GRACE_S)
        left = {name for name in mesh.in_force if name.startswith("vm")}
        assert len(left) == 4
        assert "half of its service" in mesh.core.kept()["vm-7"].reason

    def test_new_endpoints_fill_the_place_of_those_taken(self) -> None:
        mesh = Driver(*fleet(2), *(host(f"o-{n}", "other") for n in range(9)))
        for number in range(10):
            # Each machine dies and is replaced, for ever: the dead ones must not pile up.
            mesh.delete(f"vm-{number}")
            mesh.wait(2 * GRACE_S)
            mesh.put(host(f"vm-{number + 2}"))
        mesh.wait(GRACE_S)
        assert {n for n in mesh.in_force if n.startswith("vm")} == {"vm-10", "vm-11"}

    def test_a_guarded_host_goes_when_others_have_come(self) -> None:
        mesh = Driver(host("vm-0"), *(host(f"o-{n}", "other") for n in range(9)))
        mesh.delete("vm-0")
        mesh.wait(2 * GRACE_S)
        effects = mesh.put(host("vm-1"))
        assert HostLeft("vm-0", ("w",), Departure.EXPIRED) in effects
        assert effects[-1] == RegistrationsChanged(frozenset({"vm-0", "vm-1"}))

    def test_workloads_of_one_host_are_judged_one_by_one(self) -> None:
        both = registration("vm-0", workload("a", "lonely"), workload("b", "reviews"))
        mesh = Driver(HostRegistration.model_validate(both), *fleet(5)[1:])
        mesh.delete("vm-0")
        effects = mesh.wait(2 * GRACE_S)
        assert HostLeft("vm-0", ("b",), Departure.EXPIRED) in effects
        assert [w.name for w in mesh.core.registrations()["vm-0"].workloads] == ["a"]

    def test_workloads_without_service_count_with_those_of_equal_labels(self) -> None:
        def labelled(name: str, app: str) -> HostRegistration:
            one = workload("w", labels={"app": app})
            return HostRegistration.model_validate(registration(name, one))

        mesh = Driver(
            labelled("a", "x"), labelled("b", "y"), *(labelled(f"z{n}", "z") for n in range(9))
        )
        mesh.delete("a")
        mesh.delete("z0")
        mesh.wait(2 * GRACE_S)
        assert "a" in mesh.in_force
        assert "z0" not in mesh.in_force


class TestSickStore:
    def test_when_too_many_run_out_within_the_window_nothing_is_removed(self) -> None:
        mesh = Driver(*fleet(10))
        effects = mesh.delete(*(f"vm-{n}" for n in range(10)))
        assert RemovalsHalted(10, 10) in effects
        assert mesh.core.removals_halted
        assert mesh.wait(HALT_GRACES_MAX * GRACE_S - 1) == []
        assert len(mesh.in_force) == 10
        assert "store is taken to be sick" in mesh.core.kept()["vm-3"].reason

    def test_a_fleet_that_never_returns_is_taken_for_gone_in_the_end_but_for_half(self) -> None:
        mesh = Driver(*fleet(10))
        mesh.delete(*(f"vm-{n}" for n in range(5)))
        assert RemovalsResumed() in mesh.wait(HALT_GRACES_MAX * GRACE_S)
        assert len(mesh.in_force) == 10
        mesh.wait(GRACE_S)
        assert mesh.in_force == {f"vm-{n}" for n in range(5, 10)}

    def test_what_went_unwatched_says_nothing_about_the_store(self) -> None:
        mesh = Driver(*fleet(10))
        mesh.stored = {"vm-9": mesh.stored["vm-9"]}
        seen = RegistrationsSeen(mesh.stored, was_watched=False)
        effects = mesh.core.handle(seen, mesh.now_s)
        assert not mesh.core.removals_halted
        assert len([e for e in effects if isinstance(e, HostKept)]) == 9
        mesh.wait(GRACE_S)
        assert len(mesh.in_force) == 5

    def test_those_that_ran_out_before_are_not_removed_meanwhile_either(self) -> None:
        mesh = Driver(*fleet(10))
        mesh.delete("vm-0")
        mesh.wait(GRACE_S - 10)
        mesh.delete("vm-1", "vm-2", "vm-3", "vm-4")
        mesh.wait(10 * GRACE_S)
        assert len(mesh.in_force) == 10

    def test_when_enough_are_back_grace_begins_anew_for_the_rest(self) -> None:
        mesh = Driver(*fleet(10))
        mesh.delete(*(f"vm-{n}" for n in range(10)))
        mesh.wait(10 * GRACE_S)
        assert RemovalsResumed() not in mesh.put(*fleet(6))
        effects = mesh.put(host("vm-6"))
        assert RemovalsResumed() in effects
        assert not mesh.core.removals_halted
        mesh.wait(GRACE_S - 1)
        assert len(mesh.in_force) == 10
        mesh.wait(1)
        assert mesh.in_force == {f"vm-{n}" for n in range(7)}

    def test_slow_expiry_is_no_sick_store(self) -> None:
        mesh = Driver(*fleet(10))
        for number in range(5):
            mesh.delete(f"vm-{number}")
            mesh.wait(61)
        assert not mesh.core.removals_halted
        mesh.wait(GRACE_S)
        assert mesh.in_force == {f"vm-{n}" for n in range(5, 10)}

    def test_one_host_is_never_taken_for_a_sick_store(self) -> None:
        mesh = Driver(*fleet(2))
        mesh.delete("vm-0")
        assert not mesh.core.removals_halted
        mesh.wait(GRACE_S)
        assert mesh.in_force == {"vm-1"}

    def test_those_that_come_back_at_once_are_not_counted(self) -> None:
        mesh = Driver(*fleet(10))
        for number in range(10):
            mesh.delete(f"vm-{number}")
            mesh.put(host(f"vm-{number}"))
        assert not mesh.core.removals_halted

    def test_hosts_that_left_on_purpose_are_not_counted(self) -> None:
        mesh = Driver(*fleet(10))
        mesh.put(*(host(f"vm-{n}", state="withdrawn") for n in range(8)))
        mesh.delete(*(f"vm-{n}" for n in range(8)))
        assert not mesh.core.removals_halted
        assert len(mesh.in_force) == 2


class TestSeeing:
    def test_nothing_changes_nothing(self) -> None:
        mesh = Driver(*fleet(3))
        before = mesh.core.registrations()
        assert mesh.see(None) == []
        assert mesh.see({"vm-0", "stranger"}) == []
        assert mesh.core.registrations() is before

    def test_without_a_list_of_changes_all_are_compared(self) -> None:
        mesh = Driver(*fleet(3))
        del mesh.stored["vm-0"]
        mesh.stored["vm-1"] = host("vm-1", "other")
        effects = mesh.see(None)
        assert effects == [
            HostKept("vm-0", ("w",)),
            RegistrationsChanged(frozenset({"vm-0", "vm-1"})),
        ]


def endpoints(registrations: Mapping[str, HostRegistration]) -> dict[tuple[str, ...], set[str]]:
    """Serving hosts of each service."""
    found: dict[tuple[str, ...], set[str]] = {}
    for name, one in registrations.items():
        for each in serving_workloads(one):
            found.setdefault(group_of(each), set()).add(name)
    return found


class ExpiryMachine(RuleBasedStateMachine):
    """Hosts come, leave, run out and return; evidence and time arrive in any order."""

    HOSTS = tuple(f"vm-{n}" for n in range(5))

    def __init__(self) -> None:
        super().__init__()
        self.mesh = Driver()
        self.before: dict[tuple[str, ...], set[str]] = {}
        self.on_purpose: set[str] = set()

    def remember(self) -> None:
        self.before = endpoints(self.mesh.core.registrations())
        self.on_purpose = set()

    @rule(name=st.sampled_from(HOSTS), service=st.sampled_from(["a", "b"]))
    def register(self, name: str, service: str) -> None:
        self.remember()
        self.on_purpose = {name}
        self.mesh.put(host(name, service))

    @rule(name=st.sampled_from(HOSTS))
    @precondition(lambda self: self.mesh.stored)
    def withdraw(self, name: str) -> None:
        self.remember()
        if name in self.mesh.stored:
            self.on_purpose = {name}
            self.mesh.put(self.mesh.stored[name].model_copy(update={"state": "withdrawn"}))
            self.mesh.put(host(name, state="withdrawn"))
            self.mesh.delete(name)

    @rule(names=st.sets(st.sampled_from(HOSTS), min_size=1))
    def run_out_together(self, names: set[str]) -> None:
        self.remember()
        self.mesh.delete(*(names & set(self.mesh.stored)))

    @precondition(lambda self: self.mesh.stored)
    @rule(choice=st.integers(0, 99))
    def run_out(self, choice: int) -> None:
        self.remember()
        self.mesh.delete(sorted(self.mesh.stored)[choice % len(self.mesh.stored)])

    @rule(seconds=st.sampled_from([1.0, 61.0, 601.0, 5000.0]))
    def wait(self, seconds: float) -> None:
        self.remember()
        self.mesh.wait(seconds)

    @rule(name=st.sampled_from(HOSTS), succeeded=st.booleans())
    def evidence(self, name: str, succeeded: bool) -> None:
        self.remember()
        event = RequestsSucceeded(name) if succeeded else GossipAlive(name)
        assert self.mesh.core.handle(event, self.mesh.now_s) == []

    @invariant()
    def expiry_alone_empties_no_service(self) -> None:
        after = endpoints(self.mesh.core.registrations())
        for group, hosts in self.before.items():
            if hosts - self.on_purpose:
                assert after.get(group), f"{group} lost {hosts}"

    @invariant()
    def what_the_store_holds_is_in_force(self) -> None:
        in_force = self.mesh.core.registrations()
        for name, one in self.mesh.stored.items():
            assert in_force[name] == one
        assert set(in_force) == set(self.mesh.stored) | set(self.mesh.core.kept())

    @invariant()
    def a_kept_host_is_waited_for_or_held_with_a_reason(self) -> None:
        deadline = self.mesh.core.deadline()
        for kept in self.mesh.core.kept().values():
            assert kept.reason
            if kept.until_s is not None:
                assert deadline is not None
                assert deadline <= kept.until_s
                assert kept.until_s > self.mesh.now_s

    @invariant()
    def the_census_agrees_with_what_is_in_force(self) -> None:
        census = self.mesh.core._census
        counted = endpoints(self.mesh.core.registrations())
        assert {group: census.serving(group) for group in counted} == {
            group: len(hosts) for group, hosts in counted.items()
        }


ExpiryMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestExpiryMachine = ExpiryMachine.TestCase
