"""No byte of a request reaches the server after the call ended, on a cut network."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from promoportal import wire
from tests.promoportal.wire import raw_server as raw
from tests.promoportal.wire.own_network import Network, own_network, why_impossible

pytestmark = pytest.mark.skipif(bool(why := why_impossible()), reason=why)

# The kernel repeats an unacknowledged segment after about 0.2, 0.6, 1.4 and 3.0 seconds.
SECONDS = 0.5
NEXT_REPEAT = 1.5


@pytest.fixture
def network() -> Iterator[Network]:
    with own_network() as network:
        yield network


def calling(server: raw.Server) -> wire.Client:
    return wire.Client(
        server.address,
        side="platform",
        secrets={},
        seconds=SECONDS,
        authorities=str(raw.CERTIFICATE),
    )


def change(client: wire.Client, *, safe_to_repeat: bool = False) -> None:
    client.change("POST", "/", body={"c": 1}, safe_to_repeat=safe_to_repeat)


def changes_after_the_cut(server: raw.Server, network: Network) -> int:
    """Restore the network, and return the number of requests that still arrive."""
    before = len(server.heads)
    network.restore()
    time.sleep(NEXT_REPEAT)
    arrived = len(server.heads) - before
    with calling(server) as client:
        change(client)  # the network works again
    return arrived


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
def test_a_request_on_a_cut_network_does_not_arrive_after_its_call(
    network: Network, tls: bool, kept: bool
) -> None:
    with (
        raw.serving(raw.saying(raw.answer()), tls=tls) as server,
        calling(server) as client,
    ):
        if kept:
            change(client, safe_to_repeat=True)
        with wire.only_while(network.cut), pytest.raises(wire.Unanswered):
            change(client, safe_to_repeat=kept)

        assert changes_after_the_cut(server, network) == 0


CALLER = """
import sys
from promoportal import wire
from tests.promoportal.wire.own_network import Network
with (
    wire.Client(sys.argv[1], side="platform", secrets={}, seconds=float(sys.argv[2]))
    as client,
    wire.only_while(Network().cut),
):
    client.change("POST", "/", body={"c": 1}, safe_to_repeat=False)
"""


def test_the_request_of_a_killed_process_does_not_arrive_later(
    network: Network,
) -> None:
    with raw.serving(raw.saying(raw.answer())) as server, calls(server, 20) as caller:
        caller.kill()

        assert changes_after_the_cut(server, network) == 0


def test_the_request_of_a_frozen_process_does_not_arrive_after_its_deadline(
    network: Network,
) -> None:
    with raw.serving(raw.saying(raw.answer())) as server, calls(server, 2) as caller:
        caller.send_signal(signal.SIGSTOP)
        time.sleep(2)

        arrived = changes_after_the_cut(server, network)
        caller.kill()

    assert arrived == 0


@contextlib.contextmanager
def calls(server: raw.Server, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that cuts the network, sends a request, and waits."""
    command = [sys.executable, "-c", CALLER, server.address, str(seconds)]
    with subprocess.Popen(command) as caller:
        while connected():
            time.sleep(0.01)
        time.sleep(0.25)  # it sends its request
        yield caller


def connected() -> bool:
    shown = subprocess.check_output(["ip", "link", "show", "lo"], text=True)
    return "state DOWN" not in shown
