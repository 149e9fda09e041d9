"""What a sidecar's status means: is all well, what is not, and how bad each trouble is.

Pure: reads the JSON of the status API as it came, fields that are missing (another version's) included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from store.errors import MeshError

__all__ = ["Health", "Severity", "Trouble", "duration", "health_of", "worst_first"]

Json = Mapping[str, Any]


class Severity(IntEnum):
    """How bad a trouble is."""

    NOTE = 1
    """To know; all is well nevertheless."""
    DEGRADED = 2
    """Traffic flows by what is in force; changes, or some of them, do not arrive."""
    BROKEN = 3
    """Traffic is, or may be, not served as it should be."""
    GONE = 4
    """The sidecar cannot even be asked."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is not as it should be."""

    severity: Severity
    """How bad it is."""
    text: str
    """What it is, in one line."""
    details: tuple[str, ...] = ()
    """Reasons and what to do, a line each."""


@dataclass(frozen=True, slots=True)
class Health:
    """One sidecar, judged."""

    node: str
    """Its node id."""
    status: Json = field(default_factory=dict)
    """What it said of itself; empty when it could not be asked."""
    troubles: tuple[Trouble, ...] = ()
    """Worst first."""
    error: str = ""
    """Why it could not be asked."""

    @property
    def is_well(self) -> bool:
        """Whether nothing is degraded."""
        return all(trouble.severity < Severity.DEGRADED for trouble in self.troubles)

    @property
    def severity(self) -> int:
        """The worst of its troubles; 0 without any."""
        return max((int(trouble.severity) for trouble in self.troubles), default=0)

    def as_json(self) -> dict[str, Any]:
        """The status as it came, with our judgement."""
        judgement = {
            "node": self.node,
            "well": self.is_well,
            "troubles": [
                {
                    "severity": one.severity.name.lower(),
                    "text": one.text,
                    "details": list(one.details),
                }
                for one in self.troubles
            ],
        }
        return {**judgement, **self.status, **({"error": self.error} if self.error else {})}

    def cells(self) -> list[str]:
        """The row of the table."""
        if self.error:
            return [self.node, "unreachable", *["-"] * 8]
        config, store, envoy = (_part(self.status, name) for name in ("config", "store", "envoy"))
        in_force, received = (
            _number(config.get(f"revision_{which}")) for which in ("in_force", "received")
        )
        return [
            self.node,
            str(config.get("state", "")),
            str(in_force or "none"),
            str(received or "none"),
            str(max(0, received - in_force)),
            "current" if config.get("age_s") is None else duration(_number(config["age_s"])),
            str(store.get("state", "")),
            _envoy_cell(envoy),
            str(len(self.status.get("rejected") or ())),
            str(len(self.status.get("quarantined") or ())),
        ]

    def wide_cells(self) -> list[str]:
        """More columns."""
        status = self.status
        return [
            str(status.get("role", "")),
            str(status.get("mode", "")),
            str(status.get("services", "")),
            str(_part(status, "registration").get("state", "")),
            str(status.get("version", "")),
            duration(_number(status["uptime_s"])) if "uptime_s" in status else "",
        ]


def health_of(node: str, answer: Json | MeshError) -> Health:
    """The judgement over what one sidecar answered."""
    if isinstance(answer, MeshError):
        trouble = Trouble(Severity.GONE, answer.message, (answer.hint,) if answer.hint else ())
        return Health(node, {}, (trouble,), str(answer))
    found = sorted(_troubles(answer), key=lambda one: -one.severity)
    return Health(str(answer.get("node") or node), answer, tuple(found))


def worst_first(healths: Sequence[Health]) -> list[Health]:
    """Sorted by the worst trouble, then by name."""
    return sorted(healths, key=lambda one: (-one.severity, -len(one.troubles), one.node))


def duration(seconds: float) -> str:
    """Seconds in two units at most, as people say them: `850ms`, `12s`, `4m 5s`, `2h 10m`, `3d 4h`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    left = int(seconds)
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    parts: list[tuple[int, str]] = []
    for unit, size in units:
        count, left = divmod(left, size)
        if count or parts:
            parts.append((count, unit))
    return " ".join(f"{count}{unit}" for count, unit in parts[:2] if count)


def _troubles(status: Json) -> Iterator[Trouble]:
    config = _part(status, "config")
    yield from _config_troubles(config)
    yield from _store_troubles(_part(status, "store"), config)
    yield from _envoy_troubles(_part(status, "envoy"))
    for row in status.get("rejected") or ():
        sources = ", ".join(map(str, row.get("sources") or ())) or "no object"
        yield Trouble(
            Severity.DEGRADED,
            f"error: Envoy refuses {row.get('type')} {row.get('name')}; made from {sources}",
            (str(row.get("detail", "")), "The last version that it accepted stays in force."),
        )
    for row in status.get("quarantined") or ():
        yield _quarantine(row)
    registration = _part(status, "registration")
    if registration.get("error"):
        yield Trouble(
            Severity.DEGRADED,
            f"error: registration: {registration['error']}",
            ("Peers may stop sending requests to this host once its lease has run out.",),
        )
    for row in status.get("kept_hosts") or ():
        for_s = duration(_number(row.get("since_s")))
        yield Trouble(
            Severity.NOTE,
            f"host {row.get('host')} is kept though its registration ran out {for_s} ago: {row.get('reason')}",
        )


def _config_troubles(config: Json) -> Iterator[Trouble]:
    state = config.get("state")
    held = config.get("held")
    if isinstance(held, Mapping):
        yield Trouble(
            Severity.DEGRADED,
            f"error: the store is held off: {held.get('reason', '')}",
            ("What was in force stays. If the store is right: meshd epoch accept",),
        )
    if state == "none":
        yield Trouble(Severity.BROKEN, "error: no configuration yet: no snapshot from etcd or disk")
    elif not _number(config.get("revision_in_force")):
        yield Trouble(Severity.BROKEN, "error: nothing is in force in Envoy yet")
    elif state in ("updating", "warming", "detached"):
        words = {
            "updating": "Envoy has not acknowledged the newest revision yet",
            "warming": "Envoy waits for parts of the newest revision (secrets, endpoints)",
            "detached": "Envoy is not attached; it serves what it has",
        }
        yield Trouble(Severity.DEGRADED, f"warning: {words[str(state)]}")
    if config.get("refusal"):
        yield Trouble(
            Severity.DEGRADED, f"error: newer revisions are not loaded: {config['refusal']}"
        )
    if config.get("source") == "disk":
        age = config.get("age_s")
        old = "" if age is None else f", {duration(_number(age))} old"
        yield Trouble(
            Severity.DEGRADED, f"warning: serving the last known good configuration from disk{old}"
        )


def _store_troubles(store: Json, config: Json) -> Iterator[Trouble]:
    state = store.get("state")
    if state in ("watching", "held", None):
        return
    since = f" for {duration(_number(store['since_s']))}" if "since_s" in store else ""
    endpoints = ", ".join(map(str, store.get("endpoints") or ()))
    severity = Severity.NOTE if config.get("age_s") is None else Severity.DEGRADED
    reason = f": {store['error']}" if store.get("error") else ""
    yield Trouble(
        severity,
        f"warning: the store is not followed: {state}{since}{reason}",
        (f"endpoints: {endpoints}",) if endpoints else (),
    )


def _envoy_troubles(envoy: Json) -> Iterator[Trouble]:
    state = envoy.get("state", "absent")
    if state != "running":
        reason = f": {envoy['error']}" if envoy.get("error") else ""
        yield Trouble(Severity.BROKEN, f"error: Envoy is not running ({state}){reason}")
    elif not envoy.get("connected"):
        yield Trouble(Severity.DEGRADED, "warning: Envoy runs, but has no stream to this sidecar")


def _quarantine(row: Json) -> Trouble:
    serving = row.get("serving_revision")
    instead = f"revision {serving} of it serves" if serving else "nothing of it serves"
    reasons = []
    for one in row.get("diagnostics") or ():
        path = f"{one['path']}: " if one.get("path") else ""
        reasons.append(
            f"{one.get('level', 'error')} {one.get('code', '')} {path}{one.get('message', '')}"
        )
        reasons += [f"  {one['hint']}"] if one.get("hint") else []
    by = "Envoy" if row.get("by") == "envoy" else "validation"
    text = f"error: {row.get('object')} at revision {row.get('revision')} is quarantined by {by}; {instead}"
    return Trouble(Severity.DEGRADED, text, tuple(reasons))


def _envoy_cell(envoy: Json) -> str:
    state = str(envoy.get("state", "absent"))
    if state == "running" and not envoy.get("connected"):
        state = "detached"
    restarts = _number(envoy.get("restarts"))
    return f"{state} ({restarts:g} restarts)" if restarts else state


def _part(status: Json, name: str) -> Json:
    part = status.get(name)
    return part if isinstance(part, Mapping) else {}


def _number(value: object) -> Any:
    return value if isinstance(value, (int, float)) else 0
