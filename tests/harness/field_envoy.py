"""The Envoy that proves fields: given one case's resources after another's, asked, and looked into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import h11
import trio

from sidecar.xds.events import ResourceRejected
from sidecar.xds.resource import Resource, TypeUrl
from tests.harness.envoys import Lab
from tests.harness.processes import wait_until_async
from tests.harness.upstreams import Answer, Upstream, request

__all__ = ["Seeing", "Served", "contains", "is_named"]


class Seeing(Upstream):
    """A server whose answers bear its name, and which knows what it was asked last."""

    def saw(self) -> Mapping[str, str]:
        """Headers, `:method`, `:path` and `:authority` of the request that came last."""
        fields = {name.decode(): value.decode("latin-1") for name, value in self.asked.headers}
        return fields | {
            ":method": self.asked.method.decode(),
            ":path": self.asked.target.decode(),
            ":authority": fields.get("host", ""),
        }

    async def _answer(self, connection: h11.Connection, stream: trio.SocketStream) -> None:
        fields = [("content-length", str(len(self.name))), ("x-upstream", self.name)]
        sent = connection.send(h11.Response(status_code=self.status, headers=fields, reason=b""))
        sent = sent or b""
        if self.asked.method != b"HEAD":
            sent += connection.send(h11.Data(data=self.name.encode())) or b""
        await stream.send_all(sent + (connection.send(h11.EndOfMessage()) or b""))


@dataclass
class Served:
    """The Envoy, the servers behind it, and what it was given last."""

    lab: Lab
    servers: Mapping[str, Seeing]
    ports: Mapping[str, int]
    _held: dict[tuple[TypeUrl, str], Resource] = field(default_factory=dict)
    _dump: Any = None

    async def load(self, resources: Iterable[Resource]) -> None:
        """Give Envoy these resources in the place of all that it had; wait until they are in force."""
        wanted = {(one.type_url, one.name): one for one in resources}
        gone = self._held.keys() - wanted.keys()
        refused = len(self.lab.of(ResourceRejected))
        self.lab.desire(*wanted.values(), remove=sorted(gone))
        self._held, self._dump = wanted, None
        await self.lab.settled()
        assert not self.lab.of(ResourceRejected)[refused:], self.lab.of(ResourceRejected)[refused:]

    async def get(self, at: str, url: str, **fields: Any) -> Answer:
        """A request to one of the ports, by its name; the URL is authority and path."""
        authority, slash, path = url.partition("/")
        return await request(self.ports[at], authority, f"{slash}{path}" or "/", **fields)

    async def copied_to(self, server: str, before: int) -> None:
        """Wait until a server has got more requests than before."""
        await wait_until_async(
            lambda: self.servers[server].hits > before, 10, f"a copy of the request at {server}"
        )

    async def accepted(self, kind: str, name: str) -> list[Any]:
        """What Envoy's `/config_dump` holds of that kind and name."""
        if self._dump is None:
            self._dump = await self.lab.admin.config_dump("include_eds")
        return [one for one in _all_of(self._dump, kind) if is_named(one, kind, name)]


def _all_of(dump: Any, kind: str) -> Iterable[Any]:
    for part in dump["configs"]:
        if kind == "cluster":
            yield from (one["cluster"] for one in part.get("dynamic_active_clusters", ()))
        elif kind == "endpoints":
            yield from (one["endpoint_config"] for one in part.get("dynamic_endpoint_configs", ()))
        elif kind == "listener":
            states = (one.get("active_state") for one in part.get("dynamic_listeners", ()))
            yield from (state["listener"] for state in states if state)
        else:
            routes = [one["route_config"] for one in part.get("dynamic_route_configs", ())]
            if kind == "routes":
                yield from routes
            else:
                yield from (host for one in routes for host in one.get("virtual_hosts", ()))


def is_named(one: Any, kind: str, name: str) -> bool:
    """Whether a resource, as `/config_dump` shows it, is the one of that name: a virtual host by a domain."""
    if kind == "host":
        return name in one["domains"]
    if kind == "listener" and name.isdigit():
        address = one["address"].get("socket_address", {})
        return str(address.get("port_value")) == name
    return bool(one.get("cluster_name", one.get("name")) == name)


def contains(found: Any, part: Any) -> bool:
    """Whether what was found has this part: of mappings these keys, of lists these items, each somewhere."""
    if isinstance(part, Mapping):
        return isinstance(found, Mapping) and all(
            contains(found.get(key), held) for key, held in part.items()
        )
    if isinstance(part, list):
        return isinstance(found, list) and all(
            any(contains(item, held) for item in found) for held in part
        )
    if part is None:
        return found is None
    return bool(found == part) or str(found) == str(part)
