"""To whom a workload says who it is: to destinations of the mesh, for their metrics; to strangers never."""

from __future__ import annotations

from collections.abc import Callable

from sidecar.mesh.view import View
from sidecar.routing.table import VirtualHost
from sidecar.xds.compile import CompileOptions

__all__ = ["PeerWord", "peer_word"]

PeerWord = Callable[[VirtualHost], str | None]
"""What requests of a virtual host say of their sender; empty: nothing, whatever clients say; None: left as it is."""


def peer_word(view: View, options: CompileOptions) -> PeerWord:
    """What is said on behalf of one context.

    Args:
        view: The mesh as the context sees it.
        options: The workload that it speaks for, and whether its peers count by it.
    """
    word = options.party.word if options.telemetry.metrics else ""
    if not word:
        return lambda _: None
    return lambda vh: word if _is_inside(view, vh) else ""


def _is_inside(view: View, vh: VirtualHost) -> bool:
    """Whether all that the routes name, and something, is of the mesh."""
    services = [view.destination(key.host) for key in vh.cluster_keys]
    return bool(services) and all(one is not None and not one.external for one in services)
