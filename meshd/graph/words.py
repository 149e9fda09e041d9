"""Routes in short, for a box; the long form of everything is what `meshd trace` prints."""

from __future__ import annotations

from collections.abc import Iterator

from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, Provenance
from sidecar.routing import wording
from sidecar.routing.table import DirectResponse, Forward, Redirect, Route, TcpRoute, VirtualHost
from sidecar.routing.trace import origin

__all__ = [
    "TEXT_MAX",
    "answer",
    "host_title",
    "route_lines",
    "route_title",
    "said_by",
    "short",
    "tcp_title",
    "workload_title",
]

TEXT_MAX = 240
"""Characters of one text in a picture: a regex or a body may be as long as an object (512 KiB)."""


def short(text: str) -> str:
    """One line of at most `TEXT_MAX` characters; control characters become spaces."""
    line = "".join(c if c.isprintable() else " " for c in text[: TEXT_MAX + 1])
    return line if len(line) <= TEXT_MAX else f"{line[: TEXT_MAX - 1]}…"


def workload_title(context: Context, node: str = "") -> str:
    """A workload as a person would describe it; `node` is the host that it runs on, where one was named."""
    labels = ", ".join(f"{key}={value}" for key, value in sorted(context.labels.items()))
    kind = "gateway workload" if context.is_gateway else "workload"
    at = f" on {node}" if node else ""
    return f"{kind}{at} in namespace {context.namespace}{f' with {labels}' if labels else ''}"


def host_title(host: VirtualHost) -> str:
    """What requests name to reach a virtual host."""
    return "any other host" if host.domains == ("*",) else f"host {host.name}"


def route_title(route: Route) -> str:
    """The conditions of a route."""
    return short("; ".join(wording.conditions(route.match)))


def tcp_title(route: TcpRoute) -> str:
    """The conditions of a route for connections."""
    said = []
    if route.sni_hosts:
        said.append(f"server name {', '.join(route.sni_hosts)}")
    if route.destination_subnets:
        said.append(f"to {', '.join(route.destination_subnets)}")
    return short("; ".join(said) or "any connection")


def route_lines(route: Route) -> Iterator[str]:
    """What a route does to requests besides sending them on; what every route has is left out."""
    if route.fault is not None:
        yield short(f"fault: {wording.fault(route.fault)}")
    if route.cors is not None:
        yield short(f"cors: {wording.cors(route.cors)}")
    edits = wording.edits(route.edits)
    if edits:
        yield f"{len(edits)} header edit{'' if len(edits) == 1 else 's'}"
    if not isinstance(route.action, Forward):
        return
    for name, value in wording.settings(route.action):
        if name in ("rewrite", "hash") or (name == "timeout" and value != "none"):
            yield short(f"{name}: {value}")


def answer(action: Redirect | DirectResponse) -> tuple[str, str]:
    """What the proxy itself answers: status, and the first line of the body or where a redirect leads."""
    match action:
        case Redirect():
            return f"answers {action.code}", short(f"redirect to {wording.redirect(action)}")
        case DirectResponse():
            # A character takes at most four bytes: no more is decoded than can be shown.
            lines = action.body[: 4 * TEXT_MAX].decode(errors="replace").splitlines()
            return f"answers {action.status}", short(lines[0]) if lines else ""


def said_by(source: Provenance, mesh: Mesh) -> str:
    """The place that says so; a delegate is called one."""
    text = str(origin(source))
    is_delegate = source.ref is not None and source.ref in mesh.virtual_services.delegates
    return short(f"{text} (delegate)" if is_delegate else text)
