"""What an HTTP rule of a VirtualService asks of a request.

Source: istio/api networking/v1alpha3/virtual_service.proto, message HTTPMatchRequest.
"""

from __future__ import annotations

from pydantic import Field

from store.objects.base import Model
from store.objects.scalars import Items, Maybe, UInt32
from store.objects.strings import StringMatch

__all__ = ["HTTPMatchRequest"]


class HTTPMatchRequest(Model):
    """One block of conditions; all of a block must hold, and one block of the list is enough."""

    name: Maybe[str] = None
    """Name of the match, appended to the route's name in logs and traces."""
    uri: Maybe[StringMatch] = None
    """Path of the request, without its query string; case-sensitive unless `ignoreUriCase`."""
    scheme: Maybe[StringMatch] = None
    """`http` or `https`; case-sensitive."""
    method: Maybe[StringMatch] = None
    """Method such as `GET`; case-sensitive."""
    authority: Maybe[StringMatch] = None
    """Host (with port, where the client sent one) that the request names; case-sensitive."""
    headers: dict[str, StringMatch] = Field(default_factory=dict)
    """Lower-case header names and what their values must be; `{}` asks only for presence."""
    port: Maybe[UInt32] = None
    """Only on this port of the service or gateway; left out: any."""
    source_labels: dict[str, str] = Field(default_factory=dict)
    """Only for client workloads with these labels; no effect at gateways."""
    gateways: Items[str] = ()
    """Only at these gateways (`mesh`: sidecars); default: those of the VirtualService."""
    query_params: dict[str, StringMatch] = Field(default_factory=dict)
    """Query parameters and what their values must be; `{}` asks only for presence."""
    ignore_uri_case: bool = False
    """Whether `uri` is compared without regard to case (exact and prefix only)."""
    without_headers: dict[str, StringMatch] = Field(default_factory=dict)
    """Header conditions that must not hold; a missing header satisfies them."""
    source_namespace: Maybe[str] = None
    """Only for client workloads of this namespace; no effect at gateways."""
    stat_prefix: Maybe[str] = None
    """Prefix of Envoy's own statistics for this route; left out: none are kept for it."""
