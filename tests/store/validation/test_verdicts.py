"""What becomes of a field: the tables of what is not in force, and fields that a check of their own speaks of."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from store.objects.kinds import Kind
from store.validation.check import check_object
from store.validation.verdicts import JUDGED, Standing, verdict_of

_DESTINATION = [{"destination": {"host": "a"}}]
_HOSTS = {"hosts": ["*/*"]}


def _policy(outliers: object) -> Mapping[str, object]:
    return {
        "outlierDetection": outliers,
        "portLevelSettings": [{"port": {"number": 80}, "outlierDetection": outliers}],
    }


_PORT = {"number": 80, "protocol": "HTTP", "name": "p", "targetPort": 81}
_TLS = {
    "mode": "SIMPLE",
    "httpsRedirect": True,
    "credentialName": "a",
    "credentialNames": ["a"],
    "subjectAltNames": ["a"],
    "tlsCertificates": [{"serverCertificate": "a", "privateKey": "b", "caCertificates": "c"}],
}
GIVEN: Mapping[Kind, Mapping[str, object]] = {
    Kind.VIRTUAL_SERVICE: {
        "hosts": ["a"],
        "http": [
            {
                "route": _DESTINATION,
                "fault": {"abort": {"http2Error": "x"}, "delay": {"exponentialDelay": "1s"}},
            }
        ],
    },
    Kind.DESTINATION_RULE: {
        "host": "a",
        "trafficPolicy": _policy({"consecutiveErrors": 1}),
        "subsets": [{"name": "v1", "trafficPolicy": _policy({"consecutiveErrors": 1})}],
    },
    Kind.GATEWAY: {"servers": [{"port": _PORT, "hosts": ["*"]}]},
    Kind.SIDECAR: {
        "ingress": [{"port": {**_PORT, "protocol": "HTTPS"}, "tls": _TLS}],
        "egress": [{"port": _PORT, **_HOSTS}],
    },
}
"""Objects with every field that a check of its own speaks of."""


def test_a_field_that_a_check_of_its_own_speaks_of_is_told() -> None:
    missed = []
    for row in JUDGED:
        document = {
            "apiVersion": "networking.istio.io/v1",
            "kind": row.kind.value,
            "metadata": {"name": "x"},
            "spec": GIVEN[row.kind],
        }
        problems = check_object(document)[1]
        for path in row.paths if row.code else ():
            where = path.replace("[]", "[0]")
            told = [
                one
                for one in problems
                if one.code == row.code and (where == one.path or where.startswith(f"{one.path}["))
            ]
            if not told or (row.standing is Standing.REFUSED) != (told[0].level == "error"):
                missed.append((path, [(one.code, one.path) for one in problems]))
    assert not missed


@pytest.mark.parametrize(
    ("kind", "path", "standing"),
    [
        (Kind.VIRTUAL_SERVICE, "spec.http[].timeout", Standing.IN_FORCE),
        (Kind.VIRTUAL_SERVICE, "spec.tcp[].match[].sourceSubnet", Standing.NOT_UPSTREAM),
        (Kind.GATEWAY, "spec.servers[].port.targetPort", Standing.REFUSED),
        (Kind.SIDECAR, "spec.egress[].port.name", Standing.LABEL),
        (
            Kind.DESTINATION_RULE,
            "spec.trafficPolicy.loadBalancer.backendUtilization.weightUpdatePeriod",
            Standing.NOT_UPSTREAM,
        ),
    ],
)
def test_a_field_has_one_verdict(kind: Kind, path: str, standing: Standing) -> None:
    assert verdict_of(kind, path).standing is standing


def test_a_value_may_have_no_effect_though_its_field_has() -> None:
    verdict = verdict_of(Kind.GATEWAY, "spec.servers[].port.protocol")
    assert verdict.standing is Standing.IN_FORCE
    assert [one.value for one in verdict.values] == ["UDP"]
