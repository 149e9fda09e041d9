"""What a route makes of a request. A differential test holds all of this against a real Envoy."""

from __future__ import annotations

import pytest

from sidecar.mesh.model import Provenance
from sidecar.routing.effects import (
    redirected_to,
    redirected_to_https,
    request_fields,
    response_fields,
    sent_authority,
    sent_path,
)
from sidecar.routing.match import Request
from sidecar.routing.table import (
    Cluster,
    Forward,
    HeaderEdits,
    MatcherKind,
    Redirect,
    Rewrite,
    Route,
    RouteMatch,
    ValueMatch,
    WeightedCluster,
)

PREFIX = ValueMatch(MatcherKind.PREFIX, "/a")
EXACT = ValueMatch(MatcherKind.EXACT, "/a/b")


@pytest.mark.parametrize(
    ("rewrite", "matched", "sent"),
    [
        (None, PREFIX, "/a/b?q=/a"),
        (Rewrite(authority="x"), PREFIX, "/a/b?q=/a"),
        (Rewrite(prefix="/z"), PREFIX, "/z/b?q=/a"),
        (Rewrite(prefix="/z"), EXACT, "/z?q=/a"),
        (Rewrite(prefix="/z"), ValueMatch(MatcherKind.REGEX, "/a.*"), "/z?q=/a"),
        (Rewrite(regex="/a", substitution="/z"), PREFIX, "/z/b?q=/a"),
    ],
)
def test_the_path_is_rewritten_and_the_query_kept(
    rewrite: Rewrite | None, matched: ValueMatch, sent: str
) -> None:
    assert sent_path(rewrite, matched, "/a/b?q=/a") == sent


def test_the_rules_authority_beats_the_destinations() -> None:
    target = WeightedCluster(Cluster.PASSTHROUGH, authority="theirs")
    plain, rewriting = Forward((target,)), Forward((target,), rewrite=Rewrite(authority="ours"))
    assert sent_authority(plain, target, "sent") == "theirs"
    assert sent_authority(rewriting, target, "sent") == "ours"
    assert sent_authority(plain, WeightedCluster(Cluster.PASSTHROUGH), "sent") == "sent"


RULE = HeaderEdits(request_set=(("x", "rule"),), request_add=(("y", "rule"),))
THEIRS = HeaderEdits(
    request_set=(("x", "theirs"),), request_remove=("y",), response_add=(("z", "1"),)
)


def route_to(*targets: WeightedCluster) -> Route:
    return Route("", RouteMatch(), Forward(targets), Provenance(None), edits=RULE)


def test_removals_come_before_what_is_set_and_added() -> None:
    only = WeightedCluster(Cluster.PASSTHROUGH, edits=THEIRS)
    fields = request_fields(route_to(only), only, (("x", "1"), ("y", "1"), ("x", "2")))
    assert fields == (("x", "theirs"), ("y", "rule"))


def test_of_several_destinations_each_ones_edits_come_before_the_rules() -> None:
    one = WeightedCluster(Cluster.PASSTHROUGH, edits=THEIRS)
    fields = request_fields(route_to(one, one), one, (("y", "1"),))
    assert fields == (("x", "rule"), ("y", "rule"))


def test_an_answer_is_edited_for_the_destination_that_gave_it_or_none() -> None:
    one = WeightedCluster(Cluster.PASSTHROUGH, edits=THEIRS)
    assert response_fields(route_to(one), one, (("z", "0"),)) == (("z", "0"), ("z", "1"))
    assert response_fields(route_to(one), None, (("z", "0"),)) == (("z", "0"),)


@pytest.mark.parametrize(
    ("redirect", "location"),
    [
        (Redirect(), "http://a:80/a/b?q=1"),
        (Redirect(path="/r"), "http://a:80/r?q=1"),
        (Redirect(path="/r?s=2"), "http://a:80/r?s=2"),
        (Redirect(prefix="/p"), "http://a:80/p/b?q=1"),
        (Redirect(scheme="https"), "https://a/a/b?q=1"),
        (Redirect(port=8080), "http://a:8080/a/b?q=1"),
        (Redirect(authority="other:1", port=2), "http://other:1:2/a/b?q=1"),
        (Redirect(authority="other"), "http://other/a/b?q=1"),
    ],
)
def test_a_redirect_leads_where_envoy_writes(redirect: Redirect, location: str) -> None:
    request = Request(authority="a:80", path="/a/b?q=1")
    assert redirected_to(redirect, PREFIX, request) == location


def test_a_redirect_keeps_an_unusual_port_and_brackets() -> None:
    request = Request(authority="[::1]:8080", path="/")
    assert redirected_to(Redirect(scheme="https"), PREFIX, request) == "https://[::1]:8080/"
    assert redirected_to(Redirect(port=1), PREFIX, request) == "http://[::1]:1/"
    assert redirected_to_https(request) == "https://[::1]:8080/"
