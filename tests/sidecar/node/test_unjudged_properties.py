"""Whatever happens to a large mesh, Envoy is told what it would be told had every object been judged at once.

Two nodes live through the same: one judges what it loads, the other puts that off. Bad objects of many shapes are among
the stored ones, each with words that no valid object has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.mesh.mesh import CONFIG_REF
from sidecar.mesh.model import Context
from sidecar.node.events import (
    Desire,
    Effect,
    EnvoyAsked,
    EnvoyInForce,
    EnvoyRejected,
    Event,
    JudgeSome,
    KeepLastGood,
    LookedUp,
    LookUp,
    SnapshotArrived,
    Source,
)
from sidecar.node.node import Node
from sidecar.xds.compile import Bind
from sidecar.xds.compile.capture import CaptureBind
from sidecar.xds.desired import Builder, BuilderSettings
from sidecar.xds.events import ResourceRejected
from sidecar.xds.resource import TypeUrl
from store.catalog import Recall
from store.keys import object_key
from store.snapshot import Entry, Epoch, Snapshot

EPOCH = Epoch(1, 0xE7)
NEVER = 10**9
VERSIONS = {"MeshConfig": "meshd.io/v1"}
PLURALS = {
    "VirtualService": "virtualservices",
    "DestinationRule": "destinationrules",
    "ServiceEntry": "serviceentries",
    "Sidecar": "sidecars",
    "Gateway": "gateways",
    "WorkloadEntry": "workloadentries",
}
HOSTS = ("a.example", "b.example", "*.example", "short")
EVIL = b"6.6.6.6"

Spec = dict[str, object]


def virtual_service(host: str, words: str) -> Spec:
    return {
        "hosts": [host],
        "http": [{"directResponse": {"status": 200, "body": {"string": words}}}],
    }


def routed(host: str, words: str) -> Spec:
    route = {"destination": {"host": "a.example", "port": {"number": 80}}}
    return {
        "hosts": [host],
        "http": [{"route": [route], "headers": {"request": {"set": {"x": words}}}}],
    }


def rooted(host: str, words: str) -> Spec:
    return {
        "hosts": [host],
        "http": [{"name": words, "delegate": {"name": "leaf", "namespace": "default"}}],
    }


def leaf(_: str, words: str) -> Spec:
    return {"http": virtual_service("x", words)["http"]}


def destination_rule(host: str, words: str) -> Spec:
    return {
        "host": host,
        "subsets": [{"name": "v1", "labels": {"v": words}}],
        "trafficPolicy": {"loadBalancer": {"consistentHash": {"httpHeaderName": words}}},
    }


def service(host: str, words: str) -> Spec:
    address = words if words == "6.6.6.6" else f"10.0.0.{len(words)}"
    return {
        "hosts": [host],
        "addresses": ["240.0.0.9"],
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
        "resolution": "STATIC",
        "endpoints": [{"address": address}],
    }


def tcp(host: str, words: str) -> Spec:
    ports = [{"number": 81, "name": "tcp", "protocol": "TCP"}]
    return {**service(host, words), "ports": ports}


def sidecar(host: str, words: str) -> Spec:
    return {"egress": [{"hosts": [f"*/{host if '.' in host else '*'}"]}]}


def gateway(host: str, words: str) -> Spec:
    port = {"number": 8080, "name": "http", "protocol": "HTTP"}
    return {
        "selector": {"app": "edge"},
        "servers": [{"port": port, "hosts": [host if "." in host else "*"]}],
    }


def selecting(host: str, words: str) -> Spec:
    spec = {**service(host, words), "workloadSelector": {"labels": {"app": "web"}}}
    return {name: value for name, value in spec.items() if name != "endpoints"}


def workload(_: str, words: str) -> Spec:
    address = words if words == "6.6.6.6" else f"10.1.0.{len(words)}"
    return {"address": address, "labels": {"app": "web", "v": words}}


def mesh_config(host: str, words: str) -> Spec:
    return {
        "domain": "m.test" if host == "short" else "cluster.local",
        "defaultServiceExportTo": ["."] if words == "v" else ["*"],
        "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY" if words == "ww" else "ALLOW_ANY"},
    }


SHAPES: dict[str, tuple[str, Callable[[str, str], Spec]]] = {
    "plain": ("VirtualService", virtual_service),
    "routed": ("VirtualService", routed),
    "root": ("VirtualService", rooted),
    "leaf": ("VirtualService", leaf),
    "rule": ("DestinationRule", destination_rule),
    "web": ("ServiceEntry", service),
    "db": ("ServiceEntry", tcp),
    "scope": ("Sidecar", sidecar),
    "edge": ("Gateway", gateway),
    "picked": ("ServiceEntry", selecting),
    "endpoint": ("WorkloadEntry", workload),
    "config": ("MeshConfig", mesh_config),
}

SPOILT: dict[str, Callable[[Spec], Spec]] = {
    "unknown field": lambda spec: {**spec, "noSuchField": 1},
    "host as text": lambda spec: {**spec, "hosts": "a.example", "host": ["a.example"]},
    "hosts that are none": lambda spec: {
        **spec,
        "hosts": ["", "\ud800", "A..b", "ü.example", "a.example"],
        "host": "\ud800.",
    },
    "hosts twice": lambda spec: {
        **spec,
        "hosts": ["a.example", "a.example"],
        "addresses": ["1.1.1.1", "1.1.1.1"],
        "host": "",
    },
    "ports that are none": lambda spec: {
        **spec,
        "noSuch": 1,
        "ports": [{"number": 2**70, "name": "x", "protocol": "HTTP"}],
    },
    "negative port": lambda spec: {
        **spec,
        "noSuch": 1,
        "ports": [{"number": -1, "name": "x", "protocol": "GRPC"}],
    },
    "gateways": lambda spec: {
        **spec,
        "noSuch": 1,
        "gateways": ["", "/", ".", "a/b/c", "mesh"],
        "exportTo": ["", "~", "/"],
    },
    "delegates": lambda spec: {
        **spec,
        "noSuch": 1,
        "http": [{"delegate": {"name": "/", "namespace": "a/b"}}, {"delegate": {}}],
    },
    "selectors": lambda spec: {
        **spec,
        "noSuch": 1,
        "workloadSelector": {"labels": {"": ""}, "matchLabels": {"\ud800": "x"}},
    },
    "wrong types": lambda spec: dict.fromkeys(spec, 7),
    "nothing": lambda spec: {},
}


def written(kind: str, name: str, spec: Spec, how: str) -> bytes:
    document = {
        "apiVersion": VERSIONS.get(kind, "networking.istio.io/v1"),
        "kind": kind,
        "metadata": {"name": name}
        if kind == "MeshConfig"
        else {"name": name, "namespace": "default"},
        "spec": spec,
    }
    text = json.dumps(document)
    match how:
        case "yaml":
            return b"# as people write it\n" + text.encode()
        case "indented":
            return b"  \n" + json.dumps(document, indent=2).encode()
        case "twice":
            return (
                text[:-1] + ', "spec": ' + json.dumps({**spec, "hosts": ["b.example"]}) + "}"
            ).encode()
        case "deep":
            return (text[:-1] + ', "more": ' + "[" * 20_000 + "]" * 20_000 + "}").encode()
        case "torn":
            return text[:-3].encode()
        case "other kind":
            return text.replace(
                f'"{kind}"', '"Gateway"' if kind != "Gateway" else '"Sidecar"'
            ).encode()
        case _:
            return text.encode()


@dataclass(frozen=True)
class Thing:
    """One value that somebody writes."""

    shape: str
    name: str
    host: str
    words: str
    spoilt: str
    how: str

    @property
    def key(self) -> str:
        kind, _ = SHAPES[self.shape]
        if kind == "MeshConfig":
            return object_key(CONFIG_REF)
        return f"ns/default/{PLURALS[kind]}/{'leaf' if self.shape == 'leaf' else self.name}"

    @property
    def value(self) -> bytes:
        kind, make = SHAPES[self.shape]
        is_bad = bool(self.spoilt) or self.how in ("twice", "deep", "torn", "other kind")
        spec = make(self.host, "6.6.6.6" if is_bad else self.words)
        if self.spoilt:
            spec = SPOILT[self.spoilt](spec)
        return written(kind, self.key.rpartition("/")[2], spec, self.how)


things = st.builds(
    Thing,
    st.sampled_from(sorted(SHAPES)),
    st.sampled_from(["one", "two", "three"]),
    st.sampled_from(HOSTS),
    st.sampled_from(["v", "ww", "xxx"]),
    st.one_of(st.just(""), st.sampled_from(sorted(SPOILT))),
    st.sampled_from(
        ["json", "json", "json", "yaml", "indented", "twice", "deep", "torn", "other kind"]
    ),
)
deeds = st.one_of(
    st.tuples(st.just("put"), things),
    st.tuples(st.just("put"), things),
    st.tuples(st.just("delete"), st.integers(0, 20)),
    st.tuples(
        st.just("ask"),
        st.sampled_from(
            [
                "a.example",
                "b.example",
                "c.example:80",
                "short",
                "240.0.0.9",
                "ü",
                "a.example.",
                "[::1]:80",
                "x/y",
                "\x7f",
            ]
        ),
    ),
    st.tuples(st.just("judge"), st.integers(1, 3)),
    st.tuples(st.just("taken"), st.just(0)),
    st.tuples(st.just("refused"), st.integers(0, 20)),
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("restart"), st.just(True)),
    st.tuples(st.just("restored"), st.just(0)),
)


@dataclass
class Etcd:
    """What etcd holds, and held."""

    now: Snapshot = field(default_factory=lambda: Snapshot.empty(EPOCH))
    past: list[Snapshot] = field(default_factory=list)

    def put(self, thing: Thing) -> None:
        revision = self.now.revision + 1
        old = self.now.get(thing.key)
        created, version = (revision, 1) if old is None else (old.create_revision, old.version + 1)
        self._be(
            self.now.apply(
                [Entry(thing.key, thing.value, created, revision, version)], (), revision
            )
        )

    def delete(self, number: int) -> None:
        keys = sorted(entry.key for entry in self.now.entries())
        if keys:
            self._be(self.now.apply((), [keys[number % len(keys)]], self.now.revision + 1))

    def restore(self) -> None:
        """A backup of some time ago comes back, under another identity."""
        old = self.past[len(self.past) // 2] if self.past else self.now
        epoch = Epoch(self.now.epoch.life + 1, self.now.epoch.cluster_id + 1)
        self.past = []
        self._be(Snapshot.of(epoch, old.revision, old.entries()))

    def answer(self, recall: Recall) -> Entry | None:
        known = [one for one in self.past if one.revision <= recall.revision]
        return known[-1].get(recall.key) if known else None

    def _be(self, snapshot: Snapshot) -> None:
        self.now = snapshot
        self.past.append(snapshot)


class Host:
    """A node that puts judgements off from so many keys on, with etcd at hand."""

    def __init__(self, etcd: Etcd, put_off_from: int, budget: int) -> None:
        self.etcd, self.put_off_from, self.budget = etcd, put_off_from, budget
        self.kept: KeepLastGood | None = None
        self.node = self._node()
        self.label = ""

    def _node(self, kept: KeepLastGood | None = None) -> Node:
        settings = BuilderSettings(
            {"": Bind("127.0.0.1", 15001)},
            captured={"": CaptureBind(15101)},
            budget_services=self.budget,
        )
        return Node(
            "me",
            (Context("", "default", {"app": "edge"}, is_gateway=False, is_captured=True),),
            lambda _: Builder(settings),
            memory=() if kept is None else kept.memory,
            is_judged=kept is not None and kept.is_judged,
            put_off_from=self.put_off_from,
        )

    def arrive(self, source: Source = Source.ETCD, snapshot: Snapshot | None = None) -> None:
        self.take(SnapshotArrived(snapshot or self.etcd.now, source), answers=source is Source.ETCD)

    def restart(self, *, is_etcd_away: bool) -> None:
        names, kept = self.node.builder.given_names(), self.kept
        self.node = self._node(kept)
        self.node.preload(names)
        if kept is not None:
            self.arrive(Source.DISK, kept.snapshot)
        if not is_etcd_away or kept is None:
            self.arrive()

    def judge_all(self) -> None:
        while self.node.catalog.unjudged:
            self.take(JudgeSome(2))

    def taken(self) -> None:
        self.take(EnvoyInForce(self.label))

    def take(self, event: Event, *, answers: bool = True) -> None:
        effects: list[Effect] = self.node.handle(event, 1.0)
        asked: list[Recall] = []
        for effect in effects:
            if isinstance(effect, Desire):
                self.label = effect.change.label
                for kind, told in effect.change.upserts.items():
                    for one in told.values():
                        assert EVIL not in one.body, (kind, one.name)
            elif isinstance(effect, LookUp):
                asked.append(effect.recall)
            elif isinstance(effect, KeepLastGood):
                self.kept = effect
        for recall in asked if answers else ():
            self.take(LookedUp(recall, self.etcd.answer(recall)))

    def told(self) -> dict[TypeUrl, dict[str, bytes]]:
        return {
            kind: {name: one.body for name, one in found.items()}
            for kind, found in self.node.builder.resources.items()
            if found
        }


def both(hosts: Sequence[Host], etcd: Etcd, deed: str, what: object) -> None:
    plain, _ = hosts
    if deed == "refused":
        for host in hosts:
            host.judge_all()  # Else Envoy may refuse one what the other has not told yet.
    resources = [one for found in plain.node.builder.resources.values() for one in found.values()]
    match deed, what:
        case "put", Thing():
            etcd.put(what)
        case "delete", int():
            etcd.delete(what)
        case "restored", _:
            for host in hosts:
                host.judge_all()  # What etcd was never asked for while it knew it, nobody can serve on.
            etcd.restore()
        case _:
            pass
    for host in hosts:
        match deed, what:
            case "put" | "delete" | "restored", _:
                host.arrive()
            case "ask", str():
                host.take(EnvoyAsked((f"outbound/{what}", f"captured/{what}")))
            case "judge", int():
                host.take(JudgeSome(what))
            case "taken", _:
                host.taken()
            case "refused", int():
                one = sorted(resources, key=lambda one: (one.type_url, one.name))[
                    what % len(resources)
                ]
                rejected = ResourceRejected(one.type_url, one.name, one.version, "no", one.sources)
                host.take(EnvoyRejected(rejected))
            case "restart", bool():
                host.taken()
                host.restart(is_etcd_away=what)
            case _:
                raise AssertionError(deed)


def alike(lazy: Host, plain: Host) -> bool:
    """Whether both tell the same, but for a generation before a bad one that is looked for where that one says."""
    stand_in = {row.key for row in plain.node.catalog.quarantined if row.serving_revision}
    unknown = stand_in - {row.key for row in lazy.node.catalog.quarantined}
    return bool(unknown) or lazy.told() == plain.told()


@given(st.lists(things, max_size=6), st.lists(deeds, max_size=10), st.sampled_from([0, 500]))
@settings(max_examples=60)
def test_what_is_told_does_not_depend_on_when_objects_are_judged(
    beginning: Sequence[Thing], then: Sequence[tuple[str, object]], budget: int
) -> None:
    etcd = Etcd()
    for thing in beginning:
        etcd.put(thing)
    hosts = [Host(etcd, NEVER, budget), Host(etcd, 0, budget)]
    plain, lazy = hosts
    for host in hosts:
        host.arrive()
    assert alike(lazy, plain)
    for deed, what in then:
        both(hosts, etcd, deed, what)
        assert alike(lazy, plain), deed
    lazy.judge_all()
    assert lazy.told() == plain.told()
    assert lazy.node.catalog.quarantined == plain.node.catalog.quarantined
    for host in hosts:
        host.taken()
    assert lazy.kept == plain.kept
