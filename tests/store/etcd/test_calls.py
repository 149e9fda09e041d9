"""Which member is asked, until when, and what becomes of a call when members die, freeze or elect a leader."""

from __future__ import annotations

import threading

import pytest

from store.errors import StoreUnavailable
from store.etcd.client import EtcdClient
from store.etcd.settings import EtcdSettings
from tests.harness.processes import EtcdProcess, free_port, wait_until

pytestmark = pytest.mark.real


def test_the_next_member_is_asked_when_one_is_away(etcd: EtcdProcess, prefix: str) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    with EtcdClient(EtcdSettings(endpoints=(dead, etcd.url))) as client:
        client.put(f"{prefix}/k", b"v")
        assert client.endpoint == etcd.url
        assert client.get(f"{prefix}/k") is not None


def test_an_unreachable_store_says_which_endpoint_and_what_to_do() -> None:
    dead = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
    with EtcdClient(EtcdSettings(endpoints=tuple(dead))) as client:
        with pytest.raises(StoreUnavailable, match=r"cannot be reached.*MESHD_ETCD") as failure:
            client.get("/k")
        assert all(url in failure.value.message for url in dead)
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            client.put("/k", b"v")


def test_a_client_reaches_etcd_again_right_after_its_restart(own_etcd: EtcdProcess) -> None:
    with EtcdClient(EtcdSettings(endpoints=(own_etcd.url,))) as client:
        client.put("/k", b"v")
        own_etcd.kill()
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            client.get("/k")
        own_etcd.start()
        entry = client.get("/k")
        assert entry is not None
        assert entry.value == b"v"


def test_a_read_on_a_connection_that_broke_is_answered_on_a_new_one(own_etcd: EtcdProcess) -> None:
    with EtcdClient(EtcdSettings(endpoints=(own_etcd.url,))) as client:
        client.put("/k", b"v")
        own_etcd.restart()
        assert client.get("/k") is not None


def test_a_frozen_member_costs_its_share_of_the_deadline(
    own_etcd: EtcdProcess, etcd: EtcdProcess, prefix: str
) -> None:
    settings = EtcdSettings(endpoints=(own_etcd.url, etcd.url), request_timeout_s=2.0)
    with EtcdClient(settings) as client:
        client.get("/k")
        own_etcd.freeze()
        client.get("/k")
        assert client.endpoint == etcd.url
    only_frozen = EtcdSettings(endpoints=(own_etcd.url,), request_timeout_s=0.3)
    with (
        EtcdClient(only_frozen) as client,
        pytest.raises(StoreUnavailable, match=r"no answer within 0\.3 s"),
    ):
        client.get("/k")
    own_etcd.thaw()
    wait_until(own_etcd.is_healthy, 10.0, "the thawed etcd to answer")


@pytest.mark.slow
def test_many_threads_share_one_client_through_a_restart(own_etcd: EtcdProcess) -> None:
    failures: list[str] = []
    answers: list[int] = []
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            try:
                client.get("/k")
                answers.append(1)
            except StoreUnavailable as failure:
                failures.append(failure.message)

    with EtcdClient(EtcdSettings(endpoints=(own_etcd.url,), request_timeout_s=2.0)) as client:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(answers) > 100, 10.0, "the first answers")
        own_etcd.kill()
        wait_until(lambda: len(failures) > 20, 10.0, "failures while etcd is away")
        own_etcd.start()
        seen = len(answers)
        wait_until(lambda: len(answers) > seen + 100, 10.0, "answers after the restart")
        is_over.set()
        for thread in threads:
            thread.join(10.0)
            assert not thread.is_alive()
    assert all(own_etcd.url in failure for failure in failures)
