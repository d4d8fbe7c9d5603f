"""Webhooks do not wait for the platform, however many rewards staff retry."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.clusters import start_cluster
from executions.models import Delivery, DeliveryState, EventType
from promoportal import sandbox
from promoportal.admin.roles import Role, create_staff
from promoportal.sandbox import Fault
from rewards.models import Assignment, AssignmentReason, AssignmentState
from tests.engine.conftest import kill_family
from tests.engine.processes import until
from tests.staff_client import StaffClient
from tests.world import World, sandbox_settings

ROWS, CHOSEN_AT_ONCE = 400, 100
SLOW = Fault(kind="slow", side="platform", seconds=5, times=None)


def test_a_cancellation_is_read_at_once_although_staff_retry_many_rewards(
    transactional_db: None, box: sandbox.SandboxHandle, environment: dict[str, str]
) -> None:
    world = World(box)
    first, *others = chosen(held_rewards(world))
    staff = StaffClient(create_staff("clerk", Role.OPERATIONS, "secret"))
    box.order(SLOW)
    process = start_cluster("portal", environment | sandbox_settings(box))
    try:
        staff.do("retry", *first)
        until(lambda: box.credits, "the platform is called")
        for rows in others:
            staff.do("retry", *rows)
        cancelled = world.notify(EventType.CANCELLED, CampaignID=7311)
        began = time.monotonic()
        until(lambda: is_read(cancelled), "the cancellation is read")
        waited = time.monotonic() - began
    finally:
        kill_family(process)

    assert waited < SLOW.seconds / 2


def held_rewards(world: World) -> Sequence[Assignment]:
    for number in range(ROWS):
        world.box.assign("7311", f"C{number}")
    world.collect("7311")
    Assignment.objects.update(
        state=AssignmentState.HELD, reason=AssignmentReason.TOO_LATE
    )
    return list(Assignment.objects.all())


def chosen(rows: Sequence[Assignment]) -> list[Sequence[Assignment]]:
    starts = range(0, len(rows), CHOSEN_AT_ONCE)
    return [rows[start : start + CHOSEN_AT_ONCE] for start in starts]


def is_read(delivery: Delivery) -> bool:
    return Delivery.objects.get(pk=delivery.pk).state == DeliveryState.READ
