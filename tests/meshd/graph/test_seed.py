"""The eight pictures that the project's first document describes, made from deploy/samples/seed, held as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.command_line import TOP, CommandLine

GOLDEN = TOP / "tests" / "data" / "graph"
SEED = "deploy/samples/seed"
SUBSETS = "subsets-destination-rule.yaml"
COOKIE = "cookie-regex-virtual-service.yaml"
GATEWAY = ("https-gateway.yaml", "gateway-virtual-service.yaml")


@dataclass(frozen=True)
class Picture:
    """One golden picture: what it is of, and the words that a person would type for it."""

    name: str
    files: tuple[str, ...]
    words: tuple[str, ...] = ()

    def command(self, form: str) -> tuple[str, ...]:
        """The words after `meshd`."""
        given = [word for file in self.files for word in ("-f", f"{SEED}/{file}")]
        return ("graph", "-q", *given, *self.words, "-o", form)


PICTURES = (
    Picture("two-versions", ("services.yaml",), ("--host", "service")),
    Picture("workloads", ("services.yaml",)),
    Picture(
        "one-subset",
        ("services.yaml", "wildcard-virtual-service.yaml"),
        ("--host", "*.my-co.org"),
    ),
    Picture("cookie-match", ("services.yaml", SUBSETS, COOKIE), ("--host", "my-svc")),
    Picture(
        "namespace-by-prefix",
        ("services.yaml", "namespace-uri-virtual-service.yaml"),
        ("-n", "my-namespace", "--host", "*.my-namespace.svc.cluster.local"),
    ),
    Picture(
        "ingress-gateway",
        ("services.yaml", SUBSETS, *GATEWAY),
        ("--host", "ext-host.example.com"),
    ),
    Picture(
        "subset-policies",
        ("services.yaml", SUBSETS, COOKIE, *GATEWAY),
        ("--host", "my-svc"),
    ),
    Picture(
        "external-service",
        ("external-service-entry.yaml", "external-mutual-tls-destination-rule.yaml"),
        ("--host", "ext-resource.com"),
    ),
)


def drawn(picture: Picture, form: str) -> str:
    ran = CommandLine(TOP)(*picture.command(form))
    assert (ran.status, ran.err) == (0, "")
    return ran.out


@pytest.mark.parametrize(("form", "ending"), [("text", "txt"), ("svg", "svg")])
@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_the_picture_is_the_one_that_was_looked_at(
    picture: Picture, form: str, ending: str, rewrite: bool
) -> None:
    file = GOLDEN / f"{picture.name}.{ending}"
    found = drawn(picture, form)
    if rewrite:
        file.write_text(found)
    assert file.read_text() == found, (
        f"look at what is different; to keep it: pytest --rewrite {Path(__file__).relative_to(TOP)}, "
        f"or by hand: meshd {' '.join(picture.command(form))} > {file.relative_to(TOP)}"
    )


def test_there_is_no_golden_picture_that_nothing_makes() -> None:
    made = {f"{picture.name}.{ending}" for picture in PICTURES for ending in ("txt", "svg")}
    assert {file.name for file in GOLDEN.iterdir()} == made


# What each picture must tell, whatever it looks like: so that a rewrite cannot lose it unseen.
TOLD = {
    "two-versions": (
        "192.0.2.41:8080  healthy  version=v1",
        "192.0.2.42:8080  healthy  version=v2",
    ),
    "workloads": ("192.0.2.11:8080", "192.0.2.31:8080", "192.0.2.51:8080", "192.0.2.52:8080"),
    "one-subset": (
        "host *.my-co.org:80",
        "100 % to subset v1 of service.default",
        "192.0.2.41:8080",
    ),
    "cookie-match": (
        'route: header cookie matches regex "^(.*?;)?(user=jason)(;.*)?$"',
        "100 % to subset v2 of my-svc",
        "100 % to subset v1 of my-svc",
        "no route drawn here: subset v3 of my-svc.default.svc.cluster.local:80  unreached",
    ),
    "namespace-by-prefix": (
        'route: path starts with "/svc-1"',
        "100 % to service svc-1.my-namespace.svc.cluster.local:80",
        'route: path starts with "/svc-2"',
        "100 % to service svc-2.my-namespace.svc.cluster.local:80",
    ),
    "ingress-gateway": (
        "gateway default/ext-host-gwy  port 443 HTTPS, TLS SIMPLE",
        "host ext-host.example.com:443",
        "100 % to subset v3 of my-svc",
    ),
    "subset-policies": (
        "ROUND_ROBIN by DestinationRule/default/my-destination-rule@1 spec.subsets[1].trafficPolicy",
        "RANDOM by DestinationRule/default/my-destination-rule@1 spec.trafficPolicy",
        "100 % to subset v3 of my-svc",
    ),
    "external-service": (
        "100 % to external service ext-resource.com:80",
        "TLS MUTUAL",
        "addresses by DNS",
        "endpoint ext-resource.com:443",
    ),
}


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_the_picture_tells_what_the_text_describes(picture: Picture) -> None:
    text = (GOLDEN / f"{picture.name}.txt").read_text()
    assert [words for words in TOLD[picture.name] if words not in text] == []
