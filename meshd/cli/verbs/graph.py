"""`meshd graph`: who reaches whom, drawn from the routing table that serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from meshd.cli.completing import complete_nodes
from meshd.cli.options import output_option, verb
from meshd.cli.session import Session

if TYPE_CHECKING:
    from sidecar.mesh.model import Context
    from store.catalog import Catalog

__all__ = ["command"]

_EJECTED = "ejected"
"""What the ejections page calls an endpoint that is sent nothing."""


@verb(
    "graph",
    examples=(
        "meshd graph --host reviews",
        "meshd graph -o svg > mesh.svg",
        "meshd graph -f routes/ --host reviews -o svg > reviews.svg",
        "meshd graph --from vm-7/web --live",
    ),
)
@click.option(
    *("-f", "--file", "paths"),
    multiple=True,
    metavar="PATH",
    help="Draw these files alone; ask no store.",
)
@click.option(
    *("--from", "node"),
    metavar="NODE[/WORKLOAD]",
    shell_complete=complete_nodes,
    help="What this registered host, or one workload of it, sees; no gateways.",
)
@click.option(
    *("-l", "--labels", "selectors"),
    multiple=True,
    metavar="A=B",
    help="Labels of the workload that sends.",
)
@click.option("--gateway", is_flag=True, help="The workload is a gateway: draw what it opens.")
@click.option(
    "--host", metavar="HOST[:PORT]", default="", help="Only that host, and what leads to it."
)
@click.option("--all", "everything", is_flag=True, help="Leave nothing out; json never does.")
@click.option("--live", is_flag=True, help="Mark what a sidecar of this machine knows as ejected.")
@output_option("text", "svg", "json", "dot")
def command(session: Session, /, paths: tuple[str, ...], **flags: Any) -> int | None:
    """Draw who reaches whom.

    Clients and gateways, hosts, routes with their matches and shares, subsets, endpoints with their health: as a
    workload of the namespace (-n) sees them, with the gateways of the mesh. -o svg is a file by itself, for light and
    dark. A large mesh is cut to what can be read, with the number of what was left out.
    """
    from meshd.graph import EVERYTHING, OVERVIEW, draw, workload_title
    from sidecar.mesh.mesh import Mesh
    from store.errors import NotFoundError

    if paths and flags["live"]:
        raise click.UsageError("--live asks sidecars about the mesh, and -f draws files")
    catalog = _of_files(session, paths) if paths else _of_store(session)
    context = _context(session, catalog, {**flags, "paths": paths})
    graph = draw(
        Mesh.build(catalog, catalog.hosts),
        context,
        node=flags["node"] or "",
        host=flags["host"],
        with_gateways=not flags["node"],
        limits=EVERYTHING if flags["everything"] or flags["output"] == "json" else OVERVIEW,
        ejected=_ejected(session) if flags["live"] else {},
    )
    if not graph.nodes:
        said = f'host "{flags["host"]}"' if flags["host"] else "nothing"
        where = workload_title(context)
        raise NotFoundError(
            f"{said} is not to be seen by {where}, and no gateway drawn leads to it"
            if flags["host"]
            else f"{where} opens no listener: no Gateway selects it",
            hint="`meshd graph` without --host draws all that is; -n and -l describe the workload",
        )
    session.console.say(_written(graph, flags["output"]))
    if flags["output"] != "text":
        session.console.note("\n".join((graph.summary(), *graph.notes)))
    return None


def _written(graph: Any, form: str) -> str:
    """The picture in the form asked for."""
    from meshd.cli.forms import as_json_text
    from meshd.graph import as_document, as_dot, as_svg, as_text

    match form:
        case "svg":
            return as_svg(graph)
        case "dot":
            return as_dot(graph)
        case "json":
            return as_json_text(as_document(graph))
        case _:
            return as_text(graph)


def _of_store(session: Session) -> Catalog:
    from meshd.cli.catalogs import load_catalog

    with session.store() as client:
        return load_catalog(client)


def _of_files(session: Session, paths: Sequence[str]) -> Catalog:
    """The objects of files as if they were stored, created in the order of the files.

    Raises:
        InputError: An object is invalid, or is there twice.
    """
    from meshd.cli.reading import read, refuse_errors
    from store.catalog import Catalog
    from store.changes import object_ref
    from store.codec import encode
    from store.errors import InputError
    from store.keys import object_key
    from store.snapshot import Entry, Epoch, Snapshot

    # -n is the workload's namespace here: it completes what has none, and contradicts nothing.
    given = {name: value for name, value in session.given.items() if name != "namespace"}
    environment = {**session.environment, "MESHD_NAMESPACE": session.namespace}
    reading = read(Session(given, environment), paths)
    refuse_errors(session, reading, "nothing was drawn")
    entries: dict[str, Entry] = {}
    for number, document in enumerate(reading.documents, start=1):
        ref = object_ref(document.value)
        key = object_key(ref)
        if key in entries:
            raise InputError(
                f"{document.file}: {ref} is there twice", hint="Leave one of them out of -f"
            )
        entries[key] = Entry(key, encode(document.value), number, number, 1)
    snapshot = Snapshot.of(Epoch(1, 0), max(len(entries), 1), entries.values())
    return Catalog.empty().apply(snapshot).catalog


def _context(session: Session, catalog: Catalog, flags: Mapping[str, Any]) -> Context:
    """On whose behalf requests leave.

    Raises:
        NotFoundError: The host, or its workload, is not registered.
    """
    from meshd.cli.names import parse_labels
    from sidecar.mesh.model import Context, Locality
    from store.errors import NotFoundError

    labels = parse_labels(flags["selectors"])
    if not flags["node"]:
        return Context("", session.namespace, labels, is_gateway=flags["gateway"])
    node, _, name = flags["node"].partition("/")
    registration = catalog.hosts.get(node)
    if registration is None:
        has = ", ".join(sorted(catalog.hosts)) or "none"
        raise NotFoundError(
            f'no host "{node}" is registered in {"these files" if flags["paths"] else "the store"}',
            hint=f"Registered: {has}. Without --from, -n and -l describe the workload",
        )
    found = next((one for one in registration.workloads if name in ("", one.name)), None)
    if name and found is None:
        has = ", ".join(one.name for one in registration.workloads) or "none"
        raise NotFoundError(f'{node} has no workload "{name}"', hint=f"It has: {has}")
    namespace = found.namespace if found is not None else session.namespace
    return Context(
        "",
        session.namespace_given or namespace,
        labels or (found.labels if found is not None else {}),
        locality=Locality.parse(registration.locality),
        network=registration.network,
        is_gateway=flags["gateway"],
    )


def _ejected(session: Session) -> dict[tuple[str, str], str]:
    """Ejected endpoints as a sidecar of this machine knows them: by the mesh, or by its own Envoy."""
    from meshd.cli.asking import agents_of, ask_one
    from meshd.cli.ejections_rows import endpoint_cells

    answer = ask_one(session, agents_of(session, None), "ejections")
    if answer.get("state") != "on":
        session.console.note("shared ejection is off here: see `meshd ejections`")
    found = {}
    for row in answer.get("endpoints") or ():
        if row.get("locally_ejected") or _EJECTED in (row.get("state"), row.get("imposed")):
            place, endpoint, state, _, until, _, why = endpoint_cells(row)
            more = "" if state == _EJECTED else state
            words = ", ".join(part for part in (more, until and f"ends {until}", why) if part)
            found[place, endpoint] = words
    return found
