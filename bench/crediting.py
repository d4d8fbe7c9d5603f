"""Crediting rewards at the stand-in platform, against a server that looks at nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from uuid import UUID

from bench.bare import Line, echo
from bench.stage import FarSides, Measured, Stage, seconds

# Requests on their way at once, so that it is the server that is measured.
_AHEAD = 32


def measure(_stage: Stage, size: int) -> Measured:
    orders = [_order(number) for number in range(size)]
    with closing(FarSides()) as far:
        work = seconds(lambda: _credit(far.port, orders))
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
    """Order them all over one line, some ahead of their answers."""
    with Line(port) as line:
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
