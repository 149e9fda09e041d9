"""Each checker: what it lets pass, and what it must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos import history as records
from chaos.checkers.activity import check_activity
from chaos.checkers.ejections import SLACK_S, check_caps, check_holds
from chaos.checkers.members import check_members
from chaos.checkers.mixtures import check_mixtures
from chaos.checkers.requests import AFTER_S, check_requests, word_of
from chaos.checkers.resources import check_left_behind, check_resources
from chaos.checkers.restarts import check_restarts
from chaos.checkers.revisions import (
    CONVERGED_S,
    check_convergence,
    check_hashes,
    check_monotonic,
    check_served,
)
from chaos.checkers.rotation import check_rotation
from chaos.checkers.violation import Violation, at_most
from chaos.history import Ejected, History, Outcome, Probe, Served, Usage
from chaos.verdict import CHECKERS, judge
from tests.chaos.histories import look, read, register_history, request, spell, write


def test_revisions_that_grow_are_fine_and_one_that_falls_is_not() -> None:
    fine = [look(1, "h1", 5), look(2, "h1", 7), look(2, "h2", 5), look(3, "h1", 7)]
    assert check_monotonic(History(looks=fine)) == []
    (found,) = check_monotonic(History(looks=[*fine, look(4, "h1", 7, in_force=5)]))
    assert found.what == "h1: revision in force went from 7 back to 5 in epoch 1:abc"


def test_a_killed_sidecar_may_begin_from_its_disk_and_no_further_back() -> None:
    before = [look(float(at), "h1", at) for at in range(1, 20)]
    killed = spell("sidecar killed", 18, 20, restarts=("sidecar@h1",))
    again = [look(22, "h1", 17), look(23, "h1", 19)]
    assert check_monotonic(History(looks=[*before, *again], faults=[killed])) == []
    assert len(check_monotonic(History(looks=[*before, *again]))) == 2
    older = look(22, "h1", 16)
    assert len(check_monotonic(History(looks=[*before, older], faults=[killed]))) == 2
    probes = [Probe(10, "h1", 200, 8, "even"), Probe(21, "h1", 200, 6, "even")]
    assert check_mixtures(History(probes=probes, faults=[killed])) == []
    (found,) = check_mixtures(History(probes=probes))
    assert found.what == "at h1 the route of change 6 answered after that of change 8"


def test_another_epoch_may_begin_anywhere_but_one_that_was_left_stays_left() -> None:
    looks = [look(1, "h1", 9), look(2, "h1", 3, epoch="2:def")]
    assert check_monotonic(History(looks=looks)) == []
    (found,) = check_monotonic(History(looks=[*looks, look(3, "h1", 9)]))
    assert "went back to the epoch 1:abc" in found.what


def test_one_revision_with_two_contents_is_found() -> None:
    looks = [look(1, "h1", 5), look(2, "h2", 5, hash="other"), look(3, "h3", 6, hash="other")]
    (found,) = check_hashes(History(looks=looks))
    assert "revision 5 of epoch 1:abc is other at h2" in found.what


def test_hosts_must_be_alike_soon_after_the_healing() -> None:
    soon, late = 10.0 + CONVERGED_S - 1, 10.0 + CONVERGED_S + 1
    looks = [look(5, "h1", 7), look(5, "h2", 4), look(soon, "h2", 7), look(late + 1, "h1", 7)]
    history = History(looks=looks, healed_s=10.0, ended_s=40.0)
    assert check_convergence(history) == []
    history.looks[2] = look(late, "h2", 7)
    (found,) = check_convergence(history)
    assert "h2 had revision 7 in force 11.0 s after the healing" in found.what
    history.looks[2] = look(soon, "h2", 6)
    (found,) = check_convergence(history)
    assert "h2 ended with received 6" in found.what
    assert check_convergence(History()) != []


def test_what_hosts_serve_at_the_end_is_what_etcd_has() -> None:
    reads = [read(1, 2, "a", 2), read(3, 4, "b", 3)]
    served = [Served(9, "h1", "k", "b"), Served(9, "h2", "k", "a"), Served(9, "h3", "k", "")]
    found = check_served(History(reads=reads, served=served))
    assert [one.what.split()[0] for one in found] == ["h2", "h3"]


@pytest.mark.parametrize(
    ("status", "reason", "backend", "word"),
    [
        (200, "", "h2", ""),
        (503, "", "h2", "5xx"),
        (503, "UF", "", "unreachable"),
        (504, "UT", "", "unreachable"),
        (503, "UH", "", "none"),
        (503, "NC", "", "no_cluster"),
        (404, "NR", "", "no_route"),
        (0, "refused", "", "refused"),
        (0, "timeout", "", "timeout"),
        (0, "ConnectionResetError", "", "reset"),
    ],
)
def test_failures_have_words(status: int, reason: str, backend: str, word: str) -> None:
    assert word_of(request(1, status, reason=reason, backend=backend)) == word


def test_a_failure_is_excused_by_a_fault_of_its_time_place_and_kind_alone() -> None:
    fault = spell("backend killed", 10, 20, backends=("h3",), permits=("unreachable", "5xx"))
    fine = [request(12, 503, reason="UF"), request(20 + AFTER_S / 2, 503, backend="h3")]
    assert check_requests(History(requests=fine, faults=[fault])) == []
    bad = [
        request(2, 503, reason="UF"),
        request(21 + AFTER_S, 503, reason="UF"),
        request(12, 503, backend="h4"),
        request(12, 200, backend=""),
        request(12, 403),
        request(12, 0, reason="timeout"),
        request(12, 503, reason="NC"),
        request(12, 404, reason="NR"),
    ]
    found = check_requests(History(requests=bad, faults=[fault]))
    assert len(found) == len(bad)
    assert "nothing that was broken" in found[0].what
    assert "which backend killed does not explain" in found[4].what
    own = spell("poisoned", 10, 20, hosts=("h1",), permits=("unreachable",))
    told = [request(12, 503, reason="UF"), request(12, 503, reason="UF", host="h2")]
    (found_one,) = check_requests(History(requests=told, faults=[own]))
    assert "a request from h2" in found_one.what
    brief = spell("envoy killed", 10, 30, permits=("refused",), felt_s=3.0)
    told = [request(12, 0, reason="refused"), request(14 + AFTER_S, 0, reason="refused")]
    assert len(check_requests(History(requests=told, faults=[brief]))) == 1


def test_a_host_whose_processes_were_killed_is_excused_until_its_new_ones_speak() -> None:
    names = ("sidecar@h1", "envoy@h1")
    killed = spell("killed", 10, 12, hosts=("h1",), permits=("refused",), restarts=names)
    looks = [look(at, "h1", 5) for at in (9.0, 10.2, 10.8, 30.0, 31.0)]
    told = [request(at, 0, reason="refused") for at in (11.0, 25.0, 33.0)]
    assert check_requests(History(requests=told, looks=looks, faults=[killed])) == []
    late = request(31 + AFTER_S, 0, reason="refused")
    assert len(check_requests(History(requests=[*told, late], looks=looks, faults=[killed]))) == 1
    assert len(check_requests(History(requests=told, looks=looks[:3], faults=[killed]))) == 2


def test_who_is_ill_is_left_out_when_it_should_have_been_noticed() -> None:
    ill = spell("backend 5xx", 10, 30, backends=("h3",), permits=("5xx",))
    looks = [look(1, host, 5) for host in ("h1", "h2", "h3", "h4")]
    early = [request(11 + n / 10, 500, backend="h3") for n in range(20)]
    later = [request(20 + n / 10, 200) for n in range(60)]
    history = History(requests=early + later, looks=looks, faults=[ill])
    assert check_requests(history) == []
    history.requests += [request(25 + n / 10, 500, backend="h3") for n in range(40)]
    (found,) = check_requests(history)
    assert "40 of 100 requests from h1 failed later than 6 s after backend 5xx began" in found.what


def test_a_permit_for_no_route_excuses_nothing() -> None:
    fault = spell("everything", 0, 99, permits=("no_route", "no_cluster"))
    bad = [request(2, 404), request(3, 503, reason="NC")]
    assert len(check_requests(History(requests=bad, faults=[fault]))) == 2


def test_what_is_in_force_of_the_epoch_before_is_not_of_this_one() -> None:
    before = look(1, "h1", 53)
    between = look(2, "h1", 20, epoch="2:abc", in_force=53, epoch_in_force="1:abc")
    after = look(3, "h1", 21, epoch="2:abc")
    assert check_monotonic(History(looks=[before, between, after])) == []
    back = look(4, "h1", 21, epoch="2:abc", in_force=20)
    (found,) = check_monotonic(History(looks=[before, between, after, back]))
    assert "revision in force went from 21 back to 20 in epoch 2:abc" in found.what


def test_route_and_subset_of_two_changes_are_a_mixture() -> None:
    fine = [Probe(1, "h1", 200, 4, "even"), Probe(2, "h1", 200, 5, "odd"), Probe(3, "h1", 0)]
    assert check_mixtures(History(probes=fine)) == []
    bad = [
        Probe(4, "h1", 200, 6, "odd"),
        Probe(5, "h1", 503, reason="NC"),
        Probe(6, "h1", 404),
        Probe(7, "h1", 200),
    ]
    found = check_mixtures(History(probes=bad))
    assert len(found) == 4
    assert "route of change 6 was answered by group odd" in found[0].what


def test_a_workload_that_is_out_of_rotation_at_one_host_is_found() -> None:
    fine = [
        look(1, "h1", 5, listed={"web": 2}),
        look(1, "h2", 5, listed={"web": 2}),
        look(2, "h2", 5),
    ]
    assert check_rotation(History(looks=fine)) == []
    short = look(3, "h2", 5, listed={"web": 1})
    assert check_rotation(History(looks=[*fine, short])) == [], "an Envoy that has just started"
    again = look(4, "h2", 5, listed={"web": 1})
    assert (
        check_rotation(History(looks=[short, *fine[:1], look(3.5, "h2", 5, listed={"web": 2})]))
        == []
    )
    (found,) = check_rotation(History(looks=[*fine, short, again]))
    assert found.what == "h2 knows 1 endpoints of web; 2 hosts have one"


def test_caps_hold_at_every_look() -> None:
    listed = {"web": 4, "one": 1, "two": 2}
    fine = look(1, "h1", 5, listed=listed, usable={"web": 2, "one": 1, "two": 1})
    assert check_caps(History(looks=[fine])) == []
    bad = look(2, "h1", 5, listed=listed, usable={"web": 1, "one": 0, "two": 0})
    found = check_caps(History(looks=[bad]))
    assert "h1 leaves out 3 of 4 endpoints of web; 2 are allowed" in [one.what for one in found]
    assert len(found) == 3


def test_the_mesh_gives_way_soon_where_a_host_s_own_envoy_ejects_too() -> None:
    told = {"listed": {"web": 4}, "usable": {"web": 1}}
    one = ("web.default.svc 10.0.0.3:80",)
    both = [look(at, "h1", 5, imposed=one, **told) for at in (1.0, 2.5)]
    assert check_caps(History(looks=both)) == []
    assert len(check_caps(History(looks=[*both, look(3.5, "h1", 5, imposed=one, **told)]))) == 1
    again = [both[0], look(2, "h1", 5, listed={"web": 4}, usable={"web": 2})]
    later = look(4, "h1", 5, imposed=one, **told)
    assert check_caps(History(looks=[*again, later])) == []
    three = tuple(f"web.default.svc 10.0.0.{n}:80" for n in range(3))
    assert len(check_caps(History(looks=[look(1, "h1", 5, imposed=three, **told)]))) == 1
    assert len(check_caps(History(looks=[look(1, "h1", 5, **told)]))) == 1


def test_an_ejection_that_the_mesh_ended_just_now_is_not_envoys_own() -> None:
    told = {"listed": {"web": 4}, "usable": {"web": 1}}
    one = ("web.default.svc 10.0.0.3:80",)
    held = look(1, "h1", 5, imposed=one, listed={"web": 4}, usable={"web": 3})
    assert check_caps(History(looks=[held, look(2, "h1", 5, **told)])) == []
    elsewhere = look(2, "h2", 5, **told)
    assert len(check_caps(History(looks=[held, elsewhere]))) == 1
    over = look(2, "h1", 5, listed={"web": 4}, usable={"web": 3})
    assert len(check_caps(History(looks=[held, over, look(5, "h1", 5, **told)]))) == 1


def test_a_well_endpoint_comes_back_after_its_hold() -> None:
    one = Ejected("web", "10.0.0.3:80", "h3", until_s=40.0)
    looks = [look(at, "h1", 5, ejected=(one,)) for at in (12.0, 30.0, 41.0 + SLACK_S)]
    sick = spell("backend 5xx", 10, 99, backends=("h3",), permits=("5xx",))
    other = spell("backend 5xx", 10, 99, backends=("h4",), permits=("5xx",))
    assert check_holds(History(looks=looks, faults=[sick])) == []
    first, found = check_holds(History(looks=looks, faults=[other]))
    assert first.what == "h1 ejects 10.0.0.3:80 of web, which is well"
    assert "h1 still ejects 10.0.0.3:80 of web, which is well" in found.what
    assert check_holds(History(looks=[*looks[:2], look(50, "h1", 5)], faults=[sick])) == []


def test_a_fault_of_others_and_a_poisoned_observer_make_nobody_ill() -> None:
    one = Ejected("web", "10.0.0.3:80", "h3", until_s=20.0)
    looks = [look(12, "h1", 5, ejected=(one,))]
    for fault in (
        spell("etcd killed", 10, 20),
        spell("poisoned", 10, 20, hosts=("h2",), permits=("unreachable",)),
    ):
        (found,) = check_holds(History(looks=looks, faults=[fault]))
        assert found.what == "h1 ejects 10.0.0.3:80 of web, which is well"
    own = spell("poisoned", 10, 20, hosts=("h1",), permits=("unreachable",))
    assert check_holds(History(looks=looks, faults=[own])) == [], "what it sees is its own trouble"
    late = look(23, "h2", 5, ejected=(one,))
    ill = spell("backend 5xx", 10, 13, backends=("h3",), permits=("5xx",))
    assert check_holds(History(looks=[*looks, late], faults=[ill])) == []


def ejected(until_s: float) -> Ejected:
    return Ejected("web", "10.0.0.3:80", "h3", until_s=until_s)


def test_a_host_that_reaches_nobody_may_prolong_an_ejection_and_begin_none() -> None:
    first, again = ejected(20.0), ejected(40.0)
    ill = spell("backend 5xx", 5, 8, backends=("h3",), permits=("5xx",))
    poisoned = spell("poisoned", 15, 30, hosts=("h2",), permits=("unreachable",))
    held = [look(at, "h1", 5, ejected=(first,)) for at in (8, 20)]
    tried, late = look(25, "h1", 5, ejected=(again,)), look(45, "h4", 5, ejected=(again,))
    looks = [*held, look(21, "h1", 5), tried, late]
    assert check_holds(History(looks=looks, faults=[ill, poisoned])) == []
    (found, *_) = check_holds(History(looks=looks, faults=[ill]))
    assert (found.at_s, found.what) == (25, "h1 ejects 10.0.0.3:80 of web, which is well")
    for others in ([tried], [look(8, "h1", 5, ejected=(first,)), look(9, "h1", 5), tried]):
        (found,) = check_holds(History(looks=others, faults=[ill, poisoned]))
        assert found.at_s == 25, "none was rightly begun, or it is long over"


def test_an_ejection_that_never_ends_is_found_though_it_says_that_it_ends_now() -> None:
    """Once its hold is over an ejection is said to end at the very moment of the look."""
    ill = spell("backend 5xx", 5, 8, backends=("h3",), permits=("5xx",))
    times = [8 + half / 2 for half in range(27)]
    looks = [look(at, "h1", 5, ejected=(ejected(max(at, 11.0)),)) for at in times]
    found = check_holds(History(looks=looks, faults=[ill]))
    assert any("still ejects" in one.what for one in found)


@pytest.mark.parametrize(
    "seen",
    [
        [(18, "h2", 48), (18.5, "h1", 60), (18.6, "h4", 60)],
        [(18, "h2", 48), (18.5, "h1", 48), (18.6, "h4", 48)],
        [(16, "h2", 20), (17, "h1", 117)],
        [(8, "h1", 38), (16.2, "h4", 130)],
        [(8, "h1", 20), (15, "h1", 500), (200, "h1", 500)],
    ],
)
def test_a_host_that_reaches_nobody_does_not_excuse_the_ejections_of_others(
    seen: list[tuple[float, str, float]],
) -> None:
    """It begins none for them, prolongs none before its hold is over, and none by more than a hold."""
    poisoned = spell("poisoned", 15, 27, hosts=("h2",), permits=("unreachable",))
    faults = [poisoned]
    if seen[0][0] < 15:
        faults.append(spell("backend 5xx", 5, 8, backends=("h3",), permits=("5xx",)))
    looks = [look(at, host, 5, ejected=(ejected(until_s),)) for at, host, until_s in seen]
    assert check_holds(History(looks=looks, faults=faults))


def test_an_illness_that_is_over_excuses_no_ejection_for_good() -> None:
    one = Ejected("web", "10.0.0.3:80", "h3", until_s=11.0)
    again = Ejected("web", "10.0.0.3:80", "h3", until_s=16.0)
    sick = spell("backend 5xx", 4, 7, backends=("h3",), permits=("5xx",))
    held = [look(6, "h1", 5, ejected=(one,)), look(12, "h1", 5, ejected=(again,))]
    assert check_holds(History(looks=held, faults=[sick])) == []
    late = look(16.1 + SLACK_S, "h1", 5, ejected=(again,))
    (found,) = check_holds(History(looks=[*held, late], faults=[sick]))
    assert "its hold ended 6.1 s ago" in found.what


def usages(values: list[int], pid: int = 7) -> list[Usage]:
    return [Usage(n, "h1", "sidecar", pid, rss, 40, 9) for n, rss in enumerate(values)]


def test_a_process_that_ended_by_itself_is_found() -> None:
    both = [*usages([5, 5], pid=7), Usage(9, "h1", "sidecar", 8, 5, 40, 9)]
    fault = spell("sidecar killed", 1, 2, restarts=("sidecar@h1",))
    assert check_restarts(History(usages=both, faults=[fault])) == []
    (found,) = check_restarts(History(usages=both))
    assert found.what == "sidecar of h1 is process 8, and was 7: it ended by itself"


def test_a_run_that_saw_nothing_is_not_green() -> None:
    history = register_history(1)
    history.ended_s = 40.0
    history.requests = [request(36 + n / 10) for n in range(20)]
    history.probes = [Probe(n, "h1", 200, n, "even") for n in range(0, 20, 2)]
    history.looks = [look(36 + n, "h1", 5, listed={"web": 1}) for n in range(3)]
    assert check_activity(history) == []
    history.looks.append(look(1, "h2", 5))
    told = [one.what for one in check_activity(history)]
    assert "0 looks at h2 in the last 6 s; at least 2 are needed to judge a run" in told
    assert len(told) == 3
    assert len(check_activity(History(looks=history.looks, ended_s=40.0))) == 7


def test_memory_that_grows_without_end_is_found() -> None:
    assert check_resources(History(usages=usages([90_000, 120_000, *[130_000] * 20]))) == []
    leak = usages([100_000 + 10_000 * n for n in range(24)])
    (found,) = check_resources(History(usages=leak))
    assert "sidecar of h1 (process 7): rss_kib grew" in found.what
    assert check_resources(History(usages=leak[:5])) == []


def test_members_that_came_apart_are_named_with_their_version() -> None:
    history = History(members={"e1": "5", "e2": "5", "e3": "6"}, etcd="3.5.1")
    (found,) = check_members(history)
    assert "the members of etcd 3.5.1 hold different things" in found.what
    assert "e3: 6" in found.what
    history.members["e3"] = "5"
    assert check_members(history) == []


def test_what_is_left_behind_is_named() -> None:
    (found,) = check_left_behind(History(left_behind=["namespace mc1-h1"]))
    assert found.what == "namespace mc1-h1 was left behind"


def test_a_long_list_is_cut_and_says_so() -> None:
    many = [Violation("x", float(n), "bad") for n in range(30)]
    assert len(at_most(many)) == 21
    assert at_most(many)[-1].what == "and 10 more"


def test_the_verdict_asks_every_checker_and_counts() -> None:
    history = History(
        requests=[request(1), request(2, 503, reason="UF")],
        writes=[write(0, 1, "", "a", Outcome.OK, 2)],
        looks=[look(1, "h1", 2)],
        ended_s=9.0,
    )
    verdict = judge(history)
    assert not verdict.is_green
    assert set(verdict.violations) == set(CHECKERS)
    told = verdict.as_json()
    told_by = {name for name, found in verdict.violations.items() if found}
    assert told_by == {"requests", "activity"}
    assert told["figures"]["failures_excused"] == {"unreachable": 1}
    assert told["violations"]["requests"][0]["checker"] == "requests"


def test_records_come_back_from_disk_as_they_were(tmp_path: Path) -> None:
    one = Ejected("web", "10.0.0.3:80", "h3", until_s=40.0)
    history = History(
        requests=[request(1)],
        probes=[Probe(1, "h1", 200, 4, "even")],
        writes=[write(0, 1, "", "a", Outcome.UNKNOWN)],
        reads=[read(2, 3, "a", 2)],
        looks=[look(1, "h1", 2, ejected=(one,), listed={"web": 3})],
        usages=usages([5]),
        faults=[spell("split", 1, 2, hosts=("h1",), permits=("none",))],
        healed_s=2.0,
        ended_s=3.0,
        left_behind=["x"],
        etcd="3.4.23",
        members={"e1": "5"},
    )
    records.store(history, tmp_path)
    assert records.load(tmp_path) == history
