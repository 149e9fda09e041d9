"""The sample services: productpage, details, reviews v1 to v3, ratings. Small, and honest about who answered.

    python -m meshd.demo.services reviews --version v2 --listen 127.0.0.1:9082 --proxy http://127.0.0.1:15001

A page about books in the manner of Istio's Bookinfo tutorial, written for this project. Every answer is JSON
that names the service, its version and what it was asked, and holds the answers of the services behind it;
services call each other through their sidecar, by plain host names. `POST /sick` makes a copy answer 500 to
everything, `POST /well` ends that: to see what the mesh does about it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import ssl
import sys
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, web

__all__ = ["Service", "application", "main"]

CALLS = {
    "productpage": ("details", "reviews"),
    "reviews": ("ratings",),
}
"""Who calls whom; reviews v1 calls nobody."""
PORT = 9080
"""The port that all services of the mesh are addressed by."""
PASSED_ON = ("cookie", "end-user", "x-request-id", "traceparent")
"""Request headers that a service passes on to the services behind it: routing may depend on them."""
CALL_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Service:
    """One running copy of a sample service."""

    name: str
    """productpage, details, reviews, ratings, or any other name for a service that calls nobody."""
    version: str = "v1"
    proxy: str = ""
    """The sidecar's outbound listener; empty: the service calls nobody."""

    @property
    def calls(self) -> tuple[str, ...]:
        """The services behind this one."""
        if self.name == "reviews" and self.version == "v1":
            return ()
        return CALLS.get(self.name, ())


def application(service: Service) -> web.Application:
    """The HTTP application of one service: any path is answered; `/health` says only that it lives."""
    app = web.Application()
    is_sick = False

    async def session(app: web.Application) -> Any:
        app[_SESSION] = ClientSession(timeout=ClientTimeout(total=CALL_TIMEOUT_S))
        yield
        await app[_SESSION].close()

    async def answer(request: web.Request) -> web.Response:
        body: dict[str, Any] = {
            "service": service.name,
            "version": service.version,
            "path": request.path_qs,
            "host": request.headers.get("host", ""),
        }
        if is_sick:
            return web.json_response(
                {**body, "error": "it was told to be sick"}, status=500, dumps=_line
            )
        if client := _client_name(request):
            body["client"] = client
        if service.name == "reviews" and service.version != "v1":
            body["stars"] = "black" if service.version == "v2" else "red"
        if service.calls:
            behind = await asyncio.gather(
                *(_call(service, name, request) for name in service.calls)
            )
            body["calls"] = dict(zip(service.calls, behind, strict=True))
        return web.json_response(body, dumps=_line)

    async def health(_request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def ordered(request: web.Request) -> web.Response:
        nonlocal is_sick
        is_sick = request.path == "/sick"
        return web.json_response({"service": service.name, "sick": is_sick}, dumps=_line)

    app.cleanup_ctx.append(session)
    app.router.add_get("/health", health)
    for path in ("/sick", "/well"):
        app.router.add_post(path, ordered)
    app.router.add_route("*", "/{tail:.*}", answer)
    return app


_SESSION = web.AppKey("session", ClientSession)


def _line(body: object) -> str:
    """One line of JSON; the end of line is for people with curl."""
    return json.dumps(body) + "\n"


def _client_name(request: web.Request) -> str:
    """Common name of the client's certificate; empty without one."""
    certificate = request.get_extra_info("peercert") or {}
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                return str(value)
    return ""


async def _call(service: Service, name: str, request: web.Request) -> dict[str, Any]:
    headers = {key: request.headers[key] for key in PASSED_ON if key in request.headers}
    try:
        async with request.app[_SESSION].get(
            f"http://{name}:{PORT}/", headers=headers, proxy=service.proxy or None
        ) as reply:
            if reply.content_type == "application/json":
                return dict(await reply.json())
            return {"service": name, "error": f"HTTP {reply.status}: {(await reply.text())[:200]}"}
    except (ClientError, TimeoutError, ValueError) as problem:
        return {"service": name, "error": f"{type(problem).__name__}: {problem}"}


async def _serve(service: Service, host: str, port: int, tls: ssl.SSLContext | None) -> None:
    runner = web.AppRunner(application(service), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, host, port, ssl_context=tls)
    await site.start()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    await stop.wait()
    await runner.cleanup()


def main(arguments: list[str] | None = None) -> None:
    """Run one copy of a service until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m meshd.demo.services", description=__doc__)
    parser.add_argument("name", help="productpage, details, reviews, ratings or any other name")
    parser.add_argument("--version", default="v1")
    parser.add_argument("--listen", default="127.0.0.1:9080", metavar="HOST:PORT")
    parser.add_argument("--proxy", default="", help="the sidecar's outbound listener")
    parser.add_argument("--cert", help="serve TLS with this certificate (PEM)")
    parser.add_argument("--key", help="private key of --cert (PEM)")
    parser.add_argument("--client-ca", help="demand client certificates signed by this CA (PEM)")
    told = parser.parse_args(arguments)
    host, _, port = told.listen.rpartition(":")
    tls = None
    if told.cert:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=told.client_ca)
        tls.load_cert_chain(told.cert, told.key)
        if told.client_ca:
            tls.verify_mode = ssl.CERT_REQUIRED
    try:
        asyncio.run(_serve(Service(told.name, told.version, told.proxy), host, int(port), tls))
    except OSError as problem:
        sys.exit(f"{told.name}: cannot serve on {told.listen}: {problem}")


if __name__ == "__main__":
    main()
