"""A member's connection: dropped at once for new calls, closed when the last call is over."""

from __future__ import annotations

import threading

import grpc
import pytest

from store.etcd import stubs
from store.etcd.members import Member
from store.etcd.settings import EtcdSettings
from tests.harness.processes import EtcdProcess, wait_until

pytestmark = pytest.mark.real

RANGE = stubs.rpc.RangeRequest(key=b"/k")


def test_a_dropped_connection_lets_calls_under_way_end_and_a_past_deadline_is_one(
    own_etcd: EtcdProcess,
) -> None:
    member = Member(EtcdSettings(), own_etcd.url)
    member.ask("KV/Range", RANGE, timeout_s=5.0)
    own_etcd.freeze()
    answers: list[object] = []

    def ask() -> None:
        answers.append(member.ask("KV/Range", RANGE, timeout_s=20.0))

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(
        lambda: member._link is not None and member._link.users == 1, 5.0, "the call to begin"
    )
    link = member._link
    with pytest.raises(grpc.RpcError) as failure:
        member.ask("KV/Range", RANGE, timeout_s=-1.0)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    member.drop()
    own_etcd.thaw()
    thread.join(20.0)
    assert len(answers) == 1
    assert link is not None
    assert link.users == 0
    member.ask("KV/Range", RANGE, timeout_s=5.0)
    assert member._link is not link
    member.close()
