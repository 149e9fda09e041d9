"""What went wrong in a call to etcd, in words for a person and types for a program.

    StoreUnavailable
    ├── StoreDenied        etcd refused: user, password, certificate or role; trying again changes nothing
    ├── StoreReadOnly      the space of etcd is used up (NOSPACE): reads and watches go on
    ├── OutcomeUnknown     a write was sent and no answer came: it may or may not have happened
    ├── LeaseLost          the lease has run out or was revoked
    ├── RevisionCompacted  the revision asked for is no longer kept
    ├── AnswerTooLarge     the answer exceeds what this client takes in one message
    └── StoreTooNew        the stored format is newer than this program understands

`explain` turns a gRPC status into one of them. Source: etcd's error table, `api/v3rpc/rpctypes/error.go`,
whose texts are stable since 3.4, and gRPC's status codes.
"""

from __future__ import annotations

import grpc

from store.errors import InputError, MeshError, StoreUnavailable

__all__ = [
    "AnswerTooLarge",
    "LeaseLost",
    "OutcomeUnknown",
    "RevisionCompacted",
    "RevisionUnknown",
    "StoreDenied",
    "StoreReadOnly",
    "StoreTooNew",
    "explain",
    "is_executed_for_certain_not",
    "is_token_refused",
    "is_unconnected",
    "is_without_leader",
]

_NEVER_CONNECTED = "failed to connect to all addresses"
"""gRPC's words when no connection was made, so nothing was sent."""
_WITHOUT_LEADER = ("etcdserver: no leader", "raft proposal dropped")
"""etcd's words when it had no leader to propose to, so the request is in no raft log."""


class StoreDenied(StoreUnavailable):
    """etcd refused the call: who asks is not known to it, or may not do this."""


class StoreReadOnly(StoreUnavailable):
    """etcd's space is used up, so it refuses writes; reads and watches go on."""


class OutcomeUnknown(StoreUnavailable):
    """A write was sent and its answer was lost: it may have happened or not; it must be read back."""


class LeaseLost(StoreUnavailable):
    """The lease has run out or was revoked; every key under it is gone."""


class RevisionCompacted(StoreUnavailable):
    """The revision asked for has been compacted away; list anew."""


class RevisionUnknown(StoreUnavailable):
    """The revision asked for is in the store's future: it is not the store that told it."""


class AnswerTooLarge(StoreUnavailable):
    """The answer was larger than this client takes in one message; smaller pages help."""


class StoreTooNew(StoreUnavailable):
    """What is stored was written for readers newer than this program; nothing of it was used."""


def is_unconnected(error: grpc.RpcError) -> bool:
    """Whether no connection was made, so nothing was sent."""
    return error.code() is grpc.StatusCode.UNAVAILABLE and _NEVER_CONNECTED in _text(error)


def is_without_leader(error: grpc.RpcError) -> bool:
    """Whether the members are choosing a leader just now; the call was not and will not be executed."""
    return any(words in _text(error) for words in _WITHOUT_LEADER)


def is_executed_for_certain_not(error: grpc.RpcError) -> bool:
    """Whether the status proves that etcd did not and will not execute the call, so another may be tried."""
    return is_unconnected(error) or is_without_leader(error)


def is_token_refused(error: grpc.RpcError) -> bool:
    """Whether a new token may help.

    An expired token shows as UNAUTHENTICATED, on some calls as "permission denied" (etcd#12385), and after a
    change of users or roles as an old auth revision.
    """
    code, text = error.code(), _text(error)
    return code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED) or any(
        part in text for part in ("invalid auth token", "user name is empty", "auth store is old")
    )


def explain(
    error: grpc.RpcError, endpoint: str, *, doing: str, timeout_s: float, identity: str = ""
) -> MeshError:
    """The error of our tree for one gRPC status.

    Args:
        error: What the call raised.
        endpoint: The endpoint that was asked.
        doing: What the call was for, as in "list /meshd/v1/".
        timeout_s: How long it was given.
        identity: Who asked, as in `user "ann"`.
    """
    code, text = error.code(), _text(error)
    where = f"etcd {endpoint}: {doing}"
    refused = _refusal(code, text, where, identity)
    if refused is not None:
        return refused
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return StoreUnavailable(
            f"{where}: no answer within {timeout_s:.2g} s",
            hint="etcd may be overloaded, frozen or without a leader: see `etcdctl endpoint status`; "
            "or allow more time",
        )
    if is_without_leader(error):
        return StoreUnavailable(
            f"{where}: this member has no leader",
            hint="The members are electing one, or fewer than half of them reach each other: see "
            "`etcdctl endpoint status`",
        )
    if code is grpc.StatusCode.UNAVAILABLE:
        return _unreachable(text, where)
    return StoreUnavailable(f"{where}: {code.name}: {text}", hint="See the log of etcd")


def _refusal(code: grpc.StatusCode, text: str, where: str, identity: str) -> MeshError | None:
    """The error for statuses that etcd itself gave as an answer, None for those of the connection."""
    if "database space exceeded" in text:
        return StoreReadOnly(
            f"{where}: the store is read-only: its space is used up (NOSPACE); sidecars go on serving",
            hint="Compact and defragment it (`etcdctl compact`, `etcdctl defrag`), or raise "
            "--quota-backend-bytes; then `etcdctl alarm disarm`",
        )
    if "request is too large" in text or "too many operations" in text:
        return InputError(f"{where}: {text}", hint="Write less at once: `meshd put --batches`")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in text:
        return AnswerTooLarge(f"{where}: {text}", hint="Ask for less at once")
    if "is a future revision" in text:
        return RevisionUnknown(
            f"{where}: the store has not come to that revision",
            hint="It was restored from a backup, or is another one",
        )
    if "has been compacted" in text:
        return RevisionCompacted(f"{where}: {text}", hint="List anew")
    if "requested lease not found" in text:
        return LeaseLost(f"{where}: the lease has run out or was revoked", hint="Ask for a new one")
    if "authentication failed" in text:
        whose = f" ({identity})" if identity else ""
        return StoreDenied(f"{where}: {text}{whose}", hint="Check the user and its password file")
    if code is grpc.StatusCode.PERMISSION_DENIED:
        return StoreDenied(
            f"{where}: permission denied by etcd" + (f" to {identity}" if identity else ""),
            hint="Ask an administrator for a role with this key range (deploy/etcd/roles.sh)",
        )
    if _asks_who(text) or code is grpc.StatusCode.UNAUTHENTICATED:
        return StoreDenied(
            f"{where}: etcd wants to know who asks ({text})",
            hint="Give a user and password file, or a client certificate whose common name is a user",
        )
    return None


def _asks_who(text: str) -> bool:
    """Whether etcd's words say that no valid identity came with the call."""
    return "user name is empty" in text or "invalid auth token" in text


def _unreachable(text: str, where: str) -> StoreUnavailable:
    """The error for a connection that was not made or that broke."""
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return StoreUnavailable(
            f"{where}: its certificate is not trusted ({_last(text)})",
            hint="Check the CA file, and that the certificate names this host",
        )
    if "andshake" in text or "WRONG_VERSION_NUMBER" in text:
        return StoreUnavailable(
            f"{where}: the TLS handshake failed ({_last(text)})",
            hint="Check http:// against https://, the CA file, and whether etcd asks for a client certificate",
        )
    return StoreUnavailable(
        f"{where}: cannot be reached ({_last(text)})",
        hint="Check that etcd runs there, or name other endpoints with --etcd or MESHD_ETCD",
    )


def _text(error: grpc.RpcError) -> str:
    return error.details() or ""


def _last(text: str) -> str:
    """The part of gRPC's nested explanation that says what happened."""
    return text.rsplit("last error: ", 1)[-1].strip()
