"""`meshd epoch show`: which etcd is followed by whom, and what is held off here."""

from __future__ import annotations

import json
from typing import Any

from meshd.cli.epoch_rows import etcds_of, held_here
from tests.harness.fake_agent import healthy_status


def row(
    node: str, cluster: str, received: int, sync: str = "store", **fields: Any
) -> dict[str, Any]:
    told = {"node": node, "status": "alive", "cluster": cluster, "received": received, "sync": sync}
    return {**told, **fields}


def test_etcds_are_told_by_how_many_follow_them() -> None:
    rows = [
        row("a", "c1", 12),
        row("b", "c1", 14, "peers"),
        row("c", "c2", 900, "held"),
        row("d", "c1", 99, status="dead"),
        row("e", "", 0),
    ]
    first, second = etcds_of({"members": rows})
    assert first.cells() == ["c1", "2", "14", ""]
    assert second.as_json() == {"cluster": "c2", "hosts": ["c"], "newest": 900, "holding": ["c"]}


def test_what_is_held_here_says_by_whom_it_was_seen() -> None:
    status = healthy_status("vm-1")
    assert held_here(status) == ""
    held = {"cluster_id": "c2", "reason": "it lacks 9 of 9 gateways", "by": "peers"}
    status["config"] = {**status["config"], "held": held, "epoch": "c1.1"}
    assert held_here(status) == (
        "vm-1 holds off etcd c2, which peers follow: it lacks 9 of 9 gateways; it serves revision 12 of c1"
    )
    json.dumps(status)
