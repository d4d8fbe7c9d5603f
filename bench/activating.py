"""Benchmark of activating rewards. Floor: the same calls, without a database."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from bench.collecting import collect
from bench.stage import Measured, Stage, seconds
from promoportal import platforms
from promoportal.platforms import Order
from rewards.activation import activate, platform_throttle
from rewards.models import Assignment, AssignmentState


def measure(stage: Stage, size: int) -> Measured:
    collect(stage, size)
    orders = [_order(number) for number in range(size)]
    pending = Assignment.objects.filter(state=AssignmentState.OWED).count()
    work = seconds(activate_all)
    assert not Assignment.objects.filter(state=AssignmentState.OWED).exists()
    floor = seconds(lambda: _send(orders[:pending]))
    return Measured("rewards", pending, work, floor, "the same calls, nothing kept")


def activate_all() -> None:
    """Activate rewards until none is due."""
    while activate.is_due():
        activate.activate()


def _send(orders: list[Order]) -> None:
    with (
        closing(platforms.from_settings()) as platform,
        ThreadPoolExecutor(platform_throttle.MAX_CALLS_PER_JOB) as pool,
    ):
        sent = [
            pool.submit(platform.activate, order, key=uuid.uuid4()) for order in orders
        ]
        for future in sent:
            future.result()


def _order(number: int) -> Order:
    reward = platforms.Reward("Amount", "BonusCash", "10.00", currency="EUR")
    return Order(f"B{number}", promotion="promo-17", occurrence="1", reward=reward)
