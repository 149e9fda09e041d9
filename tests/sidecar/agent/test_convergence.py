"""How long revisions took."""

from __future__ import annotations

from sidecar.agent.convergence import WAITING_MAX, Convergence


def test_a_label_in_force_ends_all_that_arrived_before_it() -> None:
    convergence = Convergence()
    for second, label in enumerate(("1@5", "1@6", "1@7")):
        convergence.arrived(label, float(second))
    assert list(convergence.in_force("1@6", 10.0)) == [10.0, 9.0]
    assert list(convergence.in_force("1@6", 11.0)) == []
    assert list(convergence.in_force("1@7", 11.0)) == [9.0]


def test_a_label_that_never_arrived_measures_nothing() -> None:
    convergence = Convergence()
    convergence.arrived("2@5", 0.0)
    assert list(convergence.in_force("1@900", 1.0)) == []
    assert len(convergence) == 1


def test_the_first_arrival_of_a_label_counts() -> None:
    convergence = Convergence()
    convergence.arrived("1@5", 1.0)
    convergence.arrived("1@5", 2.0)
    assert list(convergence.in_force("1@5", 3.0)) == [2.0]


def test_an_envoy_that_stays_away_costs_no_memory() -> None:
    convergence = Convergence()
    for revision in range(5 * WAITING_MAX):
        convergence.arrived(f"1@{revision}", 0.0)
    assert len(convergence) == WAITING_MAX
