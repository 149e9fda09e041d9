from __future__ import annotations

import json

from sidecar.agent.secret_answers import certificate_troubles, identities, secrets_answer
from sidecar.certificates.keeping import Keeper
from sidecar.certificates.model import SecretSource, workload_identity
from sidecar.node.events import SecretsRead
from tests.harness.identities import MeshAuthority, spiffe
from tests.harness.nodes import make_node

FILES = ("/id/cert", "/id/key", "/id/ca")
IDENTITY = workload_identity("", FILES, spiffe("web"), ("cluster.local",))
AUTHORITY = MeshAuthority()
NOW_S, LATER_S = 1.8e9, 5.0e9


class Host:
    """A node with an identity, and the files of it."""

    def __init__(self, *names: str) -> None:
        self.node = make_node(identity=IDENTITY)
        self.keeper = Keeper()
        self.keeper.want(IDENTITY.secrets)
        certificate, self.key = AUTHORITY.pair(*names)
        self.read(IDENTITY.certificate, {"/id/cert": certificate, "/id/key": self.key}, 0.0)
        self.read(IDENTITY.authorities, {"/id/ca": AUTHORITY.pem}, 0.0)
        self.node.handle(SecretsRead(self.keeper.held), 0.0)

    def read(self, source: SecretSource, contents: dict[str, bytes | str], now_s: float) -> None:
        marks = {path: (int(now_s),) for path in source.files}
        self.keeper.read(source, marks, contents, now_s)

    def row(self, wall_s: float = NOW_S) -> dict[str, object]:
        (row,) = identities(self.node, self.keeper, wall_s)
        return row


def test_an_identity_says_who_until_when_and_nothing_secret() -> None:
    host = Host(spiffe("web"))
    row = host.row()
    assert (row["state"], row["problem"], row["names"]) == ("held", "", [spiffe("web")])
    assert row["ends_at"] == "2120-01-01T00:00:00Z"
    told = json.dumps([row, secrets_answer(host.node, host.keeper, 1.0)])
    assert "PRIVATE" not in told
    assert certificate_troubles(host.node, host.keeper) == ()


def test_a_certificate_of_somebody_else_or_that_ended_is_a_problem() -> None:
    assert f"peers look for {spiffe('web')}" in str(Host(spiffe("other")).row()["problem"])
    assert "ended at 2120-01-01" in str(Host(spiffe("web")).row(LATER_S)["problem"])


def test_bad_files_are_told_with_what_serves_meanwhile() -> None:
    host = Host(spiffe("web"))
    for now_s in (1.0, 3.0):
        host.read(IDENTITY.certificate, {"/id/cert": "gone", "/id/key": host.key}, now_s)
    row = host.row()
    assert (row["state"], row["problem"]) == ("kept", "/id/cert cannot be read: gone")
    (broken,) = secrets_answer(host.node, host.keeper, 5.0)["broken"]
    assert (broken["name"], broken["keeps_old"], broken["since_s"]) == ("default", True, 4.0)
    assert certificate_troubles(host.node, host.keeper) == (), "something serves"


def test_what_was_never_there_counts_as_refused() -> None:
    host = Host(spiffe("web"))
    host.keeper = Keeper()
    host.keeper.want(IDENTITY.secrets)
    for source in IDENTITY.secrets:
        host.read(source, dict.fromkeys(source.files, "gone"), 0.0)
    assert host.row()["state"] == "missing"
    assert {row.name for row in certificate_troubles(host.node, host.keeper)} == {
        "default",
        "ROOTCA",
    }
