from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.mesh.model import HostName, MeshChange
from sidecar.xds.dependencies import Dependencies

HOSTS = [HostName(name) for name in ("a.x", "b.x", "c.y", "*.x", "*.y", "*", "*.b.x", "a.b.x")]
HOST_SETS = st.frozensets(st.sampled_from(HOSTS), max_size=3)


@given(
    filed=st.lists(st.tuples(st.integers(0, 3), HOST_SETS)),
    changed=HOST_SETS,
    everything=st.booleans(),
)
def test_exactly_the_things_with_a_touched_host_are_found(
    filed: list[tuple[int, frozenset[HostName]]], changed: frozenset[HostName], everything: bool
) -> None:
    dependencies: Dependencies[int] = Dependencies()
    expected: dict[int, frozenset[HostName]] = {}
    for thing, hosts in filed:
        dependencies.file(thing, hosts)
        expected[thing] = hosts
    change = MeshChange(
        hosts=frozenset(h for h in changed if not h.startswith("*")),
        patterns=frozenset(h for h in changed if h.startswith("*")),
        everything=everything,
    )
    touched = {
        thing for thing, hosts in expected.items() if everything or any(map(change.touches, hosts))
    }
    assert dependencies.touched(change) == touched


def test_what_is_forgotten_is_not_found() -> None:
    dependencies: Dependencies[str] = Dependencies()
    dependencies.file("t", [HOSTS[0], HOSTS[3]])
    dependencies.forget("t")
    dependencies.forget("t")
    assert "t" not in dependencies
    assert len(dependencies) == 0
    assert not dependencies.touched(MeshChange(hosts=frozenset(HOSTS[:2])))
