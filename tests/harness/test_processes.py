"""The harness itself: what other tests rely on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.processes import EtcdProcess, start_cluster, wait_until, wait_until_async

pytestmark = pytest.mark.real


def test_etcd_keeps_ports_over_a_kill_and_restart(own_etcd: EtcdProcess) -> None:
    before = own_etcd.url
    own_etcd.kill()
    assert not own_etcd.is_healthy()
    own_etcd.start()
    assert own_etcd.url == before
    assert own_etcd.is_healthy()


def test_a_frozen_etcd_does_not_answer_until_thawed(own_etcd: EtcdProcess) -> None:
    own_etcd.freeze()
    assert not own_etcd.is_healthy()
    own_etcd.thaw()
    wait_until(own_etcd.is_healthy, 10.0, "the thawed etcd to answer")


def test_three_members_form_one_cluster(tmp_path: Path) -> None:
    members = start_cluster(tmp_path, 3)
    try:
        wait_until(
            lambda: all(member.is_healthy() for member in members), 20, "all three to be healthy"
        )
    finally:
        for member in members:
            member.kill()


def test_a_wait_that_fails_names_what_did_not_come() -> None:
    with pytest.raises(AssertionError, match="for the moon"):
        wait_until(lambda: False, 0.02, "the moon")


async def test_an_async_wait_takes_sync_and_async_predicates() -> None:
    async def yes() -> bool:
        return True

    assert await wait_until_async(yes, 1.0, "yes")
    assert await wait_until_async(lambda: 7, 1.0, "seven") == 7
    with pytest.raises(AssertionError, match="for the moon"):
        await wait_until_async(lambda: False, 0.02, "the moon")
