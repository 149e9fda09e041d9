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
    """Until the analysis is there, nothing is found."""
    del session, client, reading
    return []


def analyse_catalog(session: Session, catalog: Catalog) -> list[Diagnostic]:
    """Until the analysis is there, nothing is found."""
    del session, catalog
    return []
