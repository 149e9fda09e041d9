"""Whether a field is in force, by its path: the answer of `meshd explain` and of docs/fields.md.

Taken from the table of what is not (`support.py`), so that the warning of `put` and the page say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from store.objects.kinds import Kind
from store.validation.support import (
    CLAIM,
    CLAIMS_ARE_NOT_READ,
    NEITHER,
    NO_EFFECT,
    NOT_IN_FORCE,
    NOT_IN_ISTIO,
    Unsupported,
)

__all__ = ["JUDGED", "Exempt", "Judged", "Standing", "Verdict", "verdict_of"]


class Standing(StrEnum):
    """What becomes of a field."""

    IN_FORCE = "in force"
    STORED = "stored only"
    NOT_UPSTREAM = "Istio itself does not implement it"
    REFUSED = "refused, by Istio as well"
    LABEL = "a name for people"


@dataclass(frozen=True, slots=True)
class Judged:
    """Fields that a check of their own speaks of, or that are there to be read by people alone."""

    kind: Kind
    """The kind."""
    paths: tuple[str, ...]
    """Where they are."""
    standing: Standing
    """What becomes of them."""
    code: str = ""
    """The diagnostic that tells."""


_VS, _DR, _GW, _SC = (
    Kind.VIRTUAL_SERVICE,
    Kind.DESTINATION_RULE,
    Kind.GATEWAY,
    Kind.SIDECAR,
)
_FAULT = "spec.http[].fault"
_POLICIES = ("spec.trafficPolicy", "spec.subsets[].trafficPolicy")
_SIDECAR_PORTS = ("spec.ingress[].port", "spec.egress[].port")
_NOT_IN_INGRESS = (
    "subjectAltNames",
    "httpsRedirect",
    "credentialName",
    "credentialNames",
    *(f"tlsCertificates[].{f}" for f in ("serverCertificate", "privateKey", "caCertificates")),
)
JUDGED: tuple[Judged, ...] = (
    Judged(
        _VS,
        (f"{_FAULT}.abort.http2Error", f"{_FAULT}.delay.exponentialDelay"),
        Standing.REFUSED,
        "MESH0325",
    ),
    Judged(_GW, ("spec.servers[].port.targetPort",), Standing.REFUSED, "MESH0325"),
    Judged(
        _SC, tuple(f"{port}.targetPort" for port in _SIDECAR_PORTS), Standing.REFUSED, "MESH0325"
    ),
    Judged(
        _SC,
        tuple(f"spec.ingress[].tls.{field}" for field in _NOT_IN_INGRESS),
        Standing.REFUSED,
        "MESH0325",
    ),
    Judged(
        _DR,
        tuple(
            f"{policy}{port}.outlierDetection.consecutiveErrors"
            for policy in _POLICIES
            for port in ("", ".portLevelSettings[]")
        ),
        Standing.NOT_UPSTREAM,
        "MESH0323",
    ),
    Judged(_SC, tuple(f"{port}.name" for port in _SIDECAR_PORTS), Standing.LABEL),
)
"""What is not in force and not warned of by the tables of `support.py`."""


@dataclass(frozen=True, slots=True)
class Exempt:
    """A value that has no effect though its field is in force."""

    value: str
    """The value."""
    standing: Standing
    """Whether it is ours to mend."""
    reason: str
    """As in `Verdict`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one field."""

    standing: Standing
    """Whether it is in force."""
    reason: str = ""
    """What of it is not, what to use instead, or which diagnostic tells; empty where there is nothing to say."""
    values: tuple[Exempt, ...] = ()
    """Values that have no effect though the field has."""

    @property
    def text(self) -> str:
        """The verdict in one sentence."""
        said = _said(self.standing, self.reason)
        return "; ".join(
            [said, *(f"`{v.value}`: {_said(v.standing, v.reason)}" for v in self.values)]
        )


def verdict_of(kind: Kind, path: str) -> Verdict:
    """The verdict on a field.

    Args:
        kind: The kind of the object.
        path: Place in the object, `spec.http[].match[].headers{}.exact`; a mark at its end is passed over.
    """
    plain = _plain(path)
    for judged in JUDGED:
        if judged.kind is kind and plain in map(_plain, judged.paths):
            return Verdict(judged.standing, judged.code)
    values, limits = [], ""
    if kind is Kind.VIRTUAL_SERVICE and plain in _CLAIMED:
        values.append(Exempt(f"{CLAIM}.…", Standing.STORED, CLAIMS_ARE_NOT_READ))
    for standing, place, row in _rows(kind):
        if row.values:
            if place == plain:
                values += [Exempt(str(value), standing, _reason(row)) for value in row.values]
        elif plain == place or plain.startswith(f"{place}."):
            if not row.partly:
                return Verdict(standing, _reason(row))
            limits = _reason(row)
    return Verdict(Standing.IN_FORCE, limits, tuple(values))


_CLAIMED = ("spec.http.match.headers", "spec.http.match.withoutHeaders")
"""Where a claim of a token may be matched on."""


def _said(standing: Standing, reason: str) -> str:
    if not reason:
        return standing.value
    return (
        f"{standing.value}, but {reason}"
        if standing is Standing.IN_FORCE
        else f"{standing.value}: {reason}"
    )


def _reason(row: Unsupported) -> str:
    effect = "" if row.effect in (NEITHER, NO_EFFECT) else row.effect
    return "; ".join(part for part in (effect, row.instead) if part)


@cache
def _rows(kind: Kind) -> tuple[tuple[Standing, str, Unsupported], ...]:
    tables = ((Standing.STORED, NOT_IN_FORCE), (Standing.NOT_UPSTREAM, NOT_IN_ISTIO))
    return tuple(
        (standing, _plain(path), row)
        for standing, table in tables
        for row in table
        if row.kind is kind
        for path in row.paths
    )


def _plain(path: str) -> str:
    """A path without marks of lists and maps."""
    return path.replace("[*]", "").replace("[]", "").replace("{}", "")
