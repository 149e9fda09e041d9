"""VirtualService: what its rules become."""

from __future__ import annotations

from collections.abc import Mapping

from store.objects.becomes.placing import placed

__all__ = ["VIRTUAL_SERVICE", "destination"]

_LEFT_OUT = "our table: the rule is left out where it does not hold"


def _string(holder: str) -> Mapping[str, str]:
    """The three ways to compare a header-like value."""
    return {
        "exact": f"{holder}.string_match`: `StringMatcher.exact`",
        "prefix": f"{holder}.string_match`: `StringMatcher.prefix`",
        "regex": f"{holder}.string_match`: `StringMatcher.safe_regex`",
    }


def destination(cluster: str) -> Mapping[str, str]:
    """A destination, which becomes the name of a cluster: `outbound|PORT|SUBSET|HOST`."""
    return {
        "": f"{cluster}, `outbound|PORT|SUBSET|HOST`",
        "host": "the last part of the cluster's name",
        "subset": "the third part of the cluster's name",
        "port.number": "the second part of the cluster's name",
    }


_EDITS = {
    "request.set": "`Route.request_headers_to_add`, OVERWRITE_IF_EXISTS_OR_ADD; `host` is a rewrite",
    "request.add": "`Route.request_headers_to_add`, APPEND_IF_EXISTS_OR_ADD; `host` is a rewrite",
    "request.remove": "`Route.request_headers_to_remove`",
    "response.set": "`Route.response_headers_to_add`, OVERWRITE_IF_EXISTS_OR_ADD",
    "response.add": "`Route.response_headers_to_add`, APPEND_IF_EXISTS_OR_ADD",
    "response.remove": "`Route.response_headers_to_remove`",
}
_MATCH = {
    "name": "the second part of `Route.name`, `RULE.BLOCK`",
    "uri": "`RouteMatch.path_specifier`",
    "uri.exact": "`RouteMatch.path`",
    "uri.prefix": "`RouteMatch.prefix`",
    "uri.regex": "`RouteMatch.safe_regex`",
    "ignoreUriCase": "`RouteMatch.case_sensitive`",
    **placed("scheme", {"": "a header `:scheme`", **_string("`HeaderMatcher")}),
    **placed("method", {"": "a header `:method`", **_string("`HeaderMatcher")}),
    **placed("authority", {"": "a header `:authority`", **_string("`HeaderMatcher")}),
    "headers": "`RouteMatch.headers`; empty: `HeaderMatcher.present_match`",
    **placed("headers{}", _string("`HeaderMatcher")),
    "withoutHeaders": "`RouteMatch.headers` with `HeaderMatcher.invert_match`",
    **placed("withoutHeaders{}", _string("`HeaderMatcher")),
    "queryParams": "`RouteMatch.query_parameters`; empty: `QueryParameterMatcher.present_match`",
    **placed("queryParams{}", _string("`QueryParameterMatcher")),
    "port": _LEFT_OUT,
    "sourceLabels": _LEFT_OUT,
    "sourceNamespace": _LEFT_OUT,
    "gateways": _LEFT_OUT,
    "statPrefix": "`Route.stat_prefix`",
}
_REDIRECT = {
    "": "`Route.redirect`",
    "uri": "`RedirectAction.path_redirect`",
    "prefixRewrite": "`RedirectAction.prefix_rewrite`",
    "authority": "`RedirectAction.host_redirect`",
    "port": "`RedirectAction.port_redirect`",
    "derivePort": "`RedirectAction.port_redirect`: FROM_REQUEST_PORT is the listener's",
    "scheme": "`RedirectAction.scheme_redirect`",
    "redirectCode": "`RedirectAction.response_code`",
}
_FAULT = {
    "": "`HTTPFault` in `Route.typed_per_filter_config`",
    "delay.percent": "`FaultDelay.percentage`",
    "delay.percentage.value": "`FaultDelay.percentage`, parts of a million",
    "delay.fixedDelay": "`FaultDelay.fixed_delay`",
    "abort.httpStatus": "`FaultAbort.http_status`",
    "abort.grpcStatus": "`FaultAbort.grpc_status`",
    "abort.percentage.value": "`FaultAbort.percentage`, parts of a million",
}
_CORS = {
    "": "`CorsPolicy` in `Route.typed_per_filter_config`",
    "allowOrigin": "`CorsPolicy.allow_origin_string_match`",
    "allowOrigins[].exact": "`CorsPolicy.allow_origin_string_match`: `StringMatcher.exact`",
    "allowOrigins[].prefix": "`CorsPolicy.allow_origin_string_match`: `StringMatcher.prefix`",
    "allowOrigins[].regex": "`CorsPolicy.allow_origin_string_match`: `StringMatcher.safe_regex`",
    "allowMethods": "`CorsPolicy.allow_methods`",
    "allowHeaders": "`CorsPolicy.allow_headers`",
    "exposeHeaders": "`CorsPolicy.expose_headers`",
    "maxAge": "`CorsPolicy.max_age`",
    "allowCredentials": "`CorsPolicy.allow_credentials`",
    "unmatchedPreflights": "`CorsPolicy.forward_not_matching_preflights`",
}
_RETRIES = {
    "": "`RouteAction.retry_policy`",
    "attempts": "`RetryPolicy.num_retries`",
    "perTryTimeout": "`RetryPolicy.per_try_timeout`",
    "retryOn": "`RetryPolicy.retry_on`; statuses: `RetryPolicy.retriable_status_codes`",
    "retryRemoteLocalities": "`RetryPolicy.retry_priority`: previous_priorities",
    "retryIgnorePreviousHosts": "`RetryPolicy.retry_host_predicate`: previous_hosts",
    "backoff": "`RetryPolicy.retry_back_off`",
}
_MIRROR = "`RequestMirrorPolicy.cluster`"
_SHARE = "`RequestMirrorPolicy.runtime_fraction`"
_HTTP = {
    "": "`VirtualHost.routes`, one for each block of conditions",
    "name": "the first part of `Route.name`, `RULE.BLOCK`",
    "match": "`Route.match`",
    **placed("match[]", _MATCH),
    "route": "`Route.route`",
    **placed("route[].destination", destination("`RouteAction.cluster`")),
    "route[].weight": "`ClusterWeight.weight` in `RouteAction.weighted_clusters`",
    **placed(
        "route[].headers",
        {path: text.replace("`Route.", "`ClusterWeight.") for path, text in _EDITS.items()},
    ),
    **placed("redirect", _REDIRECT),
    "directResponse": "`Route.direct_response`",
    "directResponse.status": "`DirectResponseAction.status`",
    "directResponse.body.string": "`DirectResponseAction.body`",
    "directResponse.body.bytes": "`DirectResponseAction.body`",
    "delegate.name": "our table: the rules of that object, merged into this one",
    "delegate.namespace": "our table: where that object lies",
    "rewrite.uri": "`RouteAction.prefix_rewrite`; after a match by expression, of the whole path",
    "rewrite.authority": "`RouteAction.host_rewrite_literal`",
    "rewrite.uriRegexRewrite.match": "`RouteAction.regex_rewrite`: `RegexMatchAndSubstitute.pattern`",
    "rewrite.uriRegexRewrite.rewrite": (
        "`RouteAction.regex_rewrite`: `RegexMatchAndSubstitute.substitution`"
    ),
    "timeout": "`RouteAction.timeout` and `RouteAction.max_grpc_timeout`",
    **placed("retries", _RETRIES),
    **placed("fault", _FAULT),
    **placed("mirror", destination(_MIRROR)),
    "mirrors": "`RouteAction.request_mirror_policies`",
    **placed("mirrors[].destination", destination(_MIRROR)),
    "mirrors[].percentage.value": f"{_SHARE}, parts of a million",
    "mirrorPercent": f"{_SHARE}, parts of a million",
    "mirrorPercentage.value": f"{_SHARE}, parts of a million",
    **placed("corsPolicy", _CORS),
    **placed("headers", _EDITS),
}
_CHAIN = {
    "": "`Listener.filter_chains`, one for each block of conditions",
    "match": "`FilterChain.filter_chain_match`",
    "match[].sniHosts": "`FilterChainMatch.server_names`",
    "match[].destinationSubnets": "`FilterChainMatch.prefix_ranges`",
    "match[].port": _LEFT_OUT,
    "match[].sourceLabels": _LEFT_OUT,
    "match[].sourceNamespace": _LEFT_OUT,
    "match[].gateways": _LEFT_OUT,
    **placed("route[].destination", destination("`TcpProxy.cluster`")),
    "route[].weight": "`TcpProxy.weighted_clusters`",
}

VIRTUAL_SERVICE: Mapping[str, str] = {
    "hosts": "`VirtualHost.domains`",
    "gateways": "our table: which listeners have the rules",
    "exportTo": "our table: which namespaces have the rules",
    **placed("http[]", _HTTP),
    **placed("tls[]", _CHAIN),
    **placed("tcp[]", {path: text for path, text in _CHAIN.items() if "sniHosts" not in path}),
}
"""By path below the spec."""
