"""The application of a test host: says who it is, and falls ill when it is told to.

    python -m chaos.app h1 --listen 127.0.0.1:9081 --control /path/control.sock

The control socket takes one word a line: `ok`, `5xx`, `slow SECONDS`, `hang`, `reset`.
"""

from __future__ import annotations

import argparse
import asyncio

from aiohttp import web

__all__ = ["App", "main"]


class App:
    """Answers every path.

    Args:
        name: Who it says that it is.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._mode = "ok"
        self._delay_s = 0.0

    def told(self, line: str) -> str:
        """Take a word of the control socket; the answer."""
        word, _, rest = line.strip().partition(" ")
        if word not in ("ok", "5xx", "slow", "hang", "reset"):
            return f"no mode {word!r}"
        try:
            self._delay_s = float(rest) if word == "slow" else 0.0
        except ValueError:
            return f"slow needs seconds, not {rest!r}"
        self._mode = word
        return "ok"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        headers = {"x-backend": self._name}
        if self._mode == "5xx":
            return web.Response(status=500, text="ill\n", headers=headers)
        if self._mode == "reset":
            assert request.transport is not None
            request.transport.abort()
        elif self._mode == "hang":
            await asyncio.sleep(3600)
        elif self._mode == "slow":
            await asyncio.sleep(self._delay_s)
        return web.Response(text=f"{self._name}\n", headers=headers)

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection to the control socket."""
        while line := await reader.readline():
            writer.write(f"{self.told(line.decode())}\n".encode())
            await writer.drain()
        writer.close()

    async def serve(self, host: str, port: int, control: str) -> None:
        """Serve until cancelled."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, host, port, reuse_address=True).start()
        server = await asyncio.start_unix_server(self.control, control)
        async with server:
            await server.serve_forever()


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--listen", required=True)
    parser.add_argument("--control", required=True)
    options = parser.parse_args()
    host, _, port = options.listen.rpartition(":")
    asyncio.run(App(options.name).serve(host, int(port), options.control))


if __name__ == "__main__":
    main()
