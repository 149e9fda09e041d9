"""Whatever opens a listener, what passes is counted, logged and traced; and it changes with telemetry alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sidecar.mesh.model import Context, MeshChange, Protocol
from sidecar.routing.table import InboundKey
from sidecar.xds import protos as pb
from sidecar.xds.compile import Bind, InboundPort
from sidecar.xds.compile.capture import CaptureBind
from sidecar.xds.desired import Builder, BuilderSettings
from sidecar.xds.resource import TypeUrl
from tests.harness.routing import object_of, service_of
from tests.harness.worlds import World

HTTP = "envoy.filters.network.http_connection_manager"
TCP = "envoy.filters.network.tcp_proxy"
WEB = Context("web", "default", {"app": "web"})
SHOP = Context("shop", "default", {"app": "shop"}, is_captured=True)
EDGE = Context("edge", "default", {"istio": "ingress"}, is_gateway=True)


def inbound(number: int, protocol: Protocol) -> InboundPort:
    return InboundPort(InboundKey(number), Bind("10.0.0.1", number), "127.0.0.1", 9080, protocol)


SETTINGS = BuilderSettings(
    outbound={"web": Bind("127.0.0.1", 15001), "shop": Bind("127.0.0.1", 15002)},
    inbound=(inbound(15006, Protocol.HTTP), inbound(15007, Protocol.TCP)),
    captured={"shop": CaptureBind(15101)},
    captured_inbound=CaptureBind(15106),
)
OBJECTS = (
    service_of("web.example", "http:80"),
    service_of("db.example", "tcp:5432", addresses=["10.88.0.1"]),
    service_of("tls.example", "tls:443", addresses=["10.88.0.2"]),
    object_of(
        "Gateway",
        "edge",
        {
            "selector": {"istio": "ingress"},
            "servers": [
                {"port": {"number": 8080, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]},
                {"port": {"number": 5433, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]},
            ],
        },
    ),
    object_of(
        "VirtualService",
        "edge",
        {
            "hosts": ["*"],
            "gateways": ["edge"],
            "http": [{"route": [{"destination": {"host": "web.example"}}]}],
            "tcp": [{"route": [{"destination": {"host": "db.example"}}]}],
        },
    ),
    object_of(
        "Sidecar",
        "web",
        {
            "workloadSelector": {"labels": {"app": "web"}},
            "ingress": [
                {
                    "port": {"number": 7070, "name": "http", "protocol": "HTTP"},
                    "defaultEndpoint": "127.0.0.1:7071",
                }
            ],
            "egress": [
                {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*/*"]},
                {"port": {"number": 5432, "name": "tcp", "protocol": "TCP"}, "hosts": ["*/*"]},
                {"hosts": ["*/*"]},
            ],
        },
    ),
)
TOLD = {
    "requestMetrics": True,
    "accessLogFile": "/var/log/meshd/a",
    "tracing": {"collector": "10.0.0.9:4317"},
}


class Host:
    """A host with an application, two contexts, one of them captured, and a gateway."""

    def __init__(self, spec: Mapping[str, object]) -> None:
        self.world = World(WEB, SHOP, EDGE)
        self.builder = Builder(SETTINGS)
        for document in OBJECTS:
            self.world.change(document)
        self.world.change(mesh_config(spec))
        self.builder.update(self.world.views, MeshChange(everything=True), "0")

    def change(self, document: dict[str, object]) -> set[str]:
        """Names of listeners that a change touches."""
        change = self.world.change(document)
        told = self.builder.update(self.world.views, change, "1")
        return set(told.upserts.get(TypeUrl.LISTENER, {}))

    def listeners(self) -> dict[str, pb.Listener]:
        found = self.builder.resources[TypeUrl.LISTENER]
        return {name: pb.Listener.FromString(one.body) for name, one in found.items()}


def mesh_config(spec: Mapping[str, object]) -> dict[str, object]:
    return {
        "apiVersion": "meshd.io/v1",
        "kind": "MeshConfig",
        "metadata": {"name": "mesh"},
        "spec": dict(spec),
    }


def proxies(listener: pb.Listener) -> Iterator[pb.HttpConnectionManager | pb.TcpProxy]:
    """What of a listener hands traffic on."""
    kinds = {HTTP: pb.HttpConnectionManager, TCP: pb.TcpProxy}
    chains = [*listener.filter_chains, listener.default_filter_chain]
    for item in (item for chain in chains for item in chain.filters):
        if item.name in kinds:
            yield kinds[item.name].FromString(item.typed_config.value)


def loggers(proxy: pb.HttpConnectionManager | pb.TcpProxy) -> set[str]:
    return {log.name.rpartition(".")[2] for log in proxy.access_log}


def test_the_host_has_a_listener_of_each_kind() -> None:
    names = " ".join(sorted(Host({}).listeners()))
    for part in ("outbound", "captured", "inbound", "egress", "8080", "5433", "7070"):
        assert part in names, names


def test_every_listener_counts_logs_and_traces() -> None:
    for name, listener in Host(TOLD).listeners().items():
        for proxy in proxies(listener):
            assert loggers(proxy) == {"stats", "file"}, name
            if isinstance(proxy, pb.HttpConnectionManager):
                assert proxy.HasField("tracing"), name
            else:
                assert proxy.access_log_options.flush_access_log_on_connected, name


def test_inbound_is_counted_as_destination_and_all_else_as_source() -> None:
    for name, listener in Host(TOLD).listeners().items():
        expected = b"destination;" if "inbound" in name else b"source;"
        for proxy in proxies(listener):
            assert expected in proxy.access_log[0].typed_config.value, name


def test_a_context_counts_under_its_own_name() -> None:
    for name, listener in Host(TOLD).listeners().items():
        if "inbound" in name:
            continue
        owner = next(one for one in ("web", "shop", "edge") if f".{one}" in name)
        context = f"source;{owner};".encode()
        for proxy in proxies(listener):
            assert context in proxy.access_log[0].typed_config.value, name


def test_without_any_of_it_listeners_are_bare() -> None:
    for listener in Host({"requestMetrics": False}).listeners().values():
        for proxy in proxies(listener):
            assert not proxy.access_log
            assert isinstance(proxy, pb.TcpProxy) or not proxy.HasField("tracing")


def test_a_change_of_telemetry_reaches_every_listener_and_another_setting_none() -> None:
    host = Host(TOLD)
    proxying = {name for name, one in host.listeners().items() if any(proxies(one))}
    assert host.change(mesh_config({**TOLD, "history": {"maxChanges": 7}})) == set()
    assert host.change(mesh_config({**TOLD, "requestMetrics": False})) == proxying
    assert host.change(mesh_config({**TOLD, "requestMetrics": False})) == set()


def test_the_collector_is_there_before_listeners_name_it_and_goes_with_the_last() -> None:
    host = Host({})
    assert "meshd_tracing" not in host.builder.resources[TypeUrl.CLUSTER]
    host.change(mesh_config(TOLD))
    assert "meshd_tracing" in host.builder.resources[TypeUrl.CLUSTER]
    host.change(mesh_config({}))
    assert "meshd_tracing" not in host.builder.resources[TypeUrl.CLUSTER]
