"""The table's values in words, for people who ask why a request goes where it goes.

Nothing is decided here. Each function says one value in a phrase that stands alone in a list.
"""

from __future__ import annotations

from collections.abc import Iterator

from sidecar.routing.table import (
    CorsPolicy,
    Fault,
    Flow,
    Forward,
    HashPolicy,
    HeaderEdits,
    MatcherKind,
    Mirror,
    Redirect,
    RetryPolicy,
    Rewrite,
    RouteMatch,
    ValueMatch,
)

__all__ = ["conditions", "edits", "flow", "hashed_by", "percent", "redirect", "settings"]

_PSEUDO_NAMES = {":method": "method", ":authority": "authority", ":scheme": "scheme"}

_VERBS = {
    MatcherKind.EXACT: ("is", "is not"),
    MatcherKind.PREFIX: ("starts with", "does not start with"),
    MatcherKind.REGEX: ("matches regex", "does not match regex"),
    MatcherKind.PRESENT: ("is present", "is absent"),
}


def conditions(match: RouteMatch) -> tuple[str, ...]:
    """Every condition of a route; `any request` where there is none."""
    if match.connect:
        return ("method is CONNECT",)
    said = []
    if match.is_catch_all:
        return ("any request",)
    if (match.path.kind, match.path.value) != (MatcherKind.PREFIX, "/"):
        said.append(_condition("path", match.path))
    for name, wanted in match.headers:
        said.append(_condition(_PSEUDO_NAMES.get(name, f"header {name}"), wanted))
    said += [_condition(f"query parameter {name}", wanted) for name, wanted in match.query]
    return tuple(said)


def _condition(subject: str, wanted: ValueMatch) -> str:
    verb = _VERBS[wanted.kind][wanted.invert]
    if wanted.kind is MatcherKind.PRESENT:
        return f"{subject} {verb}"
    return f'{subject} {verb} "{wanted.value}"' + (" in any case" if wanted.ignore_case else "")


def settings(forward: Forward) -> Iterator[tuple[str, str]]:
    """(name, what it is) of all that happens to a request on its way, besides the split."""
    yield "timeout", f"{forward.timeout_s:g} s" if forward.timeout_s else "none"
    yield "retries", _retry(forward.retry) if forward.retry else "none"
    if forward.rewrite is not None:
        yield "rewrite", _rewrite(forward.rewrite)
    for policy in forward.hash_policies:
        yield "hash", hashed_by(policy)


def _retry(retry: RetryPolicy) -> str:
    on = ", ".join((*retry.retry_on, *map(str, retry.status_codes)))
    words = [f"{retry.attempts} on {on}"]
    if retry.per_try_timeout_s is not None:
        words.append(f"{retry.per_try_timeout_s:g} s each")
    if retry.backoff_s is not None:
        words.append(f"back-off from {retry.backoff_s:g} s")
    if retry.previous_hosts:
        words.append("on another endpoint")
    if retry.remote_localities:
        words.append("in other localities too")
    return "; ".join(words)


def _rewrite(rewrite: Rewrite) -> str:
    words = []
    if rewrite.prefix is not None:
        what = "path" if rewrite.full_path else "matched prefix"
        words.append(f'{what} becomes "{rewrite.prefix}"')
    if rewrite.regex:
        words.append(f'"{rewrite.regex}" in the path becomes "{rewrite.substitution}"')
    if rewrite.authority:
        words.append(f"authority becomes {rewrite.authority}")
    return "; ".join(words)


def hashed_by(policy: HashPolicy) -> str:
    """What a hash is made of."""
    names = {"query": f"query parameter {policy.name}", "source_ip": "client address"}
    return names.get(policy.kind, f"{policy.kind} {policy.name}")


def flow(said: Flow) -> tuple[str, ...]:
    """What holds for connections that are not read; nothing where all is as Envoy has it."""
    words = []
    if said.idle_timeout_s is not None:
        idle = f"after {said.idle_timeout_s:g} s" if said.idle_timeout_s else "never"
        words.append(f"closed when idle: {idle}")
    if said.life_s:
        words.append(f"closed after {said.life_s:g} s")
    if said.by_source_ip:
        words.append("hash: client address")
    if said.tunnel is not None:
        verb = "POST" if said.tunnel.by_post else "CONNECT"
        words.append(f"inside {verb} {said.tunnel.authority}")
    return tuple(words)


def fault(injected: Fault) -> str:
    """What is done to some requests on purpose."""
    words = []
    if injected.delay_ppm:
        words.append(f"{percent(injected.delay_ppm)} delayed by {injected.delay_s:g} s")
    if injected.abort_ppm:
        status = (
            f"HTTP {injected.abort_status}"
            if injected.abort_status
            else f"gRPC status {injected.abort_grpc_status}"
        )
        words.append(f"{percent(injected.abort_ppm)} answered with {status}")
    return "; ".join(words)


def percent(parts_per_million: int) -> str:
    """A share in percent, without needless zeros."""
    return f"{parts_per_million / 10_000:g} %"


def cors(policy: CorsPolicy) -> str:
    """Which origins may read the answers."""
    origins = [_condition("origin", origin) for origin in policy.allow_origins]
    return "; ".join(origins) or "no origin allowed"


def edits(changes: HeaderEdits) -> tuple[str, ...]:
    """Each header edit, those of the request first."""
    said = []
    for side, sets, adds, removes in (
        ("request", changes.request_set, changes.request_add, changes.request_remove),
        ("response", changes.response_set, changes.response_add, changes.response_remove),
    ):
        said += [f"{side}: set {name}: {value}" for name, value in sets]
        said += [f"{side}: add {name}: {value}" for name, value in adds]
        said += [f"{side}: remove {name}" for name in removes]
    return tuple(said)


def mirror_share(mirror: Mirror) -> str:
    """How much is copied."""
    return percent(mirror.parts_per_million)


def redirect(action: Redirect) -> str:
    """Where a redirect leads, with what stays as it was left out."""
    words = []
    if action.scheme:
        words.append(f"scheme {action.scheme}")
    if action.authority:
        words.append(f"host {action.authority}")
    if action.port:
        words.append(f"port {action.port}")
    if action.path is not None:
        words.append(f'path "{action.path}"')
    if action.prefix is not None:
        words.append(f'matched prefix becomes "{action.prefix}"')
    return "; ".join(words) or "the same place"
