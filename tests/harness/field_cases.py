"""Cases that prove fields: objects, what a real Envoy then does or holds, and what is compiled without each field.

A case says which fields it proves. Its objects give each of them; with any one of them taken out, something else is
compiled. What it asks and what it finds in Envoy's accepted configuration shows that the field does what it says.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from string import Template
from typing import Any

import yaml

from sidecar.agent.host_facts import HostFacts
from sidecar.agent.settings import SidecarSettings, WorkloadSettings
from sidecar.certificates.model import workload_identity
from sidecar.mesh.model import Context, MeshChange, Protocol
from sidecar.routing.table import InboundKey
from sidecar.xds.compile import Bind, CompileOptions, InboundPort
from sidecar.xds.desired import Builder, BuilderSettings
from sidecar.xds.resource import Resource, TypeUrl
from store.objects.kinds import kind_named
from tests.harness.catalogs import Document
from tests.harness.field_envoy import Served
from tests.harness.fields import Path, expand, given, without
from tests.harness.identities import materials_of, spiffe
from tests.harness.worlds import WEB, World

__all__ = [
    "BASE",
    "POLICY_PLACES",
    "PROXY",
    "STAND_INS",
    "SUBSETS",
    "Ask",
    "Case",
    "Holds",
    "ask",
    "compiled",
    "holds",
    "missing",
    "policy_cases",
    "proven",
    "registered",
    "server_tls_cases",
    "service",
]

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


def service(
    name: str, *endpoints: tuple[str, str], port: str = "9080", protocol: str = "HTTP"
) -> str:
    """A service in the mesh; endpoints are (port of loopback, label `version`)."""
    listed = ", ".join(
        f"{{address: 127.0.0.1, ports: {{p: {number}}}, labels: {{version: {version}}}}}"
        for number, version in endpoints
    )
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: [{name}.default.svc.cluster.local]
  resolution: STATIC
  location: MESH_INTERNAL
  ports: [{{number: {port}, name: p, protocol: {protocol}}}]
  endpoints: [{listed}]
---
"""


BASE = service("a", ("$one", "v1"), ("$two", "v2")) + service("b", ("$three", "v1"))
"""Two services: `a` with v1 (server `one`) and v2 (`two`), and `b` (`three`)."""
SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: subsets-of-a, namespace: default}
spec:
  host: a
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
"""


@dataclass(frozen=True)
class Ask:
    """A request and what has to come back."""

    url: str
    """Authority and path, such as `a:9080/x`."""
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    at: str = "outbound"
    """Name of the port that it is sent to."""
    sni: str = ""
    """Server name to ask for by TLS; empty: plain text."""
    shows: str = ""
    """Client certificate to show."""
    newest: str = ""
    """Newest version of TLS."""
    oldest: str = ""
    """Oldest version of TLS."""
    ciphers: str = ""
    """Ciphers up to TLS 1.2."""
    curve: str = ""
    """Curve of the key exchange."""
    status: int = 200
    by: str = ""
    """Server that has to answer; empty: any."""
    saw: Mapping[str, str | None] = field(default_factory=dict)
    """What the server saw: `:path`, `:authority`, or a header; None: not there."""
    gives: Mapping[str, str | None] = field(default_factory=dict)
    """Headers of the answer; None: not there."""
    body: str | None = None
    """Body of the answer."""
    copies: str = ""
    """Server that has to get a copy, too."""
    hits: int = 0
    """How often that server is to be asked for it; 0: not counted."""
    times: int = 1
    least_s: float = 0.0
    """Shortest time that the answer may take."""


def ask(url: str, **fields: Any) -> Ask:
    """A request to the outbound listener, unless `at` says otherwise."""
    return Ask(url, **fields)


@dataclass(frozen=True)
class Holds:
    """What Envoy's accepted configuration has to contain."""

    kind: str
    """`cluster`, `endpoints`, `listener`, `host` (a virtual host, named by one of its domains) or `routes`."""
    name: str
    part: object
    """A part of it: of mappings these keys, of lists these items, numbers and texts as they are."""


def holds(kind: str, name: str, part: object) -> Holds:
    """A part of what `/config_dump` shows."""
    return Holds(kind, name, part)


@dataclass(frozen=True)
class Case:
    """One case; see the module's text."""

    name: str
    """The rule, in words."""
    proves: str
    """Fields, `Kind.path` separated by spaces, with braces for several: `Gateway.spec.servers[].{bind,hosts}`."""
    objects: str
    """YAML, with `$one` and the like for what is only known when it runs."""
    asks: tuple[Ask, ...] = ()
    accepted: tuple[Holds, ...] = ()
    services: str = BASE
    """Objects beside those of the case."""
    context: Context = WEB
    """On whose behalf."""
    has_identity: bool = False
    """Whether the workload has a certificate of the mesh, in `$folder/id`."""
    check: Callable[[Served], Awaitable[None]] | None = None
    """Anything that the others cannot say."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """More settings of the builder."""
    joins: str = ""
    """WorkloadGroup that this host is a member of; empty for none."""

    @property
    def paths(self) -> tuple[tuple[str, Path], ...]:
        """Kind and path of each field that is proven."""
        found = []
        for text in self.proves.split():
            for one in expand(text):
                kind, _, path = one.partition(".")
                found.append((kind, path))
        return tuple(found)

    def documents(self, places: Mapping[str, object]) -> list[Document]:
        """The objects, those of the case last."""
        return read(self.services, places) + self.subjects(places)

    def subjects(self, places: Mapping[str, object]) -> list[Document]:
        """The case's own objects."""
        return read(self.objects, places)


def read(text: str, places: Mapping[str, object]) -> list[Document]:
    """YAML with the places filled in; `apiVersion`, name and namespace may be left out."""
    return [
        _completed(document, number)
        for number, document in enumerate(
            yaml.load_all(Template(text).substitute(places), Loader=yaml.CSafeLoader)
        )
        if document
    ]


def _completed(document: dict[str, Any], number: int) -> Document:
    kind = kind_named(str(document["kind"]))
    assert kind is not None, document
    version = "meshd.io/v1" if kind.value == "MeshConfig" else "networking.istio.io/v1"
    made = {"apiVersion": version, **document, "kind": kind.value}
    name = "mesh" if kind.value == "MeshConfig" else f"case-{number}"
    metadata = {"name": name, "namespace": "default", **(document.get("metadata") or {})}
    if kind.value == "MeshConfig":
        del metadata["namespace"]
    return {**made, "metadata": metadata}


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


def missing(case: Case) -> Iterator[str]:
    """What is wrong with the claims of a case: fields that it does not give, or that make no difference."""
    subjects = case.subjects(STAND_INS)
    around = read(case.services, STAND_INS)
    whole = compiled(case, around + subjects)
    for kind, path in case.paths:
        bearers = [d for d in subjects if d["kind"] == kind and path in given(d)]
        if not bearers:
            yield f"{kind}.{path} is not given"
        elif all(
            compiled(case, [*around, *(one if d is bearer else d for d in subjects)]) == whole
            for bearer in bearers
            for one in without(bearer, path)
        ):
            yield f"{kind}.{path} makes no difference"


def proven(cases: Sequence[Case]) -> Mapping[tuple[str, Path], str]:
    """The first case that proves each field, by kind and path."""
    found: dict[tuple[str, Path], str] = {}
    for case in cases:
        for field_of in case.paths:
            found.setdefault(field_of, case.name)
    return found


# -- policies at each place where they may stand -----------------------------------------------------

POLICY_PLACES = (
    "spec.trafficPolicy",
    "spec.trafficPolicy.portLevelSettings[]",
    "spec.subsets[].trafficPolicy",
    "spec.subsets[].trafficPolicy.portLevelSettings[]",
)
"""Where a policy of a DestinationRule may stand, the widest first."""

PROXY = "outbound|9080|%s|a.default.svc.cluster.local"


def policy_cases(
    name: str,
    proves: str,
    policy: str,
    *,
    accepted: Sequence[Holds] = (),
    ports: bool = True,
    **more: Any,
) -> tuple[Case, ...]:
    """One case for each place of a policy of service `a`; `$cluster` stands for the cluster that it is for.

    Args:
        name: The rule, in words.
        proves: Fields below the policy, separated by spaces.
        policy: The policy in YAML (flow style or indented by nothing).
        accepted: What Envoy holds; names may be `$cluster`.
        ports: Whether it may stand at a port as well.
        more: More of the case.
    """
    cases = []
    for place in POLICY_PLACES:
        if "portLevel" in place and not ports:
            continue
        subset = "subsets" in place
        cluster = PROXY % ("v1" if subset else "")
        named = tuple(replace(h, name=h.name.replace("$cluster", cluster)) for h in accepted)
        paths = " ".join(f"DestinationRule.{place}.{path}" for path in proves.split())
        cases.append(
            Case(
                f"{name}, at {place.removeprefix('spec.')}",
                paths,
                yaml.safe_dump_all(_policy_documents(place, yaml.safe_load(policy), subset)),
                accepted=named,
                **more,
            )
        )
    return tuple(cases)


def _policy_documents(place: str, policy: object, subset: bool) -> list[object]:
    held: object = policy
    if "portLevel" in place:
        assert isinstance(policy, dict)
        held = {"portLevelSettings": [{"port": {"number": 9080}, **policy}]}
    spec: dict[str, object] = {"host": "a"}
    if subset:
        spec["subsets"] = [{"name": "v1", "labels": {"version": "v1"}, "trafficPolicy": held}]
    else:
        spec["trafficPolicy"] = held
    destination = {"host": "a", **({"subset": "v1"} if subset else {}), "port": {"number": 9080}}
    route = {"hosts": ["a"], "http": [{"route": [{"destination": destination}]}]}
    return [{"kind": "DestinationRule", "spec": spec}, {"kind": "VirtualService", "spec": route}]


# -- TLS that ends here: at a gateway's server and at a Sidecar's ingress listener --------------------


def server_tls_cases(
    place: str, objects: Callable[[str], str], by: str, *, edge: bool = True, **more: Any
) -> tuple[Case, ...]:
    """One case for each setting of TLS that ends at `$port`, where `by` answers behind it.

    Args:
        place: Kind and path of the settings.
        objects: The objects with these settings, in flow style.
        by: Server that answers.
        edge: Whether it is a gateway's: what Istio refuses elsewhere is left out.
        more: More of each case.
    """
    files = "serverCertificate: $folder/server.pem, privateKey: $folder/server.key"
    mutual = f"mode: MUTUAL, {files}, caCertificates: $folder/ca.pem"
    stranger: dict[str, Any] = {"shows": "stranger"}
    cases = [
        _ended(
            "TLS ends here with a certificate from files",
            "{mode,serverCertificate,privateKey}",
            f"{{mode: SIMPLE, {files}}}",
            ({}, 200),
        ),
        _ended(
            "clients have to show a certificate of these authorities",
            "caCertificates",
            f"{{{mutual}}}",
            ({}, 0),
            ({"shows": "client"}, 200),
            (stranger, 0),
        ),
        _ended(
            "clients may show a certificate",
            "mode",
            f"{{mode: OPTIONAL_MUTUAL, {files}, caCertificates: $folder/ca.pem}}",
            ({}, 200),
            ({"shows": "client"}, 200),
            (stranger, 0),
        ),
        _ended(
            "a revoked client is refused",
            "caCrl",
            f"{{{mutual}, caCrl: $folder/crl.pem}}",
            ({"shows": "client"}, 0),
        ),
        _ended(
            "clients have to show a certain key",
            "verifyCertificateSpki",
            f"{{{mutual}, verifyCertificateSpki: ['$spki']}}",
            ({"shows": "client"}, 200),
            ({"shows": "other"}, 0),
        ),
        _ended(
            "clients have to show a certain certificate",
            "verifyCertificateHash",
            f"{{{mutual}, verifyCertificateHash: ['$hash']}}",
            ({"shows": "client"}, 200),
            ({"shows": "other"}, 0),
        ),
        _ended(
            "clients that cannot be verified are let in",
            "insecureSkipVerify",
            f"{{{mutual}, insecureSkipVerify: true}}",
            (stranger, 200),
        ),
        _ended(
            "the oldest version of TLS may be said",
            "minProtocolVersion",
            f"{{mode: SIMPLE, {files}, minProtocolVersion: TLSV1_3}}",
            ({"newest": "1.2"}, 0),
            ({}, 200),
        ),
        _ended(
            "the newest version of TLS and its ciphers may be said",
            "{maxProtocolVersion,cipherSuites}",
            f"{{mode: SIMPLE, {files}, maxProtocolVersion: TLSV1_2,"
            " cipherSuites: [ECDHE-ECDSA-AES128-GCM-SHA256]}",
            ({}, 200),
            ({"oldest": "1.3"}, 0),
            ({"ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384", "newest": "1.2"}, 0),
        ),
        _ended(
            "the curves of the key exchange may be said",
            "ecdhCurves",
            f"{{mode: SIMPLE, {files}, ecdhCurves: [P-384]}}",
            ({"curve": "secp384r1"}, 200),
            ({"curve": "prime256v1"}, 0),
        ),
    ]
    if edge:
        cases += [
            _ended(
                "a client has to bear one of these names",
                "subjectAltNames",
                f"{{{mutual}, subjectAltNames: [client.example.com]}}",
                ({"shows": "client"}, 200),
                ({"shows": "other"}, 0),
            ),
            _ended(
                "the certificate lies in the folder of a credential",
                "credentialName",
                "{mode: SIMPLE, credentialName: served}",
                ({}, 200),
            ),
            _ended(
                "certificates lie in the folders of credentials",
                "credentialNames",
                "{mode: SIMPLE, credentialNames: [served]}",
                ({}, 200),
            ),
            _ended(
                "the authorities lie in the folder of another credential",
                "caCertCredentialName",
                "{mode: MUTUAL, credentialName: served, caCertCredentialName: authority}",
                ({}, 0),
                ({"shows": "client"}, 200),
            ),
            _ended(
                "several certificates come from files",
                "tlsCertificates[].{serverCertificate,privateKey}",
                f"{{mode: SIMPLE, tlsCertificates: [{{{files}}}]}}",
                ({}, 200),
            ),
        ]
    else:
        cases.append(
            _ended(
                "the authorities lie in the folder of a credential",
                "caCertCredentialName",
                f"{{mode: MUTUAL, {files}, caCertCredentialName: authority}}",
                ({}, 0),
                ({"shows": "client"}, 200),
            )
        )
    where = place.partition(".")[0].lower()
    return tuple(
        Case(
            f"{name}, at a {where}",
            " ".join(f"{place}.{path}" for path in proves.split()),
            objects(tls),
            asks=tuple(
                Ask(
                    "gw.example.com/",
                    at="port",
                    sni="gw.example.com",
                    status=status,
                    by=by if status else "",
                    **how,
                )
                for how, status in asks
            ),
            **more,
        )
        for name, proves, tls, asks in cases
    )


_Ended = tuple[str, str, str, tuple[tuple[dict[str, Any], int], ...]]


def _ended(name: str, proves: str, tls: str, *asks: tuple[dict[str, Any], int]) -> _Ended:
    return name, proves, tls, asks
