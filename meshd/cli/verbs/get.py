"""`meshd get`: objects as the store holds them, as a table or in full."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from meshd.cli import exits
from meshd.cli.completing import complete_names
from meshd.cli.names import Selection, parse_labels, select
from meshd.cli.options import output_option, verb
from meshd.cli.session import Session
from store.objects.kinds import Kind, ObjectRef

if TYPE_CHECKING:
    from meshd.cli.stored import Stored
    from store.etcd.settings import EtcdSettings

__all__ = ["command"]

Spec = Mapping[str, Any]

_COLUMNS: dict[Kind, tuple[tuple[str, str], ...]] = {
    Kind.VIRTUAL_SERVICE: (("GATEWAYS", "gateways"), ("HOSTS", "hosts")),
    Kind.DESTINATION_RULE: (("HOST", "host"), ("SUBSETS", "subsets[].name")),
    Kind.GATEWAY: (("SELECTOR", "selector"), ("HOSTS", "servers[].hosts")),
    Kind.SERVICE_ENTRY: (
        ("HOSTS", "hosts"),
        ("LOCATION", "location"),
        ("RESOLUTION", "resolution"),
    ),
    Kind.WORKLOAD_ENTRY: (("ADDRESS", "address"), ("LABELS", "labels")),
    Kind.WORKLOAD_GROUP: (("SERVICEACCOUNT", "template.serviceAccount"),),
    Kind.SIDECAR: (("SELECTOR", "workloadSelector.labels"), ("EGRESS", "egress[].hosts")),
    Kind.MESH_CONFIG: (("SETTINGS", "*"),),
}
"""Columns of each kind: title, and where in `spec` the cell is; `[]` goes into lists, `*` lists the keys."""


@verb(
    "get",
    examples=(
        "meshd get vs",
        "meshd get vs reviews -o yaml",
        "meshd get all -A -l release=canary -o name",
    ),
)
@click.argument(
    "names",
    nargs=-1,
    metavar="KIND [NAME...] | KIND/NAME...",
    shell_complete=complete_names,
)
@click.option("-A", "--all-namespaces", is_flag=True, help="In all namespaces.")
@click.option(
    "-l", "--labels", "selectors", multiple=True, metavar="A=B", help="Only so labelled ones."
)
@click.option("-w", "--watch", is_flag=True, help="Go on with each change, until Ctrl-C.")
@click.option("--no-headers", is_flag=True, help="Leave the titles of the table out.")
@output_option("table", "wide", "yaml", "json", "name")
def command(session: Session, /, names: tuple[str, ...], **flags: Any) -> int:
    """Show objects of the mesh.

    Kinds may be written short (vs, dr, gw, se, we, wg, sc, mesh), in singular or plural; several with commas, or all.
    """
    from meshd.cli.stored import read_selection

    selection = select(names, session.namespace)
    labels = parse_labels(flags["selectors"])
    namespace = None if flags["all_namespaces"] else session.namespace
    with session.store() as client:
        if flags["watch"]:
            return _watch(session, client.settings, selection, labels, flags)
        found = read_selection(client, selection, namespace, labels)
    _say(session, selection, found, flags)
    if not found:
        place = "" if namespace is None else f" in namespace {namespace}"
        session.console.note(f"nothing found{place}")
    return exits.OK


def _say(
    session: Session, selection: Selection, found: Sequence[Stored], flags: Mapping[str, Any]
) -> None:
    match flags["output"]:
        case "name":
            for one in found:
                session.console.say(str(one.ref))
        case "yaml":
            from meshd.cli.forms import as_yaml

            session.console.say(as_yaml([one.shown() for one in found]), nl=False)
        case "json":
            from meshd.cli.forms import as_json_text

            shown = [one.shown() for one in found]
            is_one = len(selection.refs) == 1 and len(shown) == 1
            listed = {"apiVersion": "v1", "kind": "List", "items": shown}
            session.console.say(as_json_text(shown[0] if is_one else listed))
        case form:
            _say_tables(session, found, flags, is_wide=form == "wide")


def _watch(
    session: Session,
    settings: EtcdSettings,
    selection: Selection,
    labels: Mapping[str, str],
    flags: Mapping[str, Any],
) -> int:
    """Say each object as it is, then each change; ends with Ctrl-C."""
    from meshd.cli.following import follow
    from meshd.cli.stored import has_labels

    shown: set[ObjectRef] = set()

    def is_wanted(ref: ObjectRef) -> bool:
        if selection.refs:
            return ref in selection.refs
        everywhere = flags["all_namespaces"] or not ref.namespace
        return ref.kind in selection.kinds and (everywhere or ref.namespace == session.namespace)

    def changed(one: Stored) -> None:
        if not is_wanted(one.ref):
            return
        if has_labels(one, labels):
            shown.add(one.ref)
            _say_change(session, one, flags)
        else:
            gone(one.ref)

    def gone(ref: ObjectRef) -> None:
        if ref in shown:
            shown.discard(ref)
            session.console.say_words(f"{ref} deleted")

    follow(settings, changed=changed, gone=gone, troubled=session.console.note)
    return exits.OK


def _say_change(session: Session, one: Stored, flags: Mapping[str, Any]) -> None:
    match flags["output"]:
        case "json":
            session.console.say(json.dumps(one.shown(), ensure_ascii=False))
        case "yaml":
            from meshd.cli.forms import as_yaml

            session.console.say(f"---\n{as_yaml([one.shown()])}", nl=False)
        case "name":
            session.console.say(str(one.ref))
        case form:
            cells = cells_of(one, form == "wide", bool(flags["all_namespaces"]), True)
            session.console.say("   ".join(cell or "-" for cell in cells))


def _say_tables(
    session: Session, found: Sequence[Stored], flags: Mapping[str, Any], *, is_wide: bool
) -> None:
    from meshd.cli.tables import table

    kinds = list(dict.fromkeys(one.ref.kind for one in found))
    texts = []
    for kind in kinds:
        rows = [one for one in found if one.ref.kind is kind]
        with_namespace = bool(flags["all_namespaces"]) and kind is not Kind.MESH_CONFIG
        header = header_of(kind, is_wide=is_wide, with_namespace=with_namespace)
        cells = [cells_of(one, is_wide, with_namespace, len(kinds) > 1) for one in rows]
        shown_header = () if flags["no_headers"] else header
        texts.append(table(shown_header, cells, width=session.console.width))
    if texts:
        session.console.say("\n\n".join(texts))


def header_of(kind: Kind, *, is_wide: bool, with_namespace: bool) -> list[str]:
    """Titles of the table of one kind."""
    header = ["NAMESPACE"] if with_namespace else []
    header += ["NAME", *(title for title, _ in _COLUMNS[kind]), "GENERATION", "REVISION", "STATE"]
    return [*header, "CREATED", "LABELS", "PROBLEM"] if is_wide else header


def cells_of(one: Stored, is_wide: bool, with_namespace: bool, with_kind: bool) -> list[str]:
    """One row of that table."""
    spec = (one.document or {}).get("spec")
    cells = [one.ref.namespace] if with_namespace else []
    cells.append(f"{one.ref.kind}/{one.ref.name}" if with_kind else one.ref.name)
    cells += [_cell(spec, path) for _, path in _COLUMNS[one.ref.kind]]
    cells += [str(one.entry.version), str(one.entry.mod_revision), one.state]
    if is_wide:
        problems = [
            f"{problem.path}: {problem.message}" if problem.path else problem.message
            for problem in one.diagnostics
        ]
        labels = ",".join(f"{name}={value}" for name, value in sorted(one.labels.items()))
        cells += [str(one.entry.create_revision), labels, "; ".join(problems)]
    return cells


def _cell(spec: object, path: str) -> str:
    """The values at `path`, with commas; hidden surprises in values of any shape become text, never an error."""
    if path == "*":
        return ",".join(map(str, spec)) if isinstance(spec, Mapping) else ""
    values: list[object] = [spec]
    for part in path.split("."):
        name = part.removesuffix("[]")
        values = [value[name] for value in values if isinstance(value, Mapping) and name in value]
        if part.endswith("[]"):
            values = [item for value in values if isinstance(value, list) for item in value]
    return ",".join(_text(value) for value in values)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(_text(item) for item in value)
    if isinstance(value, Mapping):
        return ",".join(f"{name}={_text(item)}" for name, item in value.items())
    return str(value)
