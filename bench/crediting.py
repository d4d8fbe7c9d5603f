"""Benchmark of credits by the sandbox. Floor: a server that parses no body."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from uuid import UUID

from bench.bare import Connection, echo
from bench.stage import Measured, SandboxProcess, Stage, seconds

# Requests in flight at once, so that the benchmark measures only the server.
_AHEAD = 32


def measure(_stage: Stage, size: int) -> Measured:
    orders = [_order(number) for number in range(size)]
    with closing(SandboxProcess()) as sandbox:
        work = seconds(lambda: _credit(sandbox.port, orders))
    with echo() as port:
        floor = seconds(lambda: _credit(port, orders))
    return Measured("credits", size, work, floor, "a server that looks at nothing")


def _order(number: int) -> bytes:
    reward = {"category": "Amount", "type": "BonusCash", "value": "10.00"}
    order = {
        "customerId": f"C{number:07}",
        "reward": reward | {"currency": "EUR"},
        "promotionId": "promo-1",
        "occurrenceId": "7311",
    }
    return json.dumps(order).encode()


def _credit(port: int, orders: Sequence[bytes]) -> None:
    """Send all orders over one connection, up to `_AHEAD` before their responses."""
    with Connection(port) as line:
        for number, order in enumerate(orders):
            line.send(
                "/platform/rewards",
                order,
                Authorization="Bearer desk-token",
                Idempotency_Key=str(UUID(int=number + 1)),
            )
            if number >= _AHEAD:
                line.receive()
        for _ in range(min(_AHEAD, len(orders))):
            line.receive()
