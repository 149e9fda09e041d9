"""Writing from the command line, where something comes between."""

from __future__ import annotations

import pytest

from meshd.cli.changing import Writing, carry_out, target_of
from meshd.cli.session import Session
from meshd.cli.waiting import Target
from store.changes import Change, ChangeSet
from store.etcd.client import EtcdClient, KeyListing
from store.etcd.publishing import Published
from store.etcd.settings import EtcdSettings
from store.history import Action
from store.snapshot import Entry
from store.transactions import Committed, Transaction

KEY = "ns/default/virtualservices/reviews"
CHANGES = ChangeSet((Change(KEY, Action.CREATED, None, b"{}"),), 11)


class Interrupted(EtcdClient):
    """A store that gets Ctrl-C while it writes."""

    def get(self, key: str, revision: int = 0, *, timeout_s: float | None = None) -> Entry | None:
        return None

    def commit(self, transaction: Transaction, *, timeout_s: float | None = None) -> Committed:
        raise KeyboardInterrupt


def test_ctrl_c_while_writing_says_how_to_learn_whether_it_was_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Interrupted(EtcdSettings()) as client, pytest.raises(KeyboardInterrupt):
        carry_out(Session({"quiet": "yes"}, {}), client, CHANGES, Writing())
    told = capsys.readouterr()
    assert told.out == ""
    assert "interrupted while writing: `meshd history` shows 2" in told.err
    assert "if it was written" in told.err


class Listing(EtcdClient):
    """A store that tells only which one it is."""

    def keys_only(self, prefix: str, *, timeout_s: float | None = None) -> KeyListing:
        return KeyListing({}, 99, 0xABC)


BEFORE = Entry(KEY, b"{}", 1, 7, 2)


@pytest.mark.parametrize(
    ("change", "revision", "target"),
    [
        (Change(KEY, Action.CREATED, None, b"{}"), 12, Target(12, 0xDEF, written=KEY)),
        (Change(KEY, Action.DELETED, BEFORE, None), 12, Target(12, 0xDEF, deleted=KEY)),
        (Change(KEY, Action.UNCHANGED, BEFORE, b"{}"), 99, Target(7, 0xABC, written=KEY)),
    ],
    ids=["written", "deleted", "unchanged"],
)
def test_what_is_waited_for_is_what_was_written_or_where_nothing_was_what_is_there(
    change: Change, revision: int, target: Target
) -> None:
    change_set = ChangeSet((change,), 99)
    is_written = change.action is not Action.UNCHANGED
    published = Published("c", revision, change_set, cluster_id=0xDEF if is_written else 0)
    with Listing(EtcdSettings()) as client:
        assert target_of(client, change_set, published) == target
