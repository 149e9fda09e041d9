from __future__ import annotations

from sidecar.outlier.model import Place
from sidecar.xds.local_ejections import LocalEjections

ONE, TWO = Place("10.0.0.1", 80), Place("10.0.0.2", 80)


def changed(*ejected: tuple[str, Place, float]) -> LocalEjections:
    local = LocalEjections()
    local.seen({(cluster, place): until_s for cluster, place, until_s in ejected})
    for cluster in {cluster for cluster, _, _ in ejected}:
        local.changed(cluster, detects=True)
    return local


def test_nothing_is_held_while_envoy_knows_it_itself() -> None:
    local = LocalEjections()
    local.seen({("a", ONE): 30.0})
    assert not local.held("a")
    assert local.deadline() is None


def test_each_is_held_until_its_own_time() -> None:
    local = changed(("a", ONE, 30.0), ("a", TWO, 40.0), ("b", ONE, 35.0))
    assert local.deadline() == 30.0
    assert local.expire(29.0) == frozenset()
    assert local.expire(36.0) == {"a", "b"}
    assert local.all_held() == {("a", TWO)}
    assert local.expire(40.0) == {"a"}
    assert local.deadline() is None


def test_a_second_change_holds_on_and_never_shortens() -> None:
    local = changed(("a", ONE, 30.0))
    local.changed("a", detects=True)
    assert local.held("a") == {ONE: 30.0}
    local.seen({("a", ONE): 20.0})
    local.changed("a", detects=True)
    assert local.held("a") == {ONE: 30.0}


def test_a_cluster_that_goes_or_detects_no_more_holds_nothing() -> None:
    local = changed(("a", ONE, 30.0), ("b", ONE, 30.0), ("c", ONE, 30.0))
    local.forget("a")
    local.changed("b", detects=False)
    assert local.all_held() == {("c", ONE)}
    local.forget_all()
    assert not local.all_held()
    local.seen({("d", ONE): 30.0})
    local.forget_all()
    local.changed("d", detects=True)
    assert not local.all_held()
