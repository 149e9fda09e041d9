"""Change sets against a real etcd: one revision, lost races, lost answers, history and rollback."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from store.changes import ChangeSet, plan_delete, plan_put, plan_rollback
from store.errors import ConflictError, StoreUnavailable
from store.etcd import publishing
from store.etcd.client import EtcdClient
from store.etcd.failures import OutcomeUnknown, StoreTooNew
from store.etcd.history import list_history, read_change
from store.etcd.publishing import (
    Published,
    authorship,
    publish,
    publish_in_batches,
    read_current,
)
from store.etcd.settings import EtcdSettings
from tests.harness.processes import EtcdProcess, start_cluster, wait_until
from tests.harness.proxies import FaultyProxy
from tests.harness.publishing import key_of, planned, put, rule, settings

pytestmark = pytest.mark.real


@pytest.fixture
def client(etcd: EtcdProcess, prefix: str) -> Iterator[EtcdClient]:
    with EtcdClient(settings(etcd.url, prefix)) as made:
        yield made


def rolled_back(client: EtcdClient, change: str, *, force: bool = False) -> Published:
    records = read_change(client, change)
    current = read_current(client, [one.key for record in records for one in record.overwrote])
    plan = plan_rollback(records, current.entries, revision=current.revision, force=force)
    return publish(client, plan, authorship("ann", f"rollback of {change}"))


def values(client: EtcdClient) -> dict[str, bytes]:
    return {entry.key: entry.value for entry in client.list_prefix(client.settings.prefix).entries}


def test_a_change_set_and_its_history_appear_at_one_revision(client: EtcdClient) -> None:
    done = put(client, rule("a"), rule("b", namespace="shop"), message="first")
    prefix = client.settings.prefix
    entries = client.list_prefix(prefix).entries
    history = client.list_prefix(f"{prefix}-history").entries
    assert [entry.key for entry in history] == [f"default/{done.change}", f"shop/{done.change}"]
    assert {entry.mod_revision for entry in (*entries, *history)} == {done.revision}
    assert [entry.key for entry in entries] == [
        "format",
        "ns/default/destinationrules/a",
        "ns/shop/destinationrules/b",
    ]


def test_putting_the_same_again_writes_nothing(client: EtcdClient) -> None:
    done = put(client, rule("a"))
    again = put(client, rule("a"))
    assert again.change == ""
    assert client.list_prefix(client.settings.prefix).entries[-1].mod_revision == done.revision


@pytest.mark.slow
def test_two_thousand_objects_are_put_over_others_at_one_revision(client: EtcdClient) -> None:
    documents = [rule(f"r{number}", "old") for number in range(1500)]
    put(client, *documents)
    newer = [rule(f"r{number}", "new") for number in range(2000)]
    done = put(client, *newer)
    listing = client.list_prefix(f"{client.settings.prefix}/ns")
    assert len(listing.entries) == 2000
    assert {entry.mod_revision for entry in listing.entries} == {done.revision}
    rolled_back(client, done.change)
    kept = client.list_prefix(f"{client.settings.prefix}/ns").entries
    assert len(kept) == 1500
    assert all(b'"old"' in entry.value for entry in kept)


def test_a_lost_race_shows_both_versions_and_writes_nothing(client: EtcdClient) -> None:
    put(client, rule("a", "first"), rule("b", "first"))
    mine = planned(client, rule("a", "mine"), rule("b", "mine"))
    theirs = put(client, rule("b", "theirs"))
    with pytest.raises(ConflictError) as failure:
        publish(client, mine, authorship("ann"))
    text = str(failure.value)
    assert f"at revision {theirs.revision} now" in text
    assert '"mine"' in text
    assert '"theirs"' in text
    assert b'"first"' in values(client)[key_of(rule("a"))]


def test_neighbours_that_were_written_meanwhile_are_no_conflict(client: EtcdClient) -> None:
    """Above a hundred keys guards are shared by ranges; a neighbour's write fails them and is found harmless."""
    documents = [rule(f"r{number:03}", "new") for number in range(0, 300, 2)]
    mine = planned(client, *documents)
    put(client, rule("r001", "theirs"))
    done = publish(client, mine, authorship("ann"))
    assert len(done.change_set.effective) == 150
    assert b'"theirs"' in values(client)[key_of(rule("r001"))]


def test_two_who_put_first_into_an_empty_store_both_succeed(
    client: EtcdClient, etcd: EtcdProcess
) -> None:
    mine = planned(client, rule("a"))
    with EtcdClient(settings(etcd.url, client.settings.prefix)) as other:
        put(other, rule("b"))
    publish(client, mine, authorship("ann"))
    assert {key_of(rule("a")), key_of(rule("b")), "format"} == set(values(client))


def test_a_newer_stored_format_is_refused_in_words(client: EtcdClient) -> None:
    mine = planned(client, rule("a"))
    client.put(f"{client.settings.prefix}/format", b'{"format":9,"oldestReader":8}')
    with pytest.raises(StoreTooNew, match=r"format 9.*newer meshd"):
        publish(client, mine, authorship("ann"))
    with pytest.raises(StoreTooNew):
        read_current(client, [])
    client.put(f"{client.settings.prefix}/format", b"gibberish")
    with pytest.raises(StoreTooNew, match="gibberish"):
        publish(client, mine, authorship("ann"))


def test_batches_are_changes_of_their_own_and_each_can_be_found(client: EtcdClient) -> None:
    large = "x" * 300_000
    documents = [rule("route", large, kind="VirtualService")]
    documents += [rule(f"r{number}", large) for number in range(5)]
    current = read_current(client, [key_of(document) for document in documents])
    plan = plan_put(documents, current.entries, revision=current.revision)
    done = list(publish_in_batches(client, plan, authorship("ann")))
    assert [one.change.rsplit(".", 1)[1] for one in done] == ["001", "002"]
    last = done[-1].change_set.changes[-1]
    assert last.key == key_of(documents[0])
    assert len(values(client)) == 7
    assert len(list_history(client).records) == 2


def test_a_rollback_is_a_new_change_that_restores_what_was_overwritten(client: EtcdClient) -> None:
    raw = b"kind: DestinationRule  # put by hand\n"
    client.put(f"{client.settings.prefix}/{key_of(rule('b'))}", raw)
    first = put(client, rule("a", "one"))
    second = put(client, rule("a", "two"), rule("b"), rule("c"))
    with pytest.raises(ConflictError, match="changed since"):
        rolled_back(client, first.change)
    back = rolled_back(client, second.change)
    now = values(client)
    assert b'"one"' in now[key_of(rule("a"))]
    assert now[key_of(rule("b"))] == raw
    assert key_of(rule("c")) not in now
    rolled_back(client, back.change)
    assert b'"two"' in values(client)[key_of(rule("a"))]
    rolled_back(client, first.change, force=True)
    assert key_of(rule("a")) not in values(client)


def test_a_write_that_happened_but_whose_answer_was_lost_is_found_and_not_repeated(
    etcd: EtcdProcess, client: EtcdClient
) -> None:
    """Failure 18: the connection is cut after the commit, before the reply."""
    with (
        FaultyProxy(etcd.client_port) as proxy,
        ThreadPoolExecutor() as pool,
        EtcdClient(settings(proxy.url, client.settings.prefix)) as through,
    ):
        mine = planned(through, rule("a", "mine"))
        running = losing_answers(proxy, pool, through, mine)
        wait_until(lambda: key_of(rule("a")) in values(client), 10.0, "the write to arrive")
        proxy.is_losing_answers = False
        proxy.cut()
        done = running.result(20.0)
    assert done.is_read_back
    (entry,) = [
        one for one in client.list_prefix(client.settings.prefix).entries if "/a" in one.key
    ]
    assert (entry.mod_revision, entry.version) == (done.revision, 1)
    assert len(list_history(client).records) == 1


def test_a_write_that_never_arrived_is_told_as_not_written_and_cannot_come_later(
    etcd: EtcdProcess, client: EtcdClient
) -> None:
    with (
        FaultyProxy(etcd.client_port) as proxy,
        ThreadPoolExecutor() as pool,
        EtcdClient(settings(proxy.url, client.settings.prefix)) as through,
    ):
        mine = planned(through, rule("a", "mine"))
        through.get("/warm")
        running = holding_requests(proxy, pool, through, mine)
        proxy.is_holding_requests = False
        proxy.cut(keep_servers=True)
        with pytest.raises(StoreUnavailable, match=r"nothing was written.*safe now"):
            running.result(20.0)
        revision = client.list_prefix(client.settings.prefix).revision
        handled = transactions_handled(etcd)
        proxy.let_through()
        wait_until(
            lambda: transactions_handled(etcd) == handled + 1,
            10.0,
            "etcd to handle the late request",
        )
    assert client.list_prefix(client.settings.prefix).revision == revision
    assert key_of(rule("a")) not in values(client)
    assert list_history(client).records == ()


def transactions_handled(etcd: EtcdProcess) -> float:
    """How many transactions etcd has answered since its start."""
    counts = (
        float(line.rsplit(" ", 1)[1])
        for line in etcd.http_get("/metrics").splitlines()
        if line.startswith("grpc_server_handled_total{") and 'grpc_method="Txn"' in line
    )
    return sum(counts)


def losing_answers(
    proxy: FaultyProxy, pool: ThreadPoolExecutor, client: EtcdClient, mine: ChangeSet
) -> Future[Published]:
    """Publishes in a thread; every answer from the transaction on is lost."""
    original = client.commit

    def commit(*arguments: object, **named: object) -> object:
        client.commit = original  # type: ignore[method-assign]
        proxy.is_losing_answers = True
        return original(*arguments, **named)  # type: ignore[arg-type]  # passed on as they came

    client.commit = commit  # type: ignore[method-assign,assignment]  # the fault begins right here
    return pool.submit(publish, client, mine, authorship("ann"))


def holding_requests(
    proxy: FaultyProxy, pool: ThreadPoolExecutor, client: EtcdClient, mine: ChangeSet
) -> Future[Published]:
    """Publishes in a thread; the transaction is held back in the proxy."""
    original = client.commit

    def commit(*arguments: object, **named: object) -> object:
        client.commit = original  # type: ignore[method-assign]
        proxy.is_holding_requests = True
        return original(*arguments, **named)  # type: ignore[arg-type]  # passed on as they came

    client.commit = commit  # type: ignore[method-assign,assignment]  # the fault begins right here
    running = pool.submit(publish, client, mine, authorship("ann"))
    wait_until(lambda: proxy.held_bytes > 200, 10.0, "the transaction to be held back")
    return running


def has_begun(running: Future[Published]) -> bool:
    return running.running() or running.done()


@pytest.mark.slow
def test_an_etcd_killed_in_mid_write_leaves_a_certain_outcome(own_etcd: EtcdProcess) -> None:
    """Kill -9 at various moments; whatever `publish` says is what the store then holds."""
    told: dict[int, bool] = {}
    with EtcdClient(settings(own_etcd.url, "/m/v1")) as client, ThreadPoolExecutor() as pool:
        put(client, rule("seed"))
        for number in range(6):
            mine = planned(client, rule(f"r{number}", "x" * 100_000))
            running = pool.submit(publish, client, mine, authorship("ann"))
            if number % 2:
                wait_until(running.done, 10.0, "the write")
            else:
                wait_until(partial(has_begun, running), 5.0, "the write to begin")
            own_etcd.kill()
            own_etcd.start()
            try:
                running.result(30.0)
                told[number] = True
            except OutcomeUnknown:
                raise
            except StoreUnavailable:
                told[number] = False
        held = values(client)
    assert {number: key_of(rule(f"r{number}")) in held for number in told} == told
    assert any(told.values())


@pytest.mark.slow
def test_a_cluster_that_loses_any_one_member_takes_each_change_exactly_once(tmp_path: Path) -> None:
    """The client waits out elections; where a dying leader took a change with it, it says that it is safe to repeat."""
    members = start_cluster(tmp_path, 3)
    hints: set[str] = set()
    urls = tuple(member.url for member in members)
    try:
        with EtcdClient(EtcdSettings(endpoints=urls, prefix="/m/v1")) as client:
            put(client, rule("a", "0"))
            for number, victim in enumerate(members, 1):
                mine = planned(client, rule("a", str(number)))
                victim.kill()
                while True:
                    try:
                        publish(client, mine, authorship("ann"))
                        break
                    except OutcomeUnknown:
                        raise
                    except StoreUnavailable as unavailable:
                        hints.add(unavailable.hint)
                entry = client.get(f"/m/v1/{key_of(rule('a'))}")
                assert entry is not None
                assert entry.version == number + 1
                assert f'"{number}"'.encode() in entry.value
                victim.start()
            assert len(list_history(client).records) == 4
        assert hints <= {"Try again: it is safe now"}
    finally:
        for member in members:
            member.kill()


def test_an_outcome_that_nobody_can_tell_says_how_to_find_out(
    etcd: EtcdProcess, client: EtcdClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "RESOLVE_S", 0.5)
    with (
        FaultyProxy(etcd.client_port) as proxy,
        ThreadPoolExecutor() as pool,
        EtcdClient(settings(proxy.url, client.settings.prefix, 0.3)) as through,
    ):
        mine = planned(through, rule("a", "mine"))
        running = losing_answers(proxy, pool, through, mine)
        with pytest.raises(OutcomeUnknown, match="meshd history"):
            running.result(20.0)


def test_deleting_is_a_change_like_others(client: EtcdClient) -> None:
    put(client, rule("a"), rule("b"))
    current = read_current(client, [key_of(rule("a"))])
    plan = plan_delete([key_of(rule("a"))], current.entries, revision=current.revision)
    done = publish(client, plan, authorship("ann"))
    assert set(values(client)) == {"format", key_of(rule("b"))}
    rolled_back(client, done.change)
    assert key_of(rule("a")) in values(client)
