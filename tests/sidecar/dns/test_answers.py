"""DNS answers: what is answered here, with what, and what is left to others; hostile bytes do no harm."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.dns.answers import answered, mesh_addresses
from sidecar.dns.wire import ResponseCode, answer, read_question, refusal
from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context
from sidecar.mesh.view import View
from sidecar.mesh.virtual_addresses import VirtualAddresses
from tests.harness.catalogs import Store
from tests.harness.routing import service_of

A, MX, AAAA, HTTPS = 1, 15, 28, 65


def query(name: str, kind: int = A, *, flags: int = 0x0100, of_class: int = 1) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part)
    head = struct.pack("!6H", 0xBEEF, flags, 1, 0, 0, 0)
    return head + labels + b"\0" + struct.pack("!2H", kind, of_class)


def view_of(*services: dict[str, object], namespace: str = "default", ipv6: bool = True) -> View:
    store = Store()
    store.put(list(services))
    mesh = Mesh.build(store.catalog, store.registrations)
    return View(mesh, Context("", namespace), addresses=VirtualAddresses(ipv6=ipv6))


def addresses_in(message: bytes) -> list[str]:
    question = read_question(message[:2] + b"\x01\x00" + message[4:6] + bytes(6) + message[12:])
    assert question is not None
    count, at = struct.unpack("!H", message[6:8])[0], 12 + len(question.section)
    found = []
    for _ in range(count):
        length = struct.unpack("!H", message[at + 10 : at + 12])[0]
        found.append(str(ip_address(message[at + 12 : at + 12 + length])))
        at += 12 + length
    assert at == len(message)
    return found


def test_a_service_without_address_is_answered_by_its_virtual_ones() -> None:
    view = view_of(service_of("reviews", "http:9080"))
    found = answered(view, query("Reviews.Default"))
    assert found is not None
    assert found[:4] == b"\xbe\xef\x85\x80", (
        "same id; an answer, authoritative, recursion as wanted"
    )
    (four,) = addresses_in(found)
    six = answered(view, query("reviews", AAAA))
    assert six is not None
    assert view.service_for_authority(four) == view.service_for_authority(addresses_in(six)[0])


def test_short_names_mean_what_they_mean_to_the_context() -> None:
    services = (service_of("reviews", namespace="shop"), service_of("reviews", namespace="blog"))
    answers = [
        answered(view_of(*services, namespace=one), query("reviews")) for one in ("shop", "blog")
    ]
    assert answers[0] is not None
    assert answers[1] is not None
    assert addresses_in(answers[0]) != addresses_in(answers[1])
    assert answered(view_of(*services, namespace="other"), query("reviews")) is None


@pytest.mark.parametrize(
    "asked",
    [
        query("nobody.example"),
        query("reviews", MX),
        query("reviews", of_class=3),
        query("ranges.example"),
        query("none.example"),
        query("10.0.0.1"),
        query(""),
        query("reviews", flags=0x8100),
        query("reviews", flags=0x2800),
    ],
    ids=["unknown", "mail", "chaos", "ranges", "no-address", "address", "root", "answer", "update"],
)
def test_everything_else_is_for_others(asked: bytes) -> None:
    view = view_of(
        service_of("reviews"),
        service_of("ranges.example", addresses=["10.0.0.0/8"]),
        service_of("none.example", resolution="NONE"),
    )
    assert answered(view, asked) is None


def test_a_family_that_a_host_lacks_is_answered_with_none() -> None:
    view = view_of(
        service_of("db.example", "tcp:1", addresses=["10.0.0.4", "10.1.0.0/16"]), service_of("web")
    )
    four, six, https = (answered(view, query("db.example", kind)) for kind in (A, AAAA, HTTPS))
    assert four is not None
    assert addresses_in(four) == ["10.0.0.4"]
    assert six is not None
    assert addresses_in(six) == []
    assert https is not None
    assert addresses_in(https) == []


def test_a_wildcard_service_is_answered_by_the_addresses_that_it_declares() -> None:
    view = view_of(
        service_of("*.wild.example", addresses=["10.0.0.7"]), service_of("*.dry.example")
    )
    assert [str(one) for one in mesh_addresses(view, "a.wild.example")] == ["10.0.0.7"]
    assert mesh_addresses(view, "a.dry.example") == ()


def test_an_answer_that_is_too_long_is_cut_and_says_so() -> None:
    question = read_question(query("many.example"))
    assert question is not None
    many = [ip_address(f"10.0.0.{number}") for number in range(1, 101)]
    cut = answer(question, many, 30)
    assert len(cut) <= 512
    assert cut[2] & 0x02
    whole = answer(question, many, 30, bytes_max=65_535)
    assert len(addresses_in(whole)) == 100
    assert not whole[2] & 0x02


def test_a_failure_is_said_with_the_question() -> None:
    question = read_question(query("x.example"))
    assert question is not None
    assert refusal(question, ResponseCode.SERVER_FAILURE)[3] & 0x0F == 2


def test_a_name_that_points_elsewhere_is_no_question() -> None:
    head = struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0)
    assert read_question(head + b"\xc0\x0c" + b"\0\1\0\1") is None
    assert read_question(head + b"\x3f" + b"a" * 10) is None
    assert read_question(head + (b"\x01a" * 200) + b"\0\0\1\0\1") is None


@given(st.binary(max_size=300))
def test_no_bytes_do_harm(message: bytes) -> None:
    read_question(message)
    question = read_question(struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + message)
    assert question is None or len(question.name) <= 255
