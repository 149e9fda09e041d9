"""What a sidecar's status means: is all well, what is not.

Pure: reads the JSON of the status API as it came, fields that are missing (another version's) included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshd.cli.troubles import Severity, Trouble, duration, worst_of
from store.errors import MeshError

__all__ = ["Health", "health_of"]

Json = Mapping[str, Any]


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
        return self.severity < Severity.DEGRADED

    @property
    def severity(self) -> int:
        """The worst of its troubles; 0 without any."""
        return worst_of(self.troubles)

    def as_json(self) -> dict[str, Any]:
        """The status as it came, with our judgement."""
        judgement = {
            "node": self.node,
            "well": self.is_well,
            "troubles": [one.as_json() for one in self.troubles],
        }
        return {**judgement, **self.status, **({"error": self.error} if self.error else {})}

    def cells(self, newest: int = 0) -> list[str]:
        """The row of the table; `newest` is the newest revision of the mesh, where that is known."""
        if self.error:
            return [self.node, "unreachable", *["-"] * 8, "here"]
        config, store, envoy = (_part(self.status, name) for name in ("config", "store", "envoy"))
        in_force, received = (
            _number(config.get(f"revision_{which}")) for which in ("in_force", "received")
        )
        return [
            self.node,
            str(config.get("state", "")),
            str(in_force or "none"),
            str(received or "none"),
            str(max(0, max(newest, received) - in_force)),
            "current" if config.get("age_s") is None else duration(_number(config["age_s"])),
            str(store.get("state", "")),
            _envoy_cell(envoy),
            str(len(self.status.get("rejected") or ())),
            str(len(self.status.get("quarantined") or ())),
            "here",
        ]

    def wide_cells(self) -> list[str]:
        """More columns."""
        status = self.status
        return [
            str(status.get("role", "")),
            str(status.get("mode", "")),
            str(status.get("services", "")),
            str(_part(status, "registration").get("state", "")),
            _gossip_cell(_part(status, "gossip")),
            str(status.get("version", "")),
            duration(_number(status["uptime_s"])) if "uptime_s" in status else "",
        ]


def health_of(node: str, answer: Json | MeshError, more: Sequence[Trouble] = ()) -> Health:
    """The judgement over what one sidecar answered, with troubles that are known from elsewhere."""
    if isinstance(answer, MeshError):
        trouble = Trouble(Severity.GONE, answer.message, (answer.hint,) if answer.hint else ())
        return Health(node, {}, (trouble,), str(answer))
    found = sorted([*_troubles(answer), *more], key=lambda one: -one.severity)
    return Health(str(answer.get("node") or node), answer, tuple(found))


def _troubles(status: Json) -> Iterator[Trouble]:
    config = _part(status, "config")
    yield from _config_troubles(config)
    yield from _store_troubles(_part(status, "store"), config)
    yield from _relay_troubles(_part(status, "relay"), config)
    yield from _envoy_troubles(_part(status, "envoy"))
    if error := _part(status, "last_known_good").get("error"):
        yield Trouble(
            Severity.DEGRADED,
            f"warning: the last known good is not written: {error}",
            ("Without etcd and peers a restart would begin with an older one.",),
        )
    yield from _certificate_troubles(status)
    for row in status.get("rejected") or ():
        sources = ", ".join(map(str, row.get("sources") or ())) or "no object"
        if row.get("type") == "Secret":
            yield Trouble(
                Severity.DEGRADED,
                f"error: no certificate for {sources}: {row.get('detail')}",
                (
                    "Until it is there, what needs it goes on as before, or refuses; nothing is to be restarted.",
                ),
            )
            continue
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
    yield from _gossip_troubles(_part(status, "gossip"))
    for row in status.get("refused_claims") or ():
        yield Trouble(
            Severity.DEGRADED if row.get("host") == status.get("node") else Severity.NOTE,
            f"warning: workload {row.get('workload')} of host {row.get('host')} does not serve: {row.get('reason')}",
            (f"An administrator may allow it: admission/{row.get('host')} in etcd.",),
        )
    for row in status.get("kept_hosts") or ():
        for_s = duration(_number(row.get("since_s")))
        yield Trouble(
            Severity.NOTE,
            f"host {row.get('host')} is kept though its registration ran out {for_s} ago: {row.get('reason')}",
        )


def _certificate_troubles(status: Json) -> Iterator[Trouble]:
    """Files of certificates that are bad while older contents serve, and identities that peers will not know."""
    broken = _part(status, "secrets").get("broken") or ()
    for row in broken:
        if row.get("keeps_old"):
            yield Trouble(
                Severity.DEGRADED,
                f"warning: certificate {row.get('name')}: {row.get('reason')}",
                (
                    "What its files held before serves on; replace them, nothing is to be restarted.",
                ),
            )
    for row in status.get("identities") or ():
        if row.get("state") == "held" and row.get("problem"):
            yield Trouble(
                Severity.NOTE,
                f"warning: identity {row.get('spiffe_id')}: {row['problem']}",
            )


def _config_troubles(config: Json) -> Iterator[Trouble]:
    state = config.get("state")
    held = config.get("held")
    if isinstance(held, Mapping):
        yield Trouble(
            Severity.DEGRADED,
            f"error: the store is held off: {held.get('reason', '')}",
            (
                f"{'Peers show it: etcd is out of reach here. ' if held.get('by') == 'peers' else ''}"
                "What was in force stays. If the store is right: meshd epoch accept",
            ),
        )
    if state == "none":
        yield Trouble(
            Severity.BROKEN, "error: no configuration yet: nothing from etcd, peers or disk"
        )
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
    if unchecked := _number(config.get("unchecked")):
        yield Trouble(
            Severity.NOTE,
            f"{unchecked:,.0f} objects are not checked yet; those that this host uses are",
        )
    age, is_from_disk = config.get("age_s"), config.get("source") == "disk"
    if state != "none" and (is_from_disk or age is not None):
        old = "of unknown age" if age is None else f"{duration(_number(age))} old"
        where = " from disk" if is_from_disk else ""
        yield Trouble(
            Severity.DEGRADED,
            f"warning: serving revision {config.get('revision_in_force')}{where}, {old}",
        )


def _store_troubles(store: Json, config: Json) -> Iterator[Trouble]:
    state = store.get("state")
    if state in ("watching", "held", "unwatched", None):
        return
    since = f" for {duration(_number(store['since_s']))}" if "since_s" in store else ""
    endpoints = ", ".join(map(str, store.get("endpoints") or ()))
    is_following = config.get("sync") == "peers"
    is_brief = config.get("age_s") is None and not is_following
    reason = f": {store['error']}" if store.get("error") else ""
    instead = "; it follows peers" if is_following else ""
    yield Trouble(
        Severity.NOTE if is_brief else Severity.DEGRADED,
        f"warning: the store is not followed: {state}{since}{reason}{instead}",
        (f"endpoints: {endpoints}",) if endpoints else (),
    )


def _relay_troubles(relay: Json, config: Json) -> Iterator[Trouble]:
    newer, age = _number(relay.get("newer_told")), config.get("age_s")
    if config.get("sync") == "peers" and newer and age is not None:
        peers = _number(relay.get("peers_at_store"))
        yield Trouble(
            Severity.DEGRADED,
            f"warning: peers say that etcd has revision {newer}, and none of it was taken for {duration(_number(age))}",
            (
                f"{peers:g} of them reach etcd; as many as relay.attestations says must attest one content",
            ),
        )


def _envoy_troubles(envoy: Json) -> Iterator[Trouble]:
    state = envoy.get("state", "absent")
    if state != "running":
        reason = f": {envoy['error']}" if envoy.get("error") else ""
        yield Trouble(Severity.BROKEN, f"error: Envoy is not running ({state}){reason}")
    elif not envoy.get("connected"):
        yield Trouble(Severity.DEGRADED, "warning: Envoy runs, but has no stream to this sidecar")
    if envoy.get("not_replaced"):
        yield Trouble(
            Severity.NOTE,
            f"warning: Envoy runs with the settings, or as the program, of before: {envoy['not_replaced']}",
            ("Take the host out of its services (on_stop = leave), then start both again.",),
        )


def _gossip_troubles(gossip: Json) -> Iterator[Trouble]:
    if gossip.get("rival"):
        yield Trouble(
            Severity.DEGRADED,
            f"error: another process at {gossip['rival']} gossips under this name and began later",
            ("Give one of them another `node`; this one is silent until the other is gone.",),
        )
    for problem in gossip.get("problems") or ():
        yield Trouble(Severity.NOTE, f"warning: gossip: {problem}")


def _gossip_cell(gossip: Json) -> str:
    """Others that are held alive, where it is on."""
    if gossip.get("state") != "on":
        return str(gossip.get("state", ""))
    return f"{_part(gossip, 'members').get('alive', 0)} others"


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
