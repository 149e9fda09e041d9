"""One call to etcd, made safely: which member, with which token, until when, and what a failure means.

Reads move on to the next member. Writes move on only while nothing can have been sent; once sent, a lost answer
is `OutcomeUnknown` and never repeated (Jepsen, jetcd 0.8.2: lost updates). A refused token is renewed once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import grpc

from store.errors import InputError, MeshError, StoreUnavailable
from store.etcd import failures, stubs
from store.etcd.members import Member, Metadata
from store.etcd.settings import EtcdSettings

__all__ = ["Calls", "Metadata"]

T = TypeVar("T")

SHARE_S_MIN = 0.5
"""The least time that one member gets before the next is tried, where the deadline allows it."""

ELECTION_PAUSE_S = 0.1
"""Pause before a member is asked again that has no leader; an election takes one to two seconds."""

_SENT_AND_LOST = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)
"""Statuses of a write that leave open whether it happened."""
_TRY_ANOTHER = _SENT_AND_LOST
"""Statuses of a read that another member may do better on."""


class Calls:
    """Makes calls to the members named by `settings`; safe to use from several threads.

    Args:
        settings: Endpoints, TLS, user, deadline.
        start_at: Index of the member to begin with, so that many sidecars spread over the members.
    """

    def __init__(self, settings: EtcdSettings, *, start_at: int = 0) -> None:
        self.settings = settings
        self._members = [Member(settings, url) for url in settings.endpoints]
        self._current = start_at % len(self._members)
        self._lock = threading.Lock()
        self._token = ""

    @property
    def endpoint(self) -> str:
        """The member that the next call goes to first."""
        return self._members[self._current].url

    def move_on(self) -> None:
        """Begin with the next member from now on; for a watch that found its member dead."""
        self._move_on(self._members[self._current])

    def close(self) -> None:
        """Closes all connections; calls that are under way fail."""
        for member in self._members:
            member.close()

    def read(self, method: str, request: Any, *, doing: str, timeout_s: float | None = None) -> Any:
        """The answer to a question that changes nothing; every member is tried until the deadline."""

        def once(member: Member, share_s: float) -> Any:
            return self._call(member, method, request, share_s)

        return self._over_members(once, doing=doing, timeout_s=timeout_s)

    def write(
        self, method: str, request: Any, *, doing: str, timeout_s: float | None = None
    ) -> Any:
        """The answer to a request that changes something; sent at most once.

        Raises:
            OutcomeUnknown: It was sent and no answer came.
        """
        end = time.monotonic() + (timeout_s or self.settings.request_timeout_s)

        def once(member: Member, share_s: float) -> Any:
            if not member.is_greeted:
                self._greet(member, share_s)
            self._authorization(member, share_s)
            try:
                # From here on there is no other member to try, so all the time that is left is this one's.
                return self._call(member, method, request, end - time.monotonic())
            except grpc.RpcError as error:
                if error.code() in _SENT_AND_LOST and not failures.is_executed_for_certain_not(
                    error
                ):
                    raise _lost(error, member.url, doing) from error
                raise

        return self._over_members(once, doing=doing, timeout_s=timeout_s)

    def stream_once(
        self, method: str, request: Any, *, doing: str, timeout_s: float | None = None
    ) -> Any:
        """The first answer on a stream after one request, for instance one keep-alive; tried on every member."""

        def once(member: Member, share_s: float) -> Any:
            def ask(metadata: Metadata) -> Any:
                return member.ask_on_stream(method, request, timeout_s=share_s, metadata=metadata)

            answer = self._with_token(member, ask, share_s)
            if answer is None:
                raise StoreUnavailable(
                    f"etcd {member.url}: {doing}: the stream ended without an answer",
                    hint="See the log of etcd",
                )
            return answer

        return self._over_members(once, doing=doing, timeout_s=timeout_s)

    def each_member(
        self, method: str, request: Any, *, doing: str, timeout_s: float | None = None
    ) -> dict[str, Any | MeshError]:
        """Every member's own answer, or its own failure, by endpoint."""
        given_s = timeout_s or self.settings.request_timeout_s
        answers: dict[str, Any | MeshError] = {}
        for member in self._members:
            try:
                answers[member.url] = self._call(member, method, request, given_s)
            except grpc.RpcError as error:
                answers[member.url] = self._explain(error, member, doing, given_s)
                if failures.is_unconnected(error):
                    member.drop()
        return answers

    def metadata(self, *, renew: bool = False, timeout_s: float | None = None) -> Metadata:
        """What a stream of one's own must send along: the token, where there is a user.

        Args:
            renew: Ask for a new token, since the last one was refused.
            timeout_s: Deadline; None for the settings'.
        """

        def once(member: Member, share_s: float) -> Metadata:
            return self._authorization(member, share_s, refused=self._token if renew else None)

        return self._over_members(once, doing="authenticate", timeout_s=timeout_s)

    def _over_members(
        self,
        once: Callable[[Member, float], T],
        *,
        doing: str,
        timeout_s: float | None,
    ) -> T:
        """Asks the members one by one, each for its share of the time that is left."""
        given_s = timeout_s or self.settings.request_timeout_s
        end = time.monotonic() + given_s
        waiting = self._in_order()
        again = set(self.settings.endpoints)
        failed: list[MeshError] = []
        while waiting:
            member = waiting.pop(0)
            left_s = end - time.monotonic()
            if left_s <= 0 and failed:
                break
            share_s = (
                left_s
                if not waiting
                else min(left_s, max(left_s / (len(waiting) + 1), SHARE_S_MIN))
            )
            try:
                return once(member, share_s)
            except grpc.RpcError as error:
                why = self._explain(error, member, doing, share_s)
                if error.code() not in _TRY_ANOTHER or not isinstance(why, StoreUnavailable):
                    raise why from error
                if isinstance(why, failures.StoreDenied):
                    raise why from error
                failed.append(why)
                self._leave(member, error)
                if failures.is_without_leader(error):
                    time.sleep(ELECTION_PAUSE_S)
                    waiting.append(member)
                elif _is_broken(error) and member.url in again:
                    # An old connection broke: the member may well answer on a new one.
                    again.discard(member.url)
                    waiting.append(member)
        raise _summary(failed, doing)

    def _explain(
        self, error: grpc.RpcError, member: Member, doing: str, timeout_s: float
    ) -> MeshError:
        return failures.explain(
            error,
            member.url,
            doing=doing,
            timeout_s=timeout_s,
            identity=self.settings.identity,
        )

    def _in_order(self) -> list[Member]:
        with self._lock:
            return self._members[self._current :] + self._members[: self._current]

    def _move_on(self, member: Member) -> None:
        """Begins with another member next time, unless another thread has moved on already."""
        with self._lock:
            if self._members[self._current] is member:
                self._current = (self._current + 1) % len(self._members)

    def _leave(self, member: Member, error: grpc.RpcError) -> None:
        """Begins with another member next time, and never again with a connection that was not made."""
        member.is_greeted = False
        if failures.is_unconnected(error):
            member.drop()
        self._move_on(member)

    def _greet(self, member: Member, share_s: float) -> None:
        """Makes sure that the member is there, by a question that changes nothing."""
        try:
            member.ask("Maintenance/Status", stubs.rpc.StatusRequest(), timeout_s=share_s)
        except grpc.RpcError as error:
            if error.code() in _TRY_ANOTHER:
                raise
        member.is_greeted = True

    def _call(self, member: Member, method: str, request: Any, share_s: float) -> Any:
        """One unary call, with a token where there is a user."""

        def ask(metadata: Metadata) -> Any:
            return member.ask(method, request, timeout_s=share_s, metadata=metadata)

        answer = self._with_token(member, ask, share_s)
        member.is_greeted = True
        return answer

    def _with_token(self, member: Member, ask: Callable[[Metadata], T], share_s: float) -> T:
        """Asks with the token; where it is refused, once more with a new one (a refusal executes nothing)."""
        metadata = self._authorization(member, share_s)
        try:
            return ask(metadata)
        except grpc.RpcError as error:
            if not metadata or not failures.is_token_refused(error):
                raise
            return ask(self._authorization(member, share_s, refused=metadata[0][1]))

    def _authorization(
        self, member: Member, share_s: float, *, refused: str | None = None
    ) -> Metadata:
        """The token as metadata; asked for when there is none or when the one there was refused."""
        if not self.settings.user:
            return ()
        with self._lock:
            token = self._token
        if not token or token == refused:
            token = self._authenticate(member, share_s)
            with self._lock:
                self._token = token
        return (("token", token),) if token else ()

    def _authenticate(self, member: Member, share_s: float) -> str:
        """A new token; empty where etcd has authentication switched off (its own client goes on then too)."""
        request = stubs.rpc.AuthenticateRequest(name=self.settings.user, password=self._password())
        try:
            answer = member.ask("Auth/Authenticate", request, timeout_s=share_s)
        except grpc.RpcError as error:
            if "authentication is not enabled" in (error.details() or ""):
                return ""
            raise
        return str(answer.token)

    def _password(self) -> str:
        path = self.settings.password_file
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f'password file "{path}" of etcd user "{self.settings.user}" cannot be read: {error}',
                hint="Check the path and its permissions",
            ) from error


def _is_broken(error: grpc.RpcError) -> bool:
    """Whether a connection that had been made broke, as opposed to one never made or a member too slow."""
    return error.code() is grpc.StatusCode.UNAVAILABLE and not failures.is_unconnected(error)


def _lost(error: grpc.RpcError, url: str, doing: str) -> failures.OutcomeUnknown:
    return failures.OutcomeUnknown(
        f"etcd {url}: {doing}: it was sent and its answer was lost "
        f"({error.code().name}: {error.details()}), so it may or may not have happened",
        hint="Read back before trying again",
    )


def _summary(failed: Sequence[MeshError], doing: str) -> MeshError:
    """One error for all members that were tried."""
    if len({str(error) for error in failed}) == 1:
        return failed[0]
    shown = "; ".join(dict.fromkeys(error.message for error in failed))
    return StoreUnavailable(f"no member of etcd could {doing}: {shown}", hint=failed[-1].hint)
