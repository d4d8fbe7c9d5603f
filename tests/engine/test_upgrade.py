"""A new release takes over from an old one: what was claimed, and what was queued."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from django.db import transaction
from django_q.models import Failure, OrmQ
from django_q.tasks import async_task

from bench.clusters import start_cluster
from executions.models import Delivery, DeliveryState
from promoportal import jobs, sandbox
from promoportal.sandbox import Fault
from redemptions.models import Redemption, RedemptionState, Report
from rewards.models import Assignment, AssignmentState, Attempt
from tests.engine.conftest import put_down
from tests.engine.processes import until
from tests.project import fixed_names, tree
from tests.world import World, far_sides

# Jobs wait in the database while a release is put in: they name what the last one had.
RELEASED = {
    "portal": ["executions.tasks.read_deliveries", "rewards.tasks.activate_one"],
    "collect": [
        "rewards.tasks.collect",
        "rewards.tasks.settle",
        "redemptions.tasks.report",
    ],
    "bulk": [
        "rewards.tasks.activate",
        "rewards.tasks.follow_cancellations",
        "rewards.tasks.follow_clearances",
        "rewards.tasks.retry_many",
    ],
}


def test_asked_to_end_it_hands_back_within_seconds_what_it_claimed(
    transactional_db: None, box: sandbox.SandboxHandle, environment: dict[str, str]
) -> None:
    """A turn would go on for eight seconds, and a chunk of a hundred for longer."""
    world = World(box)
    for number in range(300):
        box.assign("7311", f"C{number}")
    world.collect("7311")
    box.order(Fault(kind="slow", side="platform", seconds=1, times=300))
    process = start_cluster("bulk", environment | far_sides(box))
    try:
        until(lambda: box.credits, "the first are given")

        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=6) == 0
    finally:
        put_down(process)
    states = set(Assignment.objects.values_list("state", flat=True))
    assert states == {AssignmentState.OWED, AssignmentState.ACTIVE}
    assert not Attempt.objects.filter(outcome="").exists()
    assert Attempt.objects.filter(outcome=Attempt.Outcome.NOT_SENT).exists()
    box.clear_faults()
    successor = start_cluster("bulk", environment | far_sides(box))
    try:
        until(lambda: len(box.credits) >= 300, "the next one gives the rest")
    finally:
        put_down(successor)
    assert len(box.credits) == len({credit.customer for credit in box.credits}) == 300


@pytest.mark.parametrize("queue", jobs.QUEUES)
def test_jobs_that_the_last_release_queued_are_run(
    transactional_db: None,
    box: sandbox.SandboxHandle,
    environment: dict[str, str],
    queue: jobs.Queue,
) -> None:
    row = prepared(World(box), queue)
    OrmQ.objects.all().delete()
    with transaction.atomic():
        for name in RELEASED[queue]:
            keys = {"pk": row.pk} if name.endswith("_one") else {}
            async_task(name, cluster=queue, **keys)

    process = start_cluster(queue, environment | far_sides(box))
    try:
        until(lambda: is_done(queue), "what was due is done")
        until(lambda: not OrmQ.objects.filter(key=queue).exists(), "no job is left")
    finally:
        put_down(process)

    assert not Failure.objects.exists()


def prepared(world: World, queue: str) -> Assignment:
    """Something is due of each kind that the queue does."""
    world.box.assign("7311", "C1")
    world.collect("7311")
    if queue == "collect":
        world.run_activation()
        Redemption.objects.update(not_before="2026-01-01T00:00Z")
    if queue == "portal":
        world.notify(CampaignID=7311, ChannelID=505)
    return Assignment.objects.get()


def is_done(queue: str) -> bool:
    """The queue's work, seen in the rows."""
    activated = Assignment.objects.filter(state=AssignmentState.ACTIVE).exists()
    read = not Delivery.objects.filter(state=DeliveryState.UNREAD).exists()
    reported = Report.objects.exists() and not Redemption.objects.exclude(
        state=RedemptionState.REPORTED
    )
    return {"portal": activated and read, "bulk": activated, "collect": reported}[queue]


def test_the_list_of_released_jobs_has_every_task() -> None:
    tasks = {name.partition("(")[0] for name in fixed_names.recorded()["tasks"]}
    assert {name for names in RELEASED.values() for name in names} == tasks


def test_a_supervisor_of_the_last_release_can_start_the_web_process_again() -> None:
    """It names gunicorn's configuration as it was called then."""
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "gunicorn", "--check-config"),
            *("--config", "python:promoportal.gunicorn"),
        ],
        cwd=tree.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
