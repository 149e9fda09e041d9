"""Values that nobody should put into etcd: random bytes, and valid objects with something broken or merely changed.

Everything follows from the seed. Whether a mutated object is still valid is for the codec to say; most are not.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator

from store.codec import encode
from store.objects import parse_object
from tests.harness.catalogs import Document
from tests.harness.objects import destination_rule, service_entry, virtual_service

__all__ = ["mutated_values", "random_values"]

Row = tuple[str, bytes]
"""Relative key and value."""

LEAVES: tuple[object, ...] = (
    None, True, -1, 2**70, 1e400, 0.1, "", "*", "1s", "-5m", "\x00", "ü" * 300, [], {}, [[]], {"exact": {}}, ["*"],
)  # fmt: skip
"""What a mutation puts where something else belonged."""
PLURALS = {
    "VirtualService": "virtualservices",
    "DestinationRule": "destinationrules",
    "ServiceEntry": "serviceentries",
    "WorkloadEntry": "workloadentries",
    "Gateway": "gateways",
    "Sidecar": "sidecars",
}


def random_values(seed: int, count: int) -> Iterator[Row]:
    """Byte strings of up to 400 bytes under keys of objects of every kind, of hosts, and under keys of nothing."""
    source = random.Random(seed)
    folders = [f"ns/noise/{plural}" for plural in PLURALS.values()]
    folders += ["hosts", "ns/noise/nosuchkind", "nowhere"]
    for index in range(count):
        alphabet = source.choice(
            [bytes(range(256)), bytes(range(32, 127)), b'{}[]:,"- \nk', b"\x00"]
        )
        value = bytes(source.choices(alphabet, k=source.randrange(400)))
        yield f"{source.choice(folders)}/r{index}", value


def mutated_values(seed: int, count: int) -> Iterator[Row]:
    """Valid objects, each changed in one to three places, as objects or as bytes."""
    source = random.Random(seed)
    for index in range(count):
        document = _valid(source, f"m{index}")
        parse_object(document)  # what is mutated was valid
        key = f"ns/fuzz/{PLURALS[str(document['kind'])]}/m{index}"
        if source.random() < 0.3:
            yield key, _with_broken_bytes(source, encode(document))
        else:
            for _ in range(source.randint(1, 3)):
                _break(source, document)
            yield key, json.dumps(document).encode()


def _valid(source: random.Random, name: str) -> Document:
    host = f"{name}.fuzz.example.com"
    ports = [{"number": 80, "name": "http", "protocol": "HTTP"}]
    choices = [
        virtual_service(
            name,
            [host],
            "fuzz",
            http=[
                {
                    "match": [{"uri": {"prefix": "/a"}, "headers": {"x": {"regex": "a.*"}}}],
                    "timeout": "3s",
                    "retries": {"attempts": 2, "retryOn": "5xx"},
                    "route": [
                        {"destination": {"host": host, "subset": "v1"}, "weight": 30},
                        {"destination": {"host": host, "port": {"number": 80}}, "weight": 70},
                    ],
                }
            ],
        ),
        destination_rule(
            name,
            host,
            "fuzz",
            trafficPolicy={
                "loadBalancer": {"consistentHash": {"httpHeaderName": "x"}},
                "outlierDetection": {"consecutive5xxErrors": 3, "interval": "5s"},
            },
            subsets=[{"name": "v1", "labels": {"version": "v1"}}],
        ),
        service_entry(
            name,
            [host],
            "fuzz",
            ports=ports,
            resolution="STATIC",
            endpoints=[{"address": "127.0.0.1", "ports": {"http": 9}}],
        ),
        _object("WorkloadEntry", name, {"address": "127.0.0.1", "labels": {"app": name}}),
        _object(
            "Gateway",
            name,
            {"selector": {"app": name}, "servers": [{"port": ports[0], "hosts": [host]}]},
        ),
        _object(
            "Sidecar",
            name,
            {"workloadSelector": {"labels": {"app": name}}, "egress": [{"hosts": ["./*"]}]},
        ),
    ]
    return copy.deepcopy(source.choice(choices))


def _object(kind: str, name: str, spec: Document) -> Document:
    metadata = {"name": name, "namespace": "fuzz"}
    version = "networking.istio.io/v1"
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def _break(source: random.Random, document: object) -> None:
    """Change one random place below `document`."""
    place = source.choice(list(_containers(document)))
    key: str | int | None
    if isinstance(place, dict):
        key = source.choice(list(place)) if place else None
        if key is not None and source.random() < 0.3:
            place[f"{key}{source.choice('xX ')}"] = place.pop(key)
            return
        name = key if key is not None else "stray"
        place[name] = copy.deepcopy(source.choice(LEAVES))
    elif isinstance(place, list):
        if place and source.random() < 0.5:
            place[source.randrange(len(place))] = copy.deepcopy(source.choice(LEAVES))
        else:
            place.append(copy.deepcopy(source.choice(LEAVES)))


def _containers(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _containers(item)
    elif isinstance(value, list):
        yield value
        for item in value:
            yield from _containers(item)


def _with_broken_bytes(source: random.Random, value: bytes) -> bytes:
    at = source.randrange(len(value))
    until = at + source.randrange(1, 20)
    noise = bytes(source.randrange(256) for _ in range(source.randrange(4)))
    return source.choice([value[:at], value[:at] + noise + value[at:], value[:at] + value[until:]])
