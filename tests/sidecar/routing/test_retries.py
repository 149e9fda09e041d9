"""Retry policies with Istio's defaults applied."""

from __future__ import annotations

from sidecar.mesh.model import Protocol, Provenance
from sidecar.routing.inbound import inbound_virtual_host
from sidecar.routing.retries import INBOUND_RETRY, retry_policy
from sidecar.routing.table import Forward, InboundKey, RetryPolicy
from store.objects.virtual_service import HTTPRetry


def policy(**fields: object) -> RetryPolicy | None:
    return retry_policy(HTTPRetry.model_validate(fields), None, one_hashed_destination=False)


def test_a_rule_that_says_nothing_gets_two_retries_of_what_was_not_processed() -> None:
    found = retry_policy(None, None, one_hashed_destination=False)
    assert found == RetryPolicy()
    assert found.attempts == 2
    assert found.status_codes == ()


def test_retries_without_attempts_are_none() -> None:
    assert policy() is None
    assert policy(attempts=0) is None
    assert policy(attempts=-1, retryOn="5xx") is None


def test_the_mesh_default_stands_where_the_rule_is_silent() -> None:
    mesh = HTTPRetry.model_validate({"attempts": 5, "retryOn": "reset"})
    found = retry_policy(None, mesh, one_hashed_destination=False)
    assert found is not None
    assert (found.attempts, found.retry_on) == (5, ("reset",))
    own = HTTPRetry.model_validate({"attempts": 1})
    assert retry_policy(own, mesh, one_hashed_destination=False) == RetryPolicy(attempts=1)


def test_numbers_among_conditions_are_status_codes() -> None:
    found = policy(attempts=1, retryOn=" 503 , gateway-error,, 504,gateway-error")
    assert found is not None
    assert found.retry_on == ("gateway-error", "retriable-status-codes")
    assert found.status_codes == (503, 504)


def test_a_hashed_destination_may_be_tried_again_on_the_same_endpoint() -> None:
    found = retry_policy(None, None, one_hashed_destination=True)
    assert found is not None
    assert not found.previous_hosts
    unasked = policy(attempts=1, retryIgnorePreviousHosts=False)
    assert unasked is not None
    assert not unasked.previous_hosts


def test_inbound_requests_are_repeated_only_when_they_never_arrived_and_not_for_grpc() -> None:
    for protocol, retry in ((Protocol.HTTP, INBOUND_RETRY), (Protocol.GRPC, None)):
        host = inbound_virtual_host(9080, protocol, Provenance(None))
        action = host.routes[0].action
        assert isinstance(action, Forward)
        assert (host.name, host.domains) == ("inbound|http|9080", ("*",))
        assert [one.cluster for one in action.clusters] == [InboundKey(9080)]
        assert action.retry == retry
    assert InboundKey(9080).name == "inbound|9080||"
