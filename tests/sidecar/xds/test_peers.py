from __future__ import annotations

from dataclasses import replace

from sidecar.routing.build import catch_all, outbound_virtual_host
from sidecar.telemetry.model import Telemetry
from sidecar.telemetry.party import Party
from sidecar.xds import protos as pb
from sidecar.xds.compile import CompileOptions, compile_virtual_host
from sidecar.xds.peers import peer_word
from tests.harness.worlds import WEB, World

OPTIONS = CompileOptions(
    telemetry=Telemetry(metrics=True), party=Party.of("web-1", "default", {"app": "web"})
)


def world(location: str) -> World:
    made = World(WEB)
    made.change(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": "a", "namespace": "default"},
            "spec": {
                "hosts": ["a.example.com"],
                "location": location,
                "resolution": "STATIC",
                "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                "endpoints": [{"address": "10.0.0.1"}],
            },
        }
    )
    return made


def word(
    location: str, options: CompileOptions = OPTIONS, host: str = "a.example.com"
) -> str | None:
    view = world(location).views[""]
    return peer_word(view, options)(outbound_virtual_host(view, host))


def test_destinations_of_the_mesh_are_told_who_asks() -> None:
    assert word("MESH_INTERNAL") == "web-1;default;web;;web;latest"


def test_strangers_are_told_nothing() -> None:
    assert word("MESH_EXTERNAL") == ""
    assert word("MESH_INTERNAL", host="elsewhere.example.com") == ""
    view = world("MESH_INTERNAL").views[""]
    assert peer_word(view, OPTIONS)(catch_all(view)) == ""


def test_nothing_is_touched_where_nobody_counts_or_is_known() -> None:
    assert word("MESH_INTERNAL", replace(OPTIONS, telemetry=Telemetry())) is None
    assert word("MESH_INTERNAL", CompileOptions(telemetry=Telemetry(metrics=True))) is None


def test_a_virtual_host_says_it_or_takes_it_out() -> None:
    vh = outbound_virtual_host(world("MESH_INTERNAL").views[""], "a.example.com")
    said, taken, left = (
        pb.VirtualHost.FromString(compile_virtual_host(vh, "o", peer=peer).body)
        for peer in ("w;ns", "", None)
    )
    (header,) = said.request_headers_to_add
    assert (header.header.key, header.header.value) == ("x-meshd-peer", "w;ns")
    assert header.append_action == pb.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    assert list(taken.request_headers_to_remove) == ["x-meshd-peer"]
    assert not left.request_headers_to_add
    assert not left.request_headers_to_remove


def test_what_is_said_is_heard_and_nothing_in_it_can_be_taken_for_more() -> None:
    party = Party.of("a;b c", "ns", {"app": "x\r\ny"})
    assert Party.heard(party.word) == Party("a_b_c", "ns", "x__y", "", "x__y", "latest")
    assert Party.heard("") == Party()
    assert Party.heard("w") == Party("w")
