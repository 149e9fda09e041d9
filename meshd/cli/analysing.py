"""Analysis across objects, of the mesh as it is or as it would be once files are applied."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from store.diagnostics import Diagnostic, Level

if TYPE_CHECKING:
    from meshd.cli.reading import Reading
    from meshd.cli.session import Session
    from store.catalog import Catalog
    from store.etcd.client import EtcdClient

__all__ = ["analyse_as_if_applied", "analyse_catalog", "is_reached"]

_REACHED = {
    "never": (),
    "error": (Level.ERROR,),
    "warning": (Level.ERROR, Level.WARNING),
}


def is_reached(problems: Sequence[Diagnostic], fail_on: str) -> bool:
    """Whether one of the problems is as bad as `fail_on` (`error`, `warning`, `never`) says."""
    return any(problem.level in _REACHED[fail_on] for problem in problems)


def analyse_as_if_applied(
    session: Session, client: EtcdClient | None, reading: Reading
) -> list[Diagnostic]:
    """What is wrong across objects once the files are applied.

    Args:
        session: This run.
        client: The store; None to look at the files alone: then nothing is said to be missing that may be stored.
            Who may not read all of it gets its objects' namespaces judged, likewise.
        reading: The files; invalid objects are looked at as far as that goes.
    """
    from meshd.analysis import analyze, given_twice, written_document

    documents = (written_document(one, session.namespace) for one in reading.documents)
    written = [one for one in documents if one is not None]
    twice = given_twice(reading.documents, session.namespace)
    if not written:
        return twice
    if client is None:
        return sorted([*analyze(written), *twice])
    stored, is_whole = _readable(session, client, {one.ref.namespace for one in written})
    return sorted([*analyze(written, stored, is_whole=is_whole), *twice])


def _readable(
    session: Session, client: EtcdClient, namespaces: Collection[str]
) -> tuple[Catalog, bool]:
    """The mesh; or where not all of it may be read, these namespaces of it, and False. Says so."""
    from meshd.cli.catalogs import load_catalog, load_namespaces
    from store.etcd.failures import StoreDenied

    try:
        return load_catalog(client), True
    except StoreDenied:
        own = sorted(namespace for namespace in namespaces if namespace)
        part = load_namespaces(client, own)
        names = ", ".join(own)
        session.console.note(
            f"judged beside {f'namespace {names}' if own else 'the MeshConfig'} alone: "
            f"{client.settings.identity or 'who asks'} may not read the rest of the mesh"
        )
        return part, False


def analyse_catalog(catalog: Catalog) -> list[Diagnostic]:
    """What is wrong across the objects of the store."""
    from meshd.analysis import analyze

    return analyze((), catalog)
