"""Connections to members: no detour, no hidden retries, files read when they are needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.errors import InputError
from store.etcd.channel import OPTIONS, open_channel
from store.etcd.client import EtcdClient
from store.etcd.settings import EtcdSettings
from tests.harness.processes import EtcdProcess, free_port


@pytest.mark.real
def test_the_store_is_not_reached_through_the_applications_proxy(
    etcd: EtcdProcess, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{free_port()}")
    with EtcdClient(EtcdSettings(endpoints=(etcd.url,))) as client:
        client.put(f"{prefix}/k", b"v")


def test_a_frozen_member_is_noticed_by_pings_and_nothing_is_retried_unseen() -> None:
    options = dict(OPTIONS)
    assert len(options) == len(OPTIONS)
    assert options["grpc.keepalive_time_ms"] + options["grpc.http2.ping_timeout_ms"] <= 15_000
    assert options["grpc.enable_retries"] == 0
    assert options["grpc.use_local_subchannel_pool"] == 1


def test_a_certificate_file_that_is_absent_is_named(tmp_path: Path) -> None:
    settings = EtcdSettings.model_construct(ca=str(tmp_path / "ca.pem"), cert="", key="")
    with pytest.raises(InputError, match=r"ca\.pem.*No such file"):
        open_channel(settings, "https://127.0.0.1:1")
