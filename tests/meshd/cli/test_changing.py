"""Writing from the command line, where something comes between."""

from __future__ import annotations

import pytest

from meshd.cli.changing import Writing, carry_out
from meshd.cli.session import Session
from store.changes import Change, ChangeSet
from store.etcd.client import EtcdClient
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
