"""What is compiled for a case that proves fields, with real ports and files or with stand-ins for them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sidecar.agent.host_facts import HostFacts
from sidecar.agent.settings import SidecarSettings, WorkloadSettings
from sidecar.certificates.model import workload_identity
from sidecar.mesh.model import Context, MeshChange, Protocol
from sidecar.routing.table import InboundKey
from sidecar.xds.compile import Bind, CompileOptions, InboundPort
from sidecar.xds.desired import Builder, BuilderSettings
from sidecar.xds.resource import Resource, TypeUrl
from tests.harness.catalogs import Document
from tests.harness.field_cases import Case
from tests.harness.identities import materials_of, spiffe
from tests.harness.worlds import World

__all__ = ["STAND_INS", "builder_of", "compiled", "registered", "resources"]

PLACES = (
    "one",
    "two",
    "three",
    "sick",
    "slow",
    "tls",
    "outbound",
    "inbound",
    "port",
    "port2",
    "port3",
)
"""Names that stand in objects as `$one`: ports of the servers, of the outbound listener, free ports, a folder."""
STAND_INS: Mapping[str, object] = {name: 20001 + n for n, name in enumerate(PLACES)} | {
    "folder": "/nowhere",
    "spki": "NvqYIYSbgK2vCJpQhObf77vv+bQWtc5ek5RIOwPiC9A=",
    "hash": "df" * 32,
}
"""Places for what is compiled and never given to an Envoy."""


def local_port(places: Mapping[str, object]) -> InboundPort:
    """The port of the one application of this host: of service `a`, at server `one`."""
    number, app = places["inbound"], places["one"]
    assert isinstance(number, int)
    assert isinstance(app, int)
    return InboundPort(
        InboundKey(number),
        Bind("127.0.0.1", number),
        "127.0.0.1",
        app,
        Protocol.HTTP,
        number=9080,
        service="a",
        labels={"app": "web"},
    )


def context_of(case: Case, places: Mapping[str, object]) -> Context:
    """On whose behalf, with its certificate where it has one."""
    if not case.has_identity:
        return case.context
    folder = f"{places['folder']}/id"
    files = (f"{folder}/cert-chain.pem", f"{folder}/key.pem", f"{folder}/root-cert.pem")
    identity = workload_identity("", files, spiffe("default"), ("cluster.local",))
    return replace(case.context, identity=replace(identity, is_held=True))


def builder_of(case: Case, documents: Sequence[Document], places: Mapping[str, object]) -> Builder:
    """The desired state of an Envoy for these objects."""
    world = World(context_of(case, places))
    for document in documents:
        world.change(document)
    port = places["outbound"]
    assert isinstance(port, int)
    made = {
        "outbound": {} if case.context.is_gateway else {case.context.name: Bind("127.0.0.1", port)},
        "options": CompileOptions(
            outbound_ports=(port,),
            own_addresses=("127.0.0.1",),
            credentials=f"{places['folder']}/credentials",
        ),
        "inbound": (local_port(places),),
        **case.settings,
    }
    if case.joins:
        member = member_of(case, world, places)
        world.change(json.loads(member.record().encode()))
        made["inbound"] = member.inbound()
    builder = Builder(BuilderSettings(**made))  # type: ignore[arg-type] # named by cases
    builder.update(world.views, MeshChange(everything=True), "e@1")
    return builder


def member_of(case: Case, world: World, places: Mapping[str, object]) -> HostFacts:
    """This host as a member of the case's WorkloadGroup, on an address of its own."""
    number = places["one"]
    assert isinstance(number, int)
    settings = SidecarSettings(node="member", workloads=(WorkloadSettings(group=case.joins),))
    member = HostFacts(settings, f"127.{number >> 8}.{number & 255}.1")
    member.follow(world.mesh.objects)
    return member


def registered(case: Case, places: Mapping[str, object]) -> HostFacts:
    """The member of the group with the case's objects in force."""
    return _member(case, case.documents(places), places)


def _member(case: Case, documents: Sequence[Document], places: Mapping[str, object]) -> HostFacts:
    world = World(case.context)
    for document in documents:
        world.change(document)
    return member_of(case, world, places)


def compiled(case: Case, documents: Sequence[Document]) -> Mapping[tuple[TypeUrl, str], str]:
    """The version of everything that an Envoy would have of these objects, and what a member of a group registers."""
    builder = builder_of(case, documents, STAND_INS)
    made = {
        (kind, name): resource.version
        for kind, resources in builder.resources.items()
        for name, resource in resources.items()
    }
    if case.joins:
        member = _member(case, documents, STAND_INS)
        made[TypeUrl.ENDPOINTS, "member"] = f"{member.record().workloads} {member.probes()}"
    return made


def resources(case: Case, places: Mapping[str, object]) -> list[Resource]:
    """Everything that an Envoy is to have for a case."""
    builder = builder_of(case, case.documents(places), places)
    builder.put_secrets(materials_of(builder.secrets))
    return [one for made in builder.resources.values() for one in made.values()]
