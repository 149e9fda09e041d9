"""What hosts may claim, by their admission records."""

from __future__ import annotations

import base64
from typing import Any

from sidecar.registration.claims import Admitted, refused_claims
from store.objects.admission import Admission
from store.objects.host import HostRegistration

KEY = base64.b64encode(bytes(32)).decode()


def admission(**lists: list[str]) -> Admission:
    document = {"apiVersion": "meshd.io/v1", "kind": "Admission", "host": "h1", "publicKey": KEY}
    return Admission.model_validate({**document, **lists})


def registration(*workloads: dict[str, Any]) -> HostRegistration:
    document = {"apiVersion": "meshd.io/v1", "kind": "HostRegistration", "host": "h1"}
    return HostRegistration.model_validate({**document, "workloads": list(workloads)})


SHOP = {"name": "web", "namespace": "shop", "serviceAccount": "web"}
BANK = {"name": "vault", "namespace": "bank"}


def test_without_a_record_or_with_empty_lists_everything_may_be_claimed() -> None:
    both = registration(SHOP, BANK)
    for record in (None, admission()):
        assert refused_claims("h1", both, record) == ()
        assert Admitted({"h1": both}, {"h1": record}.get)["h1"] is both


def test_a_workload_of_another_namespace_does_not_serve_and_the_others_do() -> None:
    both, record = registration(SHOP, BANK), admission(namespaces=["shop", "toys"])
    (claim,) = refused_claims("h1", both, record)
    assert claim.workload == "bank/vault"
    assert claim.reason == 'it is of namespace "bank"; the admission record allows shop, toys'
    admitted = Admitted({"h1": both}, lambda _: record)
    assert [one.name for one in admitted["h1"].workloads] == ["web"]
    assert list(admitted) == ["h1"]
    assert len(admitted) == 1


def test_a_workload_without_a_service_account_has_the_default_one() -> None:
    both = registration(SHOP, BANK)
    assert [c.workload for c in refused_claims("h1", both, admission(serviceAccounts=["web"]))] == [
        "bank/vault"
    ]
    (claim,) = refused_claims("h1", both, admission(serviceAccounts=["default"]))
    assert claim.reason == 'it runs as service account "web"; the admission record allows default'


def test_a_host_that_registers_nothing_claims_nothing() -> None:
    assert refused_claims("h1", None, admission(namespaces=["shop"])) == ()
