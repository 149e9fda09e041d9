"""What an HTTP rule of a VirtualService does with a request besides sending it on.

Redirects, fixed answers, rewrites, retries, header edits, mirrors. Source: istio/api
networking/v1alpha3/virtual_service.proto.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from store.objects.base import Choice, Model
from store.objects.destination import Destination
from store.objects.durations import PositiveDuration
from store.objects.scalars import Int32, Items, Maybe, Nullable, Real, UInt32, Word

__all__ = [
    "Delegate",
    "HTTPBody",
    "HTTPDirectResponse",
    "HTTPMirrorPolicy",
    "HTTPRedirect",
    "HTTPRetry",
    "HTTPRewrite",
    "HeaderOperations",
    "Headers",
    "Percent",
    "RedirectPortSelection",
    "RegexRewrite",
]


class Percent(Model):
    """A share of requests."""

    value: Maybe[Real] = None
    """Percent from 0 to 100, fractions allowed; default 0."""


class Delegate(Model):
    """Another VirtualService, without hosts of its own, whose HTTP rules are used in this place."""

    name: Maybe[str] = None
    """Name of the delegate."""
    namespace: Maybe[str] = None
    """Namespace of the delegate; default: that of the VirtualService that delegates."""


class HeaderOperations(Model):
    """Edits of one set of headers; `remove` comes before `set` and `add`. Empty values change nothing."""

    set: dict[str, str] = Field(default_factory=dict)
    """Headers to overwrite, or to add where missing."""
    add: dict[str, str] = Field(default_factory=dict)
    """Values to append to headers."""
    remove: Items[str] = ()
    """Names of headers to remove."""


class Headers(Model):
    """Edits of the headers of requests and responses."""

    request: Maybe[HeaderOperations] = None
    """Edits before the request is sent on."""
    response: Maybe[HeaderOperations] = None
    """Edits before the response is given to the client."""


class RedirectPortSelection(Word):
    """Where the port of a redirect's Location comes from."""

    FROM_PROTOCOL_DEFAULT = "FROM_PROTOCOL_DEFAULT"
    FROM_REQUEST_PORT = "FROM_REQUEST_PORT"


class HTTPRedirect(Choice):
    """Answer with a redirect instead of sending the request on."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("port", "derive_port"),)

    uri: Maybe[str] = None
    """Replaces the whole path in Location, query string kept."""
    authority: Maybe[str] = None
    """Replaces the host in Location."""
    port: Maybe[UInt32] = None
    """Port in Location."""
    derive_port: Maybe[RedirectPortSelection] = None
    """FROM_PROTOCOL_DEFAULT (default): 80 or 443 by the scheme; FROM_REQUEST_PORT: as requested."""
    scheme: Maybe[str] = None
    """Scheme in Location; default: that of the request."""
    redirect_code: Maybe[UInt32] = None
    """301, 302, 303, 307 or 308; default 301."""
    prefix_rewrite: Maybe[str] = None
    """Replaces the prefix that matched; not together with `uri`."""


class HTTPBody(Choice):
    """The body of a fixed answer."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("string", "bytes"),)

    string: Maybe[str] = None
    """Body as text."""
    bytes: Maybe[str] = None
    """Body as base64."""


class HTTPDirectResponse(Model):
    """Answer with a fixed response instead of sending the request on."""

    status: UInt32
    """HTTP status of the answer."""
    body: Maybe[HTTPBody] = None
    """Body of the answer, at most 1 MB; default: none."""


class RegexRewrite(Model):
    """A substitution in the path."""

    match: Maybe[str] = None
    """RE2 expression of the part to replace."""
    rewrite: Maybe[str] = None
    r"""Replacement; `\1` to `\9` stand for the groups."""


class HTTPRewrite(Model):
    """Change path or host before the request is sent on."""

    uri: Maybe[str] = None
    """Replaces the matched prefix, or the whole path where the match was not by prefix."""
    authority: Maybe[str] = None
    """Replaces the host."""
    uri_regex_rewrite: Maybe[RegexRewrite] = None
    """Replaces parts of the path by expression; not together with `uri`."""


class HTTPRetry(Model):
    """Which failed requests are tried again, how often, and where."""

    attempts: Maybe[Int32] = None
    """Retries at most, besides the first try; 0 (or left out where `retries` is given) is none."""
    per_try_timeout: Maybe[PositiveDuration] = None
    """Time for each try; default: the route's timeout."""
    retry_on: Maybe[str] = None
    """Comma-separated conditions of Envoy and HTTP status codes; default
    `connect-failure,refused-stream,unavailable,cancelled`."""
    retry_remote_localities: Nullable[bool] = None
    """Whether retries may go to other localities; default false."""
    retry_ignore_previous_hosts: Nullable[bool] = None
    """Whether endpoints already tried are passed over; default true."""
    backoff: Maybe[PositiveDuration] = None
    """Base of the exponential back-off between tries; default 25 ms."""


class HTTPMirrorPolicy(Model):
    """A destination that gets copies of requests; its answers are dropped."""

    destination: Destination
    """Where the copies go."""
    percentage: Maybe[Percent] = None
    """Share of requests that is copied; default 100 %, an explicit 0 is none."""
