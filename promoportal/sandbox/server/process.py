"""The sandbox as a process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from promoportal.sandbox.server import parent_watch
from promoportal.sandbox.server.http_server import Server
from promoportal.sandbox.simulation import Options


def run(
    options: Options,
    *,
    host: str,
    port: int,
    started: Callable[[str], None],
    parent: int | None = None,
) -> None:
    """
    Serve a sandbox until SIGTERM or SIGINT, or until the parent process has exited.

    :param started: is called with the address as soon as the server answers
    :param parent: the process ID of the parent; None: the parent is not watched
    """
    asyncio.run(_run(Server(options, host=host, port=port), started, parent))


async def _run(
    server: Server, started: Callable[[str], None], parent: int | None
) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    async with server:
        started(server.url)
        watch = asyncio.create_task(_watch(parent, over))
        await over.wait()
        watch.cancel()


async def _watch(parent: int | None, over: asyncio.Event) -> None:
    if parent is not None:
        await parent_watch.gone(parent)
        over.set()
