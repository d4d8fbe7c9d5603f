"""The sandbox's HTTP server, and a function for each manner of sending an answer."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Self

import aiohttp
from aiohttp import web

from promoportal.sandbox.control.api import Control, is_loopback
from promoportal.sandbox.control.page import forms
from promoportal.sandbox.journal import Journal
from promoportal.sandbox.messages import Answer, Manner, Request
from promoportal.sandbox.simulation import Options, Sandbox

_LARGEST_BODY = 16 * 1024 * 1024
_NOTICE_TIMEOUT = aiohttp.ClientTimeout(total=10)
_INSIDE_TIMEOUT = aiohttp.ClientTimeout(total=60)
_JSON = "application/json; charset=utf-8"


class Server:
    """The HTTP server of the sandbox. A reset replaces the sandbox, not the server."""

    def __init__(
        self, options: Options, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.options = options
        self.host = host
        self.port = port
        self.local = is_loopback(host)
        self._journal = Journal(options.keep) if options.keep else None

    async def __aenter__(self) -> Self:
        request = partial(
            web.BaseRequest,
            loop=asyncio.get_running_loop(),
            client_max_size=_LARGEST_BODY,
        )
        # aiohttp's low-level server: with a router, the throughput is a third lower.
        self._web = web.ServerRunner(
            web.Server(self._serve, request_factory=request, access_log=None),
            shutdown_timeout=0.1,
        )
        listening = _listening(self.host, self.port)
        await self._web.setup()
        self.port = listening.getsockname()[1]
        await web.SockSite(self._web, listening, backlog=1024).start()
        self._client = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        self._closing: set[asyncio.Task[None]] = set()
        self._start_sandbox(self.options)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sandbox.close()
        await asyncio.gather(*self._closing)
        await self._client.close()
        await self._web.cleanup()
        if self._journal:
            self._journal.close()

    @property
    def url(self) -> str:
        return _at(self.host, self.port)

    def reset(self, options: Options | None = None) -> None:
        """
        Replace the sandbox with a new one, and clear the journal.

        What still runs in the old sandbox does not change the new one. If `options` is
        None, the new sandbox has the options of the server.
        """
        task = asyncio.create_task(self.sandbox.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        if self._journal:
            self.sandbox.stop_keeping()
            self._journal.clear()
        self._start_sandbox(options or self.options)

    def _start_sandbox(self, options: Options) -> None:
        self.sandbox = Sandbox(options, self._post, self._tell, journal=self._journal)
        self.sandbox.start()
        self._control = Control(self.sandbox, self.reset, self.local)
        self._page = forms.PageEndpoint(self.sandbox, self.local)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        parsed = await _read_request(request)
        if parsed.side == "control":
            answer = await self._control.answer(parsed)
        elif parsed.side in forms.SIDES:
            answer = await self._page.answer(parsed)
        else:
            answer = await self.sandbox.answer(parsed)
        return await _SENDERS[answer.manner](request, answer)

    async def _post(self, url: str, body: bytes) -> int:
        headers = {"Content-Type": "application/json"}
        return await self._posted(url, body, headers, _NOTICE_TIMEOUT)

    async def _tell(self, path: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Post to this server, as a call between the two halves of Optimove."""
        url = f"{self._here}{path}"
        return await self._posted(url, body, headers, _INSIDE_TIMEOUT)

    async def _posted(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,
    ) -> int:
        try:
            async with self._client.post(
                url, data=body, headers=headers, allow_redirects=False, timeout=timeout
            ) as response:
                await response.read()
                return response.status
        except aiohttp.ClientError as error:  # most are not an OSError
            raise ConnectionError(str(error)) from error

    @property
    def _here(self) -> str:
        """The address at which this machine can reach the server."""
        anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - replaced
        return _at(anywhere.get(self.host, self.host), self.port)


async def _read_request(request: web.BaseRequest) -> Request:
    side, _, path = request.path.strip("/").partition("/")
    return Request(
        side=side.lower(),
        method=request.method,
        path=path,
        query=request.query,
        headers=request.headers,
        body=await request.read(),
    )


async def _whole(_request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    return web.Response(
        status=answer.status, body=answer.body, headers=_headers(answer)
    )


async def _half(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    response = await _begun(request, answer)
    await response.write(answer.body[: len(answer.body) // 2])
    return await _cut(request, answer)


async def _drip(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    response = await _begun(request, answer)
    with suppress(ConnectionError):  # the client may disconnect
        for byte in answer.body:
            await response.write(bytes([byte]))
            await asyncio.sleep(answer.pause)
    return response


async def _cut(request: web.BaseRequest, _answer: Answer) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close()
    return web.Response()


async def _reset(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    connection: socket.socket | None = request.get_extra_info("socket")
    if connection is not None:
        # With a linger time of 0, closing sends a reset, which clients recognise.
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    return await _cut(request, answer)


_SENDERS = {
    Manner.WHOLE: _whole,
    Manner.HALF: _half,
    Manner.DRIP: _drip,
    Manner.CUT: _cut,
    Manner.RESET: _reset,
}


async def _begun(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=_headers(answer))
    response.content_length = len(answer.body)
    await response.prepare(request)
    return response


def _headers(answer: Answer) -> dict[str, str]:
    kind = {"Content-Type": _JSON} if answer.body else {}
    return kind | dict(answer.headers)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)


def _at(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
