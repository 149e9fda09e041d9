"""What loading a mesh costs: from etcd into a snapshot, from the snapshot into a catalog, from that into a mesh.

The mesh of services that the other benches publish; the last row is one change on top of it.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bench.processes import Processes
from bench.published import PREFIX, probe, probe_key, publish
from bench.report import Report
from sidecar.mesh.mesh import Mesh
from store.catalog import Catalog
from store.etcd.client import EtcdClient
from store.keys import DEFAULT_PREFIX
from store.snapshot import Entry, Epoch, Snapshot

__all__ = ["NAME", "SUMMARY", "add_options", "run"]

NAME = "mirror"
SUMMARY = "load of a mesh: etcd -> snapshot -> catalog -> mesh, and one change on top"
T = TypeVar("T")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--objects", type=int, default=10_000, help="objects in the store")


def run(options: argparse.Namespace) -> Report:
    services = max(1, options.objects // 3)
    with (
        tempfile.TemporaryDirectory(prefix="meshd-bench-") as home,
        Processes(Path(home)) as processes,
    ):
        etcd = processes.etcd()
        publish(etcd, services)
        return _measure(etcd)


def _measure(etcd: EtcdClient) -> Report:
    steps: dict[str, float] = {}

    def timed(name: str, step: Callable[[], T]) -> T:
        # As in the sidecar: nothing is collected while a whole mesh is loaded.
        gc.collect()
        gc.disable()
        began = time.perf_counter()
        done = step()
        steps[name] = time.perf_counter() - began
        gc.enable()
        return done

    listed, revision, cluster = timed("list", lambda: etcd.list_prefix(DEFAULT_PREFIX))
    snapshot = timed("snapshot", lambda: Snapshot.of(Epoch(cluster, 1), revision, listed))
    catalog = timed("catalog", lambda: Catalog.empty().apply(snapshot)).catalog
    mesh = timed("mesh", lambda: Mesh.build(catalog, catalog.hosts))
    key = probe_key().removeprefix(PREFIX)
    before = snapshot.get(key)
    assert before is not None
    after = Entry(key, probe(1), before.create_revision, revision + 1, before.version + 1)

    def change() -> None:
        step = catalog.apply(snapshot.apply([after], [], revision + 1))
        mesh.apply(step.catalog, step.change, step.catalog.hosts)

    timed("change", change)
    return Report(
        {"objects": len(listed), **{f"{name}_ms": round(s * 1e3, 3) for name, s in steps.items()}},
        ("step", "ms", "us for each object"),
        [
            (name, taken * 1e3, None if name == "change" else taken * 1e6 / len(listed))
            for name, taken in steps.items()
        ],
        (f"{len(listed):,} objects",),
    )
