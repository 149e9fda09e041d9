"""HTTP rules of a VirtualService: conditions, action, and what goes with it.

Source: istio/api networking/v1alpha3/virtual_service.proto, messages HTTPRoute and HTTPRouteDestination.
"""

from __future__ import annotations

from pydantic import AliasChoices, Field

from store.objects.base import Model
from store.objects.destination import Destination
from store.objects.durations import PositiveDuration
from store.objects.http_actions import (
    Delegate,
    Headers,
    HTTPDirectResponse,
    HTTPMirrorPolicy,
    HTTPRedirect,
    HTTPRetry,
    HTTPRewrite,
    Percent,
)
from store.objects.http_faults import CorsPolicy, HTTPFaultInjection
from store.objects.http_match import HTTPMatchRequest
from store.objects.scalars import Int32, Items, Maybe, Nullable, UInt32

__all__ = ["HTTPRoute", "HTTPRouteDestination"]


class HTTPRouteDestination(Model):
    """One of the destinations that share the requests of a rule."""

    destination: Destination
    """Where the requests go."""
    weight: Maybe[Int32] = None
    """Share of the requests, relative to the sum of all weights; default 0, ignored where alone."""
    headers: Maybe[Headers] = None
    """Header edits for this destination only."""


class HTTPRoute(Model):
    """One rule, with exactly one action: route, redirect, directResponse or delegate.

    Rules are tried in order; the first whose conditions hold decides.
    """

    name: Maybe[str] = None
    """Name of the route, for logs and traces."""
    match: Items[HTTPMatchRequest] = ()
    """Blocks of conditions, one of which must hold; empty: always."""
    route: Items[HTTPRouteDestination] = ()
    """Destinations, by weight."""
    redirect: Maybe[HTTPRedirect] = None
    """Answer with a redirect."""
    direct_response: Maybe[HTTPDirectResponse] = None
    """Answer with a fixed response."""
    delegate: Maybe[Delegate] = None
    """Use the rules of another VirtualService."""
    rewrite: Maybe[HTTPRewrite] = None
    """Change path or host before sending on; not with redirect or directResponse."""
    timeout: Maybe[PositiveDuration] = None
    """Time for the whole request, retries included; default: none."""
    retries: Maybe[HTTPRetry] = None
    """Retry policy; default: 2 retries of what certainly was not processed."""
    fault: Maybe[HTTPFaultInjection] = None
    """Faults to inject on the client's side; they come before timeouts and retries."""
    mirror: Maybe[Destination] = None
    """A destination that gets copies of the requests; use `mirrors` for several."""
    mirrors: Items[HTTPMirrorPolicy] = ()
    """Destinations that get copies of the requests; not together with `mirror`."""
    mirror_percent: Nullable[UInt32] = Field(
        default=None,
        alias="mirrorPercent",
        validation_alias=AliasChoices("mirrorPercent", "mirror_percent"),
    )
    """Deprecated: whole percent of requests copied to `mirror`; use `mirrorPercentage`.
    The one field that is also accepted in snake case, since the CRD lists it so."""
    mirror_percentage: Maybe[Percent] = None
    """Share of requests copied to `mirror`; default 100 %, an explicit 0 is none."""
    cors_policy: Maybe[CorsPolicy] = None
    """Cross-origin policy of the route."""
    headers: Maybe[Headers] = None
    """Header edits for all destinations of the rule."""
