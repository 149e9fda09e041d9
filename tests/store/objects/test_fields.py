from __future__ import annotations

import pytest

from store.errors import NotFoundError
from store.objects.fields import FieldDoc, describe, describe_path, walk
from store.objects.kinds import Kind


def child(doc: FieldDoc, name: str) -> FieldDoc:
    return next(one for one in doc.children if one.name == name)


@pytest.mark.parametrize("kind", Kind)
def test_every_field_says_what_it_means(kind: Kind) -> None:
    silent = [doc.path for doc in walk(kind) if not doc.description or doc.type == "anything"]
    assert not silent


@pytest.mark.parametrize("kind", Kind)
def test_every_field_can_be_asked_for_by_its_path(kind: Kind) -> None:
    for doc in walk(kind):
        found = describe_path(doc.path)
        assert (found.path, found.description) == (doc.path, doc.description)


def test_a_field_is_explained_with_type_default_limits_and_children() -> None:
    retries = describe_path("virtualservice.spec.http.retries")
    assert retries.path == "VirtualService.spec.http[].retries"
    assert retries.type == "HTTPRetry"
    attempts = child(retries, "attempts")
    assert (attempts.type, attempts.required, attempts.limits) == ("whole number", False, "")
    backoff = child(retries, "backoff")
    assert (backoff.type, backoff.default, backoff.limits) == ("duration", "25 ms", "at least 1ms")
    assert backoff.unit == "h, m, s, ms, us, ns"
    assert child(retries, "retryIgnorePreviousHosts").default == "true"


def test_lists_and_maps_are_marked_in_type_and_path() -> None:
    match = describe(Kind.VIRTUAL_SERVICE, "spec.http.match")
    assert (match.path, match.type) == (
        "VirtualService.spec.http[].match[]",
        "list of HTTPMatchRequest",
    )
    assert child(match, "headers").type == "map of text to StringMatch"
    assert child(match, "gateways").type == "list of text"
    assert describe(Kind.VIRTUAL_SERVICE, "spec.http[0].match[].headers{}.exact").type == "text"


def test_words_and_exclusive_fields_are_listed() -> None:
    balancer = describe_path("dr.spec.trafficPolicy.loadBalancer")
    assert balancer.exclusive == (("simple", "consistentHash", "backendUtilization"),)
    assert "LEAST_REQUEST" in child(balancer, "simple").choices


def test_required_fields_are_marked() -> None:
    destination = describe_path("vs.spec.http.route.destination")
    assert destination.required
    assert child(destination, "host").required
    assert not child(destination, "subset").required


@pytest.mark.parametrize(
    ("path", "default"),
    [
        ("mesh.spec.domain", "cluster.local"),
        ("mesh.spec.connectTimeout", "10s"),
        ("mesh.spec.defaultServiceExportTo", "[*]"),
        ("mesh.spec.ejection.sameLocality", "false"),
        ("mesh.spec.history.maxChanges", "1000"),
        (
            "dr.spec.trafficPolicy.connectionPool.tcp.connectTimeout",
            "MeshConfig's `connectTimeout`",
        ),
        ("vs.spec.gateways", '["mesh"]'),
        ("vs.spec.hosts", ""),
    ],
)
def test_defaults_come_from_the_model_or_from_its_words(path: str, default: str) -> None:
    assert describe_path(path).default == default


def test_the_kind_itself_is_explained() -> None:
    gateway = describe_path("gw")
    assert [one.name for one in gateway.children] == ["apiVersion", "kind", "metadata", "spec"]


def test_what_is_only_accepted_and_ignored_is_not_explained() -> None:
    names = {one.name for one in describe_path("gw.metadata").children}
    assert "managedFields" not in names
    assert "labels" in names


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("vs.spec.htp", 'VirtualService.spec has no field "htp". Did you mean "http"'),
        ("vs.spec.http.retires", 'Did you mean "retries"'),
        ("vs.spec.http.timeout.x", r"http\[\].timeout has no fields"),
        ("vs.spec.tcp.zzz", "There are: match, route"),
        ("virtualservce", '"virtualservce" is not a kind. Did you mean "virtualservice"'),
        ("pod", "There are: virtualservice"),
        ("", "is not a kind"),
    ],
)
def test_an_unknown_path_names_the_nearest(path: str, message: str) -> None:
    with pytest.raises(NotFoundError, match=message):
        describe_path(path)
