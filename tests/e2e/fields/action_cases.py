"""Proofs of what a VirtualService's HTTP rules do with requests: send on, change, copy, delay, refuse, answer."""

from __future__ import annotations

from typing import Any

from tests.harness.field_cases import BASE, SUBSETS, Case, ask, holds, service

__all__ = ["CASES"]

_HTTP = "VirtualService.spec.http[]"
_TO_B = "route: [{destination: {host: b}}]"
_SICK = BASE + service("sick", ("$sick", "v1")) + service("slow", ("$slow", "v1"))


def _does(*lines: str) -> str:
    """A VirtualService of `a` with one rule, given line by line."""
    rule = "\n    ".join(lines)
    return f"""
kind: VirtualService
spec:
  hosts: [a]
  http:
  - {rule}
---
{SUBSETS}"""


def _action(part: dict[str, Any]) -> Any:
    return holds("host", "a:9080", {"routes": [part]})


_REDIRECTS = (
    Case(
        "a redirect replaces path, host and scheme",
        f"{_HTTP}.redirect.{{uri,authority,scheme,redirectCode}}",
        _does(
            "redirect: {uri: /new, authority: else.example.com, scheme: https, redirectCode: 307}"
        ),
        asks=(ask("a:9080/old", status=307, gives={"location": "https://else.example.com/new"}),),
    ),
    Case(
        "a redirect replaces the port",
        f"{_HTTP}.redirect.port",
        _does("redirect: {port: 8443}"),
        asks=(ask("a:9080/x", status=301, gives={"location": "http://a:8443/x"}),),
    ),
    Case(
        "a redirect replaces the prefix that matched",
        f"{_HTTP}.redirect.prefixRewrite",
        _does("match: [{uri: {prefix: /old}}]", "redirect: {prefixRewrite: /new}"),
        asks=(ask("a:9080/old/x", status=301, gives={"location": "http://a:9080/new/x"}),),
    ),
    Case(
        "a redirect takes the port of its scheme, or that of the request",
        f"{_HTTP}.redirect.derivePort",
        _does("redirect: {authority: b, derivePort: FROM_REQUEST_PORT}"),
        asks=(ask("a:9080/x", status=301, gives={"location": "http://b:9080/x"}),),
    ),
    Case(
        "an answer may be fixed, as text",
        f"{_HTTP}.directResponse.{{status,body.string}}",
        _does("directResponse: {status: 418, body: {string: short and stout}}"),
        asks=(ask("a:9080/", status=418, body="short and stout"),),
    ),
    Case(
        "an answer may be fixed, as bytes",
        f"{_HTTP}.directResponse.body.bytes",
        _does("directResponse: {status: 200, body: {bytes: c2hvcnQ=}}"),
        asks=(ask("a:9080/", body="short"),),
    ),
)

_CHANGES = (
    Case(
        "a rewrite replaces the prefix that matched, and the host",
        f"{_HTTP}.rewrite.{{uri,authority}}",
        _does("match: [{uri: {prefix: /old}}]", "rewrite: {uri: /new, authority: c}", _TO_B),
        asks=(ask("a:9080/old/x", by="three", saw={":path": "/new/x", ":authority": "c"}),),
    ),
    Case(
        "a rewrite replaces a part of the path by expression",
        f"{_HTTP}.rewrite.uriRegexRewrite.{{match,rewrite}}",
        _does(r"rewrite: {uriRegexRewrite: {match: '/(\w+)/(\w+)', rewrite: '/\2/\1'}}", _TO_B),
        asks=(ask("a:9080/x/y", by="three", saw={":path": "/y/x"}),),
    ),
    Case(
        "headers of requests and answers are edited by the rule",
        f"{_HTTP}.headers.{{request,response}}.{{set,add,remove}}",
        _does(
            "headers: {request: {set: {x-set: s}, add: {x-add: b}, remove: [x-gone]},",
            "  response: {set: {x-upstream: set}, add: {x-more: m}, remove: [content-type]}}",
            "route: [{destination: {host: b}}]",
        ),
        asks=(
            ask(
                "a:9080/",
                headers={"x-set": "before", "x-add": "a", "x-gone": "1"},
                gives={"x-upstream": "set", "x-more": "m", "content-type": None},
            ),
        ),
        accepted=(
            _action(
                {
                    "request_headers_to_remove": ["x-gone"],
                    "response_headers_to_remove": ["content-type"],
                    "request_headers_to_add": [
                        {
                            "header": {"key": "x-set", "value": "s"},
                            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                        },
                        {"header": {"key": "x-add", "value": "b"}},
                    ],
                }
            ),
        ),
    ),
    Case(
        "headers of requests are edited by the rule, as the server sees it",
        f"{_HTTP}.headers.request.{{set,add,remove}}",
        _does("headers: {request: {set: {x-set: s}, add: {x-add: b}, remove: [x-gone]}}", _TO_B),
        asks=(
            ask(
                "a:9080/",
                headers={"x-set": "before", "x-gone": "1"},
                by="three",
                saw={"x-set": "s", "x-add": "b", "x-gone": None},
            ),
        ),
    ),
    Case(
        "headers are edited for one destination alone",
        f"{_HTTP}.route[].headers.{{request,response}}.{{set,add,remove}}",
        _does(
            "route:",
            "- destination: {host: b}",
            "  weight: 100",
            "  headers: {request: {set: {x-set: s}, add: {x-add: b}, remove: [x-gone]},",
            "    response: {set: {x-said: set}, add: {x-more: m}, remove: [content-type]}}",
            "- {destination: {host: a}, weight: 0}",
        ),
        asks=(
            ask(
                "a:9080/",
                headers={"x-set": "before", "x-gone": "1"},
                by="three",
                saw={"x-set": "s", "x-add": "b", "x-gone": None},
                gives={"x-said": "set", "x-more": "m", "content-type": None},
            ),
        ),
    ),
)

_COPIES = (
    Case(
        "a request is copied to a mirror: a service, a subset of it, one of its ports",
        f"{_HTTP}.mirror.{{host,subset,port.number}}",
        _does("mirror: {host: a, subset: v2, port: {number: 9080}}", _TO_B),
        asks=(ask("a:9080/", by="three", copies="two"),),
        services=BASE.replace(
            "[{number: 9080,", "[{number: 9081, name: q, protocol: HTTP}, {number: 9080,", 1
        ),
    ),
    Case(
        "a share of requests is copied to a mirror",
        f"{_HTTP}.mirrorPercentage.value",
        _does("mirror: {host: a, subset: v2}", "mirrorPercentage: {value: 12.5}", _TO_B),
        accepted=(
            _action(
                {
                    "route": {
                        "request_mirror_policies": [
                            {
                                "cluster": "outbound|9080|v2|a.default.svc.cluster.local",
                                "runtime_fraction": {
                                    "default_value": {
                                        "numerator": 125000,
                                        "denominator": "MILLION",
                                    }
                                },
                            }
                        ]
                    }
                }
            ),
        ),
    ),
    Case(
        "a whole percentage of requests is copied to a mirror, in the old spelling",
        f"{_HTTP}.mirrorPercent",
        _does("mirror: {host: a}", "mirrorPercent: 3", _TO_B),
        accepted=(
            _action(
                {
                    "route": {
                        "request_mirror_policies": [
                            {"runtime_fraction": {"default_value": {"numerator": 30000}}}
                        ]
                    }
                }
            ),
        ),
    ),
    Case(
        "a request is copied to several mirrors",
        f"{_HTTP}.mirrors[].destination.{{host,subset,port.number}}",
        _does("mirrors: [{destination: {host: a, subset: v2, port: {number: 9080}}}]", _TO_B),
        services=BASE.replace(
            "[{number: 9080,", "[{number: 9081, name: q, protocol: HTTP}, {number: 9080,", 1
        ),
        asks=(ask("a:9080/", by="three", copies="two"),),
    ),
    Case(
        "each mirror has a share of its own",
        f"{_HTTP}.mirrors[].percentage.value",
        _does(
            "mirrors: [{destination: {host: a, subset: v1}, percentage: {value: 100}},",
            "  {destination: {host: a, subset: v2}, percentage: {value: 0.5}}]",
            _TO_B,
        ),
        asks=(ask("a:9080/", by="three", copies="one"),),
        accepted=(
            _action(
                {
                    "route": {
                        "request_mirror_policies": [
                            {"runtime_fraction": {"default_value": {"numerator": 1000000}}},
                            {"runtime_fraction": {"default_value": {"numerator": 5000}}},
                        ]
                    }
                }
            ),
        ),
    ),
)

_FAULTS = (
    Case(
        "a share of requests is refused with a status",
        f"{_HTTP}.fault.abort.{{httpStatus,percentage.value}}",
        _does("fault: {abort: {httpStatus: 555, percentage: {value: 100}}}", _TO_B),
        asks=(ask("a:9080/", status=555),),
    ),
    Case(
        "a gRPC call is refused with a status of gRPC",
        f"{_HTTP}.fault.abort.grpcStatus",
        _does("fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}}", _TO_B),
        asks=(
            ask(
                "a:9080/",
                method="POST",
                headers={"content-type": "application/grpc"},
                gives={"grpc-status": "14"},
            ),
        ),
    ),
    Case(
        "a share of requests is delayed",
        f"{_HTTP}.fault.delay.{{fixedDelay,percentage.value}}",
        _does("fault: {delay: {fixedDelay: 0.3s, percentage: {value: 100}}}", _TO_B),
        asks=(ask("a:9080/", by="three", least_s=0.25),),
    ),
    Case(
        "a whole percentage of requests is delayed, in the old spelling",
        f"{_HTTP}.fault.delay.percent",
        _does("fault: {delay: {fixedDelay: 0.2s, percent: 100}}", _TO_B),
        asks=(ask("a:9080/", by="three", least_s=0.15),),
    ),
)

_PATIENCE = (
    Case(
        "a request ends with 504 when its time is over",
        f"{_HTTP}.timeout",
        _does("timeout: 0.2s", "route: [{destination: {host: slow}}]"),
        services=_SICK,
        asks=(ask("a:9080/", status=504),),
    ),
    Case(
        "a failed request is tried again, as often as said and on what is said",
        f"{_HTTP}.retries.{{attempts,retryOn}}",
        _does("retries: {attempts: 3, retryOn: '503'}", "route: [{destination: {host: sick}}]"),
        services=_SICK,
        asks=(ask("a:9080/", status=503, by="sick", hits=4),),
    ),
    Case(
        "each try has a time of its own",
        f"{_HTTP}.retries.perTryTimeout",
        _does(
            "retries: {attempts: 1, perTryTimeout: 0.1s, retryOn: '5xx'}",
            "route: [{destination: {host: slow}}]",
        ),
        services=_SICK,
        asks=(ask("a:9080/", status=504),),
    ),
    Case(
        "tries go to other endpoints and localities, and wait in between",
        f"{_HTTP}.retries.{{backoff,retryRemoteLocalities}}",
        _does("retries: {attempts: 2, backoff: 0.1s, retryRemoteLocalities: true}", _TO_B),
        accepted=(
            _action(
                {
                    "route": {
                        "retry_policy": {
                            "num_retries": 2,
                            "retry_back_off": {"base_interval": "0.100s"},
                            "retry_priority": {
                                "name": "envoy.retry_priorities.previous_priorities"
                            },
                            "retry_host_predicate": [
                                {"name": "envoy.retry_host_predicates.previous_hosts"}
                            ],
                        }
                    }
                }
            ),
        ),
    ),
    Case(
        "tries may go to endpoints that were tried",
        f"{_HTTP}.retries.retryIgnorePreviousHosts",
        _does("retries: {attempts: 2, retryIgnorePreviousHosts: false}", _TO_B),
        accepted=(_action({"route": {"retry_policy": {"retry_host_predicate": None}}}),),
    ),
)

_PREFLIGHT = {"origin": "https://good.example.com", "access-control-request-method": "GET"}
_CORS = (
    Case(
        "a preflight from an allowed origin is answered with what is allowed",
        f"{_HTTP}.corsPolicy.{{allowMethods,allowHeaders,maxAge,allowCredentials}}"
        f" {_HTTP}.corsPolicy.allowOrigins[].{{exact,prefix,regex}}",
        _does(
            "corsPolicy:",
            "  allowOrigins: [{exact: 'https://good.example.com'}, {prefix: 'https://pre.'}, {regex: 'https://r[0-9]+'}]",
            "  allowMethods: [GET, PUT]",
            "  allowHeaders: [x-a, x-b]",
            "  maxAge: 60s",
            "  allowCredentials: true",
            _TO_B,
        ),
        asks=(
            ask(
                "a:9080/",
                method="OPTIONS",
                headers=_PREFLIGHT,
                gives={
                    "access-control-allow-origin": "https://good.example.com",
                    "access-control-allow-methods": "GET,PUT",
                    "access-control-allow-headers": "x-a,x-b",
                    "access-control-max-age": "60",
                    "access-control-allow-credentials": "true",
                    "x-upstream": None,
                },
            ),
            *(
                ask(
                    "a:9080/",
                    headers={"origin": origin},
                    by="three",
                    gives={"access-control-allow-origin": origin},
                )
                for origin in ("https://pre.example.com", "https://r12")
            ),
            ask(
                "a:9080/",
                headers={"origin": "https://bad.example.com"},
                by="three",
                gives={"access-control-allow-origin": None},
            ),
        ),
    ),
    Case(
        "an answer says which of its headers a page may read; origins may be given in the old spelling",
        f"{_HTTP}.corsPolicy.{{allowOrigin,exposeHeaders}}",
        _does(
            "corsPolicy: {allowOrigin: ['https://good.example.com'], exposeHeaders: [x-c]}", _TO_B
        ),
        asks=(
            ask(
                "a:9080/",
                headers={"origin": "https://good.example.com"},
                by="three",
                gives={
                    "access-control-allow-origin": "https://good.example.com",
                    "access-control-expose-headers": "x-c",
                },
            ),
        ),
    ),
    Case(
        "a preflight from another origin does not reach the service",
        f"{_HTTP}.corsPolicy.unmatchedPreflights",
        _does(
            "corsPolicy: {allowOrigins: [{exact: x}], unmatchedPreflights: IGNORE}",
            _TO_B,
        ),
        asks=(ask("a:9080/", method="OPTIONS", headers=_PREFLIGHT, gives={"x-upstream": None}),),
    ),
)

CASES = (*_REDIRECTS, *_CHANGES, *_COPIES, *_FAULTS, *_PATIENCE, *_CORS)
