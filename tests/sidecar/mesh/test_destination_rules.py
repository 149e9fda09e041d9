"""Which DestinationRules speak for a service: levels, specificity, selectors, merging."""

from __future__ import annotations

import pytest

from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, HostName
from sidecar.mesh.view import View
from tests.harness.catalogs import Document, Store
from tests.harness.objects import destination_rule, mesh_config, service_entry

HOST = HostName("reviews.prod.svc.cluster.local")
SERVICE = service_entry("reviews", ["reviews"], "prod")
ROOT = "meshd-system"


def rule_names(*documents: Document, client: str = "client", **labels: str) -> list[str]:
    """Rules in force for the service `reviews` of `prod`, as a client of another namespace."""
    store = Store([SERVICE, *documents])
    view = View(Mesh.build(store.catalog, store.registrations), Context("", client, labels))
    sources = view.rule(HOST).sources
    return [f"{s.ref.namespace}/{s.ref.name}" for s in sources if s.ref is not None]


IN_CLIENT = destination_rule("c", HOST, "client")
IN_SERVICE = destination_rule("s", HOST, "prod")
IN_ROOT = destination_rule("r", HOST, ROOT)


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ([IN_ROOT, IN_SERVICE, IN_CLIENT], ["client/c"]),
        ([IN_ROOT, IN_SERVICE], ["prod/s"]),
        ([IN_ROOT], [f"{ROOT}/r"]),
        ([], []),
        ([destination_rule("e", HOST, "elsewhere")], []),
    ],
)
def test_the_first_level_with_a_rule_wins(documents: list[Document], expected: list[str]) -> None:
    assert rule_names(*documents) == expected


def test_a_short_host_means_the_rules_own_namespace() -> None:
    assert rule_names(destination_rule("c", "reviews", "client")) == []
    assert rule_names(destination_rule("s", "reviews", "prod")) == ["prod/s"]


def test_a_private_rule_is_for_its_own_namespace_alone() -> None:
    private = destination_rule("s", HOST, "prod", exportTo=["."])
    assert rule_names(private, IN_ROOT) == [f"{ROOT}/r"]
    assert rule_names(private, IN_ROOT, client="prod") == ["prod/s"]


def test_a_rule_exported_to_others_alone_is_not_for_its_own_namespace() -> None:
    exported = destination_rule("s", HOST, "prod", exportTo=["client"])
    assert rule_names(exported) == ["prod/s"]
    assert rule_names(exported, client="prod") == []


def test_an_invisible_most_specific_rule_yields_nothing_at_its_level() -> None:
    documents = [
        destination_rule("wide", "*.cluster.local", "prod"),
        destination_rule("exact", HOST, "prod", exportTo=["friend"]),
    ]
    assert rule_names(*documents) == []
    assert rule_names(*documents, IN_ROOT) == [f"{ROOT}/r"]


def test_a_wholly_private_rule_does_not_hide_a_wildcard_from_others() -> None:
    documents = [
        destination_rule("wide", "*.cluster.local", "prod"),
        destination_rule("exact", HOST, "prod", exportTo=["."]),
    ]
    assert rule_names(*documents) == ["prod/wide"]
    assert rule_names(*documents, client="prod") == ["prod/exact"]


def test_an_exact_rule_hides_a_wildcard_completely() -> None:
    wide = destination_rule("wide", "*.cluster.local", "prod", subsets=[{"name": "v1"}])
    assert rule_names(wide) == ["prod/wide"]
    assert rule_names(wide, IN_SERVICE) == ["prod/s"]


def test_a_client_of_the_root_namespace_uses_its_private_rules_first() -> None:
    public = destination_rule("public", HOST, ROOT)
    private = destination_rule("private", HOST, ROOT, exportTo=["."])
    assert rule_names(public, private, client=ROOT) == [f"{ROOT}/private"]
    assert rule_names(public, IN_SERVICE, client=ROOT) == ["prod/s"]
    assert rule_names(public, client=ROOT) == [f"{ROOT}/public"]


def test_the_meshs_default_export_may_make_rules_private() -> None:
    private = mesh_config(defaultDestinationRuleExportTo=["."])
    assert rule_names(private, IN_SERVICE) == []
    assert rule_names(private, IN_SERVICE, client="prod") == ["prod/s"]
    # Other entries than `.` and `*` have no meaning there.
    named = mesh_config(defaultDestinationRuleExportTo=["prod"])
    assert rule_names(named, IN_SERVICE) == ["prod/s"]


def test_rules_of_one_host_merge_and_the_oldest_leads() -> None:
    first = destination_rule("z", HOST, "prod", subsets=[{"name": "v1"}])
    second = destination_rule("a", HOST, "prod", subsets=[{"name": "v2"}])
    assert rule_names(first, second) == ["prod/z", "prod/a"]


def test_rules_with_other_export_lists_stand_apart_unless_the_younger_has_more() -> None:
    narrow = destination_rule("n", HOST, "prod", exportTo=["client"])
    wide = destination_rule("w", HOST, "prod", exportTo=["client", "friend"])
    assert rule_names(narrow, wide) == ["prod/n", "prod/w"]
    assert rule_names(narrow, wide, client="friend") == ["prod/w"]
    assert rule_names(wide, narrow) == ["prod/w"]


def test_a_selector_rule_is_for_matching_clients_of_its_namespace_only() -> None:
    chosen = destination_rule(
        "sel", HOST, "client", workloadSelector={"matchLabels": {"app": "web"}}, exportTo=["*"]
    )
    assert rule_names(IN_CLIENT, chosen, app="web", v="1") == ["client/sel"]
    assert rule_names(IN_CLIENT, chosen, app="batch") == ["client/c"]
    assert rule_names(chosen, IN_SERVICE, app="batch") == []
    assert rule_names(chosen, client="other", app="web") == []


def test_selector_rules_merge_only_with_the_same_selector() -> None:
    def chosen(name: str, app: str) -> Document:
        selector = {"matchLabels": {"app": app}}
        return destination_rule(name, HOST, "client", workloadSelector=selector)

    documents = [chosen("a", "web"), chosen("b", "batch"), chosen("c", "web")]
    assert rule_names(*documents, app="web") == ["client/a", "client/c"]
    assert rule_names(*documents, app="batch") == ["client/b"]


def test_a_rule_for_a_host_without_service_is_found_in_client_and_root_namespace() -> None:
    store = Store([destination_rule("c", "gone.test", "client")])
    mesh = Mesh.build(store.catalog, store.registrations)
    rule = View(mesh, Context("", "client")).rule(HostName("gone.test"))
    assert [s.ref.name for s in rule.sources if s.ref is not None] == ["c"]
    assert View(mesh, Context("", "else")).rule(HostName("gone.test")).sources == ()
