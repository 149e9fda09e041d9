"""Which questions are answered here, for one workload context: those for hosts of the mesh, by any usual name.

Everything else is for the resolvers of this machine: unknown names, and records that the mesh knows nothing of. A host
of the mesh has the addresses that its ServiceEntry says, else its virtual ones; where it has addresses of one family
only, the question for the other is answered with none, so that clients need not ask anybody else.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Protocol

from sidecar.dns.wire import UDP_BYTES_MAX, Question, RecordType, answer, read_question
from sidecar.mesh.model import Service
from sidecar.mesh.names import is_address

__all__ = ["TTL_S", "Names", "answered", "mesh_addresses"]

TTL_S = 30
"""How long clients may keep an answer (Istio's); virtual addresses last, those of objects may change."""

_EMPTY_KINDS = frozenset({RecordType.SVCB, RecordType.HTTPS})
"""Kinds that browsers ask for beside addresses: there are none, and resolvers would deny the very name."""


class Names(Protocol):
    """What is asked about names; `sidecar.mesh.view.View` answers it."""

    def service_for_authority(self, name: str) -> Service | None:
        """The service that a client of this context means by a name."""


def answered(names: Names, message: bytes, *, bytes_max: int = UDP_BYTES_MAX) -> bytes | None:
    """The answer to a query; None where others are to be asked.

    Args:
        names: The mesh as the asking context sees it.
        message: The query.
        bytes_max: Longest answer.
    """
    question = read_question(message)
    if question is None or not question.name:
        return None
    addresses = mesh_addresses(names, question.name)
    if not addresses:
        return None
    return _reply(question, addresses, bytes_max)


def mesh_addresses(names: Names, name: str) -> tuple[IPv4Address | IPv6Address, ...]:
    """The addresses that the mesh has for a name; none where it is for others to say."""
    if is_address(name):
        return ()
    service = names.service_for_authority(name)
    if service is None:
        return ()
    return tuple(ip_address(one) for one in service.addresses if "/" not in one)


def _reply(
    question: Question, addresses: tuple[IPv4Address | IPv6Address, ...], bytes_max: int
) -> bytes | None:
    if question.kind in (RecordType.A, RecordType.AAAA):
        version = 4 if question.kind == RecordType.A else 6
        wanted = [one for one in addresses if one.version == version]
        return answer(question, wanted, TTL_S, bytes_max=bytes_max)
    if question.kind in _EMPTY_KINDS:
        return answer(question, (), TTL_S, bytes_max=bytes_max)
    return None
