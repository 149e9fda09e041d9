"""Objects that no one here wrote: what upstream calls valid is accepted, what it calls invalid is refused.

The counts stand at the end of the run. Each file that upstream means to be valid and that is refused here
stands in `EXCEPTIONS` with its reason; a row that no longer holds fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from store.diagnostics import Diagnostic, Level, render
from store.manifest import Document, read_paths
from store.validation import check_document

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(
        not CORPUS.is_dir(), reason="Istio's objects are not here (looked in ../shared/corpus)"
    ),
]

SHELL = "holds shell variables that the reader of the page fills in"
ELLIPSIS = 'leaves parts out with "...", which ends a YAML document'
FRAGMENT = "shows a part of an object"
UPPER = "the name has upper-case letters, which Kubernetes refuses as well"
NOT_ADMITTED = "made for the analyzers, which read what admission would refuse"

_DOCS = "istio-docs/content/en/docs/"
_ANALYSIS = "istio-analysis-testdata/pkg/config/analysis/analyzers/testdata/"

EXCEPTIONS: dict[str, str] = {
    "api-proto-examples/virtual_service.08.yaml": UPPER,
    "api-proto-examples/virtual_service.09.yaml": UPPER,
    "api-proto-examples/virtual_service.17.yaml": "snake case (prefix_rewrite), which the CRD does not know",
    "istio-samples/samples/ambient-argo/tag-chart/templates/validatingwebhook.yaml": "a Helm template, not YAML",
    _DOCS + "concepts/traffic-management/index.05.yaml": FRAGMENT,
    _DOCS + "examples/microservices-istio/istio-ingress-gateway/index.01.yaml": SHELL,
    _DOCS + "ops/best-practices/traffic-management/index.06.yaml": FRAGMENT,
    _DOCS + "ops/configuration/traffic-management/tls-configuration/index.01.yaml": ELLIPSIS,
    _DOCS + "ops/configuration/traffic-management/tls-configuration/index.02.yaml": ELLIPSIS,
    _DOCS + "ops/configuration/traffic-management/tls-configuration/index.03.yaml": ELLIPSIS,
    _DOCS + "ops/diagnostic-tools/istioctl-analyze/index.01.yaml": ELLIPSIS,
    _DOCS
    + "reference/config/analysis/ist0155/index.01.yaml": 'two objects without a "---" between them',
    _DOCS
    + "reference/config/analysis/ist0155/index.02.yaml": 'two objects without a "---" between them',
    _DOCS + "setup/additional-setup/gateway/index.01.yaml": FRAGMENT,
    _DOCS + "setup/install/external-controlplane/index.01.yaml": SHELL,
    **{_DOCS + f"setup/install/virtual-machine/index.0{n}.yaml": SHELL for n in range(1, 4)},
    **{_DOCS + f"tasks/observability/gateways/index.0{n}.yaml": SHELL for n in range(1, 9)},
    _DOCS + "tasks/traffic-management/egress/http-proxy/index.01.yaml": SHELL,
    **{
        _ANALYSIS + name: NOT_ADMITTED
        for name in (
            "authorizationpolicies.yaml",
            "condition-analyzer.yaml",
            "conflicting-gateways-invalid-port.yaml",
            "conflicting-gateways-multiple-ports.yaml",
            "deprecation.yaml",
            "gateway-no-workload.yaml",
            "gateway-secrets.yaml",
            "sidecar-default-selector.yaml",
            "virtualservice_destinationhosts.yaml",
            "virtualservice_gateways.yaml",
            "virtualservice_host_not_found_gateway.yaml",
            "virtualservice_host_not_found_gateway_beta.yaml",
            "virtualservice_internal_gateway_ref.yaml",
        )
    },
}

FOLDERS = (
    "api-proto-examples",
    "istio-analysis-testdata",
    "istio-docs",
    "istio-samples",
    "istio-test-datasets",
    "istio-validation-testdata",
)

# What upstream's message means in our words, where it names no field: part of the message, then the field.
PLACES = (
    ("wildcard is not supported in selector", "spec.workloadSelector.labels"),
    ("only one of WorkloadSelector or Endpoints can be set", "spec.endpoints"),
    ("hostname cannot be wildcard", "spec.hosts[0]"),
    ("CIDR addresses are allowed only", "spec.addresses[0]"),
    ("Duplicate value", "spec.ports[1].name"),
    ("port number cannot be duplicated", "spec.ports[1].number"),
    ("port must be between 1-65535", "spec."),
    ("NONE mode cannot set endpoints", "spec.endpoints"),
    ("DNS_ROUND_ROBIN mode cannot have multiple endpoints", "spec.endpoints"),
    ("Address is required", "spec.address"),
    ("UDS must be an absolute path", "spec.address"),
    ("UDS may not be a dir", "spec.address"),
    ("UDS may not include ports", "spec.ports"),
    ("key must not be empty", "spec."),
)

Count = Callable[[str, str, int], None]


def files(folder: str) -> list[Path]:
    """All files of one folder of the corpus."""
    return sorted((CORPUS / folder).rglob("*.yaml"))


def read(file: Path) -> tuple[list[Document], list[Diagnostic]]:
    """The documents of a file, without upstream's `_err`, and every problem of it."""
    manifest = read_paths([str(file)])
    problems = list(manifest.diagnostics)
    for document in manifest.documents:
        document.value.pop("_err", None)
        problems += check_document(document)
    return list(manifest.documents), problems


def errors(problems: list[Diagnostic]) -> list[Diagnostic]:
    """Those that are errors."""
    return [problem for problem in problems if problem.level is Level.ERROR]


def tally(count: Count, folder: str, documents: list[Document], problems: list[Diagnostic]) -> None:
    """Count what became of the documents of one file."""
    skipped = sum(problem.code == "MESH0112" for problem in problems)
    refused = {(p.file, p.object) for p in errors(problems) if p.object}
    count(folder, "files", 1)
    count(folder, "objects", len(documents) - skipped)
    count(folder, "refused", len(refused))
    count(folder, "warnings", sum(problem.level is Level.WARNING for problem in problems))
    count(folder, "other kinds", skipped)


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_upstream_means_to_be_valid_is_accepted(folder: str, count: Count) -> None:
    unexpected: list[Diagnostic] = []
    stale: list[str] = []
    for file in files(folder):
        if file.stem.endswith("-invalid"):
            continue
        documents, problems = read(file)
        tally(count, folder, documents, problems)
        name = str(file.relative_to(CORPUS))
        if name in EXCEPTIONS:
            count(folder, "exceptions", 1)
            stale += [] if errors(problems) else [name]
        else:
            unexpected += errors(problems)
    assert not unexpected, "\n" + render(unexpected)
    assert not stale, f"no exception any more: {stale}"


def test_exceptions_name_files_that_are_there() -> None:
    assert [name for name in EXCEPTIONS if not (CORPUS / name).exists()] == []


def test_exceptions_for_shell_variables_hold_some() -> None:
    for name, reason in EXCEPTIONS.items():
        if reason is SHELL:
            problems = errors(read(CORPUS / name)[1])
            assert all("$" in problem.message for problem in problems), render(problems)


def invalid() -> list[Any]:
    """Every document that upstream says must be refused, with the words that it says it with."""
    return [
        pytest.param(document, id=f"{file.stem}:{document.line}")
        for file in files("istio-validation-testdata")
        if file.stem.endswith("-invalid")
        for document in read_paths([str(file)]).documents
    ]


@pytest.mark.parametrize("document", invalid() if CORPUS.is_dir() else [])
def test_what_upstream_refuses_is_refused_at_the_same_field(
    document: Document, count: Count
) -> None:
    reason = str(document.value.pop("_err", ""))
    problems = check_document(document)
    if any(problem.code == "MESH0112" for problem in problems):
        count("upstream's refusals", "other kinds", 1)
        return
    count("upstream's refusals", "objects", 1)
    found = errors(problems)
    assert found, f"accepted, but upstream says: {reason}"
    count("upstream's refusals", "refused", 1)
    place = place_of(reason)
    assert any(problem.path.startswith(place) for problem in found), f"{reason}\n{render(found)}"


def place_of(reason: str) -> str:
    """The field that upstream's message is about; empty where it does not say."""
    stated = re.match(r"(spec[\w.\[\]]*)(?::| in body)", reason)
    if stated:
        return stated.group(1)
    places = [place for words, place in PLACES if words in reason]
    assert places or not reason or reason == "TODO", f"a reason without a place: {reason}"
    return places[0] if places else ""
