"""Looking up earlier values."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from sidecar.agent.recall import look_up
from store.catalog.generations import Compacted, Recall, RecallSource
from store.errors import StoreUnavailable
from store.etcd.client import EtcdClient
from store.etcd.failures import RevisionCompacted
from store.etcd.settings import EtcdSettings
from store.snapshot import Entry

KEY = "ns/default/virtualservices/reviews"


class Past(EtcdClient):
    """Answers questions about the past in the order given; an exception is raised."""

    def __init__(self, *answers: Entry | Exception | None) -> None:
        super().__init__(EtcdSettings(prefix="/mesh/v1"))
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def get(self, key: str, revision: int = 0, *, timeout_s: float | None = None) -> Entry | None:
        self.asked.append((key, revision))
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


BEFORE = Entry(f"/mesh/v1/{KEY}", b"{}", 3, 6, 2)
QUESTION = Recall(KEY, 6, RecallSource.ETCD)


async def test_the_value_one_revision_before_comes_with_the_relative_key() -> None:
    past = Past(BEFORE)
    answer = await look_up(past, QUESTION)
    assert answer == Entry(KEY, b"{}", 3, 6, 2)
    assert past.asked == [(f"/mesh/v1/{KEY}", 6)]


@pytest.mark.parametrize(
    ("answer", "expected"), [(None, None), (RevisionCompacted("gone"), Compacted())]
)
async def test_what_is_not_there_and_what_is_forgotten_differ(
    answer: Exception | None, expected: Compacted | None
) -> None:
    assert await look_up(Past(answer), QUESTION) == expected


async def test_a_store_that_is_away_is_asked_until_it_answers(
    autojump_clock: MockClock,
) -> None:
    autojump_clock.autojump_threshold = 0.01
    away = [StoreUnavailable("nobody answers")] * 30
    past = Past(*away, BEFORE)
    assert await look_up(past, QUESTION) is not None
    assert len(past.asked) == 31
