"""One call to etcd, made safely: which member, with which token, until when, and what a failure means.

Reads move on to the next member. Writes move on only while nothing can have been sent; once sent, a lost answer
is `OutcomeUnknown` and never repeated (Jepsen, jetcd 0.8.2: lost updates). A refused token is renewed once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc

from store.errors import InputError, MeshError, StoreUnavailable
from store.etcd import failures, stubs
from store.etcd.channel import open_channel
from store.etcd.settings import EtcdSettings

__all__ = ["Calls", "Metadata"]

Metadata = tuple[tuple[str, str], ...]
T = TypeVar("T")

SHARE_S_MIN = 0.5
"""The least time that one member gets before the next is tried, where the deadline allows it."""

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


@dataclass(slots=True)
class _Member:
    """One endpoint and the channel to it."""

    url: str
    channel: grpc.Channel | None = None
    is_greeted: bool = False
    """Whether it has answered on this channel: then a write may be sent to it."""
    callables: dict[str, Callable[..., Any]] = field(default_factory=dict)


class Calls:
    """Makes calls to the members named by `settings`; safe to use from several threads.

    Args:
        settings: Endpoints, TLS, user, deadline.
        start_at: Index of the member to begin with, so that many sidecars spread over the members.
    """

    def __init__(self, settings: EtcdSettings, *, start_at: int = 0) -> None:
        self.settings = settings
        self._members = [_Member(url) for url in settings.endpoints]
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
        with self._lock:
            for member in self._members:
                if member.channel is not None:
                    member.channel.close()
                member.channel, member.is_greeted = None, False
                member.callables.clear()

    def read(self, method: str, request: Any, *, doing: str, timeout_s: float | None = None) -> Any:
        """The answer to a question that changes nothing; every member is tried until the deadline."""

        def once(member: _Member, share_s: float) -> Any:
            return self._call(member, method, request, share_s)

        return self._over_members(once, doing=doing, timeout_s=timeout_s, try_again=_TRY_ANOTHER)

    def write(
        self, method: str, request: Any, *, doing: str, timeout_s: float | None = None
    ) -> Any:
        """The answer to a request that changes something; sent at most once.

        Raises:
            OutcomeUnknown: It was sent and no answer came.
        """

        def once(member: _Member, share_s: float) -> Any:
            end = time.monotonic() + share_s
            if not member.is_greeted:
                self._greet(member, share_s)
            self._authorization(member, end - time.monotonic())
            try:
                return self._call(member, method, request, end - time.monotonic())
            except grpc.RpcError as error:
                if error.code() in _SENT_AND_LOST and not failures.is_executed_for_certain_not(
                    error
                ):
                    raise _lost(error, member.url, doing) from error
                raise

        return self._over_members(once, doing=doing, timeout_s=timeout_s, try_again=_TRY_ANOTHER)

    def stream_once(
        self, method: str, request: Any, *, doing: str, timeout_s: float | None = None
    ) -> Any:
        """The first answer on a stream after one request, for instance one keep-alive; tried on every member."""

        def once(member: _Member, share_s: float) -> Any:
            channel = self._channel(member)

            def ask(metadata: Metadata) -> Any:
                call = stubs.stream(channel, method)(
                    iter((request,)), timeout=share_s, metadata=(("hasleader", "true"), *metadata)
                )
                try:
                    return next(call)
                finally:
                    call.cancel()

            return self._with_token(member, ask, share_s)

        return self._over_members(once, doing=doing, timeout_s=timeout_s, try_again=_TRY_ANOTHER)

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
                answers[member.url] = failures.explain(
                    error, member.url, doing=doing, timeout_s=given_s
                )
                self._forget_if_unconnected(member, error)
        return answers

    def metadata(self, *, renew: bool = False, timeout_s: float | None = None) -> Metadata:
        """What a stream of one's own must send along: the token, where there is a user.

        Args:
            renew: Ask for a new token, since the last one was refused.
            timeout_s: Deadline; None for the settings'.
        """

        def once(member: _Member, share_s: float) -> Metadata:
            return self._authorization(member, share_s, refused=self._token if renew else None)

        return self._over_members(
            once, doing="authenticate", timeout_s=timeout_s, try_again=_TRY_ANOTHER
        )

    def _over_members(
        self,
        once: Callable[[_Member, float], T],
        *,
        doing: str,
        timeout_s: float | None,
        try_again: frozenset[grpc.StatusCode],
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
                return once(member, max(share_s, 0.001))
            except grpc.RpcError as error:
                why = failures.explain(error, member.url, doing=doing, timeout_s=share_s)
                if error.code() not in try_again or not isinstance(why, StoreUnavailable):
                    raise why from error
                if isinstance(why, failures.StoreDenied):
                    raise why from error
                failed.append(why)
                self._forget_if_unconnected(member, error)
                self._move_on(member)
                if _is_broken(error) and member.url in again:
                    # An old connection broke: the member may well answer on a new one.
                    again.discard(member.url)
                    waiting.append(member)
        raise _summary(failed, doing)

    def _in_order(self) -> list[_Member]:
        with self._lock:
            return self._members[self._current :] + self._members[: self._current]

    def _move_on(self, member: _Member) -> None:
        """Begins with another member next time, unless another thread has moved on already."""
        with self._lock:
            if self._members[self._current] is member:
                self._current = (self._current + 1) % len(self._members)

    def _forget_if_unconnected(self, member: _Member, error: grpc.RpcError) -> None:
        """Drops a channel that never connected, so that the next attempt is a real one, without back-off."""
        member.is_greeted = False
        if not failures.is_executed_for_certain_not(error):
            return
        with self._lock:
            channel, member.channel = member.channel, None
            member.callables.clear()
        if channel is not None:
            channel.close()

    def _channel(self, member: _Member) -> grpc.Channel:
        with self._lock:
            if member.channel is None:
                member.channel = open_channel(self.settings, member.url)
            return member.channel

    def _callable(self, member: _Member, method: str) -> Callable[..., Any]:
        channel = self._channel(member)
        with self._lock:
            if method not in member.callables:
                member.callables[method] = stubs.unary(channel, method)
            return member.callables[method]

    def _greet(self, member: _Member, share_s: float) -> None:
        """Makes sure that the member is there, by a question that changes nothing."""
        try:
            self._callable(member, "Maintenance/Status")(stubs.rpc.StatusRequest(), timeout=share_s)
        except grpc.RpcError as error:
            if error.code() in _TRY_ANOTHER:
                raise
        member.is_greeted = True

    def _call(self, member: _Member, method: str, request: Any, share_s: float) -> Any:
        """One unary call, with a token where there is a user."""
        ask = self._callable(member, method)

        def with_metadata(metadata: Metadata) -> Any:
            return ask(request, timeout=max(share_s, 0.001), metadata=metadata)

        answer = self._with_token(member, with_metadata, share_s)
        member.is_greeted = True
        return answer

    def _with_token(self, member: _Member, ask: Callable[[Metadata], T], share_s: float) -> T:
        """Asks with the token; where it is refused, once more with a new one (a refusal executes nothing)."""
        metadata = self._authorization(member, share_s)
        try:
            return ask(metadata)
        except grpc.RpcError as error:
            if not metadata or not failures.is_token_refused(error):
                raise
            return ask(self._authorization(member, share_s, refused=metadata[0][1]))

    def _authorization(
        self, member: _Member, share_s: float, *, refused: str | None = None
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

    def _authenticate(self, member: _Member, share_s: float) -> str:
        """A new token; empty where etcd has authentication switched off (its own client goes on then too)."""
        request = stubs.rpc.AuthenticateRequest(name=self.settings.user, password=self._password())
        try:
            answer = self._callable(member, "Auth/Authenticate")(request, timeout=share_s)
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
    return error.code() is grpc.StatusCode.UNAVAILABLE and not failures.is_executed_for_certain_not(
        error
    )


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
