"""The client against a real etcd: reads at one revision, pages, atomic writes, leases, status."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from store.errors import InputError, StoreUnavailable
from store.etcd.client import EtcdClient, MemberStatus
from store.etcd.failures import LeaseLost, RevisionCompacted
from store.etcd.settings import EtcdSettings
from store.transactions import GUARDS_MAX, Delete, Guard, GuardFailed, Put, RangeGuard, Transaction
from tests.harness.etcdctl import etcdctl
from tests.harness.processes import EtcdProcess, free_port

pytestmark = pytest.mark.real
DEEP = bool(os.environ.get("MESHD_TEST_DEEP"))


@pytest.fixture
def client(etcd: EtcdProcess) -> Iterator[EtcdClient]:
    with EtcdClient(EtcdSettings(endpoints=(etcd.url,))) as made:
        yield made


def test_a_key_is_read_with_its_revisions_and_as_it_was(client: EtcdClient, prefix: str) -> None:
    first = client.put(f"{prefix}/k", b"one")
    second = client.put(f"{prefix}/k", b"two")
    now = client.get(f"{prefix}/k")
    then = client.get(f"{prefix}/k", first)
    assert now is not None
    assert then is not None
    assert (now.value, now.create_revision, now.mod_revision, now.version) == (
        b"two",
        first,
        second,
        2,
    )
    assert (then.value, then.version) == (b"one", 1)
    assert client.get(f"{prefix}/absent") is None


def test_many_keys_are_read_at_one_revision_and_absent_ones_left_out(
    client: EtcdClient, prefix: str
) -> None:
    keys = [f"{prefix}/{index:03}" for index in range(300)]
    puts = tuple(Put(key, key.encode()) for key in keys[::2])
    committed = client.commit(Transaction((), puts))
    found = client.get_many([*keys, keys[0]])
    assert sorted(found.entries) == keys[::2]
    assert found.entries[keys[2]].value == keys[2].encode()
    assert found.revision >= committed.revision


def test_a_prefix_takes_in_its_folder_and_not_its_neighbour(
    client: EtcdClient, prefix: str
) -> None:
    for key in ("a/b/c", "a/b", "a/bc", "a/b0", "a/b/"):
        client.put(f"{prefix}/{key}", b"x")
    assert [entry.key for entry in client.list_prefix(f"{prefix}/a/b").entries] == ["", "c"]


@pytest.mark.slow
def test_a_list_of_many_pages_is_of_one_revision(client: EtcdClient, prefix: str) -> None:
    """Failure 16: many keys, no message near 4 MiB, and writes between the pages are not in it."""
    batches = 50 if DEEP else 10
    for batch in range(batches):
        puts = (Put(f"{prefix}/{batch:02}-{n:04}", b"v" * 100) for n in range(2000))
        client.commit(Transaction((), tuple(puts)))
    pages = client._pages(prefix, 100, keys_only=False, timeout_s=None)
    first = next(pages)
    client.put(f"{prefix}/zz-late", b"late")
    client.commit(Transaction((), (Delete(f"{prefix}/{batches - 1:02}-1999"),)))
    later = list(pages)
    keys = [kv.key for page in (first, *later) for kv in page.kvs]
    assert len(keys) == batches * 2000 == len(set(keys))
    assert {page.revision for page in later} == {first.revision}
    assert max(sum(kv.ByteSize() for kv in page.kvs) for page in later) < 4 * 1024 * 1024
    listing = client.list_prefix(prefix)
    assert len(listing.entries) == batches * 2000
    assert listing.entries[-1].key == "zz-late"
    only = client.keys_only(prefix)
    assert only.mod_revisions == {entry.key: entry.mod_revision for entry in listing.entries}
    assert (only.revision, only.cluster_id) == (listing.revision, listing.cluster_id)


@pytest.mark.slow
def test_pages_of_large_values_shrink_until_they_fit(client: EtcdClient, prefix: str) -> None:
    for index in range(30):
        client.put(f"{prefix}/{index:02}", bytes(1_000_000))
    listing = client.list_prefix(prefix)
    assert [len(entry.value) for entry in listing.entries] == [1_000_000] * 30


def test_keys_and_values_that_are_not_text_are_listed_and_read(
    client: EtcdClient, prefix: str
) -> None:
    key = f"{prefix}/" + b"\xff\xfe".decode("utf-8", "surrogateescape")
    client.put(key, b"\x00\xff")
    (entry,) = client.list_prefix(prefix).entries
    assert entry.value == b"\x00\xff"
    assert client.get(f"{prefix}/{entry.key}") is not None


def test_a_list_whose_revision_is_compacted_meanwhile_is_begun_anew(
    client: EtcdClient, etcd: EtcdProcess, prefix: str
) -> None:
    client.commit(Transaction((), tuple(Put(f"{prefix}/{n:02}", b"v") for n in range(50))))
    old = client.put(f"{prefix}/more", b"v")
    client.put(f"{prefix}/more", b"w")
    new = client.put(f"{prefix}/more", b"x")
    pages = client._pages(prefix, 10, keys_only=False, timeout_s=None)
    next(pages)
    client.put(f"{prefix}/more", b"y")
    etcdctl(etcd, "compact", str(client.put(f"{prefix}/more", b"z")))
    with pytest.raises(RevisionCompacted):
        list(pages)
    with pytest.raises(RevisionCompacted):
        client.get(f"{prefix}/more", old)
    listing = client.list_prefix(prefix, page=10)
    assert len(listing.entries) == 51
    assert listing.revision > new


def test_two_thousand_keys_are_written_at_one_revision(client: EtcdClient, prefix: str) -> None:
    keys = [f"{prefix}/{index:04}" for index in range(2000)]
    guard = RangeGuard(f"{prefix}/", f"{prefix}0", client.list_prefix(prefix).revision)
    committed = client.commit(Transaction((guard,), tuple(Put(key, b"{}") for key in keys)))
    listing = client.list_prefix(prefix)
    assert len(listing.entries) == 2000
    assert {entry.mod_revision for entry in listing.entries} == {committed.revision}


@pytest.mark.parametrize("spoilt", [0, 50, 99])
def test_one_failed_guard_among_many_writes_nothing(
    client: EtcdClient, prefix: str, spoilt: int
) -> None:
    keys = [f"{prefix}/{index:04}" for index in range(300)]
    client.put(keys[spoilt], b"theirs")
    guards = tuple(Guard(key, 0) for key in keys[:GUARDS_MAX])
    with pytest.raises(GuardFailed):
        client.commit(Transaction(guards, tuple(Put(key, b"ours") for key in keys)))
    assert [entry.value for entry in client.list_prefix(prefix).entries] == [b"theirs"]


def test_a_range_guard_notices_a_key_that_was_created_or_changed(
    client: EtcdClient, prefix: str
) -> None:
    client.put(f"{prefix}/a", b"one")
    before = client.list_prefix(prefix).revision
    change = Transaction(
        (RangeGuard(f"{prefix}/", f"{prefix}0", before),), (Put(f"{prefix}/a", b"x"),)
    )
    client.put(f"{prefix}/b", b"theirs")
    with pytest.raises(GuardFailed, match="someone else wrote first"):
        client.commit(change)
    client.put(f"{prefix}0", b"a neighbour's")
    seen = client.list_prefix(prefix).revision
    client.commit(Transaction((RangeGuard(f"{prefix}/", f"{prefix}0", seen),), change.operations))


def test_a_guard_notices_that_a_key_was_deleted(client: EtcdClient, prefix: str) -> None:
    revision = client.put(f"{prefix}/k", b"one")
    client.commit(Transaction((), (Delete(f"{prefix}/k"),)))
    with pytest.raises(GuardFailed, match="someone else wrote first"):
        client.commit(Transaction((Guard(f"{prefix}/k", revision),), (Put(f"{prefix}/k", b"two"),)))


def test_a_request_that_etcd_finds_too_large_says_what_to_do(
    client: EtcdClient, prefix: str
) -> None:
    with pytest.raises(InputError, match="--batches"):
        client.put(f"{prefix}/k", bytes(2_000_000))


def test_a_leased_key_lives_while_it_is_renewed_and_goes_when_it_is_revoked(
    client: EtcdClient, prefix: str
) -> None:
    lease = client.lease_grant(30.0)
    client.put(f"{prefix}/host", b"{}", lease=lease.id)
    entry = client.get(f"{prefix}/host")
    assert entry is not None
    assert entry.lease == lease.id
    assert client.lease_keepalive(lease.id) == 30.0
    client.lease_revoke(lease.id)
    assert client.get(f"{prefix}/host") is None
    client.lease_revoke(lease.id)


def test_a_lease_that_is_gone_is_an_error_and_not_silence(client: EtcdClient, prefix: str) -> None:
    with pytest.raises(LeaseLost):
        client.lease_keepalive(4711)
    with pytest.raises(LeaseLost):
        client.put(f"{prefix}/host", b"{}", lease=4711)


def test_every_member_answers_for_itself(etcd: EtcdProcess) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    with EtcdClient(EtcdSettings(endpoints=(dead, etcd.url))) as client:
        gone, alive = client.status()
        assert isinstance(gone, StoreUnavailable)
        assert isinstance(alive, MemberStatus)
        assert alive.member_id == alive.leader_id
        (warning,) = client.version_warnings()
    assert alive.version in warning
    assert "production floor" in warning


def test_a_closed_client_connects_again_when_asked(client: EtcdClient, prefix: str) -> None:
    client.put(f"{prefix}/k", b"v")
    client.close()
    assert client.get(f"{prefix}/k") is not None
