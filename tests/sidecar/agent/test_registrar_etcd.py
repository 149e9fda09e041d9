"""The registration of one host in a real etcd."""

from __future__ import annotations

import pytest
import trio

from sidecar.agent.registrar import Registrar
from sidecar.registration.record import OwnRecord
from store.etcd.client import EtcdClient
from store.etcd.settings import EtcdSettings
from tests.harness.processes import EtcdProcess, wait_until_async

pytestmark = pytest.mark.real

RECORD = OwnRecord(host="h1", address="127.0.0.1", workloads=())


async def test_the_lease_is_lost_and_regained_and_leaving_deletes_the_key(
    etcd: EtcdProcess, prefix: str
) -> None:
    with EtcdClient(EtcdSettings(endpoints=(etcd.url,), prefix=prefix)) as client:
        registrar = Registrar(client, RECORD, 2.0)

        def lease() -> int:
            found = client.get(registrar.key)
            return found.lease if found is not None else 0

        async with trio.open_nursery() as nursery:
            nursery.start_soon(registrar.run)
            await wait_until_async(lambda: registrar.view.state == "registered", 10, "the key")
            first = lease()
            client.lease_revoke(first)
            assert lease() == 0
            await wait_until_async(lambda: lease() not in (0, first), 10, "the key to come back")
            await registrar.withdraw()
            nursery.cancel_scope.cancel()
        assert client.get(registrar.key) is None
        assert registrar.view.state == "withdrawn"


async def test_a_frozen_etcd_is_unreachable_and_registration_comes_back(
    own_etcd: EtcdProcess, prefix: str
) -> None:
    settings = EtcdSettings(endpoints=(own_etcd.url,), prefix=prefix, request_timeout_s=0.5)
    with EtcdClient(settings) as client:
        registrar = Registrar(client, RECORD, 2.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(registrar.run)
            await wait_until_async(lambda: registrar.view.state == "registered", 10, "the key")
            own_etcd.freeze()
            try:
                await wait_until_async(
                    lambda: registrar.view.state == "unreachable", 10, "the loss of etcd"
                )
            finally:
                own_etcd.thaw()
            await wait_until_async(lambda: registrar.view.state == "registered", 20, "its return")
            assert client.get(registrar.key) is not None
            nursery.cancel_scope.cancel()
