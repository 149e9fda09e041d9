"""Properties of locality ranking and distribution, over random endpoints."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.balancing.locality import LocalitySetting, distribution, locality_setting, priorities
from sidecar.mesh.model import Context, Endpoint, Locality
from store.objects.load_balancer import LocalityDistribute, LocalityFailover

parts = st.sampled_from(["", "a", "b"])
localities = st.builds(Locality, parts, parts, parts)
endpoints = st.lists(
    st.builds(
        lambda n, at, weight: Endpoint(f"10.0.0.{n}", 80, locality=at, weight=weight),
        st.integers(1, 250),
        localities,
        st.integers(1, 9),
    ),
    max_size=12,
)
settings_of_failover = st.builds(
    lambda by_region, to: LocalitySetting(
        failover=() if to is None else (LocalityFailover.model_validate({"from": "a", "to": to}),),
        by_region=by_region,
    ),
    st.booleans(),
    st.sampled_from([None, "b", "c"]),
)


def shared(one: Locality, other: Locality) -> int:
    count = 0
    for left, right in zip(one, other, strict=True):
        if left != right:
            break
        count += 1
    return count


@given(endpoints, localities, settings_of_failover)
def test_priorities_are_compact_and_a_nearer_endpoint_never_comes_later(
    found: list[Endpoint], at: Locality, setting: LocalitySetting
) -> None:
    ranks = priorities(found, Context("", "default", locality=at), setting)
    if not ranks:
        return
    assert len(ranks) == len(found)
    assert set(ranks) == set(range(max(ranks) + 1))
    for one, first in zip(found, ranks, strict=True):
        for other, second in zip(found, ranks, strict=True):
            if one.locality == other.locality:
                assert first == second
            if shared(one.locality, at) > shared(other.locality, at):
                assert first <= second


@given(
    endpoints,
    localities,
    st.dictionaries(st.sampled_from(["a", "b", "a/a", "*"]), st.integers(0, 100)),
)
def test_only_localities_under_a_target_have_a_share(
    found: list[Endpoint], at: Locality, to: dict[str, int]
) -> None:
    entry = LocalityDistribute.model_validate({"from": "*", "to": to})
    shares = distribution(found, Context("", "default", locality=at), LocalitySetting((entry,)))
    assert shares is not None
    assert all(share > 0 for share in shares.values())
    assert set(shares) <= {one.locality for one in found}
    for locality in {one.locality for one in found} - set(shares):
        covering = [
            target
            for target, share in to.items()
            if share and (target == "*" or str(locality).startswith(target))
        ]
        # Without a share although a target covers it: only where a narrower one of share 0 took it.
        assert not covering or any(not share for share in to.values())


def test_the_meshs_setting_holds_where_the_destination_has_none() -> None:
    assert locality_setting(None, None) == LocalitySetting()
