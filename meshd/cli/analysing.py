"""Analysis across objects, of the mesh as it is or as it would be once files are applied."""

from __future__ import annotations

from collections.abc import Sequence
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
        reading: The files; invalid objects are looked at as far as that goes.
    """
    from meshd.analysis import analyze, given_twice, written_document

    documents = (written_document(one, session.namespace) for one in reading.documents)
    written = [one for one in documents if one is not None]
    twice = given_twice(reading.documents, session.namespace)
    if not written:
        return twice
    stored = None
    if client is not None:
        from meshd.cli.catalogs import load_catalog

        stored = load_catalog(client)
    return sorted([*analyze(written, stored), *twice])


def analyse_catalog(catalog: Catalog) -> list[Diagnostic]:
    """What is wrong across the objects of the store."""
    from meshd.analysis import analyze

    return analyze((), catalog)
