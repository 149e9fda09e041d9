"""The steps of the demo: what is put, what is asked, and where the requests must go."""

from __future__ import annotations

from dataclasses import dataclass

from meshd.demo.traffic import Question

__all__ = ["BROKEN", "STEPS", "Illness", "Step"]

BROKEN = "broken/reviews.yaml"
"""The object that is wrong, below deploy/samples."""
JASON = {"cookie": "session=7; user=jason"}
PAGE = "http://productpage:9080/productpage"
REVIEWS = "http://reviews:9080/reviews/0"


def _page(version: str) -> str:
    """Where a request for the page goes when reviews of that version answer."""
    return f"productpage v1 > {_reviews(version)}"


def _reviews(version: str) -> str:
    return "reviews v1" if version == "v1" else f"reviews {version} > ratings v1"


@dataclass(frozen=True, slots=True)
class Illness:
    """One copy of a service that begins to fail, and is well again after a while."""

    service: str
    version: str
    """Of the copy."""
    url: str
    """What hosts ask for meanwhile."""
    well: str
    """Where requests to it go while it is well, as `meshd.demo.traffic.went_to` names it."""
    others: tuple[str, ...]
    """Where requests to the other copies go."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the walk."""

    title: str
    text: str
    """What it shows."""
    files: tuple[str, ...]
    """Samples that it puts, below deploy/samples."""
    questions: tuple[Question, ...]
    trace: tuple[str, ...] = ()
    """Arguments of `meshd trace` after the questions; empty for none."""
    illness: Illness | None = None
    """What happens to one of its services before the questions; None: nothing."""
    shows_status: bool = False
    """Whether one host is asked how all are."""
    is_broken: bool = False
    """Whether the files go past validation, by etcdctl, and must end in quarantine."""


STEPS = (
    Step(
        "default routing",
        "Hosts registered their workloads, and that alone makes them services. A DestinationRule names the\n"
        "versions of reviews; without a VirtualService requests go to all of them in turn.",
        ("bookinfo/01-subsets.yaml",),
        (
            Question(
                "120 for the page, from every host in turn",
                PAGE,
                120,
                {_page("v1"): 1 / 3, _page("v2"): 1 / 3, _page("v3"): 1 / 3},
            ),
        ),
        shows_status=True,
    ),
    Step(
        "all to v1",
        "A VirtualService sends every request for reviews to the subset v1.",
        ("bookinfo/02-all-to-v1.yaml",),
        (Question("60 for the page, from every host in turn", PAGE, 60, {_page("v1"): 1}),),
    ),
    Step(
        "user jason to v2",
        "A rule on the cookie: jason sees black stars, everybody else no stars. The page passes the cookie on.",
        ("bookinfo/03-jason-to-v2.yaml",),
        (
            Question("60 for the page by jason", PAGE, 60, {_page("v2"): 1}, headers=JASON),
            Question(
                "60 for the page by anna",
                PAGE,
                60,
                {_page("v1"): 1},
                headers={"cookie": "user=anna"},
            ),
        ),
        trace=("--from", "vm-1", "GET", REVIEWS, "-H", "cookie: user=jason"),
    ),
    Step(
        "canary, 90 to 10",
        "One of ten requests goes to v3, whoever sends it.",
        ("bookinfo/04-canary.yaml",),
        (
            Question(
                "600 for reviews, from every host in turn",
                REVIEWS,
                600,
                {_reviews("v1"): 0.9, _reviews("v3"): 0.1},
            ),
        ),
    ),
    Step(
        "URI prefixes in a namespace",
        "One VirtualService for every service of the namespace shop: the path decides, whichever name was asked.",
        ("bookinfo/05-uri-prefixes.yaml",),
        (
            Question(
                "30 for /catalog/7, by the name of orders",
                "http://orders.shop.svc.cluster.local:9080/catalog/7",
                30,
                {"catalog v1": 1},
            ),
            Question(
                "30 for /orders/7, by the name of catalog",
                "http://catalog.shop.svc.cluster.local:9080/orders/7",
                30,
                {"orders v1": 1},
            ),
            Question(
                "30 for /else, which no rule matches",
                "http://orders.shop.svc.cluster.local:9080/else",
                30,
                {"HTTP 404": 1},
            ),
        ),
    ),
    Step(
        "HTTPS ingress gateway",
        "A Gateway opens a port with a certificate on the host in gateway role; a VirtualService lets one page in.",
        ("bookinfo/06-https-gateway.yaml",),
        (
            Question(
                "60 for https://books.example.com/productpage, from outside",
                "https://books.example.com:{gateway}/productpage",
                60,
                {_page("v1"): 0.9, _page("v3"): 0.1},
                door="direct",
            ),
            Question(
                "30 for another path",
                "https://books.example.com:{gateway}/admin",
                30,
                {"HTTP 404": 1},
                door="direct",
            ),
        ),
    ),
    Step(
        "external service over mutual TLS",
        "Applications ask in plain text; the sidecar shows the certificate that the service outside demands.",
        ("bookinfo/07-external-mutual-tls.yaml",),
        (
            Question(
                "10 straight to it, without a certificate",
                "https://quotes.example.com:{outside}/today",
                10,
                {"refused": 1},
                door="direct",
            ),
            Question(
                "60 for http://quotes.example.com/today, from every host in turn",
                "http://quotes.example.com/today",
                60,
                {"quotes v1 (client demo-mesh)": 1},
            ),
        ),
    ),
    Step(
        "a bad object, put with etcdctl",
        "`meshd put` would refuse this. Past it, every sidecar quarantines the object, says why, and goes on\n"
        "serving the last valid version of it: the canary.",
        (BROKEN,),
        (
            Question(
                "600 for reviews, from every host in turn",
                REVIEWS,
                600,
                {_reviews("v1"): 0.9, _reviews("v3"): 0.1},
            ),
        ),
        is_broken=True,
    ),
    Step(
        "and mended",
        "Putting a valid version ends the quarantine.",
        ("bookinfo/02-all-to-v1.yaml",),
        (Question("60 for reviews, from every host in turn", REVIEWS, 60, {_reviews("v1"): 1}),),
    ),
    Step(
        "one endpoint falls ill",
        "Each sidecar tells the others what its own requests met. When reviews v2 begins to fail, every host leaves\n"
        "it out after a few failures in all: alone, each Envoy would need five of its own. Well again, it returns.",
        ("bookinfo/08-outlier-detection.yaml",),
        (
            Question(
                "90 for reviews, from every host in turn, now that it is well",
                REVIEWS,
                90,
                {_reviews("v1"): 1 / 3, _reviews("v2"): 1 / 3, _reviews("v3"): 1 / 3},
            ),
        ),
        illness=Illness("reviews", "v2", REVIEWS, _reviews("v2"), (_reviews("v1"), _reviews("v3"))),
    ),
)
"""All steps, in order; later ones build on the objects of earlier ones."""
