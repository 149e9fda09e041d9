"""The eight objects that the project was created from: what `meshd validate` says, and what is left after its mends.

They are faulty in themselves, and then between one another: the quiet faults. What is said about the originals
stands in `transcripts/seed/published.txt`. The mends that it asks for are made here; in a mesh that has the
workloads, the rest is then told (`mended_once.txt`), and with those mends made as well, nothing.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from meshd.analysis import analyze, given_twice, written_document
from store.diagnostics import Diagnostic, Level, render
from store.manifest import Manifest, read_text
from store.validation import check_document
from tests.harness.catalogs import Store
from tests.harness.command_line import CommandLine

SEED = Path(__file__).parents[4] / "shared" / "corpus" / "seed"
TRANSCRIPTS = Path(__file__).parent / "transcripts" / "seed"

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(
        not SEED.is_dir(), reason="the published objects are not here (looked in ../shared)"
    ),
]

COOKIE = """apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata:
  name: my-vtl-svc
spec:
  hosts:
    - my-vtl-svc
  http:
    - match:
      - headers:
          cookie:
            regex: "^(.*?;)?(user=jason)(;.*)?$"
      route:
      - destination:
          host: my-svc
          subset: v2
    - route:
      - destination:
          host: my-svc
          subset: v1
"""
WILDCARD = """apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata:
  name: my-co-org
spec:
  hosts:
    - "*.my-co.org"
  http:
    - route:
      - destination:
          host: service
          subset: v1
"""
PLACE = ".my-namespace.svc.cluster.local"
RULES = """  http:
    - route:
      - destination:
          host: my-svc
"""
SERVICE_RULE = """apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: service
spec:
  host: service
  subsets:
  - name: v1
    labels:
      version: v1
"""

WORKLOADS = (
    *(("default", "my-svc", version) for version in ("v1", "v2", "v3")),
    ("default", "service", "v1"),
    ("my-namespace", "svc-1", "v1"),
    ("my-namespace", "svc-2", "v1"),
)


def texts() -> dict[str, str]:
    """The files as published."""
    return {file.name: file.read_text() for file in sorted(SEED.glob("*.yaml"))}


def mended_once() -> dict[str, str]:
    """The files with the mends that `meshd validate` asks for, in the places that it names."""
    files = texts()
    files["cookie-regex-virtual-service.yaml"] = COOKIE
    files["wildcard-virtual-service.yaml"] = WILDCARD
    for name, old, new in (
        ("namespace-uri-virtual-service.yaml", "- *.my", '- "*.my'),
        ("namespace-uri-virtual-service.yaml", "cluster.local\n", 'cluster.local"\n'),
        ("namespace-uri-virtual-service.yaml", "host: svc-1", f"host: svc-1{PLACE}"),
        ("namespace-uri-virtual-service.yaml", "host: svc-2", f"host: svc-2{PLACE}"),
        ("gateway-virtual-service.yaml", "- ext-svc", "- ext-host.example.com"),
        ("gateway-virtual-service.yaml", "ext-host-gwy\n", "ext-host-gwy\n" + RULES),
        ("https-gateway.yaml", "- ext-host\n", "- ext-host.example.com\n"),
        ("external-service-entry.yaml", "number: 443", "number: 80"),
        ("external-service-entry.yaml", "protocol: HTTPS", "protocol: HTTP\n    targetPort: 443"),
        ("external-service-entry.yaml", "MESH_EXTERNAL", "MESH_EXTERNAL\n  resolution: DNS"),
    ):
        assert old in files[name], (name, old)
        files[name] = files[name].replace(old, new)
    return files


def mended_twice() -> dict[str, str]:
    """The same with what is said after that mended as well."""
    files = mended_once()
    rule = files["subsets-destination-rule.yaml"].replace("host: my-vtl-svc", "host: my-svc")
    return {**files, "subsets-destination-rule.yaml": rule, "service-rule.yaml": SERVICE_RULE}


def mesh() -> Store:
    """A mesh in which the workloads run that the objects route to."""
    workloads = [
        {
            "name": f"{service}-{version}",
            "namespace": namespace,
            "address": f"10.0.0.{number}",
            "service": service,
            "labels": {"version": version},
            "ports": [{"number": 80, "name": "http"}],
        }
        for number, (namespace, service, version) in enumerate(WORKLOADS, 1)
    ]
    host = {"apiVersion": "meshd.io/v1", "kind": "HostRegistration", "host": "vm-1"}
    return Store([{**host, "workloads": workloads}])


def judged(files: dict[str, str]) -> tuple[list[Diagnostic], Manifest]:
    """Everything that is said about the files in that mesh."""
    manifest = Manifest()
    for name, text in files.items():
        manifest += read_text(text, name)
    written = [w for document in manifest.documents if (w := written_document(document))]
    alone = [p for document in manifest.documents for p in check_document(document)]
    across = analyze(written, mesh().catalog)
    twice = given_twice(manifest.documents, "default")
    return sorted({*manifest.diagnostics, *alone, *across, *twice}), manifest


def check(name: str, text: str, *, rewrite: bool) -> None:
    """Compare with, or write, a transcript."""
    path = TRANSCRIPTS / name
    if rewrite:
        path.write_text(text)
    expected = path.read_text()
    difference = difflib.unified_diff(expected.split("\n"), text.split("\n"), lineterm="")
    assert text == expected, "\n".join(difference)


def test_what_is_said_about_the_published_objects(tmp_path: Path, rewrite: bool) -> None:
    line = CommandLine(tmp_path)
    for name, text in texts().items():
        line.file(name, text)
    ran = line("validate", *texts())
    assert ran.status == 3
    check("published.txt", ran.text() + "\n", rewrite=rewrite)


@pytest.mark.parametrize(
    ("code", "file", "words"),
    [
        ("MESH0211", "gateway-virtual-service.yaml", ("ext-svc", "ext-host", "https-gateway")),
        ("MESH0330", "gateway-virtual-service.yaml", ("no rules",)),
        (
            "MESH0232",
            "external-mutual-tls-destination-rule.yaml",
            ("ext-resource.com", "443", "HTTPS", "external-service-entry.yaml"),
        ),
        ("MESH0206", "namespace-uri-virtual-service.yaml", ("svc-1.default", "my-namespace")),
        ("MESH0260", "wildcard-virtual-service.yaml", ("my-vtl-svc", "cookie-regex")),
    ],
)
def test_the_quiet_faults_are_told(code: str, file: str, words: tuple[str, ...]) -> None:
    problems, _ = judged(texts())
    said = [f"{p.message} {p.hint}" for p in problems if p.code == code and p.file == file]
    if code == "MESH0206":  # in a whole mesh it is known that nothing has the name
        code = "MESH0201"
        said = [f"{p.message} {p.hint}" for p in problems if p.code == code and p.file == file]
    assert any(all(word in one for word in words) for one in said), said


def test_what_is_left_is_told_once_the_first_mends_are_made(rewrite: bool) -> None:
    problems, manifest = judged(mended_once())
    check("mended_once.txt", render(problems, manifest.sources), rewrite=rewrite)


def test_with_all_mends_made_nothing_is_left() -> None:
    problems, manifest = judged(mended_twice())
    assert [p for p in problems if p.level is not Level.INFO] == [], render(
        problems, manifest.sources
    )
