"""What gRPC statuses and etcd's texts mean, in types and in words. The texts are those of real servers."""

from __future__ import annotations

import grpc
import pytest

from store.errors import InputError, MeshError, StoreUnavailable
from store.etcd import failures
from store.etcd.failures import explain

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
UNCONNECTED = (
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Connection refused"
)


class Status(grpc.RpcError):  # type: ignore[misc]  # grpc has no types
    def __init__(self, code: grpc.StatusCode, text: str | None) -> None:
        self._code, self._text = code, text

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str | None:
        return self._text


def told(code: grpc.StatusCode, text: str | None) -> MeshError:
    return explain(Status(code, text), "http://a:1", doing="get /k", timeout_s=5.0)


@pytest.mark.parametrize(
    ("code", "text", "kind", "words"),
    [
        (UNAVAILABLE, UNCONNECTED, StoreUnavailable, "Connection refused"),
        (UNAVAILABLE, "Socket closed", StoreUnavailable, "cannot be reached (Socket closed)"),
        (UNAVAILABLE, None, StoreUnavailable, "cannot be reached"),
        (UNAVAILABLE, "etcdserver: no leader", StoreUnavailable, "this member has no leader"),
        (UNAVAILABLE, "x last error: CERTIFICATE_VERIFY_FAILED", StoreUnavailable, "CA file"),
        (UNAVAILABLE, "x last error: Ssl handshake failed", StoreUnavailable, "TLS handshake"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", StoreUnavailable, "no answer within 5 s"),
        (grpc.StatusCode.INTERNAL, "boom", StoreUnavailable, "INTERNAL: boom"),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "etcdserver: mvcc: database space exceeded",
            failures.StoreReadOnly,
            "NOSPACE",
        ),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "CLIENT: Received message larger than max (20 vs. 16)",
            failures.AnswerTooLarge,
            "Ask for less",
        ),
        (
            grpc.StatusCode.INVALID_ARGUMENT,
            "etcdserver: request is too large",
            InputError,
            "--batches",
        ),
        (
            grpc.StatusCode.OUT_OF_RANGE,
            "etcdserver: mvcc: required revision has been compacted",
            failures.RevisionCompacted,
            "List anew",
        ),
        (
            grpc.StatusCode.NOT_FOUND,
            "etcdserver: requested lease not found",
            failures.LeaseLost,
            "run out or was revoked",
        ),
        (
            grpc.StatusCode.INVALID_ARGUMENT,
            "etcdserver: authentication failed, invalid user ID or password",
            failures.StoreDenied,
            "password file",
        ),
        (
            grpc.StatusCode.PERMISSION_DENIED,
            "etcdserver: permission denied",
            failures.StoreDenied,
            "roles.sh",
        ),
        (
            grpc.StatusCode.INVALID_ARGUMENT,
            "etcdserver: user name is empty",
            failures.StoreDenied,
            "who asks",
        ),
        (
            grpc.StatusCode.UNAUTHENTICATED,
            "etcdserver: invalid auth token",
            failures.StoreDenied,
            "who asks",
        ),
    ],
)
def test_a_status_is_told_with_the_endpoint_the_call_and_what_to_do(
    code: grpc.StatusCode, text: str | None, kind: type[MeshError], words: str
) -> None:
    error = told(code, text)
    assert type(error) is kind
    assert error.message.startswith("etcd http://a:1: get /k: ")
    assert words in str(error)
    assert error.hint


@pytest.mark.parametrize(
    ("code", "text", "is_certain"),
    [
        (UNAVAILABLE, UNCONNECTED, True),
        (UNAVAILABLE, "etcdserver: no leader", True),
        (grpc.StatusCode.UNKNOWN, "raft proposal dropped", True),
        (UNAVAILABLE, "Socket closed", False),
        (UNAVAILABLE, "etcdserver: leader changed", False),
        (UNAVAILABLE, "etcdserver: request timed out", False),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", False),
    ],
)
def test_only_what_cannot_have_been_sent_counts_as_not_executed(
    code: grpc.StatusCode, text: str, is_certain: bool
) -> None:
    assert failures.is_executed_for_certain_not(Status(code, text)) is is_certain


@pytest.mark.parametrize(
    ("code", "text", "may_help"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token", True),
        (grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied", True),
        (grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: revision of auth store is old", True),
        (grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: user name is empty", True),
        (grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: request is too large", False),
        (UNAVAILABLE, "Socket closed", False),
    ],
)
def test_a_new_token_is_asked_for_only_where_it_may_help(
    code: grpc.StatusCode, text: str, may_help: bool
) -> None:
    assert failures.is_token_refused(Status(code, text)) is may_help


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied"),
        (grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: authentication failed, invalid user ID"),
    ],
)
def test_a_denial_says_whose_right_is_missing(code: grpc.StatusCode, text: str) -> None:
    told = explain(
        Status(code, text), "http://a:1", doing="get /k", timeout_s=5.0, identity='user "ann"'
    )
    assert 'user "ann"' in told.message
