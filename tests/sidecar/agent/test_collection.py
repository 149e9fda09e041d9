from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from sidecar.agent.collection import STEP_KEYS, Collection


@pytest.fixture(autouse=True)
def collector_as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_nothing_is_collected_before_the_first_load_nor_within_any() -> None:
    collection = Collection()
    assert not gc.isenabled()
    for keys in (0, 1, 50_000):
        with collection.paused(keys):
            assert not gc.isenabled()
        assert gc.isenabled()


def test_a_load_that_fails_leaves_the_collector_running() -> None:
    collection = Collection()
    with pytest.raises(ValueError), collection.paused(5):
        raise ValueError
    assert gc.isenabled()


def test_what_lives_is_set_aside_after_the_first_load_and_when_the_mesh_has_grown() -> None:
    gc.unfreeze()
    collection = Collection()
    kept: list[list[int]] = []

    def load(keys: int) -> bool:
        """Whether what was made within is set aside."""
        before = gc.get_freeze_count()
        with collection.paused(keys):
            kept.extend([number] for number in range(100))
        return gc.get_freeze_count() >= before + 100

    assert load(10)
    assert not load(11)
    assert not load(10 + STEP_KEYS - 1)
    assert load(10 + STEP_KEYS)
    assert not load(10 + STEP_KEYS)
    assert load(10)
