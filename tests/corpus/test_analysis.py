"""Istio's objects for its own analyzers: what those are meant to find, we find, in our words.

Upstream's expectations are taken from the comments of the files ("Expected: validation error ..." at the line that is
wrong, "no validation error" at one that is not), and where there are none, from the analyzer that a file is made for
(`MADE_FOR`). `CODES_OF` says which of our codes answers which of Istio's. What we do not answer as Istio does stands
in `OTHERWISE` or `NOT_OURS` with its reason; a row that no longer holds fails.

The counts at the end of the run: objects are expectations that are met, exceptions those that are not, for a reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from meshd.analysis import analyze, written_document
from store.diagnostics import Diagnostic
from store.manifest import Document, read_paths
from store.validation import check_document
from tests.harness.catalogs import Store
from tests.harness.kubernetes import as_mesh_objects

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
TESTDATA = CORPUS / "istio-analysis-testdata/pkg/config/analysis/analyzers/testdata"
PAGES = CORPUS / "istio-docs/content/en/docs/reference/config/analysis"

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(
        not TESTDATA.is_dir(), reason="Istio's objects are not here (looked in ../shared/corpus)"
    ),
]

Count = Callable[[str, str, int], None]

CODES_OF: dict[str, tuple[str, ...]] = {
    "IST0101 gateway": ("MESH0210", "MESH0316"),
    "IST0101 host": ("MESH0201", "MESH0203", "MESH0205"),
    "IST0101 subset": ("MESH0202",),
    "IST0101 workload": ("MESH0251",),
    "IST0109": ("MESH0222",),
    "IST0110": ("MESH0252",),
    "IST0111": ("MESH0252",),
    "IST0112": ("MESH0204",),
    "IST0130": ("MESH0337",),
    "IST0131": ("MESH0338",),
    "IST0132": ("MESH0211", "MESH0212"),
    "IST0134": ("MESH0374",),
    "IST0138": ("MESH0215",),
    "IST0145": ("MESH0213",),
    "IST0149": ("MESH0290", "MESH0340"),
    "IST0165": ("MESH0210", "MESH0316"),
    "IST0173": ("MESH0231",),
    "IST0174": ("MESH0230",),
    "IST0177": ("MESH0240",),
}
"""Istio's codes (pkg/config/analysis/msg/messages.yaml), and ours that say the same."""

COMMENTED: dict[str, tuple[str, ...]] = {
    "sidecar-selector.yaml": ("IST0101 workload", "IST0110"),
    "gateway-duplicate-certificate.yaml": ("IST0138",),
    "serviceentry-missing-addresses-protocol.yaml": ("IST0134",),
    "virtualservice_conflictingmeshgatewayhosts.yaml": ("IST0109",),
    "virtualservice_conflictingmeshgatewayhosts_with_exportto.yaml": ("IST0109",),
    "virtualservice_destinationhosts.yaml": ("IST0101 host", "IST0112"),
    "virtualservice_destinationrules.yaml": ("IST0101 subset",),
    "virtualservice_gateways.yaml": ("IST0101 gateway",),
    "virtualservice_host_not_found_gateway.yaml": ("IST0132",),
    "virtualservice_host_not_found_gateway_beta.yaml": ("IST0132",),
    "virtualservice_host_not_found_gateway_with_ns_prefix.yaml": ("IST0132",),
    "virtualservice_host_not_found_gateway_with_ns_prefix_beta.yaml": ("IST0132",),
}
"""Files whose comments tell what is expected, and the codes that they are about."""

NO_PORTS = "its ServiceEntry has no ports, so that requests get 503 whatever its name"
HIDING = "upstream tells both objects; we tell the one that has no effect, and name the other in it"
OTHERWISE: dict[tuple[str, int], str] = {
    (
        "virtualservice_destinationhosts.yaml",
        99,
    ): "an empty destination beside it makes the object unreadable (MESH0101)",
    ("virtualservice_destinationhosts.yaml", 123): NO_PORTS,
    (
        "virtualservice_destinationhosts.yaml",
        135,
    ): "a route to a name that only a wildcard service covers gets 503, as in Istio",
    ("virtualservice_destinationhosts.yaml", 146): NO_PORTS,
    (
        "virtualservice_conflictingmeshgatewayhosts_with_exportto.yaml",
        94,
    ): "of overlapping wildcards the more specific one is used: both have an effect",
    (
        "virtualservice_conflictingmeshgatewayhosts_with_exportto.yaml",
        79,
    ): "it has no effect for the clients of namespace foo",
    ("gateway-duplicate-certificate.yaml", 75): HIDING,
    ("gateway-duplicate-certificate.yaml", 114): HIDING,
}
"""(file, line) of expectations that we mean to answer otherwise."""

MADE_FOR: dict[str, tuple[str, set[tuple[str, str]]]] = {
    "analyze-list-type.yaml": (
        "IST0145",
        {("MESH0213", "Gateway/default/beta-l"), ("MESH0213", "Gateway/default/alpha-l")},
    ),
    "conflicting-gateways.yaml": ("IST0145", {("MESH0213", "Gateway/default/beta")}),
    "conflicting-gateways-subSelector.yaml": ("IST0145", {("MESH0213", "Gateway/default/beta")}),
    "gateway-different-port.yaml": ("IST0145", set()),
    "destinationrule-with-fake-host.yaml": (
        "IST0174",
        {("MESH0230", "DestinationRule/default/fake-host")},
    ),
    "destinationrule-subsets-not-select-pods.yaml": (
        "IST0173",
        {("MESH0231", "DestinationRule/default/subsets-not-select-pods")},
    ),
    "destinationrule-empty-topology-labels.yaml": (
        "IST0173",
        {("MESH0231", "DestinationRule/default/empty-topology-labels")},
    ),
    "serviceentry-conflicting-protocol.yaml": (
        "IST0177",
        {("MESH0240", "ServiceEntry/default/se-https")},
    ),
    "serviceentry-conflicting-exportto.yaml": ("IST0177", set()),
    "serviceentry-no-conflict-protocol.yaml": ("IST0177", set()),
    "serviceentry-address-required-lowercase.yaml": (
        "IST0134",
        {("MESH0374", "ServiceEntry/address-missing-lowercase")},
    ),
    "serviceentry-address-required-uppercase.yaml": (
        "IST0134",
        {("MESH0374", "ServiceEntry/address-missing-uppercase")},
    ),
    "sidecar-default-selector.yaml": ("IST0111", {("MESH0252", "Sidecar/ns2/has-conflict-2")}),
    "virtualservice_dupmatches.yaml": (
        "IST0130",
        {
            ("MESH0337", "VirtualService/foo/sample-foo-cluster01"),
            ("MESH0337", "VirtualService/duplicate-match"),
            ("MESH0337", "VirtualService/duplicate-tcp-match"),
            ("MESH0337", "VirtualService/duplicate-empty-tcp"),
            ("MESH0337", "VirtualService/none/tls-routing"),
        },
    ),
    "virtualservice_overlappingmatches.yaml": (
        "IST0131",
        {
            ("MESH0338", "VirtualService/non-method-get"),
            ("MESH0338", "VirtualService/uri-with-prefix-exact"),
            ("MESH0338", "VirtualService/overlapping-in-single-match"),
            ("MESH0338", "VirtualService/overlapping-mathes-with-different-methods"),
        },
    ),
    "virtualservice_internal_gateway_ref.yaml": (
        "IST0165",
        {("MESH0210", "VirtualService/default/httpbin"), ("MESH0316", "VirtualService/httpbin")},
    ),
    "virtualservice_jwtclaimroute.yaml": ("IST0149", {("MESH0290", "VirtualService/foo")}),
    "ist0101": ("IST0101 gateway", {("MESH0210", "VirtualService/default/httpbin")}),
    "ist0109/index.01.yaml": ("IST0109", {("MESH0222", "VirtualService/team-1/productpage")}),
    "ist0109/index.02.yaml": ("IST0109", set()),
    "ist0132": ("IST0132", {("MESH0211", "VirtualService/default/testing-service")}),
}
"""Files (and pages of Istio's documentation) for one analyzer, and what we find of it: (code, object)."""

AUTHORITIES = "IST0128, IST0129: without caCertificates the system's authorities verify the server"
KUBERNETES = (
    "IST0162, IST0101: gateways open their ports themselves, and their labels are not in the store"
)
CREDENTIALS = "IST0101, IST0161: credentials lie on the hosts"
NOT_OURS: dict[str, str] = {
    **dict.fromkeys(
        (
            "destinationrule-compound-mutual-simple.yaml",
            "destinationrule-compound-simple-mutual.yaml",
            "destinationrule-mutual-destination.yaml",
            "destinationrule-mutual-port.yaml",
            "destinationrule-simple-destination-credentialname-selector.yaml",
            "destinationrule-simple-destination-credentialname.yaml",
            "destinationrule-simple-destination.yaml",
            "destinationrule-simple-port-credentialname-selector.yaml",
            "destinationrule-simple-port-credentialname.yaml",
            "destinationrule-simple-port.yaml",
            "destinationrule-with-ca.yaml",
        ),
        AUTHORITIES,
    ),
    **dict.fromkeys(
        (
            "gateway-correct-port.yaml",
            "gateway-custom-ingressgateway-badport-notarget.yaml",
            "gateway-custom-ingressgateway-badport.yaml",
            "gateway-custom-ingressgateway-svcselector.yaml",
            "gateway-custom-ingressgateway-translation.yaml",
            "gateway-custom-ingressgateway.yaml",
            "gateway-no-port.yaml",
            "gateway-no-workload.yaml",
        ),
        KUBERNETES,
    ),
    "gateway-secrets-validation.yaml": CREDENTIALS,
    "gateway-secrets.yaml": CREDENTIALS,
    "authorizationpolicies.yaml": "IST0127: AuthorizationPolicy is no kind of the mesh yet",
    "condition-analyzer.yaml": "IST0153: status conditions are Kubernetes'",
    "deprecation.yaml": "IST0002: fields that Istio has removed are unknown fields",
    "conflicting-gateways-invalid-port.yaml": "refused before: the port is required",
    "conflicting-gateways-multiple-ports.yaml": "refused before: two ports of one name",
    "destinationrule-subsets-with-topology-labels.yaml": "labels of nodes are no labels of workloads; localities are",
    "serviceentry-address-allocated.yaml": "addresses are not allocated, so status.addresses has no meaning",
    "virtualservice_kubernetes_gateways.yaml": "Gateways of gateway.networking.k8s.io are no kind of the mesh",
    "virtualservice_route_rule_no_effects_ingress.yaml": "IST0140: rules of the mesh never hold at gateways, by design",
}
"""Files that are about what the mesh does not have or decides otherwise."""

_KINDS = frozenset(
    ("VirtualService", "DestinationRule", "Gateway", "ServiceEntry", "Sidecar", "WorkloadEntry")
)
_WRONG = re.compile(
    r"(?<!not )(generate|result in|have) (an |a )?(validation )?errors?|Expected: validation error"
    r"|# validation error|is an error|should generate an error|conflict with bar/ratings",
)
_FINE = re.compile(
    r"(not|n't) generate|no validation error|No validation error|no errors?\b|# Should match|should match"
    r"|no conflict",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Expectation:
    """What a comment says about its line."""

    line: int
    is_wrong: bool
    word: str
    """The value of the line."""


@cache
def findings(place: Path) -> tuple[tuple[Diagnostic, ...], tuple[Document, ...]]:
    """What we say about the objects of a file or folder, in a mesh that holds the services and pods of it."""
    manifest = read_paths([str(place)])
    documents = [one for one in manifest.documents if one.value.get("kind") in _KINDS]
    documents = [one for one in documents if "istio" in str(one.value.get("apiVersion"))]
    store = Store()
    for one in as_mesh_objects([document.value for document in manifest.documents]):
        store.put([one])
    written = [one for one in map(written_document, documents) if one is not None]
    found = [problem for document in documents for problem in check_document(document)]
    return tuple(sorted({*found, *analyze(written, store.catalog)})), tuple(documents)


def of(problems: tuple[Diagnostic, ...], codes: tuple[str, ...]) -> list[Diagnostic]:
    """Those that answer some of Istio's codes."""
    ours = {code for theirs in codes for code in CODES_OF[theirs]}
    return [problem for problem in problems if problem.code in ours]


def expectations(file: Path) -> Iterator[Expectation]:
    """What the comments of a file expect."""
    for number, line in enumerate(file.read_text().splitlines(), 1):
        value, _, comment = line.partition("#")
        if not value.strip():
            continue
        word = value.strip(" -\"'").rpartition(" ")[2].strip("\"'")
        if _FINE.search(comment):
            yield Expectation(number, is_wrong=False, word=word)
        elif _WRONG.search(f"# {comment.strip()}"):
            yield Expectation(number, is_wrong=True, word=word)


def is_told(
    expected: Expectation, problems: list[Diagnostic], documents: tuple[Document, ...]
) -> bool:
    """Whether a problem stands at the line, is about the object that it names, or names it as the other one."""
    about = [one for one in documents if one.line <= expected.line][-1]
    metadata = about.value["metadata"]
    assert isinstance(metadata, dict), expected
    place = f"{metadata.get('namespace', 'default')}/{metadata['name']}"
    is_name = about.locate(("metadata", "name"))[0] == expected.line
    return any(
        problem.line == expected.line
        or (expected.is_wrong and f"{place} " in problem.message)
        or (
            problem.object.endswith(place)
            and (is_name or (expected.is_wrong and expected.word in problem.message))
        )
        for problem in problems
    )


@pytest.mark.parametrize("name", COMMENTED)
def test_comments_of_upstream_hold(name: str, count: Count) -> None:
    problems, documents = findings(TESTDATA / name)
    relevant = of(problems, COMMENTED[name])
    wrong = []
    row = " ".join(COMMENTED[name])
    expected = list(expectations(TESTDATA / name))
    assert any(one.is_wrong for one in expected)
    for one in expected:
        is_met = is_told(one, relevant, documents) == one.is_wrong
        is_excepted = (name, one.line) in OTHERWISE
        count(row, "exceptions" if is_excepted else "objects", 1)
        if is_met == is_excepted:
            wrong.append(f"{name}:{one.line} wants {'a problem' if one.is_wrong else 'none'}")
    count(row, "files", 1)
    assert wrong == []


@pytest.mark.parametrize("name", MADE_FOR)
def test_what_a_file_is_made_for_is_found(name: str, count: Count) -> None:
    place = PAGES / name if name.startswith("ist0") else TESTDATA / name
    theirs, expected = MADE_FOR[name]
    found = of(findings(place)[0], (theirs,))
    count(theirs, "files", 1)
    count(theirs, "objects", len(expected))
    assert {(problem.code, problem.object) for problem in found} == expected


def test_every_file_with_our_kinds_is_accounted_for() -> None:
    files = {file.name for file in TESTDATA.glob("*.yaml") if findings(file)[1]}
    told = {*COMMENTED, *(name for name in MADE_FOR if not name.startswith("ist0")), *NOT_OURS}
    assert sorted(files ^ told) == []


@pytest.mark.parametrize("code", CODES_OF)
def test_every_row_of_codes_is_shown_by_a_file(code: str) -> None:
    codes = {
        *(one for row in COMMENTED.values() for one in row),
        *(row for row, _ in MADE_FOR.values()),
    }
    assert code in codes
