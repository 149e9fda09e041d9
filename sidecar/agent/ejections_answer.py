"""Shared ejection for people: its view as plain JSON, and what an operator asks of it as an `Override`.

Ages are seconds before the answer. An operator may name a destination by the first part of its host name where only
one destination that takes part begins so. Overrides only ever take ejections back, and always run out.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterable
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sidecar.mesh.model import HostName
from sidecar.outlier.events import Override, OverrideKind
from sidecar.outlier.model import Destination, Place
from sidecar.outlier.view import EndpointView, OutlierView, OverrideView, WitnessView
from store.errors import InputError
from store.objects.durations import parse_duration

__all__ = ["FOR_S_MAX", "EjectionPort", "destination_text", "ejections_answer", "read_override"]

FOR_S_MAX = 86_400.0
"""Longest an override may hold: what a person forgets must not protect a broken endpoint for ever."""
FOR_S = {OverrideKind.CLEAR: 600.0, OverrideKind.PIN: 600.0, OverrideKind.PAUSE: 600.0}
"""How long an override holds unless told. A clear must outlive the evidence that it answers."""
REASON_CHARS_MAX = 200


class EjectionPort(Protocol):
    """What is wanted of shared ejection; `sidecar.agent.outlier_shell` has one."""

    def view(self) -> OutlierView:
        """What it holds now."""
        ...

    def operator_said(self, override: Override) -> None:
        """An operator's word, to be told to the whole mesh. Raises InputError when it cannot be taken."""
        ...


class _Body(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    destination: str = Field(default="", max_length=300)
    endpoint: str = Field(default="", max_length=80)
    for_: str = Field(default="", alias="for", max_length=100)
    reason: str = Field(default="", max_length=REASON_CHARS_MAX)
    take_back: bool = False


def read_override(kind: OverrideKind, body: bytes, known: Iterable[Destination]) -> Override:
    """What an operator asks for.

    Args:
        kind: Which verb.
        body: JSON: `destination` (`host:port`), `endpoint` (`address:port`), `for` (`10m`), `reason`, `take_back`.
        known: Destinations that a short name may mean.

    Raises:
        InputError: With every field that is wrong.
    """
    try:
        asked = _Body.model_validate_json(body or b"{}")
    except ValidationError as problem:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in problem.errors()
        )
        raise InputError(
            f"the body of ejections/{kind.value}: {wrong}",
            hint='JSON: {"destination": "reviews:9080", "endpoint": "10.0.0.7:8080", "for": "10m", "reason": "..."}',
        ) from problem
    destination = read_destination(asked.destination, known) if asked.destination else None
    place = read_place(asked.endpoint) if asked.endpoint else None
    if destination is None and kind is not OverrideKind.PAUSE:
        raise InputError(f"which destination? {kind.value} needs host:port")
    if destination is None and place is not None:
        raise InputError("an endpoint belongs to a destination: name it too, as host:port")
    if place is None and kind is OverrideKind.PIN:
        raise InputError("which endpoint? pin needs address:port", hint="pause takes a destination")
    if place is not None and kind is OverrideKind.PAUSE:
        raise InputError("pause takes a destination, not an endpoint", hint="pin takes an endpoint")
    for_s = 0.0 if asked.take_back else _for_s(asked.for_, kind)
    return Override(kind, destination, place, for_s, asked.reason)


def _for_s(text: str, kind: OverrideKind) -> float:
    if not text:
        return FOR_S[kind]
    try:
        seconds = parse_duration(text)
    except ValueError as problem:
        raise InputError(f"for: {problem}") from problem
    if not 1.0 <= seconds <= FOR_S_MAX:
        raise InputError(f'for: "{text}" must be from 1s to {FOR_S_MAX / 3600:.0f}h')
    return seconds


def read_destination(text: str, known: Iterable[Destination]) -> Destination:
    """The destination that `host:port` names; the host may be short where that is clear.

    Raises:
        InputError: It is no `host:port`, or means several.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or len(port) > 5:
        raise InputError(f'"{text}" is no destination: host:port, for instance reviews:9080')
    if not 1 <= int(port) <= 65535:
        raise InputError(f'"{text}": a port is from 1 to 65535')
    host = host.lower()
    if set(host) - set("abcdefghijklmnopqrstuvwxyz0123456789-.*"):
        raise InputError(f'"{text}": a host has letters, digits, "-" and "."')
    named = [one for one in known if one.port == int(port)]
    if any(one.host == host for one in named):
        return Destination(HostName(host), int(port))
    meant = sorted({one.host for one in named if one.host.startswith(f"{host}.")})
    if len(meant) > 1:
        raise InputError(f'"{text}" may mean {", ".join(meant[:5])}', hint="Write the host in full")
    if not meant and "." not in host:
        raise InputError(
            f'no destination that takes part here is called "{text}"',
            hint="Write the host in full: reviews.default.svc.cluster.local:9080",
        )
    return Destination(HostName(meant[0] if meant else host), int(port))


def read_place(text: str) -> Place:
    """The endpoint that `address:port` names; an IPv6 address stands in brackets.

    Raises:
        InputError: It is none.
    """
    address, colon, port = text.rpartition(":")
    try:
        found = ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
        if not colon or not port.isascii() or not 1 <= int(port) <= 65535:
            raise ValueError(port)
    except ValueError as problem:
        raise InputError(
            f'"{text}" is no endpoint: IP address and port, for instance 10.0.0.7:8080'
        ) from problem
    return Place(str(found), int(port))


def destination_text(destination: Destination) -> str:
    """A destination as people write it."""
    return f"{destination.host}:{destination.port}"


def ejections_answer(view: OutlierView) -> dict[str, Any]:
    """Everything that this host knows of shared ejection."""
    now_s = view.at_s
    return {
        "self_sick": view.self_sick,
        "ignored_observers": list(view.ignored_observers),
        "destinations": view.destinations,
        "rows_said": view.rows_said,
        "rows_held": view.rows_held,
        "counters": dict(view.counters),
        "endpoints": [_endpoint(row, now_s) for row in view.endpoints],
        "overrides": [_override(row, now_s) for row in view.overrides],
    }


def _endpoint(row: EndpointView, now_s: float) -> dict[str, Any]:
    return {
        "destination": destination_text(row.destination),
        "endpoint": _place_text(row.place),
        "state": None if row.state is None else row.state.value,
        "reason": None if row.reason is None else row.reason.value,
        "detail": row.detail,
        "since_s": _ago(row.since_s, now_s),
        "until_s": _left(row.until_s, now_s),
        "level": row.level,
        "accusing": row.accusing,
        "opposing": row.opposing,
        "quorum": row.quorum,
        "users": row.users,
        "trying": list(row.trying),
        "imposed": None if row.imposed is None else row.imposed.value,
        "locally_ejected": row.locally_ejected,
        "witnesses": [_witness(one, now_s) for one in row.witnesses],
    }


def _witness(row: WitnessView, now_s: float) -> dict[str, Any]:
    return {
        "node": row.node,
        "class": row.row_class.value,
        "ok": row.ok,
        "external": row.external,
        "gateway": row.gateway,
        "local": row.local,
        "first_failure_s": _ago(row.first_failure_s, now_s),
        "accused_s": _ago(row.accused_s, now_s),
        "last_ok_s": _ago(row.last_ok_s, now_s),
        "ignored": None if row.ignored is None else row.ignored.value,
    }


def _override(row: OverrideView, now_s: float) -> dict[str, Any]:
    return {
        "node": row.node,
        "kind": row.kind.value,
        "destination": None if row.destination is None else destination_text(row.destination),
        "endpoint": None if row.place is None else _place_text(row.place),
        "since_s": _ago(row.said_s, now_s),
        "until_s": _left(row.until_s, now_s),
        "reason": row.reason,
    }


def _place_text(place: Place) -> str:
    address = f"[{place.address}]" if ":" in place.address else place.address
    return f"{address}:{place.port}"


def _ago(then_s: float | None, now_s: float) -> float | None:
    if then_s is None or not math.isfinite(then_s):
        return None
    return round(max(0.0, now_s - then_s), 3)


def _left(then_s: float | None, now_s: float) -> float | None:
    if then_s is None or not math.isfinite(then_s):
        return None
    return round(max(0.0, then_s - now_s), 3)
