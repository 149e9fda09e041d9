"""The rules for what an HTTP rule does: redirects, fixed answers, rewrites, retries, header edits.

Source: istio/istio pkg/config/validation/validation.go (validateHTTPRedirect, validateHTTPDirectResponse,
validateHTTPRewrite, validateHTTPRetry, validateHeaders).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from http import HTTPStatus

from store.diagnostics import Path, nearest_hint
from store.objects.http_actions import (
    HeaderOperations,
    Headers,
    HTTPDirectResponse,
    HTTPRedirect,
    HTTPRetry,
    HTTPRewrite,
)
from store.objects.http_match import HTTPMatchRequest
from store.validation import headers
from store.validation.findings import Findings
from store.validation.shared import check_duration, check_port, check_regex, quoted

__all__ = [
    "check_direct_response",
    "check_header_edits",
    "check_redirect",
    "check_retries",
    "check_rewrite",
]

BODY_BYTES_MAX = 1024 * 1024
"""Largest body of a fixed answer; Envoy holds it in memory for each route."""
BODY_BYTES_LARGE = 100 * 1024
"""From here on a fixed answer deserves a warning."""

_RETRY_CONDITIONS = (
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
)
_STATUS_CODES = frozenset(str(status.value) for status in HTTPStatus)


def check_redirect(
    redirect: HTTPRedirect | None, matches: Sequence[HTTPMatchRequest], at: Path, found: Findings
) -> None:
    """A redirect changes something, and what it changes can be said once."""
    if redirect is None:
        return
    if redirect.uri and redirect.prefix_rewrite:
        message = "uri replaces the whole path, so that prefixRewrite has nothing to replace"
        found.add("MESH0318", (*at, "prefixRewrite"), message, "keep one of the two", at_key=True)
    if redirect.prefix_rewrite and not all(match.uri and match.uri.prefix for match in matches):
        message = "prefixRewrite needs every match of the rule to have a uri prefix"
        found.add("MESH0342", (*at, "prefixRewrite"), message, "match by uri.prefix", at_key=True)
    texts = (redirect.uri, redirect.authority, redirect.scheme, redirect.prefix_rewrite)
    if not any(texts) and redirect.port is None and redirect.derive_port is None:
        message = "the redirect changes nothing: one of uri, prefixRewrite, authority, port, scheme is needed"
        found.add("MESH0322", at, message, at_key=True)
    if redirect.redirect_code is not None and not 300 <= redirect.redirect_code <= 399:
        message = f"the status of a redirect is from 300 to 399, found {redirect.redirect_code}"
        found.add(
            "MESH0321", (*at, "redirectCode"), message, "Envoy knows 301, 302, 303, 307 and 308"
        )
    if redirect.scheme and redirect.scheme not in ("http", "https"):
        message = f'must be "http" or "https", found {quoted(redirect.scheme)}'
        found.add("MESH0306", (*at, "scheme"), message)
    check_port(redirect.port, (*at, "port"), found)


def check_direct_response(answer: HTTPDirectResponse | None, at: Path, found: Findings) -> None:
    """A fixed answer has a status and a body of bearable size."""
    if answer is None:
        return
    if not 200 <= answer.status <= 600:
        message = f"the status is from 200 to 600, found {answer.status}"
        found.add("MESH0321", (*at, "status"), message)
    if answer.body is None:
        return
    _check_base64(answer.body.bytes, (*at, "body", "bytes"), found)
    text = answer.body.string if answer.body.string is not None else answer.body.bytes
    size = len((text or "").encode("utf-8", "replace"))
    if answer.body.string is None:
        size = size * 3 // 4
    if size > BODY_BYTES_MAX:
        message = f"the body has {size} bytes, and at most {BODY_BYTES_MAX} are allowed"
        found.add("MESH0328", (*at, "body"), message, "serve it from a service", at_key=True)
    elif size > BODY_BYTES_LARGE:
        message = f"the body has {size} bytes, which every Envoy holds in memory"
        found.add("MESH0339", (*at, "body"), message, "serve it from a service", at_key=True)


def _check_base64(text: str | None, at: Path, found: Findings) -> None:
    if text is None:
        return
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        hint = "encode the body in base64, or use string"
        found.add("MESH0106", at, "must be base64", hint)


def check_rewrite(rewrite: HTTPRewrite | None, at: Path, found: Findings) -> None:
    """A rewrite changes something, and the path once only."""
    if rewrite is None:
        return
    regex = rewrite.uri_regex_rewrite
    if rewrite.uri and regex is not None:
        message = "uri and uriRegexRewrite both replace the path"
        found.add("MESH0318", (*at, "uriRegexRewrite"), message, "keep one of the two", at_key=True)
    if not rewrite.uri and not rewrite.authority and regex is None:
        message = "the rewrite changes nothing: one of uri, authority and uriRegexRewrite is needed"
        found.add("MESH0322", at, message, at_key=True)
    if regex is None:
        return
    here = (*at, "uriRegexRewrite")
    for field, value in (("match", regex.match), ("rewrite", regex.rewrite)):
        if not value:
            found.add("MESH0319", (*here, field), f"uriRegexRewrite needs {field}", at_key=True)
    if regex.match:
        check_regex(regex.match, (*here, "match"), found)


def check_retries(retries: HTTPRetry | None, at: Path, found: Findings) -> None:
    """Retries that are switched off have no further settings; conditions are known ones."""
    if retries is None:
        return
    attempts = retries.attempts or 0
    if attempts < 0:
        message = f"attempts is 0 or more, found {attempts}"
        found.add("MESH0320", (*at, "attempts"), message)
    settings = {
        "perTryTimeout": retries.per_try_timeout,
        "retryOn": retries.retry_on or None,
        "retryRemoteLocalities": retries.retry_remote_localities,
    }
    given = [name for name, value in settings.items() if value is not None]
    if attempts == 0 and given:
        message = f"attempts is 0, which turns retries off, so that nothing comes of {' and '.join(given)}"
        found.add("MESH0318", at, message, "add attempts, for instance attempts: 2", at_key=True)
    check_duration(retries.per_try_timeout, (*at, "perTryTimeout"), found)
    check_duration(retries.backoff, (*at, "backoff"), found)
    for condition in retries.retry_on.split(",") if retries.retry_on else ():
        if condition not in _RETRY_CONDITIONS and condition not in _STATUS_CODES:
            hint = nearest_hint(condition.strip(), _RETRY_CONDITIONS)
            if condition != condition.strip():
                hint = "write the conditions without spaces between them"
            message = f"{quoted(condition)} is neither a condition for retries nor a status code"
            listed = f"a status code or one of {', '.join(_RETRY_CONDITIONS)}"
            found.add("MESH0333", (*at, "retryOn"), message, hint or listed)


def check_header_edits(edits: Headers | None, at: Path, found: Findings) -> None:
    """Edits of request and response headers."""
    if edits is None:
        return
    if edits.request is not None:
        _check_operations(edits.request, (*at, "request"), found, in_request=True)
    if edits.response is not None:
        _check_operations(edits.response, (*at, "response"), found, in_request=False)


def _check_operations(
    operations: HeaderOperations, at: Path, found: Findings, *, in_request: bool
) -> None:
    name_fault = headers.edited_name_fault if in_request else headers.removed_name_fault
    for field, values in (("set", operations.set), ("add", operations.add)):
        for name, value in values.items():
            if fault := name_fault(name):
                found.add("MESH0310", (*at, field, name), f"{quoted(name)} {fault}", at_key=True)
            if fault := headers.value_fault(value):
                found.add("MESH0311", (*at, field, name), f"the value {quoted(value)} {fault}")
    for index, name in enumerate(operations.remove):
        if fault := headers.removed_name_fault(name):
            found.add("MESH0310", (*at, "remove", index), f"{quoted(name)} {fault}")
