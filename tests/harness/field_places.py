"""Cases for settings that may stand at several places: policies of destinations, and TLS that ends here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import yaml

from tests.harness.field_cases import Ask, Case, Holds

__all__ = ["POLICY_PLACES", "policy_cases", "server_tls_cases"]

# -- policies at each place where they may stand -----------------------------------------------------

POLICY_PLACES = (
    "spec.trafficPolicy",
    "spec.trafficPolicy.portLevelSettings[]",
    "spec.subsets[].trafficPolicy",
    "spec.subsets[].trafficPolicy.portLevelSettings[]",
)
"""Where a policy of a DestinationRule may stand, the widest first."""

PROXY = "outbound|9080|%s|a.default.svc.cluster.local"


def policy_cases(
    name: str,
    proves: str,
    policy: str,
    *,
    accepted: Sequence[Holds] = (),
    ports: bool = True,
    **more: Any,
) -> tuple[Case, ...]:
    """One case for each place of a policy of service `a`; `$cluster` stands for the cluster that it is for.

    Args:
        name: The rule, in words.
        proves: Fields below the policy, separated by spaces.
        policy: The policy in YAML (flow style or indented by nothing).
        accepted: What Envoy holds; names may be `$cluster`.
        ports: Whether it may stand at a port as well.
        more: More of the case.
    """
    cases = []
    for place in POLICY_PLACES:
        if "portLevel" in place and not ports:
            continue
        subset = "subsets" in place
        cluster = PROXY % ("v1" if subset else "")
        named = tuple(replace(h, name=h.name.replace("$cluster", cluster)) for h in accepted)
        paths = " ".join(f"DestinationRule.{place}.{path}" for path in proves.split())
        cases.append(
            Case(
                f"{name}, at {place.removeprefix('spec.')}",
                paths,
                yaml.safe_dump_all(_policy_documents(place, yaml.safe_load(policy), subset)),
                accepted=named,
                **more,
            )
        )
    return tuple(cases)


def _policy_documents(place: str, policy: object, subset: bool) -> list[object]:
    held: object = policy
    if "portLevel" in place:
        assert isinstance(policy, dict)
        held = {"portLevelSettings": [{"port": {"number": 9080}, **policy}]}
    spec: dict[str, object] = {"host": "a"}
    if subset:
        spec["subsets"] = [{"name": "v1", "labels": {"version": "v1"}, "trafficPolicy": held}]
    else:
        spec["trafficPolicy"] = held
    destination = {"host": "a", **({"subset": "v1"} if subset else {}), "port": {"number": 9080}}
    route = {"hosts": ["a"], "http": [{"route": [{"destination": destination}]}]}
    return [{"kind": "DestinationRule", "spec": spec}, {"kind": "VirtualService", "spec": route}]


# -- TLS that ends here: at a gateway's server and at a Sidecar's ingress listener --------------------


def server_tls_cases(
    place: str, objects: Callable[[str], str], by: str, *, edge: bool = True, **more: Any
) -> tuple[Case, ...]:
    """One case for each setting of TLS that ends at `$port`, where `by` answers behind it.

    Args:
        place: Kind and path of the settings.
        objects: The objects with these settings, in flow style.
        by: Server that answers.
        edge: Whether it is a gateway's: what Istio refuses elsewhere is left out.
        more: More of each case.
    """
    files = "serverCertificate: $folder/server.pem, privateKey: $folder/server.key"
    mutual = f"mode: MUTUAL, {files}, caCertificates: $folder/ca.pem"
    stranger: dict[str, Any] = {"shows": "stranger"}
    cases = [
        _ended(
            "TLS ends here with a certificate from files",
            "{mode,serverCertificate,privateKey}",
            f"{{mode: SIMPLE, {files}}}",
            ({}, 200),
        ),
        _ended(
            "clients have to show a certificate of these authorities",
            "caCertificates",
            f"{{{mutual}}}",
            ({}, 0),
            ({"shows": "client"}, 200),
            (stranger, 0),
        ),
        _ended(
            "clients may show a certificate",
            "mode",
            f"{{mode: OPTIONAL_MUTUAL, {files}, caCertificates: $folder/ca.pem}}",
            ({}, 200),
            ({"shows": "client"}, 200),
            (stranger, 0),
        ),
        _ended(
            "a revoked client is refused",
            "caCrl",
            f"{{{mutual}, caCrl: $folder/crl.pem}}",
            ({"shows": "client"}, 0),
        ),
        _ended(
            "clients have to show a certain key",
            "verifyCertificateSpki",
            f"{{{mutual}, verifyCertificateSpki: ['$spki']}}",
            ({"shows": "client"}, 200),
            ({"shows": "other"}, 0),
        ),
        _ended(
            "clients have to show a certain certificate",
            "verifyCertificateHash",
            f"{{{mutual}, verifyCertificateHash: ['$hash']}}",
            ({"shows": "client"}, 200),
            ({"shows": "other"}, 0),
        ),
        _ended(
            "clients that cannot be verified are let in",
            "insecureSkipVerify",
            f"{{{mutual}, insecureSkipVerify: true}}",
            (stranger, 200),
        ),
        _ended(
            "the oldest version of TLS may be said",
            "minProtocolVersion",
            f"{{mode: SIMPLE, {files}, minProtocolVersion: TLSV1_3}}",
            ({"newest": "1.2"}, 0),
            ({}, 200),
        ),
        _ended(
            "the newest version of TLS and its ciphers may be said",
            "{maxProtocolVersion,cipherSuites}",
            f"{{mode: SIMPLE, {files}, maxProtocolVersion: TLSV1_2,"
            " cipherSuites: [ECDHE-ECDSA-AES128-GCM-SHA256]}",
            ({}, 200),
            ({"oldest": "1.3"}, 0),
            ({"ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384", "newest": "1.2"}, 0),
        ),
        _ended(
            "the curves of the key exchange may be said",
            "ecdhCurves",
            f"{{mode: SIMPLE, {files}, ecdhCurves: [P-384]}}",
            ({"curve": "secp384r1"}, 200),
            ({"curve": "prime256v1"}, 0),
        ),
    ]
    if edge:
        cases += [
            _ended(
                "a client has to bear one of these names",
                "subjectAltNames",
                f"{{{mutual}, subjectAltNames: [client.example.com]}}",
                ({"shows": "client"}, 200),
                ({"shows": "other"}, 0),
            ),
            _ended(
                "the certificate lies in the folder of a credential",
                "credentialName",
                "{mode: SIMPLE, credentialName: served}",
                ({}, 200),
            ),
            _ended(
                "certificates lie in the folders of credentials",
                "credentialNames",
                "{mode: SIMPLE, credentialNames: [served]}",
                ({}, 200),
            ),
            _ended(
                "the authorities lie in the folder of another credential",
                "caCertCredentialName",
                "{mode: MUTUAL, credentialName: served, caCertCredentialName: authority}",
                ({}, 0),
                ({"shows": "client"}, 200),
            ),
            _ended(
                "several certificates come from files",
                "tlsCertificates[].{serverCertificate,privateKey}",
                f"{{mode: SIMPLE, tlsCertificates: [{{{files}}}]}}",
                ({}, 200),
            ),
        ]
    else:
        cases.append(
            _ended(
                "the authorities lie in the folder of a credential",
                "caCertCredentialName",
                f"{{mode: MUTUAL, {files}, caCertCredentialName: authority}}",
                ({}, 0),
                ({"shows": "client"}, 200),
            )
        )
    where = place.partition(".")[0].lower()
    return tuple(
        Case(
            f"{name}, at a {where}",
            " ".join(f"{place}.{path}" for path in proves.split()),
            objects(tls),
            asks=tuple(
                Ask(
                    "gw.example.com/",
                    at="port",
                    sni="gw.example.com",
                    status=status,
                    by=by if status else "",
                    **how,
                )
                for how, status in asks
            ),
            **more,
        )
        for name, proves, tls, asks in cases
    )


_Ended = tuple[str, str, str, tuple[tuple[dict[str, Any], int], ...]]


def _ended(name: str, proves: str, tls: str, *asks: tuple[dict[str, Any], int]) -> _Ended:
    return name, proves, tls, asks
