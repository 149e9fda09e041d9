"""What a route does, as Envoy actions: forward with retries, mirrors and hashing; redirect; answer at once.

Follows Istio's route.go and retry.go. Every forwarding route sets its own `timeout` (Envoy would take 15 s) and its
own `idle_timeout` of 0, because a listener that loads hosts on demand has a short one (docs/xds.md, 12g).
"""

from __future__ import annotations

from sidecar.routing.table import (
    Cluster,
    ClusterKey,
    DirectResponse,
    Forward,
    HashPolicy,
    HeaderEdits,
    InboundKey,
    Mirror,
    Redirect,
    RetryPolicy,
    WeightedCluster,
)
from sidecar.xds import protos as pb
from sidecar.xds.compile.encoding import duration, extension, fraction

__all__ = [
    "add_header_edits",
    "cluster_name",
    "compile_direct_response",
    "compile_forward",
    "compile_redirect",
]

HOST_SELECTION_ATTEMPTS = 5
"""How often a retry looks for an endpoint not tried yet (Istio's retry.go)."""

_PREVIOUS_HOSTS = extension(
    "envoy.retry_host_predicates.previous_hosts", pb.PreviousHostsPredicate()
)
_PREVIOUS_PRIORITIES = extension(
    "envoy.retry_priorities.previous_priorities", pb.PreviousPrioritiesConfig(update_frequency=2)
)
_REDIRECT_CODES = {
    301: pb.RedirectAction.MOVED_PERMANENTLY,
    302: pb.RedirectAction.FOUND,
    303: pb.RedirectAction.SEE_OTHER,
    307: pb.RedirectAction.TEMPORARY_REDIRECT,
    308: pb.RedirectAction.PERMANENT_REDIRECT,
}


def cluster_name(cluster: ClusterKey | Cluster | InboundKey) -> str:
    """Envoy's name of a destination or of a special cluster."""
    return cluster.value if isinstance(cluster, Cluster) else cluster.name


def compile_forward(action: Forward, *, connect: bool = False) -> pb.RouteAction:
    """Forwarding: destinations, timeout, retries, rewrite, mirrors, hashing.

    Args:
        action: What the table says.
        connect: The route matches CONNECT: end the tunnel here and send its bytes on to the destination.
    """
    compiled = pb.RouteAction(
        timeout=duration(action.timeout_s),
        idle_timeout=duration(action.idle_timeout_s),
        # No `max_grpc_timeout`: a client's grpc-timeout is its own to keep, and one that Envoy kept beside it would be
        # answered UNAVAILABLE where the client says DEADLINE_EXCEEDED (measured). Nor its successor
        # `max_stream_duration`: with it Envoy ignores `timeout` of requests that are not gRPC (measured).
        request_mirror_policies=[_mirror(mirror) for mirror in action.mirrors],
        hash_policy=[_hash_policy(policy) for policy in action.hash_policies],
    )
    _add_destinations(compiled, action)
    _add_rewrite(compiled, action)
    if action.retry is not None:
        compiled.retry_policy.CopyFrom(_retry(action.retry))
    for upgrade in action.upgrades:
        if upgrade.upper() != "CONNECT":
            compiled.upgrade_configs.add(upgrade_type=upgrade)
    if connect:
        compiled.upgrade_configs.add(upgrade_type="CONNECT").connect_config.SetInParent()
    return compiled


def compile_redirect(action: Redirect) -> pb.RedirectAction:
    """An answer with another place; codes that Envoy has no word for become 301."""
    compiled = pb.RedirectAction(
        host_redirect=action.authority,
        port_redirect=action.port,
        response_code=_REDIRECT_CODES.get(action.code, pb.RedirectAction.MOVED_PERMANENTLY),
    )
    if action.scheme:
        compiled.scheme_redirect = action.scheme
    if action.path is not None:
        compiled.path_redirect = action.path
    elif action.prefix is not None:
        compiled.prefix_rewrite = action.prefix
    return compiled


def compile_direct_response(action: DirectResponse) -> pb.DirectResponseAction:
    """An answer without any destination."""
    compiled = pb.DirectResponseAction(status=action.status)
    if action.body:
        compiled.body.inline_bytes = action.body
    return compiled


def add_header_edits(
    compiled: pb.Route | pb.WeightedCluster.ClusterWeight, edits: HeaderEdits
) -> None:
    """Append edits of headers; Envoy removes first, then sets, then adds (header_parser.cc)."""
    if not edits:
        return
    compiled.request_headers_to_add.extend(_headers(edits.request_set, edits.request_add))
    compiled.request_headers_to_remove.extend(edits.request_remove)
    compiled.response_headers_to_add.extend(_headers(edits.response_set, edits.response_add))
    compiled.response_headers_to_remove.extend(edits.response_remove)


def _headers(
    overwritten: tuple[tuple[str, str], ...], added: tuple[tuple[str, str], ...]
) -> list[pb.HeaderValueOption]:
    options = pb.HeaderValueOption
    return [
        options(
            header=pb.HeaderValue(key=key, value=value),
            append_action=options.OVERWRITE_IF_EXISTS_OR_ADD,
        )
        for key, value in overwritten
    ] + [
        options(
            header=pb.HeaderValue(key=key, value=value),
            append_action=options.APPEND_IF_EXISTS_OR_ADD,
        )
        for key, value in added
    ]


def _add_destinations(compiled: pb.RouteAction, action: Forward) -> None:
    rewritten = action.rewrite.authority if action.rewrite else ""
    if len(action.clusters) == 1:
        # Edits of a single destination belong to the route, after the route's own: see routes.py.
        (only,) = action.clusters
        compiled.cluster = cluster_name(only.cluster)
        if authority := rewritten or only.authority:
            compiled.host_rewrite_literal = authority
        return
    for destination in action.clusters:
        compiled.weighted_clusters.clusters.append(
            _weighted(destination, keep_host=bool(rewritten))
        )
    if rewritten:
        compiled.host_rewrite_literal = rewritten


def _weighted(destination: WeightedCluster, *, keep_host: bool) -> pb.WeightedCluster.ClusterWeight:
    compiled = pb.WeightedCluster.ClusterWeight(
        name=cluster_name(destination.cluster), weight=pb.UInt32Value(value=destination.weight)
    )
    add_header_edits(compiled, destination.edits)
    if destination.authority and not keep_host:
        compiled.host_rewrite_literal = destination.authority
    return compiled


def _add_rewrite(compiled: pb.RouteAction, action: Forward) -> None:
    rewrite = action.rewrite
    if rewrite is None:
        return
    if rewrite.regex:
        compiled.regex_rewrite.pattern.regex = rewrite.regex
        compiled.regex_rewrite.substitution = rewrite.substitution
    elif rewrite.prefix:
        # With an exact or regex match Envoy replaces the whole path by the same field.
        compiled.prefix_rewrite = rewrite.prefix


def _retry(retry: RetryPolicy) -> pb.RetryPolicy:
    compiled = pb.RetryPolicy(
        retry_on=",".join(retry.retry_on),
        num_retries=pb.UInt32Value(value=retry.attempts),
        retriable_status_codes=retry.status_codes,
        host_selection_retry_max_attempts=HOST_SELECTION_ATTEMPTS,
    )
    if retry.previous_hosts:
        compiled.retry_host_predicate.add(
            name=_PREVIOUS_HOSTS.name, typed_config=_PREVIOUS_HOSTS.typed_config
        )
    if retry.remote_localities:
        compiled.retry_priority.name = _PREVIOUS_PRIORITIES.name
        compiled.retry_priority.typed_config.CopyFrom(_PREVIOUS_PRIORITIES.typed_config)
    if retry.per_try_timeout_s is not None:
        compiled.per_try_timeout.CopyFrom(duration(retry.per_try_timeout_s))
    if retry.backoff_s:
        compiled.retry_back_off.base_interval.CopyFrom(duration(retry.backoff_s))
    return compiled


def _mirror(mirror: Mirror) -> pb.RouteAction.RequestMirrorPolicy:
    return pb.RouteAction.RequestMirrorPolicy(
        cluster=mirror.cluster.name,
        runtime_fraction=fraction(mirror.parts_per_million),
        trace_sampled=pb.BoolValue(value=False),
        disable_shadow_host_suffix_append=True,
    )


def _hash_policy(policy: HashPolicy) -> pb.RouteAction.HashPolicy:
    compiled = pb.RouteAction.HashPolicy()
    if policy.kind == "header":
        compiled.header.header_name = policy.name
    elif policy.kind == "query":
        compiled.query_parameter.name = policy.name
    elif policy.kind == "source_ip":
        compiled.connection_properties.source_ip = True
    else:
        compiled.cookie.name = policy.name
        compiled.cookie.path = policy.path
        if policy.ttl_s is not None:
            compiled.cookie.ttl.CopyFrom(duration(policy.ttl_s))
        for name, value in policy.attributes:
            compiled.cookie.attributes.add(name=name, value=value)
    return compiled
